"""From logits to detections, in integers: posteriors, smoothing, confidence, threshold, refractory period.

The one decision logic: evaluation, live demo and firmware (``detector.c``) all go through this arithmetic. It is
the posterior handling of Chen, Parada, Heigold, "Small-footprint keyword spotting using deep neural networks",
ICASSP 2014, section 3.3, in Q15: exactly reproducible on any processor, whatever chunks the logits come in.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

SCORE_ONE = 1 << 15
"""Posteriors and confidences are Q15: this is 1.0."""

MAX_LABELS = 16
MAX_SMOOTH_FRAMES = 1000
MAX_MAX_FRAMES = 4000
MAX_REFRACTORY_MS = 60_000

_BLOCK_STEPS = 1 << 16  # memory bound of one vectorised pass: some 10 MB


@dataclass(frozen=True)
class DetectorConfig:
    """The posterior handling of DeepKWS (Chen et al. 2014, section 3.3); labels[0] is the filler.

    ``smooth_frames`` (w_smooth) and ``max_frames`` (w_max) count posteriors: one per step of the model.

    Raises:
        ValueError: a value is outside its checked bounds; the sentence starts with the field's name.
    """

    phrase: str
    labels: tuple[str, ...]
    smooth_frames: int = 30
    max_frames: int = 100
    refractory_ms: int = 1000

    def __post_init__(self) -> None:
        """Check every bound that the fixed-point arithmetic was proven for."""
        if not self.phrase.strip() or not self.phrase.isprintable():
            raise ValueError("phrase must be a line of printable text with at least one letter")
        if not 2 <= len(self.labels) <= MAX_LABELS:
            raise ValueError(f"labels must be the filler and 1 to {MAX_LABELS - 1} keyword labels")
        if len(set(self.labels)) != len(self.labels) or not all(label.isprintable() and label for label in self.labels):
            raise ValueError("labels must be printable and different from one another")
        if not 1 <= self.smooth_frames <= MAX_SMOOTH_FRAMES:
            raise ValueError(f"smooth_frames must be 1 to {MAX_SMOOTH_FRAMES}")
        if not 1 <= self.max_frames <= MAX_MAX_FRAMES:
            raise ValueError(f"max_frames must be 1 to {MAX_MAX_FRAMES}")
        if not 0 <= self.refractory_ms <= MAX_REFRACTORY_MS:
            raise ValueError(f"refractory_ms must be 0 to {MAX_REFRACTORY_MS}")

    def refractory_steps(self, step_ms: int) -> int:
        """Return the fewest steps of ``step_ms`` that last at least ``refractory_ms``."""
        return -(-self.refractory_ms // step_ms)


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold (Q15; ``SCORE_ONE + 1`` never fires) and the error rates measured with it, and on what.

    Raises:
        ValueError: a value is outside its bounds; the sentence starts with the field's name.
    """

    threshold: int
    false_accepts_per_hour: float
    false_reject_rate: float
    measured_on: str

    def __post_init__(self) -> None:
        """Refuse what cannot have been measured."""
        check_threshold(self.threshold)
        if not (math.isfinite(self.false_accepts_per_hour) and self.false_accepts_per_hour >= 0.0):
            raise ValueError("false_accepts_per_hour must be a finite number of at least 0")
        if not 0.0 <= self.false_reject_rate <= 1.0:
            raise ValueError("false_reject_rate must be 0 to 1")


@dataclass(frozen=True)
class Detection:
    """One detection. ``time_s`` is when the decision was made: the end of the last LFBE frame it needed."""

    phrase: str
    step: int
    time_s: float
    score: float


