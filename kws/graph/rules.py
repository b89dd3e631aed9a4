"""A rule per operator for ``kws.graph.check``: ``ValueError`` with what is wrong and what to do.

A rule takes the graph, the operator, the tensors it reads and the one it writes; names, order and the tensors
themselves are checked before. What a rule lets through overflows no int32 and leaves no tensor on any engine.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.graph.arithmetic import INT32_MAX, add_multipliers, channel_multipliers
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
    Tensor,
)
from kws.graph.wiring import row_bytes, size

_GREATEST_OFFSET = 255  # |q - zero_point|
_LARGEST_WEIGHTS = {8: 127, 4: 7}
_LARGEST_WINDOW = INT32_MAX // 129  # its values' sum and the half that rounds it fit an int32

Rule = Callable[[QuantGraph, Any, list[Tensor], Tensor], None]


def is_whole(value: Any, least: int, most: int = INT32_MAX) -> bool:
    """Return whether the value is an ``int`` (no bool, no numpy number) in ``least .. most``."""
    return type(value) is int and least <= value <= most


# ---- what several rules ask ----


def _same_quant(sources: list[Tensor], output: Tensor) -> None:
    for source in sources:
        if source.quant != output.quant:
            raise ValueError(f"{source.name!r} has {source.quant}, its output {output.quant}; they must be equal")


def _is_map(tensor: Tensor) -> None:
    if len(tensor.shape) != 3:
        raise ValueError(f"{tensor.name!r} {tensor.shape} must be (time, frequency, channels); reshape it")


def _has_shape(output: Tensor, shape: tuple[int, ...]) -> None:
    if output.shape != shape:
        raise ValueError(f"the output has the shape {output.shape}, not {shape}")


def _has_activation(op: Conv2D | DepthwiseConv2D | Add) -> None:
    if op.activation not in ("none", "relu"):
        raise ValueError(f"the activation {op.activation!r} is not 'none' or 'relu'")


def _constants(op: Conv2D | DepthwiseConv2D, channels: int) -> None:
    if op.weight_bits not in _LARGEST_WEIGHTS:
        raise ValueError(f"weight_bits is {op.weight_bits!r}; it must be 8 or 4")
    largest = _LARGEST_WEIGHTS[op.weight_bits]
    if op.weights.min() < -largest or op.weights.max() > largest:
        raise ValueError(
            f"a weight is outside -{largest}..{largest}, which {op.weight_bits} bits hold; quantize it again"
        )
    if op.weight_scales.dtype != np.float32 or op.weight_scales.shape != (channels,):
        raise ValueError(f"weight_scales must be float32 [{channels}]")
    if not (np.isfinite(op.weight_scales) & (op.weight_scales > 0)).all():
        raise ValueError("weight_scales must be positive and finite")
    if op.bias.dtype != np.int32 or op.bias.shape != (channels,):
        raise ValueError(f"bias must be int32 [{channels}]")


def _windows(op: Conv2D | DepthwiseConv2D, source: Tensor, rows: int, columns: int) -> tuple[int, int]:
    """Return the output's time and frequency of a kernel that spans ``rows`` x ``columns`` of the input."""
    if not is_whole(op.stride_time, 1) or not is_whole(op.stride_frequency, 1):
        raise ValueError(f"strides {op.stride_time!r} and {op.stride_frequency!r} must be whole numbers from 1 on")
    time, frequency, channels = source.shape
    if rows > time or columns > frequency:
        raise ValueError(f"the kernel {rows} x {columns} is larger than the input {source.shape}")
    if op.stride_time * row_bytes(source) > INT32_MAX or op.stride_frequency * channels > INT32_MAX:
        raise ValueError("the strides in bytes do not fit an int32; use smaller ones")
    return 1 + (time - rows) // op.stride_time, 1 + (frequency - columns) // op.stride_frequency


def _accumulators(graph: QuantGraph, op: Conv2D | DepthwiseConv2D, weight_sums: NDArray[np.int64]) -> None:
    """``weight_sums`` [channels]: the sum of the magnitudes of each output channel's weights."""
    # |accumulator| on any input, in any order of summing, with or without the zero point folded in: this at most.
    bounds = weight_sums * _GREATEST_OFFSET + np.abs(op.bias.astype(np.int64))
    _, shifts = channel_multipliers(graph, op)
    shifted = bounds << np.maximum(shifts.astype(np.int64), 0)
    for channel in np.flatnonzero((bounds > INT32_MAX) | (shifted > INT32_MAX)):
        raise ValueError(
            f"channel {channel}: an accumulator of up to {bounds[channel]}, shifted left by "
            f"{max(int(shifts[channel]), 0)}, overflows int32; use a greater output scale or smaller weights"
        )


# ---- a rule per operator ----


def _reshape(graph: QuantGraph, op: Reshape, sources: list[Tensor], output: Tensor) -> None:
    _same_quant(sources, output)
    if size(sources[0]) != size(output):
        raise ValueError(f"{sources[0].shape} does not hold as many values as {output.shape}")


def _concat(graph: QuantGraph, op: Concat, sources: list[Tensor], output: Tensor) -> None:
    _same_quant(sources, output)
    if not sources or any(source.shape[1:] != output.shape[1:] for source in sources):
        raise ValueError("the inputs (one or more) and the output must have the same shape from the second axis on")
    rows = sum(source.shape[0] for source in sources)
    if rows != output.shape[0]:
        raise ValueError(f"the inputs have {rows} rows in total, but the output has {output.shape[0]}")


