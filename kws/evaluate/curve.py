"""One phrase of one detector under one condition: what each threshold costs, speaker by speaker."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kws.detector.decision import SCORE_ONE
from kws.streams import metrics
from kws.streams.metrics import DetPoint, Trace, match

MOST_PER_HOUR = 10.0
"""Curves go from no false accept to this many per hour."""

_TRIED_PER_HOUR = 2.0 * MOST_PER_HOUR
_EVERY = 1 << 30


@dataclass(frozen=True)
class Measured:
    """What one threshold costs; ``missed`` counts the words missed of each of the curve's speakers."""

    point: DetPoint
    missed: tuple[int, ...]


@dataclass(frozen=True)
class Curve:
    """``measured`` is at every threshold worth trying, ascending; ``said`` counts each speaker's words.

    The last threshold never fires, so that every target of false accepts per hour can be kept.
    """

    name: str
    phrase: str
    speakers: tuple[str, ...]
    said: tuple[int, ...]
    measured: tuple[Measured, ...]
    shipped: Measured

    @property
    def hours(self) -> float:
        """Hours of audio without the phrase."""
        return self.shipped.point.hours

    def at(self, target_per_hour: float) -> Measured:
        """Return the lowest FRR for at most so many false accepts per hour of this very audio (``metrics.best``)."""
        point = metrics.best([one.point for one in self.measured], target_per_hour)
        return next(one for one in self.measured if one.point == point)

    def rates_per_hour(self) -> set[float]:
        """Return the rates of false accepts per hour that occur, up to ``MOST_PER_HOUR``."""
        rates = {one.point.false_accepts_per_hour for one in self.measured}
        return {rate for rate in rates if rate <= MOST_PER_HOUR}


def measure(
    name: str, phrase: str, positives: Sequence[Trace], negatives: Sequence[Trace], shipped: int, refractory_steps: int
) -> Curve:
    """Run the whole shipped decision at every threshold worth trying and at ``shipped`` (Q15).

    Tried are every word's peak, just above it, and what ``metrics.thresholds`` names; from the highest down to the
    first with more than twice ``MOST_PER_HOUR`` false accepts per hour. Positives need a word, negatives some time.
    """
    said = Counter(event.speaker for trace in positives for event in trace.layout.events)
    speakers = tuple(sorted(said))
    hours = sum(trace.layout.hours for trace in negatives)
    if not said or hours <= 0.0:
        raise ValueError("a curve needs at least one word and some negative audio")

    def at(threshold: int) -> Measured:
        def matched(traces: Iterable[Trace]) -> list[metrics.Outcome]:
            return [match(trace.detect(threshold, refractory_steps), trace.layout) for trace in traces]

        accepts = sum(len(outcome.false_accepts_s) for outcome in matched(negatives))
        missed = Counter(event.speaker for outcome in matched(positives) for event in outcome.misses)
        point = DetPoint(threshold, missed.total(), said.total(), accepts, hours)
        return Measured(point, tuple(missed[speaker] for speaker in speakers))

    words = metrics.thresholds(positives, (), _EVERY)
    tried = {*words, *metrics.thresholds(positives, negatives, metrics.MAX_DET_POINTS), SCORE_ONE + 1}
    found = []
    for threshold in sorted(tried, reverse=True):
        found.append(at(threshold))
        if found[-1].point.false_accepts_per_hour > _TRIED_PER_HOUR:
            break
    return Curve(name, phrase, speakers, tuple(said[one] for one in speakers), tuple(found[::-1]), at(shipped))
