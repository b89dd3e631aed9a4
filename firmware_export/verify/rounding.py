"""What an engine may differ from the graph that rounds once, in float, where the graph rounds twice.

LiteRT's default kernels (XNNPACK) are such an engine, and ONNX Runtime with the QDQ form. Given the same, an operator
that computes is now and then 1 LSB off; the operators behind it carry that on with their gain, and activations cut it
off. Two bounds follow, and the smaller one holds:

- ``worst_case_lsb``, from the weights alone, certain for every input. It is sharp for a few operators and says nothing
  about many: through the hundred of a residual network all of int8 is possible, and never seen.
- what is seen: the graph run once more with the float kernels (``float_kernels``), over the same features. Another
  such engine draws its roundings anew, and a short run shows little: it may differ by twice 1 LSB more than was seen.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from firmware_export.verify.float_kernels import FLOAT_KERNELS
from kws.graph.interpret import Interpreter
from kws.graph.ir import (
    Add,
    AveragePool2D,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    MaxPool2D,
    Op,
    Pad,
    QuantGraph,
    Reshape,
    Slice,
)
from kws.graph.wiring import inputs

SEEN_STEPS = 3000
"""Over so many steps the float kernels are run at most; longer runs hardly show more."""

LARGEST_LSB = 255.0
"""int8 values are nowhere further apart."""

ROUNDINGS_LSB = 1.26
"""Two engines' results of one real value are less apart: the graph's double rounding is up to 0.75 off, the other
engine's single one 0.5, float32 a little.
"""

Lsb = NDArray[np.float64]
"""What each element of a tensor may differ."""


def bound_lsb(graph: QuantGraph, features: NDArray[np.int8], logits: NDArray[np.int8]) -> int:
    """Return what the logits of an engine that rounds once may differ, in LSB.

    Args:
        graph: the reference.
        features: int8 [steps * stride, bands], from the initial state on.
        logits: int8 [steps, outputs], what the graph makes of them.
    """
    steps = min(len(logits), SEEN_STEPS)
    rounded = Interpreter(graph, FLOAT_KERNELS).run(features[: steps * graph.stride])
    seen = int(np.abs(rounded.astype(np.int16) - logits[:steps]).max(initial=0))
    return min(worst_case_lsb(graph), 2 * (seen + 1))


def worst_case_lsb(graph: QuantGraph) -> int:
    """Return the most that the logits of an engine that rounds once can differ, whatever the input.

    Followed element by element, by the magnitudes of the weights. A way may lead through states; one that goes round
    for ever is followed as often as there are states, and is no bound then.
    """
    bound: dict[str, Lsb] = {tensor.name: np.zeros(tensor.shape) for tensor in graph.tensors}
    for _ in range(len(graph.states) + 1):
        for op in graph.ops:
            given = [bound[name] for name in inputs(op)]
            bound[op.output] = np.minimum(WORST[type(op)](graph, op, *given), LARGEST_LSB)
        for state in graph.states:
            bound[state.read] = np.maximum(bound[state.read], bound[state.write])
    return round(float(bound[graph.output].max()))


# ---- per operator: what its inputs differ -> what its output may differ ----


def _rounded(real: Lsb) -> Lsb:
    """Return how far integers can be apart that were rounded from values so far apart."""
    whole: Lsb = np.floor(real + ROUNDINGS_LSB)
    return whole


def _reshape(graph: QuantGraph, op: Reshape, given: Lsb) -> Lsb:
    return given.reshape(graph.tensor(op.output).shape)


def _concat(graph: QuantGraph, op: Concat, *given: Lsb) -> Lsb:
    return np.concatenate(given)


def _slice(graph: QuantGraph, op: Slice, given: Lsb) -> Lsb:
    return given[op.begin : op.begin + graph.tensor(op.output).shape[0]]


def _pad(graph: QuantGraph, op: Pad, given: Lsb) -> Lsb:
    return np.pad(given, ((0, 0), (op.before, op.after), (0, 0)))


def _conv2d(graph: QuantGraph, op: Conv2D, given: Lsb) -> Lsb:
    taps = _windows(given, op.weights.shape[1:3], (op.stride_time, op.stride_frequency))
    sums = np.tensordot(taps, np.abs(op.weights.astype(np.float64)), axes=((3, 4, 2), (1, 2, 3)))
    return _rounded(sums * _multipliers(graph, op))


def _depthwise_conv2d(graph: QuantGraph, op: DepthwiseConv2D, given: Lsb) -> Lsb:
    kernel_time, kernel_frequency, _ = op.weights.shape
    rows = (kernel_time - 1) * op.dilation_time + 1
    taps = _windows(given, (rows, kernel_frequency), (op.stride_time, op.stride_frequency))
    sums = np.einsum("tfcij,ijc->tfc", taps[..., :: op.dilation_time, :], np.abs(op.weights.astype(np.float64)))
    return _rounded(sums * _multipliers(graph, op))


def _add(graph: QuantGraph, op: Add, first: Lsb, second: Lsb) -> Lsb:
    output = graph.tensor(op.output).quant.scale
    gains = [graph.tensor(name).quant.scale / output for name in op.inputs]
    # Both inputs are rounded, too, at 2^-19 of the greater scale.
    return _rounded(gains[0] * first + gains[1] * second + 1.5 * 2**-19 * max(gains))


def _max_pool2d(graph: QuantGraph, op: MaxPool2D, given: Lsb) -> Lsb:
    window = (op.window_time, op.window_frequency)
    largest: Lsb = _windows(given, window, window).max(axis=(3, 4))
    return largest


def _average_pool2d(graph: QuantGraph, op: AveragePool2D, given: Lsb) -> Lsb:
    window = (op.window_time, op.window_frequency)
    return _rounded(_windows(given, window, window).mean(axis=(3, 4)))


def _windows(values: Lsb, window: tuple[int, ...], strides: tuple[int, int]) -> Lsb:
    """[time, frequency, channels] -> [..., channels, window time, window frequency]."""
    return sliding_window_view(values, window, axis=(0, 1))[:: strides[0], :: strides[1]]


def _multipliers(graph: QuantGraph, op: Conv2D | DepthwiseConv2D) -> Lsb:
    """Return, per output channel, the LSB of the output that one of the accumulator is worth."""
    scales: Lsb = op.weight_scales.astype(np.float64)
    return scales * (graph.tensor(op.input).quant.scale / graph.tensor(op.output).quant.scale)


WORST: dict[type[Op], Callable[..., Any]] = {
    Reshape: _reshape,
    Concat: _concat,
    Slice: _slice,
    Pad: _pad,
    Conv2D: _conv2d,
    DepthwiseConv2D: _depthwise_conv2d,
    Add: _add,
    MaxPool2D: _max_pool2d,
    AveragePool2D: _average_pool2d,
}
