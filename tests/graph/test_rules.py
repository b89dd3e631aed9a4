"""Each operator that treats maps: a broken one is refused with its name and what to do; the whole one passes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kws.graph.check import GraphError, check
from kws.graph.ir import (
    Add,
    AveragePool2D,
    DepthwiseConv2D,
    MaxPool2D,
    Op,
    Pad,
    Quant,
    QuantGraph,
    Reshape,
    Tensor,
)

LFBE = Quant(0.125, -128)
OTHER = Quant(0.5, 7)

MAPS = {
    "map": Tensor("map", (4, 6, 2), LFBE),
    "row": Tensor("row", (4, 1, 12), LFBE),
    "depthwise": Tensor("depthwise", (1, 2, 2), OTHER),
    "padded": Tensor("padded", (4, 9, 2), LFBE),
    "sum": Tensor("sum", (4, 6, 2), OTHER),
    "columns": Tensor("columns", (4, 1, 2), LFBE),
    "largest": Tensor("largest", (2, 1, 2), LFBE),
}
CONSTANTS = (np.ones((2, 3, 2), np.int8), np.ones(2, np.float32), np.zeros(2, np.int32))
DEPTHWISE = DepthwiseConv2D("map", "depthwise", *CONSTANTS, stride_frequency=2, dilation_time=3)
PAD = Pad("map", "padded", before=1, after=2)
ADD = Add(("map", "columns"), "sum")
LARGEST = MaxPool2D("map", "largest", window_time=2, window_frequency=4)
COLUMNS = AveragePool2D("map", "columns", window_time=1, window_frequency=6)


def graph(*ops: Op, **tensors: dict[str, Any]) -> QuantGraph:
    """A map of 4 x 6 x 2, ``ops`` of it, the last one's output being the graph's; ``tensors`` are changed tensors."""
    used = ["map", *(op.output for op in ops)]
    changed = [replace(MAPS[name], **tensors.get(name, {})) for name in used]
    features = Tensor("features", (4, 12), changed[0].quant)
    return QuantGraph((features, *changed), (Reshape("features", "map"), *ops), (), "features", used[-1])


@pytest.mark.parametrize(
    "whole",
    [
        graph(DEPTHWISE),
        graph(PAD),
        graph(COLUMNS, ADD),
        graph(replace(ADD, inputs=("map", "map"))),
        graph(LARGEST),
        graph(COLUMNS),
    ],
)
def test_the_whole_operators_pass(whole: QuantGraph) -> None:
    check(whole)


def depthwise(**changes: Any) -> QuantGraph:
    return graph(replace(DEPTHWISE, **changes))


def pad(**changes: Any) -> QuantGraph:
    return graph(replace(PAD, **changes))


def addition(**changes: Any) -> QuantGraph:
    """After a pool, whose output "columns" the addition may take."""
    return graph(COLUMNS, replace(ADD, **changes))


def pool(op: MaxPool2D | AveragePool2D, **changes: Any) -> QuantGraph:
    return graph(replace(op, **changes))


BROKEN: dict[str, tuple[Callable[[], QuantGraph], str]] = {
    "weights type": (lambda: depthwise(weights=np.ones((2, 3, 2), np.int16)), "weights are int16"),
    "weights rank": (
        lambda: depthwise(weights=np.ones((1, 2, 3, 2), np.int8)),
        "not int8 \\[time, frequency, channels",
    ),
    "weights empty": (lambda: depthwise(weights=np.ones((2, 0, 2), np.int8)), "weights are int8\\[2, 0, 2\\]"),
    "weights -128": (lambda: depthwise(weights=np.full((2, 3, 2), -128, np.int8)), r"outside -127\.\.127"),
    "weights of four bits": (
        lambda: depthwise(weights=np.full((2, 3, 2), 8, np.int8), weight_bits=4),
        r"-7\.\.7",
    ),
    "weight bits": (lambda: depthwise(weight_bits=2), "weight_bits is 2; it must be 8 or 4"),
    "weight scales": (lambda: depthwise(weight_scales=np.ones(3, np.float32)), "weight_scales must be float32 \\[2\\]"),
    "weight scale 0": (lambda: depthwise(weight_scales=np.zeros(2, np.float32)), "positive and finite"),
    "bias": (lambda: depthwise(bias=np.zeros(2, np.int64)), "bias must be int32 \\[2\\]"),
    "bias overflow": (
        lambda: depthwise(bias=np.array([0, 2**31 - 6 * 255], np.int32)),
        "channel 1: an accumulator of up to 2147483648",
    ),
    "shift overflow": (lambda: depthwise(weight_scales=np.array([2.0**24, 1], "f4")), "channel 0: .* overflows int32"),
    "multiplier": (lambda: depthwise(weight_scales=np.array([1, 2.0**33], "f4")), "channel 1: the multiplier"),
    "channels": (
        lambda: depthwise(weights=np.ones((2, 3, 1), np.int8), weight_scales=np.ones(1, "f4"), bias=np.zeros(1, "i4")),
        "the input \\(4, 6, 2\\) must be \\(time, frequency, 1\\)",
    ),
    "input rank": (lambda: depthwise(input="features"), "the input \\(4, 12\\) must be \\(time, frequency, 2\\)"),
    "dilation 0": (lambda: depthwise(dilation_time=0), "dilation_time 0 must be a whole number from 1 on"),
    "dilation float": (lambda: depthwise(dilation_time=1.0), "dilation_time 1.0"),
    "dilation huge": (lambda: depthwise(dilation_time=2**30), "that fits the input"),
    "dilation too far": (lambda: depthwise(dilation_time=4), "the kernel 5 x 3 is larger than the input \\(4, 6, 2\\)"),
    "kernel too wide": (lambda: depthwise(weights=np.ones((1, 7, 2), np.int8)), "the kernel 1 x 7 is larger"),
    "stride 0": (lambda: depthwise(stride_time=0), "strides 0 and 2 must be whole numbers"),
    "stride huge": (lambda: depthwise(stride_frequency=2**30), "do not fit an int32"),
    "depthwise output": (lambda: depthwise(stride_frequency=1), "has the shape \\(1, 2, 2\\), not \\(1, 4, 2\\)"),
    "activation": (lambda: depthwise(activation="tanh"), "the activation 'tanh'"),
    "pad negative": (lambda: pad(before=-1), "before -1 and after 2 must be whole numbers .*; slice"),
    "pad float": (lambda: pad(after=2.0), "after 2.0"),
    "pad output": (lambda: pad(after=1), "has the shape \\(4, 9, 2\\), not \\(4, 8, 2\\)"),
    "pad quant": (lambda: graph(PAD, padded={"quant": OTHER}), "'map' has Quant.*; they must be equal"),
    "pad rank": (
        lambda: pad(input="features"),
        "'features' .* must be \\(time, frequency, channels\\)",
    ),
    "add one": (lambda: addition(inputs=("map",)), "it has 1 inputs; give two"),
    "add three": (lambda: addition(inputs=("map",) * 3), "it has 3 inputs; give two"),
    "add rank": (lambda: addition(inputs=("features", "features")), "reshape it"),
    "add broadcasts the second": (
        lambda: addition(inputs=("columns", "map")),
        "'map' \\(4, 6, 2\\) must have the shape of 'columns', \\(4, 1, 2\\)",
    ),
    "add time": (lambda: graph(LARGEST, replace(ADD, inputs=("map", "largest"))), "or \\(4, 1, 2\\) to be added"),
    "add output": (
        lambda: graph(replace(ADD, inputs=("map", "map")), sum={"shape": (4, 12, 1)}),
        "has the shape \\(4, 12, 1\\), not \\(4, 6, 2\\)",
    ),
    "add activation": (lambda: addition(activation="relu6"), "the activation 'relu6'"),
    "add too fine": (lambda: graph(COLUMNS, ADD, sum={"quant": Quant(2.0**-22, 0)}), "use a greater output scale"),
    "add far too fine": (lambda: graph(COLUMNS, ADD, sum={"quant": Quant(2.0**-120, 0)}), "use a greater output scale"),
    "max pool window": (lambda: pool(LARGEST, window_time=0), "the window 0 x 4 must be two whole numbers from 1 on"),
    "max pool float": (lambda: pool(LARGEST, window_frequency=4.0), "the window 2 x 4.0"),
    "max pool large": (lambda: pool(LARGEST, window_time=5), "the window 5 x 4 is larger than the input \\(4, 6, 2\\)"),
    "max pool output": (lambda: pool(LARGEST, window_frequency=3), "has the shape \\(2, 1, 2\\), not \\(2, 2, 2\\)"),
    "max pool quant": (lambda: graph(LARGEST, largest={"quant": OTHER}), "they must be equal"),
    "max pool rank": (lambda: pool(LARGEST, input="features"), "reshape it"),
    "average window": (lambda: pool(COLUMNS, window_frequency=-6), "the window 1 x -6"),
    "average output": (lambda: pool(COLUMNS, window_time=2), "has the shape \\(4, 1, 2\\), not \\(2, 1, 2\\)"),
    "average quant": (lambda: graph(COLUMNS, columns={"quant": OTHER}), "they must be equal"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_operator_is_refused(case: str) -> None:
    make, sentence = BROKEN[case]
    with pytest.raises(GraphError, match=sentence) as refusal:
        check(make())
    assert str(refusal.value).startswith("operator ")
    assert "\n" not in str(refusal.value)


def test_an_average_whose_sum_overflows_is_refused() -> None:
    """Of 16,647,160 values: 129 times that is 2^31 - 8 and passes, one row more does not."""
    for rows, passes in ((16_647_160, True), (16_647_161, False)):
        tensors = (
            Tensor("features", (rows, 1), LFBE),
            Tensor("map", (rows, 1, 1), LFBE),
            Tensor("mean", (1,) * 3, LFBE),
        )
        ops = (Reshape("features", "map"), AveragePool2D("map", "mean", rows, 1))
        whole = QuantGraph(tensors, ops, (), "features", "mean")
        if passes:
            check(whole)
        else:
            with pytest.raises(GraphError, match="overflows int32; pool in two steps"):
                check(whole)


def test_the_largest_depthwise_accumulator_passes() -> None:
    limit = 2**31 - 1 - 6 * 255
    bias = np.array([limit, -limit], np.int32)
    check(depthwise(bias=bias, weight_scales=np.full(2, 2.0**-10, np.float32)))


@pytest.mark.parametrize(("scale", "passes"), [(2.0**-22, False), (float(np.float32(2.0**-22 * 1.001)), True)])
def test_the_finest_sum(scale: float, passes: bool) -> None:
    """Twice the greater input scale over 2^20 times the output's must be below 1: 2^-2 / 2^20 here."""
    made = graph(COLUMNS, ADD, sum={"quant": Quant(scale, 0)})
    if passes:
        check(made)
    else:
        with pytest.raises(GraphError, match="times finer than the inputs"):
            check(made)
