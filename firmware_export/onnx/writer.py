"""The quantized graph as an ONNX model, the state as extra inputs and outputs, in one of two forms.

- ``integer``: the graph's numbers, bit for bit (``integer``). The one to use.
- ``qdq``: DequantizeLinear, the float operator, QuantizeLinear, which accelerators look for and fuse into integer
  operators of their own. ONNX defines it in float, and a runtime rounds once where the graph rounds twice: in deep
  models the logits differ by several LSB (``rounding``).

Either takes the graph's quantized features; the integer form may have the frontend inside (``frontend``) and then
takes int16 samples. A file requires no more of a runtime than its nodes do (``opset``).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from firmware_export import seal
from firmware_export.exported_file import FORM_KEY, HOP_KEY, STATE_KEY
from firmware_export.onnx import frontend as onnx_frontend
from firmware_export.onnx import integer as onnx_integer
from firmware_export.onnx import opset
from firmware_export.onnx import qdq as onnx_qdq
from firmware_export.onnx.arithmetic import Integers
from firmware_export.onnx.builder import Writer
from kws.errors import KwsError
from kws.frontend.config import FrontendConfig
from kws.graph.check import check
from kws.graph.ir import QuantGraph
from kws.system.files import replace_file

Form = Literal["integer", "qdq"]

INPUT_NAME = "features"
OUTPUT_NAME = "logits"


def write(
    graph: QuantGraph,
    path: Path,
    description: str = "",
    *,
    form: Form = "integer",
    frontend: FrontendConfig | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write ``graph`` to ``path`` as in ``to_bytes``; an existing file is replaced at the end, or not at all.

    Raises:
        KwsError: an operator cannot be expressed, a package is missing, or the file cannot be written.
    """
    replace_file(path, to_bytes(graph, description, form=form, frontend=frontend, metadata=metadata))


def to_bytes(
    graph: QuantGraph,
    description: str = "",
    *,
    form: Form = "integer",
    frontend: FrontendConfig | None = None,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """Return the sealed .onnx of one streaming step; the same graph gives the same bytes.

    Inputs: ``features`` int8 [1, stride, bands] and a ``state/<read>`` [1, *shape] for each state, int8 in QDQ form and
    uint8 in the integer one; outputs: ``logits`` int8 [1, outputs] and a ``next/<read>`` for each state, to be fed
    back. The metadata entry ``kws.states`` holds the states' initial values.

    With ``frontend`` the inputs ``audio`` int16 [1, stride * hop] and ``audio_state`` int16 [1, window - hop] replace
    the features. ``audio_state`` holds the samples before ``audio``: zeros at the start of a stream, which therefore
    begins with window - hop samples of silence.

    Raises:
        KwsError: the graph is not sound, an operator cannot be expressed (it is named), or a package is missing.
        ValueError: a frontend was asked for in QDQ form.
    """
    if frontend and form == "qdq":
        raise ValueError("the frontend can be written only in the integer form")
    if frontend and frontend.kind != "lfbe":
        raise KwsError(
            f'the frontend "{frontend.kind}" cannot be written as ONNX; export without it and feed the .onnx features'
        )
    check(graph)
    writer = Writer(graph, 0 if form == "qdq" else onnx_integer.OFFSET)
    inputs, states = _sources(writer, frontend)
    outputs = [writer.value_info(OUTPUT_NAME, (graph.outputs,), np.int8)]
    for state in graph.states:
        shape = graph.tensor(state.read).shape
        inputs.append(writer.value_info(f"state/{state.read}", shape))
        outputs.append(writer.value_info(f"next/{state.read}", shape))
        writer.define(state.read, f"state/{state.read}")
    if states:
        inputs.append(writer.value_info(onnx_frontend.STATE_NAME, states, np.int16))
        outputs.append(writer.value_info(onnx_frontend.NEXT_NAME, states, np.int16))
    lowerings = onnx_qdq.LOWERINGS if form == "qdq" else onnx_integer.LOWERINGS
    for op in graph.ops:
        lowerings.write(writer, op)
    _logits(writer)
    for state in graph.states:
        writer.node("Identity", [writer.channels_last(state.write)], f"next/{state.read}")
    facts = {STATE_KEY: _states_json(writer, bool(states)), FORM_KEY: form, seal.KEY: seal.BLANK}
    if frontend:
        facts[HOP_KEY] = str(frontend.hop_samples)
    return _pack(writer, inputs, outputs, description, {**(metadata or {}), **facts})


def _sources(writer: Writer, frontend: FrontendConfig | None) -> tuple[list[Any], tuple[int, ...]]:
    """Define the graph's input; return the file's inputs for it, and the shape of the audio's state (or none)."""
    graph = writer.graph
    shape = graph.tensor(graph.input).shape
    if frontend is None:
        writer.define(graph.input, INPUT_NAME)
        if writer.offset:
            ints = Integers(writer, INPUT_NAME)
            moved = ints.op("Add", ints.cast(INPUT_NAME, np.int32), np.array(writer.offset, np.int32))
            writer.define(graph.input, ints.cast(moved, writer.dtype))
        return [writer.value_info(INPUT_NAME, shape, np.int8)], ()
    target = f"channels_last/{graph.input}"
    onnx_frontend.write(writer, frontend, graph.tensor(graph.input).quant, graph.stride, target)
    writer.define(graph.input, target)
    kept = frontend.window_samples - frontend.hop_samples
    audio = writer.value_info(onnx_frontend.AUDIO_NAME, (graph.stride * frontend.hop_samples,), np.int16)
    return [audio], (kept,) if kept else ()


def _logits(writer: Writer) -> None:
    graph = writer.graph
    stored = writer.channels_last(graph.output)
    if writer.offset:
        ints = Integers(writer, OUTPUT_NAME)
        moved = ints.op("Sub", ints.cast(stored, np.int32), np.array(writer.offset, np.int32))
        stored = ints.cast(moved, np.int8)
    writer.reshape(stored, OUTPUT_NAME, (graph.outputs,))


def _states_json(writer: Writer, audio: bool) -> str:
    entries: list[dict[str, Any]] = [
        {
            "input": f"state/{state.read}",
            "output": f"next/{state.read}",
            "initial": writer.graph.tensor(state.read).quant.zero_point + writer.offset,
        }
        for state in writer.graph.states
    ]
    if audio:
        entries.append({"input": onnx_frontend.STATE_NAME, "output": onnx_frontend.NEXT_NAME, "initial": 0})
    return json.dumps(entries)


def _pack(
    writer: Writer, inputs: list[Any], outputs: list[Any], description: str, metadata: Mapping[str, str]
) -> bytes:
    helper = writer.onnx.helper
    graph = helper.make_graph(writer.nodes, "kws", inputs, outputs, writer.constants)
    opsets = [helper.make_opsetid("", opset.OLDEST)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="kws", doc_string=description)
    helper.set_model_props(model, dict(metadata))
    opset.declare_least(writer.onnx, model)
    return seal.seal(bytes(model.SerializeToString(deterministic=True)))
