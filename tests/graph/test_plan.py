"""The arena: nothing that is still needed is overwritten, and DeepKWS's is as small as it should be."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.graph.cost import Cost, cost
from kws.graph.interpret import Interpreter
from kws.graph.ir import Concat, Conv2D, Quant, QuantGraph, Reshape, Slice, State, Tensor
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


@settings(max_examples=300)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_plan_computes_the_graph(graphs: st.SearchStrategy[QuantGraph], data: st.DataObject, seed: int) -> None:
    graph = data.draw(graphs)
    stride, bands = graph.tensor(graph.input).shape
    features = np.random.default_rng(seed).integers(-128, 128, (5, stride, bands)).astype(np.int8)
    arena = Arena(graph, plan(graph))
    expected = Interpreter(graph).run(features.reshape(-1, bands)).tolist()
    assert [arena.step(frames) for frames in features] == expected


@given(data=st.data())
def test_states_lie_in_the_persistent_part(graphs: st.SearchStrategy[QuantGraph], data: st.DataObject) -> None:
    graph = data.draw(graphs)
    laid = plan(graph)
    assert laid.persistent_bytes <= laid.arena_bytes
    assert laid.arena_bytes % ALIGNMENT == laid.persistent_bytes % ALIGNMENT == 0
    for state in graph.states:
        assert laid.offsets[state.read] + size(graph.tensor(state.read)) <= laid.persistent_bytes
    assert plan(graph) == laid


def test_deepkws(deepkws_graph: QuantGraph) -> None:
    """The window holds the state and takes the features; a step ends with one move; two layers' buffers alternate."""
    laid = plan(deepkws_graph)
    assert laid.offsets["context"] == laid.offsets["window"] == 0
    assert laid.offsets["features"] == laid.offsets["frame"] == laid.input == 1600
    assert laid.offsets["context_next"] == 40
    assert [type(step) for step in laid.instructions] == [Conv2D] * 4 + [Copy]
    assert laid.instructions[-1] == Copy(source=40, target=0, bytes=1600)
    assert laid.persistent_bytes == 1640
    assert laid.arena_bytes == 1640 + 2 * 128
    assert laid.output == laid.offsets["logits"]
    assert cost(deepkws_graph) == Cost(
        parameters=243_459,  # the published 243,072 + 129 * outputs
        macs_per_step=1640 * 128 + 2 * 128 * 128 + 128 * 3,
        weight_bytes=1640 * 128 + 2 * 128 * 128 + 128 * 3 + (3 * 128 + 3) * 9,
        state_bytes=1600,
        arena_bytes=1896,
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
    """A chain of layers takes two buffers however long it is."""
    names = [f"layer{index}" for index in range(9)]
    tensors = (Tensor("features", (1, 64), Q), *(Tensor(name, (1, 1, 64), Q) for name in names))
    ones = (np.ones((64, 1, 1, 64), np.int8), np.full(64, 0.01, np.float32), np.zeros(64, np.int32))
    layers = [Conv2D(source, output, *ones) for source, output in pairwise(names)]
    graph = QuantGraph(tensors, (Reshape("features", names[0]), *layers), (), "features", names[-1])
    assert plan(graph).arena_bytes == 2 * 64


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