def _slice(graph: QuantGraph, op: Slice, sources: list[Tensor], output: Tensor) -> None:
    _same_quant(sources, output)
    source = sources[0]
    if source.shape[1:] != output.shape[1:]:
        raise ValueError(f"{source.shape} and {output.shape} must be equal from the second axis on")
    if not is_whole(op.begin, 0) or op.begin + output.shape[0] > source.shape[0]:
        raise ValueError(f"rows {op.begin} .. {op.begin} + {output.shape[0]} are not all in {source.shape[0]} rows")


def _conv2d(graph: QuantGraph, op: Conv2D, sources: list[Tensor], output: Tensor) -> None:
    weights, source = op.weights, sources[0]
    if weights.dtype != np.int8 or weights.ndim != 4 or 0 in weights.shape:
        raise ValueError(f"weights are {weights.dtype}{list(weights.shape)}, not int8 [out, time, frequency, in]")
    channels, kernel_time, kernel_frequency, depth = weights.shape
    _constants(op, channels)
    if len(source.shape) != 3 or source.shape[2] != depth:
        raise ValueError(f"the input {source.shape} must be (time, frequency, {depth})")
    _has_shape(output, (*_windows(op, source, kernel_time, kernel_frequency), channels))
    _has_activation(op)
    _accumulators(graph, op, np.abs(weights.astype(np.int64)).reshape(channels, -1).sum(axis=1))


def _depthwise_conv2d(graph: QuantGraph, op: DepthwiseConv2D, sources: list[Tensor], output: Tensor) -> None:
    weights, source = op.weights, sources[0]
    if weights.dtype != np.int8 or weights.ndim != 3 or 0 in weights.shape:
        raise ValueError(f"weights are {weights.dtype}{list(weights.shape)}, not int8 [time, frequency, channels]")
    kernel_time, kernel_frequency, channels = weights.shape
    _constants(op, channels)
    if len(source.shape) != 3 or source.shape[2] != channels:
        raise ValueError(f"the input {source.shape} must be (time, frequency, {channels})")
    if not is_whole(op.dilation_time, 1) or op.dilation_time * row_bytes(source) > INT32_MAX:
        raise ValueError(f"dilation_time {op.dilation_time!r} must be a whole number from 1 on that fits the input")
    rows = (kernel_time - 1) * op.dilation_time + 1
    _has_shape(output, (*_windows(op, source, rows, kernel_frequency), channels))
    _has_activation(op)
    _accumulators(graph, op, np.abs(weights.astype(np.int64)).reshape(-1, channels).sum(axis=0))


def _pad(graph: QuantGraph, op: Pad, sources: list[Tensor], output: Tensor) -> None:
    _same_quant(sources, output)
    _is_map(sources[0])
    if not is_whole(op.before, 0) or not is_whole(op.after, 0):
        raise ValueError(f"before {op.before!r} and after {op.after!r} must be whole numbers from 0 on; slice to cut")
    time, frequency, channels = sources[0].shape
    _has_shape(output, (time, op.before + frequency + op.after, channels))


def _add(graph: QuantGraph, op: Add, sources: list[Tensor], output: Tensor) -> None:
    if len(sources) != 2:
        raise ValueError(f"it has {len(sources)} inputs; give two, and one more Add for each further one")
    first, second = sources
    _is_map(first)
    time, _, channels = first.shape
    if second.shape not in (first.shape, (time, 1, channels)):
        raise ValueError(
            f"{second.name!r} {second.shape} must have the shape of {first.name!r}, {first.shape}, or "
            f"{(time, 1, channels)} to be added to every frequency"
        )
    _has_shape(output, first.shape)
    _has_activation(op)
    add_multipliers(graph, op)


def _max_pool2d(graph: QuantGraph, op: MaxPool2D | AveragePool2D, sources: list[Tensor], output: Tensor) -> None:
    _same_quant(sources, output)
    _is_map(sources[0])
    rows, columns = op.window_time, op.window_frequency
    if not is_whole(rows, 1) or not is_whole(columns, 1):
        raise ValueError(f"the window {rows!r} x {columns!r} must be two whole numbers from 1 on")
    time, frequency, channels = sources[0].shape
    if rows > time or columns > frequency:
        raise ValueError(f"the window {rows} x {columns} is larger than the input {sources[0].shape}")
    _has_shape(output, (time // rows, frequency // columns, channels))


def _average_pool2d(graph: QuantGraph, op: AveragePool2D, sources: list[Tensor], output: Tensor) -> None:
    _max_pool2d(graph, op, sources, output)
    if op.window_time * op.window_frequency > _LARGEST_WINDOW:
        raise ValueError(
            f"the sum over a window of {op.window_time} x {op.window_frequency} overflows int32; pool in two steps"
        )


RULES: dict[type[Op], Rule] = {
    Reshape: _reshape,
    Concat: _concat,
    Slice: _slice,
    Conv2D: _conv2d,
    DepthwiseConv2D: _depthwise_conv2d,
    Pad: _pad,
    Add: _add,
    MaxPool2D: _max_pool2d,
    AveragePool2D: _average_pool2d,
}
