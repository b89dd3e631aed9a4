"""From logits to detections, in integers: posteriors, smoothing, confidence, threshold, refractory period.

The one decision logic: evaluation, live demo and firmware (``detector.c``) all use this arithmetic. It is
the posterior handling of Chen, Parada, Heigold, "Small-footprint keyword spotting using deep neural networks",
ICASSP 2014, section 3.3, in Q15: exactly reproducible on any processor, whatever chunks the logits come in.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kws.detector.config import (
    MAX_LABELS,
    MAX_PHRASES,
    SCORE_ONE,
    Detection,
    DetectorConfig,
    OperatingPoint,
    check_threshold,
)

__all__ = [
    "MAX_LABELS",
    "MAX_PHRASES",
    "SCORE_ONE",
    "Decision",
    "Detection",
    "DetectorConfig",
    "OperatingPoint",
    "Scorer",
    "check_threshold",
    "confidence",
    "decide",
    "exp_table",
    "posteriors",
    "sliding_maximum",
]

_BLOCK_VALUES = 1 << 17  # posteriors in one vectorised pass, a memory bound: some 10 MB


def exp_table(logit_scale: float) -> NDArray[np.uint16]:
    """Return uint16 [256]: entry d is exp(-logit_scale * d) in Q15, for int8 logits d steps below the largest.

    >>> exp_table(0.1)[:3].tolist()
    [32768, 29650, 26828]
    """
    if not (math.isfinite(logit_scale) and logit_scale > 0.0):
        raise ValueError("logit_scale must be a finite number above 0")
    # math.exp and round to even: the table is made once, on the host, and printed into the firmware as integers
    return np.array([round(math.exp(-logit_scale * d) * SCORE_ONE) for d in range(256)], np.uint16)


def posteriors(logits: NDArray[np.int8], table: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Softmax in Q15, rounded to nearest: int8 [n, labels] -> int32 [n, labels]."""
    largest = logits.max(axis=1, keepdims=True).astype(np.int16)
    exponentials = table[largest - logits].astype(np.int64)
    total = exponentials.sum(axis=1, keepdims=True)
    quotients: NDArray[np.int64] = (exponentials * SCORE_ONE + total // 2) // total
    return quotients.astype(np.int32)


def confidence(maxima: NDArray[np.int32]) -> NDArray[np.int32]:
    """Geometric mean of Q15 values, int32 [n, labels] -> int32 [n]: the truncated root of a truncated Q30 product.

    The result is the largest r whose ``labels``-th power, by the same truncating multiplies, is at most the product.

    >>> confidence(np.array([[32768, 8192], [20000, 20000]], np.int32)).tolist()
    [16384, 20000]
    """
    labels = maxima.shape[1]
    product = np.full(len(maxima), SCORE_ONE * SCORE_ONE, np.int64)
    for label in range(labels):
        product = (product * maxima[:, label]) >> 15
    if labels == 1:  # the root of one factor is that factor
        return maxima[:, 0].astype(np.int32)
    root = np.zeros(len(maxima), np.int64)
    for bit in range(14, -1, -1):
        trial = root + (1 << bit)
        power = np.full(len(maxima), SCORE_ONE * SCORE_ONE, np.int64)
        for _ in range(labels):
            power = (power * trial) >> 15
        root = np.where(power <= product, trial, root)
    root[product == SCORE_ONE * SCORE_ONE] = SCORE_ONE  # the one value that 15 bits do not reach
    return root.astype(np.int32)


def sliding_maximum(values: NDArray[np.int32], window: int) -> NDArray[np.int32]:
    """Maximum over each ``window`` successive rows: int32 [n, labels] -> [n - window + 1, labels], in O(n).

    Blocks of ``window`` rows: a window spans one block's tail and the next one's head (van Herk 1992).
    """
    count = len(values) - window + 1
    if window < 8:
        return np.asarray(sliding_window_view(values, window, axis=0).max(axis=-1), np.int32)
    padding = np.zeros((-len(values) % window, values.shape[1]), values.dtype)
    blocks = np.concatenate([values, padding]).reshape(-1, window, values.shape[1])
    head = np.maximum.accumulate(blocks, axis=1).reshape(-1, values.shape[1])
    tail = np.maximum.accumulate(blocks[:, ::-1], axis=1)[:, ::-1].reshape(-1, values.shape[1])
    return np.maximum(tail[:count], head[window - 1 : window - 1 + count])


class Scorer:
    """Logits -> each phrase's confidence in Q15, streaming: any chunking of the same logits gives the same scores.

    >>> config = DetectorConfig.single("computer", ("filler", "computer"), smooth_frames=2, max_frames=3)
    >>> scorer = Scorer(config, logit_scale=0.1, step_ms=10)
    >>> scorer.push(np.array([[127, -128], [-128, 127], [-128, 127]], np.int8)).tolist()
    [[0], [16384], [32768]]
    """

    def __init__(self, config: DetectorConfig, logit_scale: float, step_ms: int) -> None:
        self.config = config
        self.table = exp_table(logit_scale)
        self.refractory_steps = config.refractory_steps(step_ms)
        self._columns = [
            np.array(indices) - 1 for indices in config.keywords
        ]  # the posteriors are kept without the filler
        self.reset()

    def reset(self) -> None:
        """Start a new stream."""
        keywords = len(self.config.labels) - 1
        # zeros stand for what lies before the start: they add nothing to a sum and never are the maximum
        self._posteriors: NDArray[np.int32] = np.zeros((self.config.smooth_frames - 1, keywords), np.int32)
        self._smoothed: NDArray[np.int32] = np.zeros((self.config.max_frames - 1, keywords), np.int32)
        self._steps = 0

    def push(self, logits: NDArray[np.int8]) -> NDArray[np.int32]:
        """Return the confidences after each step: int8 [n, labels] -> int32 [n, phrases] in 0..32768."""
        if logits.dtype != np.int8 or logits.ndim != 2 or logits.shape[1] != len(self.config.labels):
            raise ValueError(f"logits must be int8 [n, {len(self.config.labels)}], not {logits.dtype} {logits.shape}")
        scores = np.zeros((len(logits), len(self.config.phrases)), np.int32)
        size = _BLOCK_VALUES // logits.shape[1]
        for start in range(0, len(logits), size):
            scores[start : start + size] = self._block(logits[start : start + size])
        return scores

    def _block(self, logits: NDArray[np.int8]) -> NDArray[np.int32]:
        history = np.concatenate([self._posteriors, posteriors(logits, self.table)[:, 1:]])
        smoothed = np.concatenate([self._smoothed, self._smooth(history, len(logits))])
        # copies, so that a long block's memory is not kept for its last rows
        self._posteriors = history[len(logits) :].copy()
        self._smoothed = smoothed[len(logits) :].copy()
        self._steps += len(logits)
        maxima = sliding_maximum(smoothed, self.config.max_frames)
        return np.stack([confidence(maxima[:, columns]) for columns in self._columns], axis=1)

    def _smooth(self, history: NDArray[np.int32], steps: int) -> NDArray[np.int32]:
        window = self.config.smooth_frames
        running = np.zeros((len(history) + 1, history.shape[1]), np.int64)
        np.cumsum(history, axis=0, out=running[1:])
        # at the start the mean is over the posteriors that there are
        counts = np.minimum(np.arange(self._steps + 1, self._steps + steps + 1), window)[:, None]
        means: NDArray[np.int64] = (running[window:] - running[:-window] + counts // 2) // counts
        return means.astype(np.int32)


def decide(scores: NDArray[np.int32], threshold: int, refractory_steps: int) -> NDArray[np.int64]:
    """Return the steps of one phrase's detections in a whole stream's ``scores`` (int32 [n], Q15): int64 [k].

    A step fires when its score is at or above the threshold, ``refractory_steps`` have passed since the last
    detection, and the score was below the threshold at some step since then (it is armed at the start).

    >>> decide(np.array([0, 9, 9, 0, 9, 0, 0, 9], np.int32), threshold=5, refractory_steps=4).tolist()
    [1, 7]
    """
    above = np.flatnonzero(scores >= threshold)
    below = np.flatnonzero(scores < threshold)
    steps: list[int] = []
    earliest = 0
    while (place := int(np.searchsorted(above, earliest))) < len(above):
        step = int(above[place])
        steps.append(step)
        place = int(np.searchsorted(below, step))
        if place == len(below):
            break
        earliest = max(int(below[place]) + 1, step + refractory_steps)
    return np.array(steps, np.int64)


class Decision:
    """The same as ``decide`` for each phrase by itself, streaming: any chunking of the scores gives the same steps.

    >>> decision = Decision((5, 7), refractory_steps=2)
    >>> decision.push(np.array([[0, 0], [9, 8]], np.int32)), decision.push(np.array([[0, 0], [9, 6]], np.int32))
    ([(1, 0), (1, 1)], [(3, 0)])
    """

    def __init__(self, thresholds: Sequence[int], refractory_steps: int) -> None:
        for threshold in thresholds:
            check_threshold(threshold)
        self.thresholds = tuple(thresholds)
        self.refractory_steps = refractory_steps
        self.reset()

    def reset(self) -> None:
        """Start a new stream, every phrase armed."""
        self._armed = [True] * len(self.thresholds)
        self._earliest = [0] * len(self.thresholds)
        self._steps = 0

    def push(self, scores: NDArray[np.int32]) -> list[tuple[int, int]]:
        """Return (step, phrase) of each detection, ordered: int32 [n, phrases]; steps count from the stream's start."""
        if scores.ndim != 2 or scores.shape[1] != len(self.thresholds):
            raise ValueError(f"scores must be [n, {len(self.thresholds)}], not {scores.shape}")
        above: NDArray[np.bool_] = scores >= np.array(self.thresholds, np.int32)
        fired = []
        for phrase, some in enumerate(np.any(above, axis=0)):
            if some:
                fired += [(step, phrase) for step in self._fires(phrase, above[:, phrase])]
            else:
                self._armed[phrase] |= len(scores) > 0
        self._steps += len(scores)
        return sorted(fired)

    def _fires(self, phrase: int, above: NDArray[np.bool_]) -> list[int]:
        fired = []
        for step, is_above in enumerate(above.tolist(), self._steps):
            if not is_above:
                self._armed[phrase] = True
            elif self._armed[phrase] and step >= self._earliest[phrase]:
                fired.append(step)
                self._armed[phrase] = False
                self._earliest[phrase] = step + self.refractory_steps
        return fired
