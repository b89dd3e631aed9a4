"""Which threshold to run at: each one worth trying is measured through the decision that ships, and one is chosen.

A higher threshold does not always mean fewer detections: a confidence that never falls below a low threshold does not
re-arm. So points are measured, not interpolated, and ``best`` is the way to choose among them. Evaluation, operating
points and the choice among the states of a training all stand on this module.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from kws.detector.decision import SCORE_ONE, OperatingPoint
from kws.streams.metrics import HIT_AFTER_END_S, Outcome, Trace, match

MAX_DET_POINTS = 240

NEVER = SCORE_ONE + 1
"""A threshold that no confidence reaches: every word is missed, and every target of false accepts is kept."""


class Rates(Protocol):
    """What ``best`` and ``frontier`` look at: the two error rates of a threshold."""

    @property
    def false_reject_rate(self) -> float:
        """Misses / words, 0..1."""

    @property
    def false_accepts_per_hour(self) -> float:
        """False accepts / hours."""


Point = TypeVar("Point", bound=Rates)


@dataclass(frozen=True)
class DetPoint:
    """What one threshold (Q15) costs: words missed of all words, false accepts in the negatives' hours."""

    threshold: int
    misses: int
    positives: int
    false_accepts: int
    hours: float

    @property
    def false_reject_rate(self) -> float:
        """Misses / words, 0..1."""
        return self.misses / self.positives

    @property
    def false_accepts_per_hour(self) -> float:
        """False accepts / hours."""
        return self.false_accepts / self.hours


@dataclass(frozen=True)
class Measured:
    """What one threshold costs; ``missed`` counts the words missed of each of the sweep's groups."""

    point: DetPoint
    missed: tuple[int, ...]

    @property
    def false_reject_rate(self) -> float:
        """Misses / words over all groups, 0..1."""
        return self.point.false_reject_rate

    @property
    def false_accepts_per_hour(self) -> float:
        """False accepts / hours."""
        return self.point.false_accepts_per_hour


class Sweep:
    """The streams that thresholds are measured on; ``words`` counts those of each of the named ``groups``.

    Args:
        positives: each stream with the group of each of its words, in their order.
        groups: the groups' names, in the order in which they are counted.
        negatives: streams without the phrase.
        refractory_steps: between two detections.

    Raises:
        ValueError: no word, or no negative audio.
    """

    def __init__(
        self,
        positives: Sequence[tuple[Trace, Sequence[str]]],
        groups: Sequence[str],
        negatives: Sequence[Trace],
        refractory_steps: int,
    ) -> None:
        self.groups, self.hours = tuple(groups), sum(trace.layout.hours for trace in negatives)
        counts = Counter(name for _, names in positives for name in names)
        self.words = tuple(counts[name] for name in self.groups)
        if not sum(self.words) or self.hours <= 0.0:
            raise ValueError("a sweep needs at least one word and some negative audio")
        self._positives, self._negatives, self._refractory_steps = tuple(positives), tuple(negatives), refractory_steps

    @staticmethod
    def by_speaker(positives: Sequence[Trace], negatives: Sequence[Trace], refractory_steps: int) -> "Sweep":
        """Return a sweep whose groups are the speakers of the words, in alphabetical order."""
        named = [(trace, [event.speaker for event in trace.layout.events]) for trace in positives]
        return Sweep(named, sorted({name for _, names in named for name in names}), negatives, refractory_steps)

    @staticmethod
    def by_stream(
        positives: Mapping[str, Sequence[Trace]], negatives: Sequence[Trace], refractory_steps: int
    ) -> "Sweep":
        """Return a sweep whose groups are groups of streams, in the order of the mapping."""
        named = [(trace, [name] * len(trace.layout.events)) for name, traces in positives.items() for trace in traces]
        return Sweep(named, tuple(positives), negatives, refractory_steps)

    def thresholds(self, max_points: int) -> list[int]:
        """Return the thresholds worth trying, ascending; see ``thresholds``."""
        return thresholds([trace for trace, _ in self._positives], self._negatives, max_points)

    def word_thresholds(self) -> list[int]:
        """Return each word's peak and one above it, however many there are."""
        return thresholds([trace for trace, _ in self._positives], (), 2 * sum(self.words) + 2)

    def at(self, threshold: int) -> Measured:
        """Run the whole shipped decision at one threshold (Q15)."""
        missed = Counter[str]()
        for trace, names in self._positives:
            gone = set(self._outcome(trace, threshold).misses)
            missed.update(name for event, name in zip(trace.layout.events, names, strict=True) if event in gone)
        accepts = sum(len(self._outcome(trace, threshold).false_accepts_s) for trace in self._negatives)
        point = DetPoint(threshold, missed.total(), sum(self.words), accepts, self.hours)
        return Measured(point, tuple(missed[name] for name in self.groups))

    def _outcome(self, trace: Trace, threshold: int) -> Outcome:
        return match(trace.detect(threshold, self._refractory_steps), trace.layout)


