"""Detections in a stream -> hits, misses and false accepts; the DET curve; operating points.

The rules are MLPerf Tiny's for streaming wake words (Banbury et al., "MLPerf Tiny Benchmark", 2021, and its streaming
benchmark): a detection is a hit from the word's start to 0.5 s after its end; after a hit, further detections
up to 1.0 s after the word's end are ignored. Every other detection is a false accept, a late one too: that word
is missed as well. Which steps are detections is decided by ``kws.detector.decision.decide`` alone.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws.detector.decision import SCORE_ONE, OperatingPoint, decide
from kws.streams.layout import Event, Layout

HIT_AFTER_END_S = 0.5
IGNORE_AFTER_END_S = 1.0
MAX_DET_POINTS = 240


@dataclass(frozen=True, eq=False)
class Trace:
    """A stream's confidences, int32 [steps] in Q15; step i is decided ``first_s + i * step_s`` into the stream."""

    layout: Layout
    scores: NDArray[np.int32]
    first_s: float
    step_s: float

    def times(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return when the steps are decided, in seconds."""
        return np.asarray(self.first_s + steps * self.step_s, np.float64)

    def detect(self, threshold: int, refractory_steps: int) -> NDArray[np.float64]:
        """Return the times of the shipped decision's detections, in seconds, ascending."""
        return self.times(decide(self.scores, threshold, refractory_steps))


@dataclass(frozen=True)
class Hit:
    """A word and when it was detected."""

    event: Event
    time_s: float

    @property
    def latency_s(self) -> float:
        """Seconds from the word's end to the decision; below zero when it came before the end."""
        return self.time_s - self.event.end_s


@dataclass(frozen=True)
class Outcome:
    """What the detections in one stream amount to; times in seconds from the stream's start."""

    layout: Layout
    hits: tuple[Hit, ...]
    misses: tuple[Event, ...]
    false_accepts_s: tuple[float, ...]


def match(times_s: Iterable[float], layout: Layout) -> Outcome:
    """Apply the protocol's rules to ascending detection times.

    >>> layout = Layout("s", "computer", 9.0, (), (Event("a.wav", "ann", 1.0, 1.6),))
    >>> outcome = match([0.9, 1.7, 2.5, 2.7], layout)  # early, in time, ignored, too late to be ignored
    >>> [hit.time_s for hit in outcome.hits], outcome.false_accepts_s
    ([1.7], (0.9, 2.7))
    """
    hits: dict[Event, float] = {}
    false_accepts = []
    for time_s in times_s:
        event = _heard(time_s, layout.events, hits)
        if event is not None:
            hits[event] = time_s
        elif not _is_ignored(time_s, layout, hits):
            false_accepts.append(time_s)
    made = tuple(Hit(event, hits[event]) for event in layout.events if event in hits)
    missed = tuple(event for event in layout.events if event not in hits)
    return Outcome(layout, made, missed, tuple(false_accepts))


def _heard(time_s: float, events: Sequence[Event], hits: dict[Event, float]) -> Event | None:
    for event in events:
        if event not in hits and event.start_s <= time_s <= event.end_s + HIT_AFTER_END_S:
            return event
    return None


def _is_ignored(time_s: float, layout: Layout, hits: dict[Event, float]) -> bool:
    if any(hit_s <= time_s <= event.end_s + IGNORE_AFTER_END_S for event, hit_s in hits.items()):
        return True
    return any(start_s <= time_s <= end_s + IGNORE_AFTER_END_S for start_s, end_s in layout.ignored)


@dataclass(frozen=True)
class DetPoint:
    """What one threshold (Q15) costs: words missed of those said, false accepts in the negatives' hours."""

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


def det_curve(
    positives: Sequence[Trace], negatives: Sequence[Trace], refractory_steps: int, max_points: int = MAX_DET_POINTS
) -> tuple[DetPoint, ...]:
    """Return a point for every threshold worth trying, ascending, each run through the whole shipped decision.

    A higher threshold does not always mean fewer detections: a confidence that never falls below a low threshold
    does not re-arm. So the points are measured, not interpolated, and ``best`` is the way to choose among them.
    Positives and negatives may not be empty.
    """
    words = sum(len(trace.layout.events) for trace in positives)
    hours = sum(trace.layout.hours for trace in negatives)
    if not words or hours <= 0.0:
        raise ValueError("a DET curve needs at least one word and some negative audio")
    points = []
    for threshold in thresholds(positives, negatives, max_points):
        misses = sum(len(match(one.detect(threshold, refractory_steps), one.layout).misses) for one in positives)
        accepts = sum(
            len(match(one.detect(threshold, refractory_steps), one.layout).false_accepts_s) for one in negatives
        )
        points.append(DetPoint(threshold, misses, words, accepts, hours))
    return tuple(points)


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
    wanted = sorted({value for peak in peaks for value in (peak, peak + 1) if 1 <= value <= SCORE_ONE})
    if len(wanted) <= max_points:
        return wanted
    return [wanted[round(i)] for i in np.linspace(0, len(wanted) - 1, max_points).tolist()]


def _second_peaks(trace: Trace) -> NDArray[np.int32]:
    per_second = max(1, round(1.0 / trace.step_s))
    return np.maximum.reduceat(trace.scores, np.arange(0, len(trace.scores), per_second))


def best(points: Sequence[DetPoint], target_per_hour: float) -> DetPoint:
    """Return the point to run at, for at most ``target_per_hour`` false accepts per hour.

    The lowest FRR within the target, then the fewest false accepts, then the middle of the thresholds that are equal
    in both, which leaves room on either side. Where no threshold keeps the target: the fewest false accepts.
    """
    allowed = [point for point in points if point.false_accepts_per_hour <= target_per_hour]
    if not allowed:
        fewest = min(point.false_accepts for point in points)
        allowed = [point for point in points if point.false_accepts == fewest]
    chosen = min(allowed, key=lambda point: (point.misses, point.false_accepts))
    equals = [p for p in allowed if (p.misses, p.false_accepts) == (chosen.misses, chosen.false_accepts)]
    return equals[len(equals) // 2]


def frontier(points: Sequence[DetPoint]) -> tuple[DetPoint, ...]:
    """Return the points that no other beats in both errors: FA/h ascending, FRR strictly descending."""
    kept: list[DetPoint] = []
    for point in sorted(points, key=lambda one: (one.false_accepts, one.misses, -one.threshold)):
        if not kept or point.misses < kept[-1].misses:
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
