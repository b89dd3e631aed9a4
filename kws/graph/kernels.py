"""A kernel per operator for ``kws.graph.interpret``: the arithmetic that every other engine must give, bit for bit.

It is that of TensorFlow Lite's reference int8 kernels (``kernels/internal/reference/integer_ops``: ``conv.h``,
``depthwise_conv.h``, ``add.h``, ``pooling.h``), which TensorFlow Lite Micro runs too. A kernel is made once per graph
and takes and gives arrays int8 [steps, *shape].
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kws.graph.arithmetic import (
    ADD_LEFT_SHIFT,
    activation_range,
    add_multipliers,
    channel_multipliers,
    clamp,
    requantize,
)
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
from kws.graph.wiring import size

Array = NDArray[np.int8]
Kernel = Callable[[list[Array]], Array]
KernelMaker = Callable[[QuantGraph, Any], Kernel]

_BLOCK_VALUES = 1 << 20  # of 8 bytes, computed at once: 8 MB


def _in_blocks(compute: Callable[..., Array], values_per_step: int) -> Kernel:
    """Let ``compute(*sources)`` have as many steps at once as keep its intermediate values within the block."""
    block = max(1, _BLOCK_VALUES // values_per_step)

    def kernel(sources: list[Array]) -> Array:
        steps = len(sources[0])
        if steps <= block:
            return compute(*sources)
        starts = range(0, steps, block)
        return np.concatenate([compute(*(source[start : start + block] for source in sources)) for start in starts])

    return kernel


def _reshape(graph: QuantGraph, op: Reshape) -> Kernel:
    shape = graph.tensor(op.output).shape
    return lambda sources: sources[0].reshape(-1, *shape)


def _concat(graph: QuantGraph, op: Concat) -> Kernel:
    return lambda sources: np.concatenate(sources, axis=1)


def _slice(graph: QuantGraph, op: Slice) -> Kernel:
    rows = slice(op.begin, op.begin + graph.tensor(op.output).shape[0])
    return lambda sources: sources[0][:, rows]


def _conv2d(graph: QuantGraph, op: Conv2D) -> Kernel:
    source, output = graph.tensor(op.input), graph.tensor(op.output)
    multipliers, shifts = channel_multipliers(graph, op)
    minimum, maximum = activation_range(op, output.quant)
    # Dot products in float64 are exact: every partial sum is a whole number below 2^31, far below 2^53.
    weights = op.weights.reshape(len(op.weights), -1).T.astype(np.float64)

    def compute(steps: Array) -> Array:
        columns = _columns(steps, op).astype(np.float64) - source.quant.zero_point
        sums = (columns @ weights).astype(np.int64) + op.bias
        scaled = requantize(sums, multipliers, shifts) + output.quant.zero_point
        return clamp(scaled, minimum, maximum).reshape(-1, *output.shape)

    return _in_blocks(compute, size(output))


def _columns(steps: Array, op: Conv2D) -> Array:
    """Return what lies under the kernel: [steps, time, frequency, in] -> [steps * positions, kernel values]."""
    _, kernel_time, kernel_frequency, depth = op.weights.shape
    windows = sliding_window_view(steps, (kernel_time, kernel_frequency), axis=(1, 2))
    strided = windows[:, :: op.stride_time, :: op.stride_frequency]  # [steps, time, frequency, in, kernel, kernel]
    columns: Array = strided.transpose(0, 1, 2, 4, 5, 3).reshape(-1, kernel_time * kernel_frequency * depth)
    return columns


def _taps(
    steps: NDArray[Any], kernel: tuple[int, int], strides: tuple[int, int], shape: tuple[int, ...], dilation: int = 1
) -> list[NDArray[Any]]:
    """Return what lies under each of the kernel's positions, row by row: views [steps, *shape] of ``steps``."""
    time, frequency = strides[0] * (shape[0] - 1) + 1, strides[1] * (shape[1] - 1) + 1
    rows = [slice(i * dilation, i * dilation + time, strides[0]) for i in range(kernel[0])]
    columns = [slice(j, j + frequency, strides[1]) for j in range(kernel[1])]
    return [steps[:, row, column] for row in rows for column in columns]


def _depthwise_conv2d(graph: QuantGraph, op: DepthwiseConv2D) -> Kernel:
    source, output = graph.tensor(op.input), graph.tensor(op.output)
    multipliers, shifts = channel_multipliers(graph, op)
    minimum, maximum = activation_range(op, output.quant)
    kernel, strides = op.weights.shape[:2], (op.stride_time, op.stride_frequency)
    weights = op.weights.reshape(-1, op.weights.shape[2]).astype(np.int32)

    def compute(steps: Array) -> Array:
        offsets = steps.astype(np.int32) - source.quant.zero_point
        sums = np.broadcast_to(op.bias, (len(steps), *output.shape)).copy()
        for weight, tap in zip(weights, _taps(offsets, kernel, strides, output.shape, op.dilation_time), strict=True):
            sums += weight * tap
        scaled = requantize(sums, multipliers, shifts) + output.quant.zero_point
        return clamp(scaled, minimum, maximum)

    return _in_blocks(compute, size(source))


def _pad(graph: QuantGraph, op: Pad) -> Kernel:
    width = ((0, 0), (0, 0), (op.before, op.after), (0, 0))
    zero_point = graph.tensor(op.input).quant.zero_point
    return lambda sources: np.pad(sources[0], width, constant_values=zero_point)


def _add(graph: QuantGraph, op: Add) -> Kernel:
    output = graph.tensor(op.output)
    zero_points = [graph.tensor(name).quant.zero_point for name in op.inputs]
    *scaling, final = add_multipliers(graph, op)
    minimum, maximum = activation_range(op, output.quant)

    def compute(*sources: Array) -> Array:
        first, second = (
            requantize((source.astype(np.int64) - zero_point) << ADD_LEFT_SHIFT, *pair)
            for source, zero_point, pair in zip(sources, zero_points, scaling, strict=True)
        )
        return clamp(requantize(first + second, *final) + output.quant.zero_point, minimum, maximum)

    return _in_blocks(compute, size(output))


def _max_pool2d(graph: QuantGraph, op: MaxPool2D) -> Kernel:
    shape, window = graph.tensor(op.output).shape, (op.window_time, op.window_frequency)
    return lambda sources: np.maximum.reduce(_taps(sources[0], window, window, shape))


def _average_pool2d(graph: QuantGraph, op: AveragePool2D) -> Kernel:
    shape, window = graph.tensor(op.output).shape, (op.window_time, op.window_frequency)
    count = window[0] * window[1]

    def compute(steps: Array) -> Array:
        sums = np.zeros((len(steps), *shape), np.int64)
        for tap in _taps(steps, window, window, shape):
            sums += tap
        means = (np.abs(sums) + count // 2) // count
        return clamp(np.where(sums < 0, -means, means))

    return _in_blocks(compute, size(graph.tensor(op.input)))


KERNELS: dict[type[Op], KernelMaker] = {
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
