"""The quantized graph as an ONNX model: int8 in QDQ form, opset 21, the state as extra inputs and outputs.

Reshape, Concat and Slice work on the int8 values; a convolution is DequantizeLinear, Conv, QuantizeLinear, which
runtimes fuse into an integer one. ONNX defines this in float, so a runtime may round otherwise than the graph: see
``verify`` for what is tolerated.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_export.lowering import Lowerings
from firmware_export.packages import need
from kws.files import replace_file
from kws.graph.check import check
from kws.graph.ir import Concat, Conv2D, Quant, QuantGraph, Reshape, Slice

OPSET = 21
IR_VERSION = 10
"""The ONNX file format that came with opset 21 (onnx 1.16)."""

INPUT_NAME = "features"
OUTPUT_NAME = "logits"
STATE_KEY = "kws.states"
"""Metadata entry: JSON list of {"input", "output", "initial"}: the states' tensors and what fills them at first."""


def write(graph: QuantGraph, path: Path, description: str = "", *, metadata: Mapping[str, str] | None = None) -> None:
    """Write ``graph`` to ``path`` as in ``to_bytes``; an older file there is replaced at the end, or stays.

    Raises:
        KwsError: an operator cannot be expressed, a package is missing, or the file cannot be written.
    """
    replace_file(path, to_bytes(graph, description, metadata=metadata))


def to_bytes(graph: QuantGraph, description: str = "", *, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the .onnx of one streaming step; the same graph gives the same bytes.

    Inputs: ``features`` int8 [1, stride, bands] and a ``state/<read>`` int8 [1, *shape] for each state; outputs:
    ``logits`` int8 [1, outputs] and a ``next/<read>`` for each state, to be fed back. The metadata entry
    ``kws.states`` says what the states hold at first.

    Raises:
        KwsError: the graph is not sound, an operator cannot be expressed (it is named), or a package is missing.
    """
    check(graph)
    writer = Writer(graph)
    features = writer.value_info(INPUT_NAME, graph.tensor(graph.input).shape)
    inputs, outputs = [features], [writer.value_info(OUTPUT_NAME, (graph.outputs,))]
    writer.define(graph.input, INPUT_NAME)
    for state in graph.states:
        shape = graph.tensor(state.read).shape
        inputs.append(writer.value_info(f"state/{state.read}", shape))
        outputs.append(writer.value_info(f"next/{state.read}", shape))
        writer.define(state.read, f"state/{state.read}")
    for op in graph.ops:
        LOWERINGS.write(writer, op)
    writer.reshape(writer.channels_last(graph.output), OUTPUT_NAME, (graph.outputs,))
    for state in graph.states:
        writer.node("Identity", [writer.channels_last(state.write)], f"next/{state.read}")
    return _pack(writer, inputs, outputs, description, {**(metadata or {}), STATE_KEY: _states_json(graph)})


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

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node, named after its output; return the output."""
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], name=f"{kind}:{output}", **attributes))
        return output

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
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


@LOWERINGS.of(Conv2D)
def _conv_2d(writer: Writer, op: Conv2D) -> None:
    source, target = writer.graph.tensor(op.input), writer.graph.tensor(op.output)
    name = op.output
    scales = op.weight_scales.astype(np.float32)
    real_input = f"real_input/{name}"
    writer.node(
        "DequantizeLinear", [writer.channels_first(op.input), *writer.quant(real_input, source.quant)], real_input
    )
    weights = writer.dequantized(f"weights/{name}", op.weights.transpose(0, 3, 1, 2), scales)
    bias = writer.dequantized(f"bias/{name}", op.bias, np.float32(source.quant.scale) * scales)
    strides = [op.stride_time, op.stride_frequency]
    kernel = list(op.weights.shape[1:3])
    real = writer.node("Conv", [real_input, weights, bias], f"sum/{name}", strides=strides, kernel_shape=kernel)
    if op.activation == "relu":
        real = writer.node("Relu", [real], f"relu/{name}")
    first = f"channels_first/{name}"
    writer.node("QuantizeLinear", [real, *writer.quant(first, target.quant)], first)
    writer.define(name, first, channels_first=True)


def _states_json(graph: QuantGraph) -> str:
    entries = [
        {
            "input": f"state/{state.read}",
            "output": f"next/{state.read}",
            "initial": graph.tensor(state.read).quant.zero_point,
        }
        for state in graph.states
    ]
    return json.dumps(entries)


def _pack(
    writer: Writer, inputs: list[Any], outputs: list[Any], description: str, metadata: Mapping[str, str]
) -> bytes:
    helper = writer.onnx.helper
    graph = helper.make_graph(writer.nodes, "kws", inputs, outputs, writer.constants)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="kws",
        doc_string=description,
    )
    helper.set_model_props(model, dict(metadata))
    writer.onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
