"""Each operator of the quantized graph as TFLite operators: one small function per operator, in a registry.

A tensor gets a batch axis of 1 in front, so axis 0 of the graph (time) is axis 1 here. A new operator is one function
with ``@LOWERINGS.of(NewOp)``; use operators that TFLite Micro has and, where possible, that ESPHome registers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_export.lowering import Lowerings
from firmware_export.tflite.flatbuffer import SubgraphBuilder
from kws.errors import KwsError
from kws.graph.ir import (
    Activation,
    Add,
    AveragePool2D,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    MaxPool2D,
    Pad,
    QuantGraph,
    Reshape,
    Slice,
    Tensor,
)


class Lowering:
    """The graph's tensors inside one TFLite subgraph: name -> tensor index, made when first asked for."""

    def __init__(self, graph: QuantGraph, subgraph: SubgraphBuilder) -> None:
        self.graph = graph
        self.subgraph = subgraph
        self.schema = subgraph.model.schema
        self._indices: dict[str, int] = {}

    def index(self, name: str) -> int:
        """Return the TFLite tensor of the graph's tensor ``name``, int8 [1, *shape]."""
        if name not in self._indices:
            self._indices[name] = self.activation(name, self.graph.tensor(name))
        return self._indices[name]

    def activation(self, name: str, like: Tensor, shape: Sequence[int] | None = None) -> int:
        """Add an int8 tensor quantized as ``like``, [1, *shape]."""
        quantization = self.subgraph.quantization([like.quant.scale], [like.quant.zero_point])
        return self.subgraph.tensor(name, (1, *(like.shape if shape is None else shape)), "INT8", quantization)

    def int32_constant(self, name: str, values: Sequence[int]) -> int:
        """Add a constant vector of int32."""
        return self.subgraph.constant(name, np.array(values, np.int32))

    def reshape(self, source: int, target: int, name: str, shape: Sequence[int]) -> None:
        """Add a RESHAPE of tensor index ``source`` to ``target``, which has [1, *shape]."""
        sizes = [1, *map(int, shape)]
        options = self.schema.ReshapeOptionsT(newShape=sizes)
        self.subgraph.operator("RESHAPE", [source, self.int32_constant(f"{name}/shape", sizes)], [target], options)

    def activation_function(self, activation: Activation) -> int:
        """Return the schema's code of a fused activation."""
        codes = self.schema.ActivationFunctionType
        return int(codes.RELU if activation == "relu" else codes.NONE)


LARGEST_CONCATENATION = 10
"""``kMaxInputNum`` of TFLite Micro's concatenation.cc."""

LOWERINGS = Lowerings[Lowering]("TFLite")


@LOWERINGS.of(Reshape)
def _reshape(context: Lowering, op: Reshape) -> None:
    shape = context.graph.tensor(op.output).shape
    context.reshape(context.index(op.input), context.index(op.output), op.output, shape)


@LOWERINGS.of(Concat)
def _concat(context: Lowering, op: Concat) -> None:
    if len(op.inputs) > LARGEST_CONCATENATION:
        raise KwsError(
            f"operator Concat (output '{op.output}') joins {len(op.inputs)} tensors, but TFLite Micro "
            f"joins at most {LARGEST_CONCATENATION}; join them in several steps"
        )
    options = context.schema.ConcatenationOptionsT(axis=1)
    context.subgraph.operator(
        "CONCATENATION", [context.index(name) for name in op.inputs], [context.index(op.output)], options
    )


@LOWERINGS.of(Slice)
def _slice(context: Lowering, op: Slice) -> None:
    rows, *rest = context.graph.tensor(op.output).shape
    begin = [0, op.begin, *(0 for _ in rest)]
    end = [1, op.begin + rows, *rest]
    limits = [
        context.int32_constant(f"{op.output}/{part}", values)
        for part, values in (("begin", begin), ("end", end), ("strides", [1] * len(end)))
    ]
    context.subgraph.operator(
        "STRIDED_SLICE",
        [context.index(op.input), *limits],
        [context.index(op.output)],
        context.schema.StridedSliceOptionsT(),
    )


