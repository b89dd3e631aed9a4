"""What ESPHome's firmware computes from a model: one probability per step, and its own decision, in integers.

The firmware (micro_wake_word) expects a probability 0..255 instead of logits, and fires when the sum of the last N of
them exceeds cutoff * N. ``derive`` turns a graph with the logits of filler and keyword into one with their difference,
whose logistic function is the keyword's posterior; ``Detector`` is the reference that every runtime is compared with.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kws import frontend
from kws.detector.decision import SCORE_ONE
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.graph import wiring
from kws.graph.arithmetic import INT8_MAX, INT8_MIN, float32_exact, input_quant, quantize_features
from kws.graph.check import check
from kws.graph.interpret import Interpreter
from kws.graph.ir import Conv2D, Op, Quant, QuantGraph, Reshape, Tensor

MAX_STATES = 20
"""The most resource variables that the firmware has room for."""
MAX_WINDOW = 128
"""The most probabilities in a window: with more, different sums could give the same Q15 score."""
LARGEST_CUTOFF = 254
"""255 would never fire: the sum of N probabilities is at most 255 * N."""
PROBABILITY_STEPS = 256
"""The output's scale is one divided by this."""
_Q15_PER_STEP = SCORE_ONE // PROBABILITY_STEPS

FINE_UP_TO = round(0.97 * SCORE_ONE)
"""A threshold above this (Q15) has too few steps of 1 / 256 above it to tell a word from a similar one."""
MOVED_TO = round(0.9 * SCORE_ONE)
"""Where such a threshold is moved to, by subtracting a constant from the logit."""


