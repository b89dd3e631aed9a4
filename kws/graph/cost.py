"""What a graph costs on a device: parameters, multiply-accumulates, bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kws.graph.ir import (
    Add,
    AveragePool2D,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    MaxPool2D,
    Op,
    Pad,
    QuantGraph,
    Reshape,
    Slice,
)
from kws.graph.plan import plan
from kws.graph.records import records
from kws.graph.wiring import size


@dataclass(frozen=True)
class Cost:
    """Sizes in bytes, work per step.

    ``parameters`` are weights and biases. ``weight_bytes`` is what they take as constants of the C runtime, with each
    channel's multiplier and shift. ``state_bytes`` outlive a step; ``arena_bytes`` is all the memory a step needs,
    states included.
    """

    parameters: int
    macs_per_step: int
    weight_bytes: int
    state_bytes: int
    arena_bytes: int


def cost(graph: QuantGraph) -> Cost:
    """Return the cost of a checked graph."""
    each = [counts(graph, op) for op in graph.ops]
    layout = plan(graph)
    constants = [value for record in records(graph, layout).ops for value in record.fields.values()]
    return Cost(
        parameters=sum(parameters for parameters, _ in each),
        macs_per_step=sum(macs for _, macs in each),
        weight_bytes=sum(value.nbytes for value in constants if isinstance(value, np.ndarray)),
        state_bytes=sum(size(graph.tensor(state.read)) for state in graph.states),
        arena_bytes=layout.arena_bytes,
    )


# ---- per operator: parameters, multiply-accumulates per step ----


def counts(graph: QuantGraph, op: Op) -> tuple[int, int]:
    """Return an operator's parameters and its multiply-accumulates per step."""
    return COUNTS[type(op)](graph, op)


def _convolution(graph: QuantGraph, op: Conv2D | DepthwiseConv2D) -> tuple[int, int]:
    positions = size(graph.tensor(op.output)) // len(op.bias)  # a bias for each output channel
    return op.weights.size + op.bias.size, positions * op.weights.size


def _none(graph: QuantGraph, op: Op) -> tuple[int, int]:
    """It has no weights to multiply with."""
    return 0, 0


COUNTS: dict[type[Op], Callable[[QuantGraph, Any], tuple[int, int]]] = {
    Reshape: _none,
    Concat: _none,
    Slice: _none,
    Conv2D: _convolution,
    DepthwiseConv2D: _convolution,
    Pad: _none,
    Add: _none,
    MaxPool2D: _none,
    AveragePool2D: _none,
}
