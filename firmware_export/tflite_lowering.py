"""Each operator of the quantized graph in TFLite's words: one small function per operator, in a registry.

A tensor gets a batch axis of 1 in front, so axis 0 of the graph (time) is axis 1 here. A new operator is one function
with ``@LOWERINGS.of(NewOp)``; use operators that TFLite Micro has and, where possible, that ESPHome registers.
"""

from collections.abc import Sequence

import numpy as np

from firmware_export.lowering import Lowerings
from firmware_export.tflite_flatbuffer import SubgraphBuilder
from kws.graph.ir import Concat, Conv2D, QuantGraph, Reshape, Slice, Tensor


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


LOWERINGS = Lowerings[Lowering]("TFLite")


@LOWERINGS.of(Reshape)
def _reshape(context: Lowering, op: Reshape) -> None:
    shape = context.graph.tensor(op.output).shape
    context.reshape(context.index(op.input), context.index(op.output), op.output, shape)


@LOWERINGS.of(Concat)
def _concat(context: Lowering, op: Concat) -> None:
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


@LOWERINGS.of(Conv2D)
def _conv_2d(context: Lowering, op: Conv2D) -> None:
    subgraph, schema = context.subgraph, context.schema
    input_scale = np.float32(context.graph.tensor(op.input).quant.scale)
    zeros = [0] * len(op.weight_scales)
    weights = subgraph.constant(
        f"{op.output}/weights", op.weights, subgraph.quantization(op.weight_scales.tolist(), zeros)
    )
    bias_scales = input_scale * op.weight_scales.astype(np.float32)
    bias = subgraph.constant(f"{op.output}/bias", op.bias, subgraph.quantization(bias_scales.tolist(), zeros))
    relu = op.activation == "relu"
    options = schema.Conv2DOptionsT(
        padding=schema.Padding.VALID,
        strideH=op.stride_time,
        strideW=op.stride_frequency,
        fusedActivationFunction=schema.ActivationFunctionType.RELU if relu else schema.ActivationFunctionType.NONE,
    )
    subgraph.operator("CONV_2D", [context.index(op.input), weights, bias], [context.index(op.output)], options)
