"""What a graph costs on a device: parameters, multiply-accumulates, bytes."""

from dataclasses import dataclass

import numpy as np

from kws.graph.ir import Conv2D, DepthwiseConv2D, Op, QuantGraph
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
    """Return an operator's parameters and its multiply-accumulates per step: only convolutions have any."""
    if isinstance(op, Conv2D):
        positions = size(graph.tensor(op.output)) // len(op.weights)
    elif isinstance(op, DepthwiseConv2D):
        positions = size(graph.tensor(op.output)) // op.weights.shape[2]
    else:
        return 0, 0
    return op.weights.size + op.bias.size, positions * op.weights.size
