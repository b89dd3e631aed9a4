"""Each operator of the quantized graph in ONNX's words: one small function per operator, in a registry.

A tensor gets a batch axis of 1 in front. A new operator is one function with ``@LOWERINGS.of(NewOp)``; one that
computes goes through ``Writer.real`` and ``Writer.quantize``, one that only moves or compares values takes the int8.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_export.lowering import Lowerings
from firmware_export.packages import need
from kws.graph.ir import (
    Activation,
    Add,
    AveragePool2D,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    MaxPool2D,
    Pad,
    Quant,
    QuantGraph,
    Reshape,
    Slice,
)


class Writer:
    """Nodes and constants of one ONNX graph, and under which name and layout each tensor is to be had.

    The graph's feature maps are [time, frequency, channels], ONNX convolves [batch, channels, height, width]: both
    layouts of a tensor exist only where something asks for them. A value's name is its kind, a slash, and the graph's
    name of what it belongs to, so that no two are alike whatever the graph calls its tensors.
    """

    def __init__(self, graph: QuantGraph) -> None:
        self.graph = graph
        self.onnx = need("onnx", "onnx")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._last: dict[str, str] = {}
        self._first: dict[str, str] = {}

    def value_info(self, name: str, shape: Sequence[int]) -> Any:
        """Describe an int8 input or output [1, *shape]."""
        return self.onnx.helper.make_tensor_value_info(name, self.onnx.TensorProto.INT8, [1, *shape])

    def define(self, tensor: str, name: str, channels_first: bool = False) -> None:
        """Say that the graph's ``tensor`` is the ONNX value ``name``."""
        (self._first if channels_first else self._last)[tensor] = name

    def channels_last(self, tensor: str) -> str:
        """Return the value that holds ``tensor`` as [1, time, frequency, channels]."""
        if tensor not in self._last:
            first = self._first[tensor]
            self._last[tensor] = self.node("Transpose", [first], f"channels_last/{tensor}", perm=[0, 2, 3, 1])
        return self._last[tensor]

    def channels_first(self, tensor: str) -> str:
        """Return the value that holds ``tensor`` as [1, channels, time, frequency]."""
        if tensor not in self._first:
            last = self._last[tensor]
            self._first[tensor] = self.node("Transpose", [last], f"channels_first/{tensor}", perm=[0, 3, 1, 2])
        return self._first[tensor]

    def is_first(self, tensor: str) -> bool:
        """Return whether ``tensor`` is there with the channels first, so that asking for that costs nothing."""
        return tensor in self._first

    def value(self, tensor: str, channels_first: bool) -> str:
        """Return the value that holds ``tensor`` in this layout."""
        return self.channels_first(tensor) if channels_first else self.channels_last(tensor)

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node, named after its output; return the output."""
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], name=f"{kind}:{output}", **attributes))
        return output

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        # numpy's ascontiguousarray would make a scalar a vector, which ONNX Runtime's integer operators refuse.
        self.constants.append(self.onnx.numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def reshape(self, source: str, target: str, shape: Sequence[int]) -> str:
        """Add a Reshape of value ``source`` to ``target``, [1, *shape]; return the target."""
        sizes = self.constant(f"shape/{target}", np.array([1, *shape], np.int64))
        return self.node("Reshape", [source, sizes], target)

    def quant(self, target: str, quant: Quant) -> list[str]:
        """Add the scale and zero point that value ``target`` is made with as constants; return their names."""
        scale = self.constant(f"scale/{target}", np.array(quant.scale, np.float32))
        return [scale, self.constant(f"zero_point/{target}", np.array(quant.zero_point, np.int8))]

    def dequantized(self, name: str, values: NDArray[Any], scales: NDArray[np.float32]) -> str:
        """Add constant ``values``, symmetric, with a scale for each index of axis 0; return their real values' name."""
        constants = [self.constant(name, values), self.constant(f"scales/{name}", scales)]
        return self.node("DequantizeLinear", constants, f"real/{name}", axis=0)

    def real(self, tensor: str, name: str, channels_first: bool) -> str:
        """Add ``name`` with the real values of ``tensor``; return it."""
        source = self.value(tensor, channels_first)
        return self.node("DequantizeLinear", [source, *self.quant(name, self.graph.tensor(tensor).quant)], name)

    def quantize(self, real: str, tensor: str, activation: Activation, channels_first: bool) -> None:
        """Make the graph's ``tensor`` out of real values, through the activation."""
        if activation == "relu":
            real = self.node("Relu", [real], f"relu/{tensor}")
        name = name_of(tensor, channels_first)
        self.node("QuantizeLinear", [real, *self.quant(name, self.graph.tensor(tensor).quant)], name)
        self.define(tensor, name, channels_first)


