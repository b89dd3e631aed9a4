"""One phrase of one detector under one condition: what each threshold costs, speaker by speaker."""

from collections.abc import Sequence
from dataclasses import dataclass

from kws.streams.metrics import Trace
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
