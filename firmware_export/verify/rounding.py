"""How far an engine that rounds once, in float, may differ from the graph, which rounds twice.

LiteRT's default kernels (XNNPACK) are such an engine, and ONNX Runtime with the QDQ form. On the same input, an
operator that computes is sometimes 1 LSB off; the operators after it multiply that by their gain, and activations cut
it off. There are two bounds, and the smaller one applies:

- ``worst_case_lsb``, from the weights alone, certain for every input. It is tight for a few operators and useless for
  many: through the hundred of a residual network it is all of int8, which never happens.
- the measured difference: the graph run once more with the float kernels (``float_kernels``), over the same features.
  Another such engine rounds at other places, and a short run shows little: the bound is 2 * (measured difference
  + 1 LSB).
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

MEASURED_STEPS = 3000
"""The float kernels run over at most this many steps; longer runs hardly show more."""

LARGEST_LSB = 255.0
"""The largest difference of two int8 values."""

ROUNDINGS_LSB = 1.26
"""Two engines' results for one real value differ by less than this: the graph's double rounding is off by up to 0.75,
the other engine's single one by 0.5, float32 by a little.
"""

Lsb = NDArray[np.float64]
"""By how much each element of a tensor may differ."""


def bound_lsb(graph: QuantGraph, features: NDArray[np.int8], logits: NDArray[np.int8]) -> int:
    """Return by how much the logits of an engine that rounds once may differ, in LSB.

    Args:
        graph: the reference.
        features: int8 [steps * stride, bands], from the initial state on.
        logits: int8 [steps, outputs], the graph's results for them.
    """
    steps = min(len(logits), MEASURED_STEPS)
    rounded = Interpreter(graph, FLOAT_KERNELS).run(features[: steps * graph.stride])
    measured = int(np.abs(rounded.astype(np.int16) - logits[:steps]).max(initial=0))
    return min(worst_case_lsb(graph), 2 * (measured + 1))


def worst_case_lsb(graph: QuantGraph) -> int:
    """Return the most that the logits of an engine that rounds once can differ, whatever the input.

    It follows every element by the magnitudes of the weights. A path may lead through states; a path in a cycle is
    followed only as often as there are states, and then this is not a bound.
    """
    bound: dict[str, Lsb] = {tensor.name: np.zeros(tensor.shape) for tensor in graph.tensors}
    for _ in range(len(graph.states) + 1):
        for op in graph.ops:
            sources = [bound[name] for name in inputs(op)]
            bound[op.output] = np.minimum(WORST[type(op)](graph, op, *sources), LARGEST_LSB)
        for state in graph.states:
            bound[state.read] = np.maximum(bound[state.read], bound[state.write])
    return round(float(bound[graph.output].max()))


# ---- per operator: the differences of its inputs -> the difference of its output ----


def _rounded(real: Lsb) -> Lsb:
    """Return how far apart integers can be that were rounded from values ``real`` apart."""
    whole: Lsb = np.floor(real + ROUNDINGS_LSB)
    return whole


def _reshape(graph: QuantGraph, op: Reshape, source: Lsb) -> Lsb:
    return source.reshape(graph.tensor(op.output).shape)


def _concat(graph: QuantGraph, op: Concat, *sources: Lsb) -> Lsb:
    return np.concatenate(sources)


def _slice(graph: QuantGraph, op: Slice, source: Lsb) -> Lsb:
    return source[op.begin : op.begin + graph.tensor(op.output).shape[0]]


def _pad(graph: QuantGraph, op: Pad, source: Lsb) -> Lsb:
    return np.pad(source, ((0, 0), (op.before, op.after), (0, 0)))


def _conv2d(graph: QuantGraph, op: Conv2D, source: Lsb) -> Lsb:
    taps = _windows(source, op.weights.shape[1:3], (op.stride_time, op.stride_frequency))
    sums = np.tensordot(taps, np.abs(op.weights.astype(np.float64)), axes=((3, 4, 2), (1, 2, 3)))
    return _rounded(sums * _multipliers(graph, op))


def _depthwise_conv2d(graph: QuantGraph, op: DepthwiseConv2D, source: Lsb) -> Lsb:
    kernel_time, kernel_frequency, _ = op.weights.shape
    rows = (kernel_time - 1) * op.dilation_time + 1
    taps = _windows(source, (rows, kernel_frequency), (op.stride_time, op.stride_frequency))
    sums = np.einsum("tfcij,ijc->tfc", taps[..., :: op.dilation_time, :], np.abs(op.weights.astype(np.float64)))
    return _rounded(sums * _multipliers(graph, op))


def _add(graph: QuantGraph, op: Add, first: Lsb, second: Lsb) -> Lsb:
    output = graph.tensor(op.output).quant.scale
    gains = [graph.tensor(name).quant.scale / output for name in op.inputs]
    # Both inputs are rounded as well, at 2^-19 of the greater scale.
    return _rounded(gains[0] * first + gains[1] * second + 1.5 * 2**-19 * max(gains))


def _max_pool2d(graph: QuantGraph, op: MaxPool2D, source: Lsb) -> Lsb:
    window = (op.window_time, op.window_frequency)
    largest: Lsb = _windows(source, window, window).max(axis=(3, 4))
    return largest


def _average_pool2d(graph: QuantGraph, op: AveragePool2D, source: Lsb) -> Lsb:
    window = (op.window_time, op.window_frequency)
    return _rounded(_windows(source, window, window).mean(axis=(3, 4)))


def _windows(values: Lsb, window: tuple[int, ...], strides: tuple[int, int]) -> Lsb:
    """[time, frequency, channels] -> [..., channels, window time, window frequency]."""
    return sliding_window_view(values, window, axis=(0, 1))[:: strides[0], :: strides[1]]


def _multipliers(graph: QuantGraph, op: Conv2D | DepthwiseConv2D) -> Lsb:
    """Return, per output channel, how many LSB of the output one LSB of the accumulator is."""
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
