"""A quantized graph as C constants: the records of ``kws.graph.records``, printed."""

import math

import numpy as np
from numpy.typing import NDArray

from firmware_export import c_text
from kws.graph.ir import QuantGraph
from kws.graph.plan import plan
from kws.graph.records import Record, records

_WEIGHT_AXES = {
    "kws_conv2d_t": ("output_channels", "runs"),
    "kws_depthwise_conv2d_t": ("kernel_time", "kernel_frequency"),
}
"""The fields that say how long the weights' axes are, all but the last one."""


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
            arrays.append(c_text.array(f"op{index}_{name}", value, _shape(record, name, value)))
    return "\n\n".join([*arrays, c_text.struct(record.struct, f"op{index}", fields)])


def _fields(record: Record) -> dict[str, str | int]:
    return {name: value for name, value in record.fields.items() if isinstance(value, int)}


def _shape(record: Record, name: str, value: NDArray[np.generic]) -> tuple[int, ...]:
    """Return the shape that ops.h gives an array: weights have several axes, the others [channels]."""
    if name != "weights":
        return value.shape
    axes = [count for axis in _WEIGHT_AXES[record.struct] if isinstance(count := record.fields[axis], int)]
    return *axes, value.size // math.prod(axes)
