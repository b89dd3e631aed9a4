"""The quantized graph as an ONNX model: int8 in QDQ form, opset 21, the state as extra inputs and outputs.

What moves or compares values works on the int8 ones; what computes is DequantizeLinear, the float operator,
QuantizeLinear, which runtimes fuse into an integer one. ONNX defines this in float, so a runtime may round otherwise
than the graph: see ``rounding`` for what is tolerated.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firmware_export.onnx_lowering import LOWERINGS, Writer
from kws.files import replace_file
from kws.graph.check import check
from kws.graph.ir import QuantGraph

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
