"""The peak score of a detection: it fires when the score crosses the threshold, which is seldom the highest."""

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from kws.detector.config import SCORE_ONE, Detection


class Peaks:
    """Follows detections to their peaks: the highest score of the phrase from the crossing to the end of its refractory
    period, or of the stream. Any chunking of the scores gives the same peaks.

    >>> peaks = Peaks(refractory_steps=3)
    >>> peaks.push([(Detection("a", 1, 0.02, 0.25), 0)], np.array([[0], [8192]], np.int32), first=0)
    []
    >>> [one.peak for one in peaks.push([], np.array([[16384], [4096], [32768]], np.int32), first=2)]
    [0.5]
    """

    def __init__(self, refractory_steps: int) -> None:
        self._lasting = max(refractory_steps, 1)
        self.reset()

    def reset(self) -> None:
        """Start a new stream."""
        self._open: list[tuple[Detection, int, int]] = []  # with the phrase's column, and the highest score so far

    @property
    def following(self) -> bool:
        """Whether a detection waits for its peak; only then are scores without a new detection needed."""
        return bool(self._open)

    def push(self, made: Iterable[tuple[Detection, int]], scores: NDArray[np.int32], first: int) -> list[Detection]:
        """Take the detections (and their phrases' columns) made in steps from ``first`` on: int32 scores [n, phrases].

        Returns the detections, of these and earlier ones, whose peak is now known, in the order they were made in.
        """
        followed = []
        for detection, phrase, highest in [*self._open, *((one, column, 0) for one, column in made)]:
            begin, end = max(detection.step - first, 0), detection.step + self._lasting - first
            followed.append((detection, phrase, max(highest, int(scores[begin:end, phrase].max(initial=0)))))
        done = [one for one in followed if one[0].step + self._lasting <= first + len(scores)]
        self._open = followed[len(done) :]  # all last equally long, so the first to begin is the first to end
        return [_with_peak(detection, highest) for detection, _, highest in done]

    def finish(self) -> list[Detection]:
        """Return the detections whose refractory period the stream's end cuts short, with the peak up to there."""
        left, self._open = self._open, []
        return [_with_peak(detection, highest) for detection, _, highest in left]


def _with_peak(detection: Detection, highest: int) -> Detection:
    return dataclasses.replace(detection, peak=highest / SCORE_ONE)
