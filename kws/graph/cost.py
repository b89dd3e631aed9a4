"""What a graph costs on a device: parameters, multiply-accumulates, bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kws.graph.ir import Concat, Conv2D, Op, QuantGraph, Reshape, Slice
from kws.graph.plan import plan
from kws.graph.wiring import size

_CHANNEL_BYTES = 4 + 4 + 1  # a channel's bias (int32), multiplier (int32) and shift (int8), as ops.h has them


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
    counts = [_COUNTS[type(op)](graph, op) for op in graph.ops]
    parameters, macs, weight_bytes = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0, 0)
    states = sum(size(graph.tensor(state.read)) for state in graph.states)
    return Cost(parameters, macs, weight_bytes, states, plan(graph).arena_bytes)


# ---- per operator: parameters, multiply-accumulates per step, bytes of constants ----


def _nothing(graph: QuantGraph, op: Op) -> tuple[int, int, int]:
    return 0, 0, 0


def _conv2d(graph: QuantGraph, op: Conv2D) -> tuple[int, int, int]:
    channels = len(op.weights)
    positions = size(graph.tensor(op.output)) // channels
    return op.weights.size + channels, positions * op.weights.size, op.weights.size + channels * _CHANNEL_BYTES


_COUNTS: dict[type[Op], Callable[[QuantGraph, Any], tuple[int, int, int]]] = {
    Reshape: _nothing,
    Concat: _nothing,
    Slice: _nothing,
    Conv2D: _conv2d,
}
