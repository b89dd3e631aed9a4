"""The operators that compute, in integers: the graph's numbers bit for bit, in every runtime that follows ONNX.

Activations are uint8, q + 128, because ONNX Runtime's older integer convolutions take no other type. A convolution is
ConvInteger (int32 sums), then the graph's own requantization in int64.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_export.lowering import Lowerings
from firmware_export.onnx.arithmetic import Integers
from firmware_export.onnx.builder import Writer
from firmware_export.onnx.lowering import LOWERINGS as MOVES
from kws.graph.arithmetic import ADD_LEFT_SHIFT, activation_range, add_multipliers, channel_multipliers, requantize
from kws.graph.ir import Add, AveragePool2D, Conv2D, DepthwiseConv2D
from kws.graph.packing import pack_int4

LOWERINGS = Lowerings[Writer]("ONNX", MOVES)
OFFSET = 128
"""What is added to a graph's int8 value to store it."""

INT4_OFFSET = 8


@LOWERINGS.of(Conv2D)
def _conv_2d(writer: Writer, op: Conv2D) -> None:
    _convolve(writer, op, op.weights.transpose(0, 3, 1, 2))


@LOWERINGS.of(DepthwiseConv2D)
def _depthwise_conv_2d(writer: Writer, op: DepthwiseConv2D) -> None:
    weights = op.weights.transpose(2, 0, 1)[:, None]
    _convolve(writer, op, weights, group=len(weights), dilations=[op.dilation_time, 1])


def _convolve(writer: Writer, op: Conv2D | DepthwiseConv2D, weights: NDArray[np.int8], **attributes: Any) -> None:
    """Write a convolution with ``weights`` [out, in, time, frequency]."""
    ints = Integers(writer, f"integer/{op.output}")
    stored, zero_point = _weights(ints, op, weights)
    source_zero_point = writer.shared(writer.stored(writer.graph.tensor(op.input).quant.zero_point))
    sources = [writer.channels_first(op.input), stored, source_zero_point, zero_point]
    attributes |= {"strides": [op.stride_time, op.stride_frequency], "kernel_shape": list(weights.shape[2:])}
    sums = writer.node("ConvInteger", sources, f"sum/{op.output}", **attributes)
    with_bias = ints.op("Add", sums, op.bias[:, None, None])
    multipliers, shifts = (array.astype(np.int64)[:, None, None] for array in channel_multipliers(writer.graph, op))
    _finish(ints, op, ints.cast(with_bias, np.int64), multipliers, shifts, channels_first=True)


def _weights(ints: Integers, op: Conv2D | DepthwiseConv2D, weights: NDArray[np.int8]) -> tuple[str, str]:
    """Add weights as uint8; return them and their zero point."""
    writer = ints.writer
    name = f"weights/{op.output}"
    if op.weight_bits == 8:
        stored = writer.constant(name, (weights.astype(np.int16) + OFFSET).astype(np.uint8))
        return stored, writer.shared(np.array(OFFSET, np.uint8))
    packed = writer.constant(name, pack_int4(weights) ^ np.uint8(INT4_OFFSET * 0x11))  # -8..7 as 0..15 in each half
    return _unpacked(ints, packed, weights.shape), writer.shared(np.array(INT4_OFFSET, np.uint8))


def _unpacked(ints: Integers, packed: str, shape: tuple[int, ...]) -> str:
    """Return the values 0..15, two to a byte, as uint8 in ``shape``.

    Runtimes have ONNX's type INT4 only since 2024; bytes and plain arithmetic are in all of them. Nodes that depend
    only on constants are computed once, when a runtime loads the file.
    """
    count = prod(shape)
    pairs = ints.cast(packed, np.int32)
    sixteen = np.array(16, np.int32)
    upper = ints.op("Div", pairs, sixteen)
    lower = ints.op("Sub", pairs, ints.op("Mul", upper, sixteen))
    columns = [ints.reshape(half, -1, 1) for half in (lower, upper)]
    values = ints.reshape(ints.op("Concat", *columns, axis=1), -1)
    if count % 2:
        values = ints.op("Slice", values, [0], [count], [0])
    return ints.cast(ints.reshape(values, *shape), np.uint8)


@LOWERINGS.of(Add)
def _add(writer: Writer, op: Add) -> None:
    ints = Integers(writer, f"integer/{op.output}")
    first = all(map(writer.is_first, op.inputs))
    *scaling, (multiplier, shift) = add_multipliers(writer.graph, op)
    every = np.arange(-128, 128, dtype=np.int64)
    scaled = []
    for name, pair in zip(op.inputs, scaling, strict=True):
        table = requantize((every - writer.graph.tensor(name).quant.zero_point) << ADD_LEFT_SHIFT, *pair)
        scaled.append(ints.op("Gather", table.astype(np.int32), ints.cast(writer.value(name, first), np.int32)))
    total = ints.cast(ints.op("Add", *scaled), np.int64)
    _finish(ints, op, total, np.array(multiplier, np.int64), np.array(shift, np.int64), first)


def _finish(
    ints: Integers,
    op: Conv2D | DepthwiseConv2D | Add,
    sums: str,
    multiplier: NDArray[np.int64],
    shift: NDArray[np.int64],
    channels_first: bool,
) -> None:
    """Make the operator's output from its sums: requantize them and apply the activation."""
    writer = ints.writer
    quant = writer.graph.tensor(op.output).quant
    minimum, maximum = activation_range(op, quant)
    scaled = ints.requantize(sums, multiplier, shift, negative=op.activation == "none")
    writer.define(op.output, ints.stored(scaled, minimum, maximum, quant.zero_point), channels_first)


@LOWERINGS.of(AveragePool2D)
def _average_pool_2d(writer: Writer, op: AveragePool2D) -> None:
    """The sums are a depthwise convolution with ones; the mean of their magnitudes gets its sign back."""
    ints = Integers(writer, f"integer/{op.output}")
    channels = writer.graph.tensor(op.input).shape[2]
    window = [op.window_time, op.window_frequency]
    count = window[0] * window[1]
    ones = np.ones((channels, 1, *window), np.uint8)
    sums = ints.op(
        "ConvInteger",
        writer.channels_first(op.input),
        ones,
        np.array(OFFSET, np.uint8),
        kernel_shape=window,
        strides=window,
        group=channels,
    )
    rounded = ints.op("Add", ints.op("Abs", sums), np.array(count // 2, np.int32))
    magnitude = ints.op("Div", rounded, np.array(count, np.int32))
    signed = ints.op("Mul", magnitude, ints.op("Sign", sums))
    writer.define(op.output, ints.stored(signed, -128, 127, 0), True)
