"""The arena: nothing that is still needed is overwritten, and DeepKWS's is as small as it should be."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.graph.cost import Cost, cost
from kws.graph.interpret import Interpreter
from kws.graph.ir import (
    Add,
    AveragePool2D,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    MaxPool2D,
    Op,
    Pad,
    Quant,
    QuantGraph,
    Reshape,
    Slice,
    State,
    Tensor,
)
from kws.graph.plan import ALIGNMENT, Copy, Plan, plan
from kws.graph.records import records
from kws.graph.wiring import inputs, size

Q = Quant(0.5, -3)


class Arena:
    """Executes a plan with numpy, an operator's arithmetic being the interpreter's."""

    def __init__(self, graph: QuantGraph, plan: Plan) -> None:
        self.graph, self.plan = graph, plan
        self.bytes = np.full(plan.arena_bytes, 99, np.int8)  # what must not be read
        self.kernels = Interpreter(graph)._kernels
        for state in graph.states:
            self.view(state.read)[...] = graph.tensor(state.read).quant.zero_point

    def view(self, name: str) -> NDArray[np.int8]:
        tensor = self.graph.tensor(name)
        start = self.plan.offsets[name]
        assert start + size(tensor) <= self.plan.arena_bytes
        return self.bytes[start : start + size(tensor)].reshape(tensor.shape)

    def step(self, features: NDArray[np.int8]) -> list[int]:
        self.view(self.graph.input)[...] = features
        for step in self.plan.instructions:
            if isinstance(step, Copy):
                moved = self.bytes[step.source : step.source + step.bytes].copy()
                self.bytes[step.target : step.target + step.bytes] = moved
            else:
                sources = [self.view(name)[None] for name in inputs(step)]
                self.view(step.output)[...] = self.kernels[step.output](sources)[0]
        return list(self.bytes[self.plan.output : self.plan.output + self.graph.outputs].tolist())


@settings(max_examples=300, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_plan_computes_the_graph(graphs: st.SearchStrategy[QuantGraph], data: st.DataObject, seed: int) -> None:
    graph = data.draw(graphs)
    stride, bands = graph.tensor(graph.input).shape
    features = np.random.default_rng(seed).integers(-128, 128, (5, stride, bands)).astype(np.int8)
    arena = Arena(graph, plan(graph))
    expected = Interpreter(graph).run(features.reshape(-1, bands)).tolist()
    assert [arena.step(frames) for frames in features] == expected


@settings(deadline=None)
@given(data=st.data())
def test_states_lie_in_the_persistent_part(graphs: st.SearchStrategy[QuantGraph], data: st.DataObject) -> None:
    graph = data.draw(graphs)
    laid = plan(graph)
    assert laid.persistent_bytes <= laid.arena_bytes
    assert laid.arena_bytes % ALIGNMENT == laid.persistent_bytes % ALIGNMENT == 0
    for state in graph.states:
        assert laid.offsets[state.read] + size(graph.tensor(state.read)) <= laid.persistent_bytes
    assert plan(graph) == laid


DEEPKWS_SCRATCH_BYTES = 4 * 128 + 2 * 256
"""The first layer's sums, and the block of inputs that it widens at once."""


def test_deepkws(deepkws_graph: QuantGraph) -> None:
    """The window holds the state and takes the features; a step ends with one move; two layers' buffers alternate."""
    laid = plan(deepkws_graph)
    assert laid.offsets["context"] == laid.offsets["window"] == 0
    assert laid.offsets["features"] == laid.offsets["frame"] == laid.input == 1600
    assert laid.offsets["context_next"] == 40
    assert [type(step) for step in laid.instructions] == [Conv2D] * 4 + [Copy]
    assert laid.instructions[-1] == Copy(source=40, target=0, bytes=1600)
    assert laid.persistent_bytes == 1640
    assert laid.arena_bytes == 1640 + DEEPKWS_SCRATCH_BYTES + 128
    assert laid.output == laid.offsets["logits"]
    assert cost(deepkws_graph) == Cost(
        parameters=243_459,  # the published 243,072 + 129 * outputs
        macs_per_step=1640 * 128 + 2 * 128 * 128 + 128 * 3,
        weight_bytes=1640 * 128 + 2 * 128 * 128 + 128 * 4 + (3 * 128 + 3) * 9 + 4,  # of the last layer's four rows
        state_bytes=1600,
        arena_bytes=2792,
    )


