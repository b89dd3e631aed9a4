"""Each broken graph is refused with a sentence that names the culprit; the whole one passes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.errors import KwsError
from kws.graph.check import GraphError, check
from kws.graph.ir import Concat, Conv2D, Quant, QuantGraph, Reshape, Slice, State, Tensor

LFBE = Quant(0.125, -128)
LOGIT = Quant(0.25, 0)


def conv(**changes: Any) -> Conv2D:
    whole = Conv2D(
        "window",
        "logits",
        weights=np.ones((2, 2, 3, 1), np.int8),
        weight_scales=np.ones(2, np.float32),
        bias=np.zeros(2, np.int32),
    )
    return replace(whole, **changes)


def graph(**changes: Any) -> QuantGraph:
    """Frames of 3 bands; a window of the last frame and this one; two logits."""
    whole = QuantGraph(
        tensors=(
            Tensor("features", (1, 3), LFBE),
            Tensor("frame", (1, 3, 1), LFBE),
            Tensor("last", (1, 3, 1), LFBE),
            Tensor("window", (2, 3, 1), LFBE),
            Tensor("next", (1, 3, 1), LFBE),
            Tensor("logits", (1, 1, 2), LOGIT),
        ),
        ops=(
            Reshape("features", "frame"),
            Concat(("last", "frame"), "window"),
            Slice("window", "next", 1),
            conv(),
        ),
        states=(State("last", "next"),),
        input="features",
        output="logits",
    )
    return replace(whole, **changes)


def with_tensor(name: str, **changes: Any) -> QuantGraph:
    return graph(tensors=tuple(replace(t, **changes) if t.name == name else t for t in graph().tensors))


def with_op(index: int, op: Any) -> QuantGraph:
    ops = list(graph().ops)
    ops[index] = op
    return graph(ops=tuple(ops))


def with_extra(tensor: Tensor, **changes: Any) -> QuantGraph:
    return graph(tensors=(*graph().tensors, tensor), **changes)


@dataclass(frozen=True)
class Softmax:
    input: str
    output: str


BROKEN: dict[str, tuple[Callable[[], QuantGraph], str]] = {
    "name twice": (lambda: with_extra(Tensor("frame", (1,), LFBE)), "'frame': the name is used twice"),
    "unknown name": (lambda: graph(output="posteriors"), "'posteriors': it is used, but not among"),
    "unknown state": (lambda: graph(states=(State("last", "later"),)), "'later': it is used"),
    "no shape": (lambda: with_tensor("next", shape=()), "'next': the shape"),
    "zero length": (lambda: with_tensor("next", shape=(0, 3, 1)), "'next': the shape"),
    "shape of floats": (lambda: with_tensor("next", shape=(1.0, 3, 1)), "'next': the shape"),
    "huge shape": (lambda: with_tensor("next", shape=(2**16, 2**15, 1)), "more than 2\\^31 - 1 values"),
    "scale zero": (lambda: with_tensor("next", quant=Quant(0.0, 0)), "'next': the scale 0.0"),
    "scale negative": (lambda: with_tensor("next", quant=Quant(-0.5, 0)), "'next': the scale -0.5"),
    "scale nan": (lambda: with_tensor("next", quant=Quant(float("nan"), 0)), "the scale nan"),
    "scale infinite": (lambda: with_tensor("next", quant=Quant(float("inf"), 0)), "the scale inf"),
    "scale not float32": (lambda: with_tensor("next", quant=Quant(0.1, 0)), "must be a positive finite float32"),
    "scale beyond float32": (lambda: with_tensor("next", quant=Quant(1e39, 0)), "must be a positive finite float32"),
    "zero point 128": (lambda: with_tensor("next", quant=Quant(0.125, 128)), "the zero point 128"),
    "zero point -129": (lambda: with_tensor("next", quant=Quant(0.125, -129)), "the zero point -129"),
    "zero point float": (lambda: with_tensor("next", quant=Quant(0.125, 0.0)), "the zero point 0.0"),  # type: ignore[arg-type]  # the case
    "read before written": (lambda: graph(ops=graph().ops[::-1]), "'window' is read before it is written"),
    "written twice": (lambda: graph(ops=(*graph().ops, Reshape("features", "frame"))), "'frame' is already written"),
    "input written": (lambda: graph(ops=(*graph().ops, Reshape("frame", "features"))), "'features' is already written"),
    "state read written": (lambda: graph(ops=(*graph().ops, Slice("window", "last", 0))), "'last' is already written"),
    "never written": (lambda: with_extra(Tensor("spare", (1,), LFBE)), "'spare': nothing writes it"),
    "state read twice": (lambda: graph(states=(State("last", "next"),) * 2), "'last': it is filled twice"),
    "state reads the input": (lambda: graph(states=(State("features", "next"),)), "'features': it is filled twice"),
    "state of itself": (lambda: graph(states=(State("last", "last"),)), "'last': it is written from itself"),
    "state shape": (lambda: graph(states=(State("last", "window"),)), "state 'last' <- 'window': .* differ"),
    "state quant": (lambda: with_tensor("last", quant=Quant(0.125, 0)), "'last' has Quant"),
    "unknown operator": (lambda: with_op(2, Softmax("window", "next")), "operator 2 \\(Softmax\\): it is not known"),
    "input rank": (
        lambda: with_tensor("features", shape=(1, 3, 1)),
        "input 'features': the shape",
    ),
    "input scale": (lambda: with_tensor("features", quant=Quant(2.0**-24, 0)), "input 'features': .* too small"),
    "latency": (lambda: graph(latency_frames=-1), "latency_frames is -1"),
    "output apart from the input": (
        lambda: graph(
            tensors=(Tensor("features", (1, 3), LFBE), Tensor("a", (1, 3), LFBE), Tensor("b", (1, 3), LFBE)),
            ops=(Reshape("a", "b"),),
            states=(State("a", "b"),),
            output="b",
        ),
        "output 'b': it does not depend on the input",
    ),
    "reshape size": (lambda: with_tensor("frame", shape=(1, 3, 2)), "operator 0 \\(Reshape -> 'frame'\\): \\(1, 3\\)"),
    "reshape quant": (lambda: with_tensor("features", quant=Quant(0.5, -128)), "'features' has Quant"),
    "concat empty": (lambda: with_op(1, Concat((), "window")), "one or more"),
    "concat columns": (lambda: with_op(1, Concat(("last", "features"), "window")), "the same shape from the second"),
    "concat rows": (lambda: with_op(1, Concat(("last",), "window")), "have 1 rows in total, but the output has 2"),
    "concat quant": (lambda: with_tensor("window", quant=Quant(0.125, 3)), "operator 1 .*: 'last' has"),
    "slice end": (lambda: with_op(2, Slice("window", "next", 2)), "operator 2 .*: rows 2 .. 2 \\+ 1 are not all in 2"),
    "slice begin": (lambda: with_op(2, Slice("window", "next", -1)), "rows -1"),
    "slice columns": (lambda: with_op(2, Slice("features", "next", 0)), "must be equal from the second axis on"),
    "slice quant": (lambda: with_tensor("next", quant=Quant(0.25, -128)), "operator 2 .*: 'window' has"),
    "weights type": (lambda: with_op(3, conv(weights=np.ones((2, 2, 3, 1), np.int16))), "weights are int16"),
    "weights rank": (lambda: with_op(3, conv(weights=np.ones((2, 6), np.int8))), "weights are int8\\[2, 6\\]"),
    "weights empty": (lambda: with_op(3, conv(weights=np.ones((2, 0, 3, 1), np.int8))), "weights are int8\\[2, 0"),
    "weights -128": (lambda: with_op(3, conv(weights=np.full((2, 2, 3, 1), -128, np.int8))), r"outside -127\.\.127"),
    "weight scales type": (lambda: with_op(3, conv(weight_scales=np.ones(2))), "weight_scales must be float32 \\[2\\]"),
    "weight scales shape": (lambda: with_op(3, conv(weight_scales=np.ones(3, np.float32))), "must be float32 \\[2\\]"),
    "weight scale nan": (lambda: with_op(3, conv(weight_scales=np.array([1, np.nan], np.float32))), "positive and"),
    "weight scale zero": (lambda: with_op(3, conv(weight_scales=np.array([1, 0], np.float32))), "positive and finite"),
    "bias type": (lambda: with_op(3, conv(bias=np.zeros(2, np.int64))), "bias must be int32 \\[2\\]"),
    "bias shape": (lambda: with_op(3, conv(bias=np.zeros(1, np.int32))), "bias must be int32 \\[2\\]"),
    "bias overflow": (lambda: with_op(3, conv(bias=np.array([0, 2**31 - 1530], "i4"))), "channel 1: an accumulator"),
    "bias least": (lambda: with_op(3, conv(bias=np.array([0, -(2**31)], np.int32))), "channel 1: an accumulator"),
    "shift overflow": (
        lambda: with_op(3, conv(weight_scales=np.array([1, 2.0**22], np.float32))),
        "channel 1: an accumulator of up to 1530, shifted left by 22, overflows",
    ),
    "multiplier": (lambda: with_op(3, conv(weight_scales=np.array([1, 2**31], "f4"))), "channel 1: the multiplier"),
    "stride zero": (lambda: with_op(3, conv(stride_time=0)), "strides 0 and 1"),
    "stride float": (lambda: with_op(3, conv(stride_frequency=1.0)), "strides 1 and 1.0"),
    "stride huge": (lambda: with_op(3, conv(stride_time=2**30)), "do not fit an int32"),
    "conv input rank": (lambda: with_op(3, conv(input="features")), "must be \\(time, frequency, 1\\)"),
    "conv depth": (lambda: with_op(3, conv(weights=np.ones((2, 2, 3, 2), np.int8))), "\\(time, frequency, 2\\)"),
    "kernel": (lambda: with_op(3, conv(weights=np.ones((2, 3, 3, 1), np.int8))), "the kernel 3 x 3 is larger than"),
    "conv output": (lambda: with_tensor("logits", shape=(1, 2, 2)), "has the shape \\(1, 2, 2\\), not \\(1, 1, 2\\)"),
    "activation": (lambda: with_op(3, conv(activation="tanh")), "the activation 'tanh'"),
}  # fmt: skip


def test_the_whole_graph_passes() -> None:
    check(graph())


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_graph_is_refused(case: str) -> None:
    make, sentence = BROKEN[case]
    with pytest.raises(GraphError, match=sentence) as refusal:
        check(make())
    assert isinstance(refusal.value, KwsError)
    assert "\n" not in str(refusal.value)


def test_the_largest_accumulator_passes() -> None:
    limit = 2**31 - 1 - 6 * 255
    check(with_op(3, conv(bias=np.array([limit, -limit], np.int32), weight_scales=np.full(2, 2.0**-10, np.float32))))


def test_a_deepkws_graph_passes(deepkws_graph: QuantGraph) -> None:
    check(deepkws_graph)


@settings(deadline=None)
@given(data=st.data())
def test_random_graphs_pass(graphs: st.SearchStrategy[QuantGraph], data: st.DataObject) -> None:
    check(data.draw(graphs))
