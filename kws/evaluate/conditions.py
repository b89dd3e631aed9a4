"""Under what circumstances one split is heard, and the traces of everything that is measured there."""

from collections.abc import Sequence
from dataclasses import dataclass

from kws.data.corpus import Corpus
from kws.data.phrases import positive_labels
from kws.errors import KwsError
from kws.evaluate import scoring
from kws.evaluate.curve import Curve, measure
from kws.evaluate.headline import by_label, headline
from kws.evaluate.results import HEADLINE_NEGATIVES
from kws.evaluate.scoring import Subject
from kws.streams.layout import Plan, plans


@dataclass(frozen=True)
class Condition:
    """Clean; with the split's noise at a ratio; in the split's rooms. Thresholds are compared within one condition."""

    split: str
    noise_snr_db: float | None = None
    room: bool = False

    @property
    def name(self) -> str:
        """For tables.

        >>> Condition("test", 10.0).name, Condition("test", room=True).name, Condition("dev").name
        ('noise 10 dB', 'room', 'clean')
        """
        noise = "" if self.noise_snr_db is None else f"noise {self.noise_snr_db:g} dB"
        return ", ".join(part for part in ("room" if self.room else "", noise) if part) or "clean"


def conditions(splits: Sequence[str], noise_snr_db: float | None, room: bool) -> tuple[Condition, ...]:
    """Return the rows of a table: each split clean, then with noise and in a room where these are asked for.

    >>> [one.name for one in conditions(["test"], 10.0, True)]
    ['clean', 'noise 10 dB', 'room']
    """
    asked = []
    for split in splits:
        asked.append(Condition(split))
        if noise_snr_db is not None:
            asked.append(Condition(split, noise_snr_db))
        if room:
            asked.append(Condition(split, room=True))
    return tuple(asked)


def curves_under(subjects: Sequence[Subject], corpus: Corpus, condition: Condition, seed: int) -> list[list[Curve]]:
    """Return each subject's curves, a phrase each; every stream is built once for all of them.

    Measured are the phrase alone and ordinary speech, as in ``headline``.

    Raises:
        KwsError: the split lacks a phrase, audio without it, or what the condition needs; a clip cannot be read.
    """
    phrases = tuple(dict.fromkeys(phrase for one in subjects for phrase in one.phrases))
    planned = _headline_plans(corpus, condition, phrases, seed)
    scored = scoring.score_all(subjects, planned, corpus.transcripts, f"Scoring, {condition.split}, {condition.name}")
    return [
        [_curve(one, phrase, threshold, traces, corpus, condition) for phrase, threshold in _shipped(one)]
        for one, traces in zip(subjects, scored, strict=True)
    ]


def _shipped(one: Subject) -> list[tuple[str, int]]:
    return list(zip(one.phrases, one.thresholds, strict=True))


def _headline_plans(corpus: Corpus, condition: Condition, phrases: Sequence[str], seed: int) -> list[Plan]:
    """Return the streams that the headline is about: nothing else is listened to."""
    planned = plans(corpus.clips, condition.split, phrases, condition.noise_snr_db, seed, condition.room)
    if not any(plan.label == HEADLINE_NEGATIVES for plan in planned):
        return list(planned)
    there = {plan.label for plan in planned}
    words = {next((label for label in positive_labels(phrase) if label in there), "") for phrase in phrases}
    return [plan for plan in planned if plan.label in {HEADLINE_NEGATIVES, *words}]


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
