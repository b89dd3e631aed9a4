"""The quantized graph as a .tflite that runs on TFLite Micro, on ESPHome's micro_wake_word firmware and on LiteRT.

The graph goes straight into a flatbuffer, without a converter: the weights, scales and operators of the file are those
of the graph, and so are its results. State lives in int8 resource variables, as ESPHome and TFLite Micro expect: a
second subgraph, run by CALL_ONCE, fills them with their zero point; each step reads them first and assigns them last.
LiteRT runs CALL_ONCE only once per interpreter, and its reset of all variables does not include resource variables: for
LiteRT the second subgraph is also a signature, which starts a new stream.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from firmware_export import seal
from firmware_export.exported_file import FORM_KEY, RESET_SIGNATURE, STATE_KEY
from firmware_export.tflite.flatbuffer import ModelBuilder, SubgraphBuilder
from firmware_export.tflite.lowering import LOWERINGS, Lowering
from kws.errors import KwsError
from kws.graph.check import check
from kws.graph.ir import Conv2D, DepthwiseConv2D, QuantGraph
from kws.system.files import replace_file

INPUT_NAME = "features"
OUTPUT_NAME = "logits"
SIGNATURE_KEY = "serving_default"

# fmt: off
MICRO_OPERATORS = frozenset((
    "CALL_ONCE", "VAR_HANDLE", "RESHAPE", "READ_VARIABLE", "STRIDED_SLICE", "CONCATENATION", "ASSIGN_VARIABLE",
    "CONV_2D", "MUL", "ADD", "MEAN", "FULLY_CONNECTED", "LOGISTIC", "QUANTIZE", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D",
    "MAX_POOL_2D", "PAD", "PACK", "SPLIT_V",
))
# fmt: on
"""The operators that ESPHome's micro_wake_word registers, all of them in TFLite Micro; no other is written."""

OLDEST_RUNTIMES = {8: "2.7", 4: "2.13"}
"""Bits of the weights -> the first tflite-runtime that runs the file, found by trying. Before 2.13 its depthwise
kernels have no four-bit weights, its reference kernels no resource variables, and its default kernels round once."""

Head = Callable[[Lowering], dict[str, int]]
"""The end of a model: adds operators after the graph's tensors; returns the outputs' names and tensor indices."""


