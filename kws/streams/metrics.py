"""Detections in a stream -> hits, misses and false accepts.

The rules are MLPerf Tiny's for streaming wake words (Banbury et al., "MLPerf Tiny Benchmark", 2021, and its streaming
benchmark): a detection is a hit from the word's start to 0.5 s after its end; after a hit, further detections
up to 1.0 s after the word's end are ignored. Every other detection is a false accept, a late one too: that word
is missed as well. Which steps are detections is decided by ``kws.detector.decision.decide`` alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws.detector.decision import decide
from kws.streams.layout import Event, Layout

HIT_AFTER_END_S = 0.5
IGNORE_AFTER_END_S = 1.0


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
        event = _word_at(time_s, layout.events, hits)
        if event is not None:
            hits[event] = time_s
        elif not _is_ignored(time_s, layout, hits):
            false_accepts.append(time_s)
    made = tuple(Hit(event, hits[event]) for event in layout.events if event in hits)
    missed = tuple(event for event in layout.events if event not in hits)
    return Outcome(layout, made, missed, tuple(false_accepts))


def _word_at(time_s: float, events: Sequence[Event], hits: dict[Event, float]) -> Event | None:
    for event in events:
        if event not in hits and event.start_s <= time_s <= event.end_s + HIT_AFTER_END_S:
            return event
    return None


def _is_ignored(time_s: float, layout: Layout, hits: dict[Event, float]) -> bool:
    if any(hit_s <= time_s <= event.end_s + IGNORE_AFTER_END_S for event, hit_s in hits.items()):
        return True
    return any(start_s <= time_s <= end_s + IGNORE_AFTER_END_S for start_s, end_s in layout.ignored)
