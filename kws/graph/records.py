"""A planned graph as the constants of ``kws_ops.h``: the plain field values of every struct, in the struct's order.

The compiled engine makes cffi structs of them and the C writer prints them; neither computes anything. The struct of
an operator is one function in ``STRUCTS``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.graph import layout
from kws.graph.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    activation_range,
    add_multipliers,
    channel_multipliers,
    feature_multiplier,
)
from kws.graph.ir import Add, AveragePool2D, Conv2D, DepthwiseConv2D, MaxPool2D, Op, Pad, QuantGraph
from kws.graph.plan import Copy, Plan
from kws.graph.wiring import row_bytes, size

Value = int | NDArray[np.int8] | NDArray[np.int16] | NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Record:
    """One C struct: its type, the ``#define`` of its operator's kind (empty for none), its fields in order.

    An array stands for the pointer to a constant array of int8_t, int16_t or int32_t, as its type says; it is flat.
    """

    struct: str
    kind: str
    fields: dict[str, Value]


@dataclass(frozen=True)
class Records:
    """Everything a ``kws_graph_t`` needs.

    ``graph`` has the fields of ``kws_graph_t`` but the pointers ``ops`` and ``states``, which are the arrays of
    ``kws_op_t {kind, &struct}`` and ``kws_state_t`` made of the other two.
    """

    ops: tuple[Record, ...]
    states: tuple[Record, ...]
    graph: Record


def records(graph: QuantGraph, plan: Plan) -> Records:
    """Return the structs of a checked graph and its plan."""
    ops = tuple(STRUCTS[type(step)](graph, plan, step) for step in plan.instructions)
    return Records(ops, _states(graph, plan), _graph(graph, plan, len(ops)))


def _graph(graph: QuantGraph, plan: Plan, op_count: int) -> Record:
    tensor = graph.tensor(graph.input)
    multiplier, shift = feature_multiplier(tensor.quant)
    fields: dict[str, Value] = {
        "arena_bytes": plan.arena_bytes,
        "stride": tensor.shape[0],
        "bands": tensor.shape[1],
        "input": plan.input,
        "outputs": graph.outputs,
        "output": plan.output,
        "input_multiplier": multiplier,
        "input_shift": shift,
        "input_zero_point": tensor.quant.zero_point,
        "op_count": op_count,
        "state_count": len(graph.states),
    }
    return Record("kws_graph_t", "", fields)


def _states(graph: QuantGraph, plan: Plan) -> tuple[Record, ...]:
    reads = [graph.tensor(state.read) for state in graph.states]
    return tuple(
        Record(
            "kws_state_t",
            "",
            {"offset": plan.offsets[read.name], "bytes": size(read), "zero_point": read.quant.zero_point},
        )
        for read in reads
    )


# ---- a struct per instruction ----


def _copy(graph: QuantGraph, plan: Plan, copy: Copy) -> Record:
    fields: dict[str, Value] = {"source": copy.source, "target": copy.target, "bytes": copy.bytes}
    return Record("kws_copy_t", "KWS_OP_COPY", fields)


def _conv2d(graph: QuantGraph, plan: Plan, op: Conv2D) -> Record:
    source, output = graph.tensor(op.input), graph.tensor(op.output)
    channels, kernel_time, kernel_frequency, depth = op.weights.shape
    row = row_bytes(source)
    # A kernel as wide as the input covers one contiguous run of it, else one per time step.
    whole = kernel_frequency == source.shape[1]
    runs, run_bytes = (1, kernel_time * row) if whole else (kernel_time, kernel_frequency * depth)
    weight_sums = op.weights.reshape(channels, -1).sum(axis=1, dtype=np.int64)
    weights = layout.convolution(op.weights, op.weight_bits)
    fields: dict[str, Value] = {
        "input": plan.offsets[op.input],
        "output": plan.offsets[op.output],
        "scratch": plan.scratch[op.output],
        "output_time": output.shape[0],
        "output_frequency": output.shape[1],
        "output_channels": channels,
        "step_time": op.stride_time * row,
        "step_frequency": op.stride_frequency * depth,
        "runs": runs,
        "run_bytes": run_bytes,
        "run_step": run_bytes if whole else row,
        "weight_bits": op.weight_bits,
        "rows": len(weights),
        "row_inputs": weights.shape[1],
    }
    constants = _constants(graph, op, weights, weight_sums)
    constants["bias"] = np.pad(np.asarray(constants["bias"]), (0, -channels % layout.GROUP))
    fields |= _output(graph, op) | constants
    return Record("kws_conv2d_t", "KWS_OP_CONV2D", fields)


def _depthwise_conv2d(graph: QuantGraph, plan: Plan, op: DepthwiseConv2D) -> Record:
    source, output = graph.tensor(op.input), graph.tensor(op.output)
    kernel_time, kernel_frequency, channels = op.weights.shape
    rows, columns = np.indices((kernel_time, kernel_frequency), np.int32).reshape(2, -1)
    offsets = rows * op.dilation_time * row_bytes(source) + columns * channels
    bits = op.weight_bits if len(offsets) <= layout.LARGEST_KERNEL_OF_4_BITS else 8
    pairs = len(offsets) // 2
    offsets = np.append(offsets[len(offsets) % 2 :], [-1, -1]).astype(np.int32)
    fields: dict[str, Value] = {
        "input": plan.offsets[op.input],
        "output": plan.offsets[op.output],
        "scratch": plan.scratch[op.output],
        "output_time": output.shape[0],
        "output_frequency": output.shape[1],
        "channels": channels,
        "step_time": op.stride_time * row_bytes(source),
        "step_frequency": op.stride_frequency * channels,
        "odd": kernel_time * kernel_frequency % 2,
        "pairs": pairs,
        "weight_bits": bits,
    }
    weights = layout.depthwise(op.weights, bits)
    constants = _constants(graph, op, weights, op.weights.sum(axis=(0, 1), dtype=np.int64))
    plain = _output(graph, op) | {"plain": constants.pop("plain"), "offsets": offsets}
    return Record("kws_depthwise_conv2d_t", "KWS_OP_DEPTHWISE_CONV2D", fields | plain | constants)


def _output(graph: QuantGraph, op: Conv2D | DepthwiseConv2D | Add) -> dict[str, Value]:
    quant = graph.tensor(op.output).quant
    minimum, maximum = activation_range(op, quant)
    return {"output_zero_point": quant.zero_point, "output_minimum": minimum, "output_maximum": maximum}


def _constants(
    graph: QuantGraph, op: Conv2D | DepthwiseConv2D, weights: NDArray[Any], weight_sums: NDArray[np.int64]
) -> dict[str, Value]:
    """Return the fields from ``plain`` on; ``weights`` are packed, ``weight_sums`` [channels] those of the operator."""
    multipliers, shifts = channel_multipliers(graph, op)
    clamped = activation_range(op, graph.tensor(op.output).quant) != (INT8_MIN, INT8_MAX)
    # sum(w * (q - zero_point)) + bias = sum(w * q) + (bias - zero_point * sum(w)): exact, there being no padding.
    bias = op.bias - graph.tensor(op.input).quant.zero_point * weight_sums
    return {
        "plain": int(not clamped and bool(multipliers.min() >= 1 << 30) and bool(shifts.max() <= -2)),
        "weights": weights.reshape(-1),
        "bias": bias.astype(np.int32),
        "multipliers": multipliers,
        "right_shifts": (-shifts).astype(np.int8),
    }


def _pad(graph: QuantGraph, plan: Plan, op: Pad) -> Record:
    source = graph.tensor(op.input)
    channels = source.shape[2]
    fields: dict[str, Value] = {
        "input": plan.offsets[op.input],
        "output": plan.offsets[op.output],
        "rows": source.shape[0],
        "row_bytes": row_bytes(source),
        "before_bytes": op.before * channels,
        "after_bytes": op.after * channels,
        "zero_point": source.quant.zero_point,
    }
    return Record("kws_pad_t", "KWS_OP_PAD", fields)


def _add(graph: QuantGraph, plan: Plan, op: Add) -> Record:
    first, second = (graph.tensor(name) for name in op.inputs)
    # One run of all values where both have one shape, else a run per position of the first.
    broadcast = first.shape != second.shape
    rows, repeats, values = first.shape if broadcast else (1, 1, size(first))
    fields: dict[str, Value] = {
        "first": plan.offsets[op.inputs[0]],
        "second": plan.offsets[op.inputs[1]],
        "output": plan.offsets[op.output],
        "rows": rows,
        "repeats": repeats,
        "values": values,
        "first_zero_point": first.quant.zero_point,
        "second_zero_point": second.quant.zero_point,
    }
    names = ("first", "second", "output")
    for name, (multiplier, shift) in zip(names, add_multipliers(graph, op), strict=True):
        fields |= {f"{name}_multiplier": multiplier, f"{name}_shift": shift}
    return Record("kws_add_t", "KWS_OP_ADD", fields | _output(graph, op))


def _pool2d(graph: QuantGraph, plan: Plan, op: MaxPool2D | AveragePool2D) -> Record:
    source, output = graph.tensor(op.input), graph.tensor(op.output)
    fields: dict[str, Value] = {
        "input": plan.offsets[op.input],
        "output": plan.offsets[op.output],
        "output_time": output.shape[0],
        "output_frequency": output.shape[1],
        "channels": output.shape[2],
        "window_time": op.window_time,
        "window_frequency": op.window_frequency,
        "row_bytes": row_bytes(source),
    }
    kind = "KWS_OP_MAX_POOL2D" if isinstance(op, MaxPool2D) else "KWS_OP_AVERAGE_POOL2D"
    return Record("kws_pool2d_t", kind, fields)


STRUCTS: dict[type[Copy | Op], Callable[[QuantGraph, Plan, Any], Record]] = {
    Copy: _copy,
    Conv2D: _conv2d,
    DepthwiseConv2D: _depthwise_conv2d,
    Pad: _pad,
    Add: _add,
    MaxPool2D: _pool2d,
    AveragePool2D: _pool2d,
}