def name_of(tensor: str, channels_first: bool) -> str:
    """Return the name of the value that an operator makes for the graph's ``tensor``."""
    return f"channels_{'first' if channels_first else 'last'}/{tensor}"


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
    limits = [
        writer.constant(f"{part}/{op.output}", np.array([value], np.int64))
        for part, value in (("begin", op.begin), ("end", end), ("axis", 1))
    ]
    source = writer.channels_last(op.input)
    writer.define(op.output, writer.node("Slice", [source, *limits], f"channels_last/{op.output}"))


@LOWERINGS.of(Pad)
def _pad(writer: Writer, op: Pad) -> None:
    first = writer.is_first(op.input)
    pads = np.zeros((2, 4), np.int64)  # before and after, of each axis
    pads[:, 3 if first else 2] = op.before, op.after
    zero_point = np.array(writer.graph.tensor(op.input).quant.zero_point, np.int8)
    constants = [
        writer.constant(f"pads/{op.output}", pads.reshape(-1)),
        writer.constant(f"pad/{op.output}", zero_point),
    ]
    writer.define(
        op.output, writer.node("Pad", [writer.value(op.input, first), *constants], name_of(op.output, first)), first
    )


@LOWERINGS.of(Conv2D)
def _conv_2d(writer: Writer, op: Conv2D) -> None:
    _convolve(writer, op, op.weights.transpose(0, 3, 1, 2))


@LOWERINGS.of(DepthwiseConv2D)
def _depthwise_conv_2d(writer: Writer, op: DepthwiseConv2D) -> None:
    weights = op.weights.transpose(2, 0, 1)[:, None]
    _convolve(writer, op, weights, group=len(weights), dilations=[op.dilation_time, 1])


def _convolve(writer: Writer, op: Conv2D | DepthwiseConv2D, weights: NDArray[np.int8], **attributes: Any) -> None:
    """Write a convolution with ``weights`` [out, in, time, frequency]."""
    name = op.output
    scales = op.weight_scales.astype(np.float32)
    bias_scales = np.float32(writer.graph.tensor(op.input).quant.scale) * scales
    sources = [
        writer.real(op.input, f"real_input/{name}", channels_first=True),
        writer.dequantized(f"weights/{name}", weights, scales),
        writer.dequantized(f"bias/{name}", op.bias, bias_scales),
    ]
    attributes |= {"strides": [op.stride_time, op.stride_frequency], "kernel_shape": list(weights.shape[2:])}
    real = writer.node("Conv", sources, f"sum/{name}", **attributes)
    writer.quantize(real, name, op.activation, channels_first=True)


@LOWERINGS.of(Add)
def _add(writer: Writer, op: Add) -> None:
    first = all(map(writer.is_first, op.inputs))
    sources = [writer.real(name, f"real_input{index}/{op.output}", first) for index, name in enumerate(op.inputs)]
    writer.quantize(writer.node("Add", sources, f"sum/{op.output}"), op.output, op.activation, first)


@LOWERINGS.of(MaxPool2D)
def _max_pool_2d(writer: Writer, op: MaxPool2D) -> None:
    window = [op.window_time, op.window_frequency]
    source = writer.value(op.input, channels_first=True)
    target = name_of(op.output, channels_first=True)
    writer.define(op.output, writer.node("MaxPool", [source], target, kernel_shape=window, strides=window), True)


@LOWERINGS.of(AveragePool2D)
def _average_pool_2d(writer: Writer, op: AveragePool2D) -> None:
    window = [op.window_time, op.window_frequency]
    source = writer.real(op.input, f"real_input/{op.output}", channels_first=True)
    real = writer.node("AveragePool", [source], f"mean/{op.output}", kernel_shape=window, strides=window)
    writer.quantize(real, op.output, "none", channels_first=True)