def check_threshold(threshold: int) -> None:
    """Raise ``ValueError`` unless ``threshold`` is a Q15 confidence or ``SCORE_ONE + 1`` (never fires)."""
    if type(threshold) is not int or not 0 <= threshold <= SCORE_ONE + 1:
        raise ValueError(
            f"threshold must be a whole number of 0 to {SCORE_ONE} (Q15), or {SCORE_ONE + 1} to never fire"
        )


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
    """Logits -> confidence in Q15, streaming: any chunking of the same logits gives the same scores.

    >>> config = DetectorConfig("computer", ("filler", "computer"), smooth_frames=2, max_frames=3)
    >>> scorer = Scorer(config, logit_scale=0.1, step_ms=10)
    >>> scorer.push(np.array([[127, -128], [-128, 127], [-128, 127]], np.int8)).tolist()
    [0, 16384, 32768]
    """

    def __init__(self, config: DetectorConfig, logit_scale: float, step_ms: int) -> None:
        self.config = config
        self.table = exp_table(logit_scale)
        self.refractory_steps = config.refractory_steps(step_ms)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        keywords = len(self.config.labels) - 1
        # zeros stand for what lies before the start: they add nothing to a sum and never are the maximum
        self._posteriors: NDArray[np.int32] = np.zeros((self.config.smooth_frames - 1, keywords), np.int32)
        self._smoothed: NDArray[np.int32] = np.zeros((self.config.max_frames - 1, keywords), np.int32)
        self._steps = 0

    def push(self, logits: NDArray[np.int8]) -> NDArray[np.int32]:
        """Return the confidence after each step: int8 [n, labels] -> int32 [n] in 0..32768."""
        if logits.dtype != np.int8 or logits.ndim != 2 or logits.shape[1] != len(self.config.labels):
            raise ValueError(f"logits must be int8 [n, {len(self.config.labels)}], not {logits.dtype} {logits.shape}")
        scores = np.zeros(len(logits), np.int32)
        for start in range(0, len(logits), _BLOCK_STEPS):
            scores[start : start + _BLOCK_STEPS] = self._block(logits[start : start + _BLOCK_STEPS])
        return scores

    def _block(self, logits: NDArray[np.int8]) -> NDArray[np.int32]:
        history = np.concatenate([self._posteriors, posteriors(logits, self.table)[:, 1:]])
        smoothed = np.concatenate([self._smoothed, self._smooth(history, len(logits))])
        # copies, so that a long block's memory is not kept for its last rows
        self._posteriors = history[len(logits) :].copy()
        self._smoothed = smoothed[len(logits) :].copy()
        self._steps += len(logits)
        return confidence(sliding_maximum(smoothed, self.config.max_frames))

    def _smooth(self, history: NDArray[np.int32], steps: int) -> NDArray[np.int32]:
        window = self.config.smooth_frames
        running = np.zeros((len(history) + 1, history.shape[1]), np.int64)
        np.cumsum(history, axis=0, out=running[1:])
        # at the start the mean is over the posteriors that there are
        counts = np.minimum(np.arange(self._steps + 1, self._steps + steps + 1), window)[:, None]
        means: NDArray[np.int64] = (running[window:] - running[:-window] + counts // 2) // counts
        return means.astype(np.int32)


def decide(scores: NDArray[np.int32], threshold: int, refractory_steps: int) -> NDArray[np.int64]:
    """Return the steps of the detections in a whole stream's ``scores`` (int32 [n], Q15): int64 [k], ascending.

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
    """The same as ``decide``, streaming: any chunking of the same scores gives the same steps.

    >>> decision = Decision(threshold=5, refractory_steps=2)
    >>> decision.push(np.array([0, 9], np.int32)), decision.push(np.array([0, 9], np.int32))
    ([1], [3])
    """

    def __init__(self, threshold: int, refractory_steps: int) -> None:
        check_threshold(threshold)
        self.threshold = threshold
        self.refractory_steps = refractory_steps
        self.reset()

    def reset(self) -> None:
        """Start a new stream, armed."""
        self._armed = True
        self._steps = 0
        self._earliest = 0

    def push(self, scores: NDArray[np.int32]) -> list[int]:
        """Return the steps, counted since the start of the stream, at which the detector fires."""
        fired = []
        for step, above in enumerate((scores >= self.threshold).tolist(), self._steps):
            if not above:
                self._armed = True
            elif self._armed and step >= self._earliest:
                fired.append(step)
                self._armed = False
                self._earliest = step + self.refractory_steps
        self._steps += len(scores)
        return fired