def write(
    graph: QuantGraph,
    path: Path,
    description: str = "",
    *,
    streaming: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write ``graph`` to ``path`` as in ``to_bytes``; an existing file is replaced at the end, or not at all.

    Raises:
        KwsError: an operator cannot be expressed, a package is missing, or the file cannot be written.
    """
    replace_file(path, to_bytes(graph, description, streaming=streaming, metadata=metadata))


def to_bytes(
    graph: QuantGraph,
    description: str = "",
    *,
    streaming: bool = True,
    metadata: Mapping[str, str] | None = None,
    head: Head | None = None,
) -> bytes:
    """Return the sealed .tflite of one step: ``features`` int8 [1, stride, bands] -> ``logits`` int8 [1, outputs].

    Args:
        graph: what to write.
        description: the model's description, one line for people.
        streaming: True keeps the state in resource variables. False adds, in the order of ``graph.states``, the
            inputs ``state/<read>`` and the outputs ``next/<read>``; the caller carries them, and fills them at first
            with the zero point of the input, which is also in the metadata entry ``kws.states``.
        metadata: named strings stored in the file, such as the hash of the config that made the graph.
        head: adds operators from the graph's last tensor to the outputs; returns these by name, instead of the logits.

    Raises:
        KwsError: the graph is not sound, an operator cannot be expressed (it is named), or a package is missing.
    """
    check(graph)
    model = ModelBuilder(description)
    main = model.subgraph("main")
    context = Lowering(graph, main)
    inputs = {INPUT_NAME: context.index(graph.input)}
    if streaming:
        handles = _open_variables(context, model)
    else:
        inputs |= {f"state/{state.read}": context.index(state.read) for state in graph.states}
    for op in graph.ops:
        LOWERINGS.write(context, op)
    outputs = (head or _logits)(context)
    if streaming:
        _assign_variables(context, handles)
    else:
        # A copy each, as a state may be passed on unchanged, or be the output itself.
        outputs |= {f"next/{state.read}": _copy(context, f"next/{state.read}", state.write) for state in graph.states}
    main.inputs, main.outputs = list(inputs.values()), list(outputs.values())
    model.signature(SIGNATURE_KEY, inputs, outputs)
    for initial in model.subgraphs[1:]:
        model.signature(RESET_SIGNATURE, {}, {}, initial.index)
    states = {} if streaming else {STATE_KEY: _states_json(graph)}
    form = "head" if head else "streaming" if streaming else "stateless"
    model.metadata({**(metadata or {}), FORM_KEY: form, **states, seal.KEY: seal.BLANK})
    _check_operators(model)
    return seal.seal(model.to_bytes())


def oldest_runtime(graph: QuantGraph) -> str:
    """Return the first tflite-runtime that runs a .tflite of ``graph``, as does LiteRT, its successor."""
    bits = {op.weight_bits for op in graph.ops if isinstance(op, Conv2D | DepthwiseConv2D)}
    return f"tflite-runtime {OLDEST_RUNTIMES[min(bits, default=8)]}"


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


def _logits(context: Lowering) -> dict[str, int]:
    return {OUTPUT_NAME: _copy(context, OUTPUT_NAME, context.graph.output, (context.graph.outputs,))}


def _open_variables(context: Lowering, model: ModelBuilder) -> list[int]:
    """Read every state's variable; return the handles, in the order of ``graph.states``."""
    if not context.graph.states:
        return []
    initial = model.subgraph("initial_state")
    main = context.subgraph
    main.operator("CALL_ONCE", [], [], context.schema.CallOnceOptionsT(initSubgraphIndex=initial.index))
    handles = []
    for state in context.graph.states:
        tensor = context.graph.tensor(state.read)
        start = np.full((1, *tensor.shape), tensor.quant.zero_point, np.int8)
        quantization = initial.quantization([tensor.quant.scale], [tensor.quant.zero_point])
        value = initial.constant(f"{state.read}/initial", start, quantization)
        handle = _handle(initial, state.read)
        initial.operator("ASSIGN_VARIABLE", [handle, value], [], context.schema.AssignVariableOptionsT())
        handles.append(_handle(main, state.read))
        main.operator(
            "READ_VARIABLE", [handles[-1]], [context.index(state.read)], context.schema.ReadVariableOptionsT()
        )
    return handles


def _assign_variables(context: Lowering, handles: list[int]) -> None:
    """Assign every state's next value to its variable."""
    options = context.schema.AssignVariableOptionsT()
    for state, handle in zip(context.graph.states, handles, strict=True):
        context.subgraph.operator("ASSIGN_VARIABLE", [handle, context.index(state.write)], [], options)


def _handle(subgraph: SubgraphBuilder, name: str) -> int:
    handle = subgraph.tensor(f"{name}/handle", (), "RESOURCE")
    # TFLite Micro reads a missing container as a null pointer, so the empty one must be written.
    options = subgraph.model.schema.VarHandleOptionsT(container="", sharedName=name)
    subgraph.operator("VAR_HANDLE", [], [handle], options)
    return handle


def _copy(context: Lowering, name: str, source: str, shape: tuple[int, ...] | None = None) -> int:
    """Add tensor ``name`` with the values of the graph's ``source``, by RESHAPE."""
    tensor = context.graph.tensor(source)
    sizes = tensor.shape if shape is None else shape
    target = context.activation(name, tensor, sizes)
    context.reshape(context.index(source), target, name, sizes)
    return target


def _check_operators(model: ModelBuilder) -> None:
    unsupported = sorted(set(model.operators) - MICRO_OPERATORS)
    if unsupported:
        raise KwsError(f"TFLite Micro firmware has no operator {unsupported[0]}; lower it to one that it has")