def det_curve(
    positives: Sequence[Trace], negatives: Sequence[Trace], refractory_steps: int, max_points: int = MAX_DET_POINTS
) -> tuple[DetPoint, ...]:
    """Return a point for every threshold worth trying, ascending. Positives and negatives may not be empty."""
    sweep = Sweep.by_stream({"": positives}, negatives, refractory_steps)
    return tuple(sweep.at(threshold).point for threshold in sweep.thresholds(max_points))


def thresholds(positives: Sequence[Trace], negatives: Sequence[Trace], max_points: int) -> list[int]:
    """Return where the error rates can change: at words' peaks, at negatives' peaks, and one above each.

    With more than ``max_points`` of them, an even choice over words' and negatives' peaks alike; ends are kept.
    """
    peaks: set[int] = {SCORE_ONE}
    for trace in positives:
        for event in trace.layout.events:
            first = max(0, math.ceil((event.start_s - trace.first_s) / trace.step_s))
            after = math.floor((event.end_s + HIT_AFTER_END_S - trace.first_s) / trace.step_s) + 1
            peaks.add(int(trace.scores[first : max(after, first)].max(initial=0)))
    second = [_second_peaks(trace) for trace in negatives if len(trace.scores)]
    # the loudest seconds of the negatives: lower ones belong to rates that no one can use
    loudest = np.sort(np.concatenate(second))[-max_points:] if second else np.empty(0, np.int32)
    peaks.update(loudest.tolist())
    candidates = sorted({value for peak in peaks for value in (peak, peak + 1) if 1 <= value <= SCORE_ONE})
    if len(candidates) <= max_points:
        return candidates
    return [candidates[round(i)] for i in np.linspace(0, len(candidates) - 1, max_points).tolist()]


def _second_peaks(trace: Trace) -> NDArray[np.int32]:
    per_second = max(1, round(1.0 / trace.step_s))
    return np.maximum.reduceat(trace.scores, np.arange(0, len(trace.scores), per_second))


def best(points: Sequence[Point], target_per_hour: float) -> Point:
    """Return the point to run at, of those by threshold ascending, for at most so many false accepts per hour.

    The lowest FRR within the target, then the fewest false accepts, then the middle of the thresholds that are equal
    in both, which leaves room on either side. Where no threshold keeps the target (``NEVER``, if it is among them,
    always does): the fewest false accepts.

    >>> points = [DetPoint(9, 0, 10, 8, 1.0), DetPoint(20, 1, 10, 2, 1.0), DetPoint(30, 3, 10, 1, 1.0)]
    >>> best(points, 2.0).threshold, best(points, 0.5).threshold
    (20, 30)
    """
    allowed = [point for point in points if point.false_accepts_per_hour <= target_per_hour]
    if not allowed:
        fewest = min(point.false_accepts_per_hour for point in points)
        allowed = [point for point in points if point.false_accepts_per_hour == fewest]
    least = min(map(_rates, allowed))
    equals = [point for point in allowed if _rates(point) == least]
    return equals[len(equals) // 2]


def _rates(point: Rates) -> tuple[float, float]:
    return point.false_reject_rate, point.false_accepts_per_hour


def frontier(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the points that no other beats in both errors: FA/h ascending, FRR strictly descending.

    Of points that are equal in both, the last one, which has the highest threshold where they ascend.
    """
    kept: list[Point] = []
    highest_first = list(reversed(points))
    for point in sorted(highest_first, key=lambda one: (one.false_accepts_per_hour, one.false_reject_rate)):
        if not kept or point.false_reject_rate < kept[-1].false_reject_rate:
            kept.append(point)
    return tuple(kept)


def operating_points(
    points: Sequence[DetPoint], targets_per_hour: Sequence[float], measured_on: str, phrase: str
) -> tuple[OperatingPoint, ...]:
    """Return the best point per target, each once, sorted by the false accepts per hour that were measured."""
    chosen = {best(points, target) for target in targets_per_hour}
    return tuple(
        OperatingPoint(one.threshold, one.false_accepts_per_hour, one.false_reject_rate, measured_on, phrase)
        for one in sorted(chosen, key=lambda one: (one.false_accepts, -one.threshold))
    )