def swap(output: str) -> QuantGraph:
    """Two states that exchange their values in every step, beside the input's."""
    names = ("features", "a", "b", "joined")
    shapes = ((1, 2), (1, 2), (1, 2), (3, 2))
    return QuantGraph(
        tuple(Tensor(name, shape, Q) for name, shape in zip(names, shapes, strict=True)),
        (Concat(("a", "b", "features"), "joined"),),
        (State("a", "b"), State("b", "features")),
        "features",
        output,
    )


def test_states_are_handed_over_at_once() -> None:
    """``a`` takes what ``b`` was, though ``b`` takes the features: a two step delay, not one."""
    arena = Arena(swap("joined"), plan(swap("joined")))
    assert arena.step(np.array([[1, 2]], np.int8)) == [-3, -3, -3, -3, 1, 2]
    assert arena.step(np.array([[3, 4]], np.int8)) == [-3, -3, 1, 2, 3, 4]
    assert arena.step(np.array([[5, 6]], np.int8)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("output", ["a", "b", "joined"])
def test_the_output_survives_the_hand_over(output: str) -> None:
    graph = swap(output)
    features = np.arange(12, dtype=np.int8).reshape(6, 2)
    arena = Arena(graph, plan(graph))
    assert [arena.step(frame[None]) for frame in features] == Interpreter(graph).run(features).tolist()


def test_scratch_is_used_again() -> None:
    """A chain of layers takes two buffers, and one for sums and widened inputs, however long it is."""
    names = [f"layer{index}" for index in range(9)]
    tensors = (Tensor("features", (1, 64), Q), *(Tensor(name, (1, 1, 64), Q) for name in names))
    ones = (np.ones((64, 1, 1, 64), np.int8), np.full(64, 0.01, np.float32), np.zeros(64, np.int32))
    layers = [Conv2D(source, output, *ones) for source, output in pairwise(names)]
    graph = QuantGraph(tensors, (Reshape("features", names[0]), *layers), (), "features", names[-1])
    assert plan(graph).arena_bytes == 2 * 64 + 4 * 64 + 2 * 64


def test_a_concatenation_of_one_tensor_twice_is_copied_once() -> None:
    tensors = (Tensor("features", (1, 2), Q), Tensor("twice", (2, 2), Q), Tensor("second", (1, 2), Q))
    ops = (Concat(("features", "features"), "twice"), Slice("twice", "second", 1))
    graph = QuantGraph(tensors, ops, (), "features", "second")
    assert plan(graph).instructions == (Copy(0, 2, 2),)


def test_records_fold_the_zero_point_and_name_every_struct(deepkws_graph: QuantGraph) -> None:
    constants = records(deepkws_graph, plan(deepkws_graph))
    assert [record.kind for record in constants.ops] == ["KWS_OP_CONV2D"] * 4 + ["KWS_OP_COPY"]
    assert constants.graph.fields["op_count"] == 5
    assert [state.fields for state in constants.states] == [{"offset": 0, "bytes": 1600, "zero_point": -128}]
    first = next(op for op in deepkws_graph.ops if isinstance(op, Conv2D))
    folded = first.bias + 128 * first.weights.reshape(128, -1).sum(axis=1, dtype=np.int64)
    assert np.array_equal(np.asarray(constants.ops[0].fields["bias"]), folded)
    assert constants.ops[0].fields["runs"] == 1
    assert constants.ops[0].fields["run_bytes"] == 1640


# ---- operators that write over their inputs ----


def chain(*ops: Op, **shapes: tuple[int, ...]) -> QuantGraph:
    """Features [4, 16] as a map "x" [4, 8, 2]; ``shapes`` are the operators' outputs, the last one the graph's."""
    tensors = {"features": (4, 16), "x": (4, 8, 2)} | shapes
    made = tuple(Tensor(name, shape, Q) for name, shape in tensors.items())
    return QuantGraph(made, (Reshape("features", "x"), *ops), (), "features", ops[-1].output)


def depthwise(source: str, output: str) -> DepthwiseConv2D:
    constants = (np.ones((1, 1, 2), np.int8), np.full(2, 0.5, np.float32), np.zeros(2, np.int32))
    return DepthwiseConv2D(source, output, *constants)


def test_a_chain_of_channelwise_operators_takes_one_buffer() -> None:
    ops = (
        depthwise("x", "scaled"),
        Add(("scaled", "scaled"), "doubled"),
        MaxPool2D("doubled", "pooled", 2, 2),
        AveragePool2D("pooled", "mean", 1, 4),
    )
    shapes = {"scaled": (4, 8, 2), "doubled": (4, 8, 2), "pooled": (2, 4, 2), "mean": (2, 1, 2)}
    graph = chain(*ops, **shapes)
    laid = plan(graph)
    assert set(laid.offsets.values()) == {0}
    assert laid.arena_bytes == 64 + 4 * (12 + 2)  # beside it what is made of four channels' constants


def test_a_sum_lies_on_the_input_that_is_not_needed_any_more() -> None:
    """A residual block: the shortcut "x" is read by the body and the sum, the body's result by the sum alone."""
    ops = (depthwise("x", "body"), Add(("x", "body"), "sum"), Add(("sum", "x"), "again"))
    graph = chain(*ops, body=(4, 8, 2), sum=(4, 8, 2), again=(4, 8, 2))
    laid = plan(graph)
    assert laid.offsets["x"] != laid.offsets["body"] == laid.offsets["sum"] == laid.offsets["again"]
    assert laid.arena_bytes == 128 + 4 * (12 + 2)


def test_a_sum_does_not_lie_on_the_broadcast_input() -> None:
    """The second input is smaller than the sum, the first is the graph's output."""
    ops = (AveragePool2D("x", "mean", 1, 8), Add(("x", "mean"), "sum"), Add(("x", "sum"), "last"))
    graph = chain(*ops, mean=(4, 1, 2), sum=(4, 8, 2), last=(4, 8, 2))
    offsets = plan(graph).offsets
    assert len({offsets["x"], offsets["mean"], offsets["sum"]}) == 3


def test_a_sum_of_overlapping_slices_lies_elsewhere() -> None:
    """Written over the later rows, which the second input still needs, the sum would be wrong."""
    shapes = {"old": (3, 8, 2), "new": (3, 8, 2), "sum": (3, 8, 2)}
    ops = (Slice("x", "old", 0), Slice("x", "new", 1))
    apart = plan(chain(*ops, Add(("new", "old"), "sum"), **shapes))
    assert apart.offsets["sum"] >= 64
    assert apart.arena_bytes == 64 + 48


def test_nothing_is_written_over_a_state() -> None:
    """The delay line is handed over after the operator that reads it last."""
    shapes = {"line": (4, 8, 2), "long": (8, 8, 2), "kept": (4, 8, 2), "pooled": (1, 1, 2)}
    ops = (Concat(("line", "x"), "long"), Slice("long", "kept", 4), MaxPool2D("long", "pooled", 8, 8))
    laid = plan(replace(chain(*ops, **shapes), states=(State("line", "kept"),)))
    assert laid.persistent_bytes == 128
    assert laid.offsets["pooled"] == 128


def test_nothing_is_written_over_a_state_that_stays_as_it_is() -> None:
    """What it leaves is what it read, so there is no copy at the end of the step that would show the need."""
    shapes = {"kept": (4, 8, 2), "same": (4, 8, 2), "sum": (4, 8, 2)}
    graph = chain(Reshape("kept", "same"), Add(("kept", "x"), "sum"), **shapes)
    laid = plan(replace(graph, states=(State("kept", "same"),)))
    assert laid.offsets["kept"] == laid.offsets["same"] == 0
    assert laid.offsets["sum"] == laid.offsets["x"] == 64


def test_the_cost_of_operators_on_maps() -> None:
    """A depthwise weight is multiplied once per output position; padding, pools and additions multiply nothing."""
    constants = (np.ones((3, 4, 2), np.int8), np.full(2, 0.5, np.float32), np.zeros(2, np.int32))
    ops = (
        Pad("x", "padded", 1, 0),
        DepthwiseConv2D("padded", "y", *constants),
        Add(("y", "y"), "sum"),
        MaxPool2D("sum", "largest", 2, 1),
    )
    graph = chain(*ops, padded=(4, 9, 2), y=(2, 6, 2), sum=(2, 6, 2), largest=(1, 6, 2))
    assert cost(graph) == Cost(
        parameters=3 * 4 * 2 + 2,
        macs_per_step=2 * 6 * 3 * 4 * 2,
        weight_bytes=3 * 4 * 4 + (3 * 4 + 2) * 4 + 2 * 9,  # four channels' weights, the kernel's offsets, scales
        state_bytes=0,
        arena_bytes=72 + 4 * (12 + 4 * 6),
    )
