"""One phrase of one detector under one condition: what each threshold costs, speaker by speaker."""

from collections.abc import Sequence
from dataclasses import dataclass

from kws.data.corpus import Corpus
from kws.data.phrases import positive_labels
from kws.errors import KwsError
from kws.evaluate import scoring
from kws.evaluate.headline import by_label, headline, headline_plans
from kws.evaluate.scoring import Subject
from kws.streams.conditions import Condition
from kws.streams.metrics import Trace
from kws.streams.plan import plans
from kws.streams.sweep import MAX_DET_POINTS, NEVER, Measured, Sweep, best

MOST_PER_HOUR = 10.0
"""Curves go from no false accept to this many per hour."""

_TRIED_PER_HOUR = 2.0 * MOST_PER_HOUR


@dataclass(frozen=True)
class Curve:
    """``measured`` is at every threshold worth trying, ascending; ``words`` counts those of each speaker.

    The last threshold never fires, so that every target of false accepts per hour can be kept.
    """

    name: str
    phrase: str
    speakers: tuple[str, ...]
    words: tuple[int, ...]
    measured: tuple[Measured, ...]
    shipped: Measured

    @property
    def hours(self) -> float:
        """Hours of audio without the phrase."""
        return self.shipped.point.hours

    def at(self, target_per_hour: float) -> Measured:
        """Return the lowest FRR for at most so many false accepts per hour of this very audio (``sweep.best``)."""
        return best(self.measured, target_per_hour)

    def rates_per_hour(self) -> set[float]:
        """Return the rates of false accepts per hour that occur, up to ``MOST_PER_HOUR``."""
        rates = {one.false_accepts_per_hour for one in self.measured}
        return {rate for rate in rates if rate <= MOST_PER_HOUR}


def measure(
    name: str, phrase: str, positives: Sequence[Trace], negatives: Sequence[Trace], shipped: int, refractory_steps: int
) -> Curve:
    """Run the whole shipped decision at every threshold worth trying and at ``shipped`` (Q15).

    Tried are every word's peak, just above it, and what ``sweep.thresholds`` names; from the highest down to the
    first with more than twice ``MOST_PER_HOUR`` false accepts per hour. Positives need a word, negatives some time.
    """
    sweep = Sweep.by_speaker(positives, negatives, refractory_steps)
    measured = []
    for threshold in sorted({*sweep.word_thresholds(), *sweep.thresholds(MAX_DET_POINTS), NEVER}, reverse=True):
        measured.append(sweep.at(threshold))
        if measured[-1].false_accepts_per_hour > _TRIED_PER_HOUR:
            break
    return Curve(name, phrase, sweep.groups, sweep.words, tuple(measured[::-1]), sweep.at(shipped))


def curves_under(subjects: Sequence[Subject], corpus: Corpus, condition: Condition) -> list[list[Curve]]:
    """Return each subject's curves, a phrase each; every stream is built once for all of them.

    Measured are the phrase alone and ordinary speech, as in ``headline``.

    Raises:
        KwsError: the split lacks a phrase, audio without it, or what the condition needs; a clip cannot be read.
    """
    phrases = tuple(dict.fromkeys(phrase for one in subjects for phrase in one.phrases))
    planned = headline_plans(plans(corpus.clips, condition, phrases), phrases)
    scored = scoring.score_all(subjects, planned, corpus.transcripts, f"Scoring, {condition.split}, {condition.name}")
    return [
        [_curve(one, phrase, threshold, traces, corpus, condition) for phrase, threshold in _shipped(one)]
        for one, traces in zip(subjects, scored, strict=True)
    ]


def _shipped(one: Subject) -> list[tuple[str, int]]:
    return list(zip(one.phrases, one.thresholds, strict=True))


def _curve(
    one: Subject,
    phrase: str,
    threshold: int,
    traces: scoring.PhraseTraces,
    corpus: Corpus,
    condition: Condition,
) -> Curve:
    positives, negatives = headline(by_label(traces[phrase]), phrase)
    if not positives or not negatives:
        missing = "without the phrase" if positives else f"with the label {positive_labels(phrase)[0]!r}"
        raise KwsError(
            f"{corpus.manifest}: split {condition.split!r} has no clip {missing}; add some or leave {phrase!r} out"
        )
    return measure(one.name, phrase, positives, negatives, threshold, one.refractory_steps)