@dataclass(frozen=True, eq=False)
class Detector:
    """A model as the firmware runs it.

    Attributes:
        graph: gives one int8 logit per step, [1, 1, 1].
        probabilities: uint8 [256], for the logits -128..127.
        window: how many probabilities are summed.
        cutoff: 0..254; it fires when the sum exceeds ``cutoff * window``.
        moved: what was subtracted from the logit, so that the cutoff has room above it.
    """

    graph: QuantGraph
    probabilities: NDArray[np.uint8]
    window: int
    cutoff: int
    moved: float = 0.0

    def steps(self, features: NDArray[np.int8]) -> NDArray[np.uint8]:
        """Return the probability of every step from the initial state: int8 [n * stride, bands] -> uint8 [n]."""
        logits = Interpreter(self.graph).run(features)[:, 0]
        probabilities: NDArray[np.uint8] = self.probabilities[logits.astype(np.int16) - INT8_MIN]
        return probabilities

    def sums(self, probabilities: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return the sum of the last ``window`` probabilities at every step; before the start they are 0."""
        total = np.concatenate([np.zeros(self.window, np.int64), np.cumsum(probabilities, dtype=np.int64)])
        return np.asarray(total[self.window :] - total[: -self.window])

    def fires(self, sums: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return at which steps the firmware would fire."""
        return np.asarray(sums > self.cutoff * self.window)

    def scores(self, sums: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the mean probability in Q15, rounded down, for ``kws.detector.decision.decide`` with ``threshold``."""
        return np.asarray(sums * _Q15_PER_STEP // self.window, np.int32)

    @property
    def threshold(self) -> int:
        """The Q15 threshold that those scores reach whose sums exceed the cutoff, and no others."""
        return self.cutoff * _Q15_PER_STEP + 1


def derive(model: KwsModel) -> Detector:
    """Return the model as the firmware runs it.

    Raises:
        KwsError: the firmware cannot run it; the message says why, and what to do.
    """
    _check_supported(model)
    threshold, window = model.thresholds[0], model.detector.smooth_frames
    if threshold > SCORE_ONE:
        raise KwsError(
            "the model's threshold can never be reached, because no other had few enough false accepts in training; "
            "train it longer or on more data"
        )
    moved = 0.0
    if threshold > FINE_UP_TO:
        moved, threshold = _logit(threshold) - _logit(MOVED_TO), MOVED_TO
    graph = difference(model.graph, moved)
    table = logistic_table(graph.tensor(graph.output).quant.scale)
    return Detector(graph, table, window, cutoff_for(threshold, window), moved)


def features_of(model: KwsModel, samples: NDArray[np.int16]) -> NDArray[np.int8]:
    """Return the quantized features of a whole recording that fill whole steps: int8 [n * stride, bands]."""
    graph = model.graph
    features = quantize_features(frontend.compute(samples, model.frontend), graph.tensor(graph.input).quant)
    return features[: len(features) // graph.stride * graph.stride]


def cutoff_for(threshold: int, window: int) -> int:
    """Return the cutoff 0..254 whose least firing mean, ``cutoff + 1 / window``, is nearest to a Q15 threshold.

    >>> cutoff_for(round(0.9 * SCORE_ONE), 5), cutoff_for(SCORE_ONE, 5)
    (230, 254)
    """
    return int(np.clip(round(threshold / _Q15_PER_STEP - 1.0 / window), 0, LARGEST_CUTOFF))


def _logit(threshold: int) -> float:
    """Return ln(p / (1 - p)) of a Q15 threshold; half a step below 1 stands for 1."""
    share = min(threshold, SCORE_ONE - 0.5) / SCORE_ONE
    return math.log(share / (1.0 - share))


def difference(graph: QuantGraph, less: float = 0.0) -> QuantGraph:
    """Return the graph with one output, the keyword's logit minus the filler's, in the convolution that gave both.

    Its weights are the mean of the keyword's and the filler's with their sign turned, its logits' scale twice as large.
    ``compress`` centres logits, so that one row is the other with its sign turned: then weights and bias are the
    keyword's own, and so is every int8 that comes out. ``less`` is subtracted from the logit, in the bias.

    Raises:
        KwsError: the last operator is not a convolution, or another operator or a state reads its output.
    """
    last, before = _last_convolution(graph)
    logits, input_scale = graph.tensor(last.output), graph.tensor(last.input).quant.scale
    weights, scales, biases = (values.astype(np.float64) for values in (last.weights, last.weight_scales, last.bias))
    scale = float(np.float32(scales.sum()))
    folded = replace(
        last,
        weights=np.rint((weights[1:] * scales[1] - weights[:1] * scales[0]) / scale).astype(np.int8),
        weight_scales=np.array([scale], np.float32),
        bias=np.rint((biases[1:] * scales[1] - biases[:1] * scales[0] - less / input_scale) / scale).astype(np.int32),
    )
    output = Tensor(last.output, (1, 1, 1), Quant(float32_exact(2.0 * logits.quant.scale), 0))
    kept = {name for op in before for name in (*wiring.inputs(op), op.output)} | {last.input, graph.input}
    kept |= {name for state in graph.states for name in (state.read, state.write)}
    tensors = tuple(tensor for tensor in graph.tensors if tensor.name in kept)
    derived = replace(graph, tensors=(*tensors, output), ops=(*before, folded), output=last.output)
    check(derived)
    return derived


def logistic_table(scale: float) -> NDArray[np.uint8]:
    """Return uint8 [256]: 256 / (1 + exp(-scale * q)), rounded, at most 255, for q = -128..127.

    TensorFlow Lite's int8 LOGISTIC, whose output always has scale 1 / 256 and zero point -128, and the QUANTIZE to
    uint8 behind it.

    >>> logistic_table(0.1)[[0, 128, 255]].tolist()
    [0, 128, 255]
    """
    logits = np.arange(INT8_MIN, INT8_MAX + 1)
    exact = PROBABILITY_STEPS / (1.0 + np.exp(-scale * logits))
    return np.asarray(np.clip(np.floor(exact + 0.5), 0, 255), np.uint8)


def _last_convolution(graph: QuantGraph) -> tuple[Conv2D, tuple[Op, ...]]:
    """Return the convolution that gives the logits, and all operators but it and the reshapes behind it."""
    ops, name = list(graph.ops), graph.output
    while True:
        index = next((index for index, op in enumerate(ops) if op.output == name), None)
        last = None if index is None else ops.pop(index)
        used = [op.output for op in ops if name in wiring.inputs(op)]
        used += [state.read for state in graph.states if state.write == name]
        if not isinstance(last, Conv2D | Reshape) or used:
            what = f"'{name}', which '{used[0]}' also reads" if used else f"operator {type(last).__name__} ('{name}')"
            raise KwsError(f"ESPHome's firmware: the logits come from {what}; end the model with a dense layer")
        if isinstance(last, Conv2D):
            return last, tuple(ops)
        name = last.input


def _check_supported(model: KwsModel) -> None:
    """Raise ``KwsError`` for a model that the firmware cannot run."""
    detector, graph = model.detector, model.graph
    problem = ""
    if model.frontend.kind != "micro":
        problem = 'the model has another frontend than the firmware; train it with frontend = "micro"'
    elif graph.tensor(graph.input).quant != input_quant(model.frontend):
        problem = "the model's input is not quantized like the firmware's features; train it again"
    elif len(detector.phrases) > 1:
        problem = f"a model can have one phrase, but this one has {len(detector.phrases)}; train one for each"
    elif len(detector.labels) != 2:
        problem = (
            f'a model has one output, but this one has labels {", ".join(detector.labels)}; use label_unit = "phrase"'
        )
    elif len(graph.states) > MAX_STATES:
        problem = (
            f"the model has {len(graph.states)} states (the last is '{graph.states[-1].read}'), but the firmware takes "
            f"at most {MAX_STATES}; use fewer blocks"
        )
    elif detector.smooth_frames > MAX_WINDOW:
        problem = f"detector.smooth_frames is {detector.smooth_frames}; use at most {MAX_WINDOW}"
    if problem:
        raise KwsError(f"ESPHome's firmware: {problem}")