@LOWERINGS.of(Pad)
def _pad(context: Lowering, op: Pad) -> None:
    # Without a value to pad with, TFLite takes the output's zero point, as the graph does.
    paddings = context.subgraph.constant(
        f"{op.output}/paddings", np.array([[0, 0], [0, 0], [op.before, op.after], [0, 0]], np.int32)
    )
    context.subgraph.operator(
        "PAD", [context.index(op.input), paddings], [context.index(op.output)], context.schema.PadOptionsT()
    )


@LOWERINGS.of(Conv2D)
def _conv_2d(context: Lowering, op: Conv2D) -> None:
    options = context.schema.Conv2DOptionsT(
        padding=context.schema.Padding.VALID,
        strideH=op.stride_time,
        strideW=op.stride_frequency,
        fusedActivationFunction=context.activation_function(op.activation),
    )
    _convolve(context, "CONV_2D", op, op.weights, 0, options)


@LOWERINGS.of(DepthwiseConv2D)
def _depthwise_conv_2d(context: Lowering, op: DepthwiseConv2D) -> None:
    options = context.schema.DepthwiseConv2DOptionsT(
        padding=context.schema.Padding.VALID,
        strideH=op.stride_time,
        strideW=op.stride_frequency,
        depthMultiplier=1,
        dilationHFactor=op.dilation_time,
        dilationWFactor=1,
        fusedActivationFunction=context.activation_function(op.activation),
    )
    _convolve(context, "DEPTHWISE_CONV_2D", op, op.weights[None], 3, options)


def _convolve(
    context: Lowering,
    name: str,
    op: Conv2D | DepthwiseConv2D,
    weights: NDArray[np.int8],
    channel_axis: int,
    options: Any,
) -> None:
    """Add a convolution with its constants, quantized per output channel."""
    subgraph = context.subgraph
    zeros = [0] * len(op.weight_scales)
    weight_quantization = subgraph.quantization(op.weight_scales.tolist(), zeros, channel_axis)
    bias_scales = np.float32(context.graph.tensor(op.input).quant.scale) * op.weight_scales.astype(np.float32)
    constant = subgraph.constant if op.weight_bits == 8 else subgraph.int4_constant
    constants = (
        constant(f"{op.output}/weights", weights, weight_quantization),
        subgraph.constant(f"{op.output}/bias", op.bias, subgraph.quantization(bias_scales.tolist(), zeros)),
    )
    subgraph.operator(name, [context.index(op.input), *constants], [context.index(op.output)], options)


@LOWERINGS.of(Add)
def _add(context: Lowering, op: Add) -> None:
    options = context.schema.AddOptionsT(fusedActivationFunction=context.activation_function(op.activation))
    context.subgraph.operator("ADD", [context.index(name) for name in op.inputs], [context.index(op.output)], options)


@LOWERINGS.of(MaxPool2D)
def _max_pool_2d(context: Lowering, op: MaxPool2D) -> None:
    _pool(context, "MAX_POOL_2D", op)


@LOWERINGS.of(AveragePool2D)
def _average_pool_2d(context: Lowering, op: AveragePool2D) -> None:
    _pool(context, "AVERAGE_POOL_2D", op)


def _pool(context: Lowering, name: str, op: MaxPool2D | AveragePool2D) -> None:
    options = context.schema.Pool2DOptionsT(
        padding=context.schema.Padding.VALID,
        strideH=op.window_time,
        strideW=op.window_frequency,
        filterHeight=op.window_time,
        filterWidth=op.window_frequency,
        fusedActivationFunction=context.activation_function("none"),
    )
    context.subgraph.operator(name, [context.index(op.input)], [context.index(op.output)], options)
