"""The graph's operators for engines that dequantize, compute in float and round once to the nearest.

The graph's own kernels (``kws.graph.kernels``) are the definition; these give the results of ONNX Runtime's and
XNNPACK's integer kernels: ``rint(accumulator * multiplier) + zero point`` in float32, ties to even. With them the
interpreter shows how far such an engine drifts from the graph (``rounding``); do not use it as an engine.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kws.graph.arithmetic import activation_range, clamp
from kws.graph.ir import Add, AveragePool2D, Conv2D, DepthwiseConv2D, Op, QuantGraph
from kws.graph.kernels import KERNELS, Array, Kernel, KernelMaker


def _quantized(real: NDArray[Any], graph: QuantGraph, op: Conv2D | DepthwiseConv2D | Add) -> Array:
    """Round ``real``, in LSB of the output, and pass it through the activation."""
    quant = graph.tensor(op.output).quant
    return clamp(np.rint(real).astype(np.int64) + quant.zero_point, *activation_range(op, quant))


def _scaled(sums: NDArray[np.float64], graph: QuantGraph, op: Conv2D | DepthwiseConv2D) -> Array:
    source, output = (np.float32(graph.tensor(name).quant.scale) for name in (op.input, op.output))
    multipliers = source * op.weight_scales / output
    return _quantized((sums + op.bias).astype(np.float32) * multipliers, graph, op)


def _conv2d(graph: QuantGraph, op: Conv2D) -> Kernel:
    weights = op.weights.astype(np.float64)

    def kernel(sources: list[Array]) -> Array:
        taps = _windows(_offsets(graph, op.input, sources[0]), op.weights.shape[1:3])
        taps = taps[:, :: op.stride_time, :: op.stride_frequency]
        return _scaled(np.tensordot(taps, weights, axes=((4, 5, 3), (1, 2, 3))), graph, op)

    return kernel


def _depthwise_conv2d(graph: QuantGraph, op: DepthwiseConv2D) -> Kernel:
    kernel_time, kernel_frequency, _ = op.weights.shape
    rows = (kernel_time - 1) * op.dilation_time + 1
    weights = op.weights.astype(np.float64)

    def kernel(sources: list[Array]) -> Array:
        taps = _windows(_offsets(graph, op.input, sources[0]), (rows, kernel_frequency))
        taps = taps[:, :: op.stride_time, :: op.stride_frequency, :, :: op.dilation_time]
        return _scaled(np.einsum("ntfcij,ijc->ntfc", taps, weights), graph, op)

    return kernel


def _add(graph: QuantGraph, op: Add) -> Kernel:
    output = graph.tensor(op.output).quant.scale
    gains = [graph.tensor(name).quant.scale / output for name in op.inputs]

    def kernel(sources: list[Array]) -> Array:
        first, second = (
            gain * _offsets(graph, name, source) for gain, name, source in zip(gains, op.inputs, sources, strict=True)
        )
        return _quantized(first + second, graph, op)

    return kernel


def _average_pool2d(graph: QuantGraph, op: AveragePool2D) -> Kernel:
    window = (op.window_time, op.window_frequency)
    zero_point = graph.tensor(op.input).quant.zero_point

    def kernel(sources: list[Array]) -> Array:
        taps = _windows(_offsets(graph, op.input, sources[0]), window)[:, :: window[0], :: window[1]]
        # Ties are rounded in real values, that is by the mean's distance from the zero point.
        return clamp(np.rint(taps.mean(axis=(4, 5))).astype(np.int64) + zero_point)

    return kernel


def _offsets(graph: QuantGraph, name: str, values: Array) -> NDArray[np.float64]:
    return values.astype(np.float64) - graph.tensor(name).quant.zero_point


def _windows(values: NDArray[np.float64], window: tuple[int, ...]) -> NDArray[np.float64]:
    """[steps, time, frequency, channels] -> [..., channels, window time, window frequency], at every place."""
    return sliding_window_view(values, window, axis=(1, 2))


FLOAT_KERNELS: Mapping[type[Op], KernelMaker] = KERNELS | {
    Conv2D: _conv2d,
    DepthwiseConv2D: _depthwise_conv2d,
    Add: _add,
    AveragePool2D: _average_pool2d,
}
"""Operators that only move or compare values are the same everywhere."""
