"""What engines may differ that round once: the worst case by hand and in every runtime, and what a deep graph shows."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from firmware_export import verify
from firmware_export.engines.runtimes import LiteRtEngine, OnnxEngine, RuntimeEngine
from firmware_export.onnx import writer as onnx_writer
from firmware_export.tflite import writer as tflite
from firmware_export.verify import rounding
from firmware_export.verify.float_kernels import FLOAT_KERNELS
from kws.graph.interpret import Interpreter
from kws.graph.ir import (
    Add,
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    MaxPool2D,
    Op,
    Pad,
    Quant,
    QuantGraph,
    Reshape,
    State,
    Tensor,
)

Maker = Callable[..., QuantGraph]
QUANT = Quant(0.5, 0)


def rounded_engines(graph: QuantGraph) -> list[RuntimeEngine]:
    return [LiteRtEngine(tflite.to_bytes(graph)), OnnxEngine(onnx_writer.to_bytes(graph, form="qdq"))]


def noise(graph: QuantGraph, steps: int) -> NDArray[np.int8]:
    stride, bands = graph.tensor(graph.input).shape
    return np.random.default_rng(0).integers(-128, 128, (steps * stride, bands)).astype(np.int8)


def chain(*ops: Op, shapes: tuple[tuple[int, int, int], ...], states: tuple[State, ...] = ()) -> QuantGraph:
    """The input as the map 'map', then these operators; ``shapes`` are those of 'map' and their outputs."""
    frames, *rest = shapes[0]
    tensors = [
        Tensor(name, shape, QUANT) for name, shape in zip(("map", *(op.output for op in ops)), shapes, strict=True)
    ]
    tensors += [replace(tensor, name=f"past {tensor.name}") for tensor in tensors if states and tensor.name != "map"]
    used = {"map", *(op.output for op in ops), *(state.read for state in states)}
    return QuantGraph(
        (Tensor("input", (frames, int(np.prod(rest))), QUANT), *(tensor for tensor in tensors if tensor.name in used)),
        (Reshape("input", "map"), *ops),
        states,
        "input",
        ops[-1].output,
    )


def pointwise(source: str, output: str) -> Conv2D:
    """Gains 0.8 and 0.9: weights 3, -5 and 7, 2 of scale 0.1."""
    weights = np.array([[3, -5], [7, 2]], np.int8).reshape(2, 1, 1, 2)
    return Conv2D(source, output, weights, np.full(2, 0.1, np.float32), np.zeros(2, np.int32))


def test_each_operator_that_rounds_adds_one_to_what_it_passes_on() -> None:
    """One convolution is 1 off; the next passes 0.9 of it on, 0.9 + 1.26 is 2 whole LSB; then 1.8 + 1.26."""
    names = ("map", "a", "b", "c")
    for length, bound in ((2, 1), (3, 2), (4, 3)):
        ops = [pointwise(source, output) for source, output in itertools.pairwise(names[:length])]
        assert rounding.worst_case_lsb(chain(*ops, shapes=((1, 1, 2),) * length)) == bound


def test_the_worst_case_follows_states() -> None:
    """The output sees the first convolution only through what a state kept of it."""
    ops = (pointwise("map", "a"), pointwise("past a", "b"))
    graph = chain(*ops, shapes=((1, 1, 2),) * 3, states=(State("past a", "a"),))
    assert rounding.worst_case_lsb(graph) == 2
    assert verify.verify(graph, noise(graph, 40)).not_installed == ()


def test_pools_and_paddings_pass_on_what_they_are_given() -> None:
    """A window of exact paddings halves the difference; a mean is rounded, the largest value is not."""
    first = pointwise("map", "a")
    shapes = ((1, 1, 2), (1, 1, 2))
    assert rounding.worst_case_lsb(chain(first, Pad("a", "b", 1, 2), shapes=(*shapes, (1, 4, 2)))) == 1
    assert rounding.worst_case_lsb(chain(first, MaxPool2D("a", "b", 1, 1), shapes=(*shapes, (1, 1, 2)))) == 1
    assert rounding.worst_case_lsb(chain(first, AveragePool2D("a", "b", 1, 1), shapes=(*shapes, (1, 1, 2)))) == 2
    mean = AveragePool2D("b", "c", 1, 4)
    assert rounding.worst_case_lsb(chain(first, Pad("a", "b", 0, 3), mean, shapes=(*shapes, (1, 4, 2), (1, 1, 2)))) == 1


def test_an_addition_passes_on_both() -> None:
    graph = chain(pointwise("map", "a"), Add(("a", "a"), "b"), shapes=((1, 1, 2),) * 3)
    assert rounding.worst_case_lsb(graph) == 3
    coarse = [replace(tensor, quant=Quant(2.0, 0)) if tensor.name == "b" else tensor for tensor in graph.tensors]
    assert rounding.worst_case_lsb(replace(graph, tensors=tuple(coarse))) == 1, "2 LSB of 0.5 are half a one of 2.0"


def test_a_depthwise_convolution_passes_on_what_is_under_its_kernel() -> None:
    """Rows 0 and 2 of the map, by 1.0 and 0.5; only row 0 differs at all."""
    weights = np.array([[[10, 10]], [[5, 5]]], np.int8)
    depthwise = DepthwiseConv2D("b", "c", weights, np.full(2, 0.1, np.float32), np.zeros(2, np.int32), dilation_time=2)
    graph = chain(pointwise("map", "b"), depthwise, shapes=((3, 1, 2), (3, 1, 2), (1, 1, 2)))
    assert rounding.worst_case_lsb(graph) == 2, "1.5 + 1.26"


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_no_runtime_differs_by_more_than_the_worst_case(
    random_graphs: st.SearchStrategy[QuantGraph], data: st.DataObject
) -> None:
    """Whatever the operators, scales, zero points, strides and states."""
    graph = data.draw(random_graphs.filter(fit_for_xnnpack))
    features = noise(graph, 12)
    wanted = Interpreter(graph).run(features).astype(np.int16)
    for engine in rounded_engines(graph):
        assert np.abs(engine.run(features) - wanted).max() <= rounding.worst_case_lsb(graph), engine.name


def fit_for_xnnpack(graph: QuantGraph) -> bool:
    """XNNPACK's addition overflows where an LSB of an input is 2^8 of the output's, where nothing but the two ends of
    int8 is left of a sum; and it gives up on a state added to itself.
    """
    for op in graph.ops:
        if isinstance(op, Add):
            greatest = max(graph.tensor(name).quant.scale for name in op.inputs)
            if greatest > 100 * graph.tensor(op.output).quant.scale or op.inputs[0] == op.inputs[1]:
                return False
    return True


@pytest.mark.parametrize("seed", range(3))
def test_what_a_deep_graph_shows_bounds_every_runtime(residual_like: Maker, seed: int) -> None:
    """Through 27 operators the worst case is all of int8; what the float kernels show is a fraction of it."""
    graph = residual_like(np.random.default_rng(seed))
    features = noise(graph, 400)
    wanted = Interpreter(graph).run(features)
    bound = rounding.bound_lsb(graph, features, wanted)
    assert rounding.worst_case_lsb(graph) > 100
    assert 3 <= bound <= 30
    for engine in rounded_engines(graph):
        difference = np.abs(engine.run(features).astype(np.int16) - wanted)
        assert 1 <= difference.max() <= bound, engine.name


def test_the_float_kernels_are_what_xnnpack_computes(deepkws_like: Maker) -> None:
    """Not only about as far from the graph: the same values, in the same steps."""
    graph = deepkws_like(np.random.default_rng(3), hidden=32)
    features = noise(graph, 1000)
    rounded = Interpreter(graph, FLOAT_KERNELS).run(features)
    assert (rounded != Interpreter(graph).run(features)).any()
    np.testing.assert_array_equal(LiteRtEngine(tflite.to_bytes(graph)).run(features), rounded)


def test_a_shallow_graph_keeps_its_worst_case() -> None:
    """Twice 1 LSB more than was seen would be 4."""
    graph = chain(pointwise("map", "a"), shapes=((1, 1, 2),) * 2)
    features = noise(graph, 500)
    rounded = Interpreter(graph, FLOAT_KERNELS).run(features)
    assert np.abs(rounded.astype(np.int16) - Interpreter(graph).run(features)).max() == 1
    assert rounding.bound_lsb(graph, features, Interpreter(graph).run(features)) == 1
