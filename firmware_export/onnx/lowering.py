"""Operators of the quantized graph that only move or compare values, as ONNX nodes: the same in every form.

A new operator of this kind is one function with ``@LOWERINGS.of(NewOp)`` here; one that computes is a function in each
form, ``integer`` and ``qdq``.
"""

import numpy as np

from firmware_export.lowering import Lowerings
from firmware_export.onnx.builder import Writer, name_of
from kws.graph.ir import Concat, MaxPool2D, Pad, Reshape, Slice

LOWERINGS = Lowerings[Writer]("ONNX")


@LOWERINGS.of(Reshape)
def _reshape(writer: Writer, op: Reshape) -> None:
    shape = writer.graph.tensor(op.output).shape
    writer.define(op.output, writer.reshape(writer.channels_last(op.input), f"channels_last/{op.output}", shape))


@LOWERINGS.of(Concat)
def _concat(writer: Writer, op: Concat) -> None:
    parts = [writer.channels_last(name) for name in op.inputs]
    writer.define(op.output, writer.node("Concat", parts, f"channels_last/{op.output}", axis=1))


@LOWERINGS.of(Slice)
def _slice(writer: Writer, op: Slice) -> None:
    end = op.begin + writer.graph.tensor(op.output).shape[0]
    limits = [writer.shared(np.array([value], np.int64)) for value in (op.begin, end, 1)]
    source = writer.channels_last(op.input)
    writer.define(op.output, writer.node("Slice", [source, *limits], f"channels_last/{op.output}"))


@LOWERINGS.of(Pad)
def _pad(writer: Writer, op: Pad) -> None:
    first = writer.is_first(op.input)
    pads = np.zeros((2, 4), np.int64)  # before and after, of each axis
    pads[:, 3 if first else 2] = op.before, op.after
    zero_point = writer.stored(writer.graph.tensor(op.input).quant.zero_point)
    sources = [writer.value(op.input, first), writer.shared(pads.reshape(-1)), writer.shared(zero_point)]
    writer.define(op.output, writer.node("Pad", sources, name_of(op.output, first)), first)


@LOWERINGS.of(MaxPool2D)
def _max_pool_2d(writer: Writer, op: MaxPool2D) -> None:
    window = [op.window_time, op.window_frequency]
    source = writer.value(op.input, channels_first=True)
    target = name_of(op.output, channels_first=True)
    writer.define(op.output, writer.node("MaxPool", [source], target, kernel_shape=window, strides=window), True)
