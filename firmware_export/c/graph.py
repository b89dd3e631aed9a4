"""A quantized graph as C constants: the records of ``kws.graph.records``, printed."""

import numpy as np
from numpy.typing import NDArray

from firmware_export.c import text as c_text
from kws.graph.ir import QuantGraph
from kws.graph.plan import plan
from kws.graph.records import Record, records


def graph_source(graph: QuantGraph) -> str:
    """Return the definitions that end with ``static const kws_graph_t graph``."""
    constants = records(graph, plan(graph))
    parts = [_op(index, record) for index, record in enumerate(constants.ops)]
    rows = [f"{{{record.kind}, &op{index}}}" for index, record in enumerate(constants.ops)]
    parts.append(c_text.table("kws_op_t", "ops", rows))
    fields = _fields(constants.graph) | {"ops": "ops", "states": "NULL"}
    if constants.states:
        states = [f"{{{', '.join(str(value) for value in record.fields.values())}}}" for record in constants.states]
        parts.append(c_text.table("kws_state_t", "states", states))
        fields["states"] = "states"
    parts.append(c_text.struct("kws_graph_t", "graph", fields))
    return "\n\n".join(parts)


def _op(index: int, record: Record) -> str:
    arrays = []
    fields = _fields(record)
    for name, value in record.fields.items():
        if isinstance(value, np.ndarray):
            fields[name] = f"op{index}_{name}"
            attribute = "KWS_WORDS" if name == "weights" else ""
            arrays.append(c_text.array(f"op{index}_{name}", value, _shape(record, name, value), attribute))
    return "\n\n".join([*arrays, c_text.struct(record.struct, f"op{index}", fields)])


def _fields(record: Record) -> dict[str, str | int]:
    return {name: value for name, value in record.fields.items() if isinstance(value, int)}


def _shape(record: Record, name: str, value: NDArray[np.generic]) -> tuple[int, ...]:
    """Return the shape that kws_ops.h gives an array: a convolution's weights have rows, the others are flat."""
    rows = record.fields.get("rows") if name == "weights" else None
    return (rows, value.size // rows) if isinstance(rows, int) else value.shape
