"""The round trip is exact; anything else than what was written is refused with the file and the key."""

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.errors import KwsError
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
    Tensor,
)
from kws.graph.serialize import from_data, to_data


def assert_equal(one: QuantGraph, other: QuantGraph) -> None:
    for name in ("tensors", "states", "input", "output", "latency_frames"):
        assert getattr(one, name) == getattr(other, name)
    assert len(one.ops) == len(other.ops)
    for left, right in zip(one.ops, other.ops, strict=True):
        assert type(left) is type(right)
        for field in fields(left):
            a, b = getattr(left, field.name), getattr(right, field.name)
            assert type(a) is type(b)
            if isinstance(a, np.ndarray):
                assert a.dtype == b.dtype
                assert np.array_equal(a, b)
            else:
                assert a == b


@settings(deadline=None)
@given(data=st.data())
def test_the_round_trip_through_json_is_exact(graphs: st.SearchStrategy[QuantGraph], data: st.DataObject) -> None:
    graph = data.draw(graphs)
    arrays, plain = to_data(graph)
    assert_equal(from_data(arrays, json.loads(json.dumps(plain))), graph)


def test_every_operator_has_a_name_and_keeps_its_fields() -> None:
    quant = Quant(0.5, -3)
    weights = np.arange(12, dtype=np.int8).reshape(2, 3, 2)
    ops: dict[Op, tuple[int, ...]] = {
        Reshape("features", "x"): (4, 6, 2),
        Pad("x", "padded", 1, 2): (4, 9, 2),
        DepthwiseConv2D("x", "depthwise", weights, np.ones(2, np.float32), np.ones(2, np.int32), 2, 3, 3, "relu"): (
            1,
            2,
            2,
        ),
        Add(("x", "x"), "sum", "relu"): (4, 6, 2),
        MaxPool2D("x", "largest", 2, 3): (2, 2, 2),
        AveragePool2D("x", "mean", 4, 5): (1, 1, 2),
    }
    tensors = (Tensor("features", (4, 12), quant), *(Tensor(op.output, shape, quant) for op, shape in ops.items()))
    graph = QuantGraph(tensors, tuple(ops), (), "features", "mean")
    arrays, plain = to_data(graph)
    assert plain["ops"][3] == {"op": "Add", "inputs": ["x", "x"], "output": "sum", "activation": "relu"}
    assert plain["ops"][2]["dilation_time"] == 3
    assert_equal(from_data(arrays, json.loads(json.dumps(plain))), graph)
    plain["ops"][3]["inputs"] = ["x"]
    with pytest.raises(KwsError, match=r"model.kws: operator 3 .*it has 1 inputs; give two"):
        from_data(arrays, plain, "model.kws")


def test_deepkws_names_its_arrays(deepkws_graph: QuantGraph) -> None:
    arrays, plain = to_data(deepkws_graph)
    assert sorted(arrays)[:3] == ["op3.bias", "op3.weight_scales", "op3.weights"]
    assert plain["ops"][2] == {"op": "Slice", "input": "window", "output": "context_next", "begin": 1}
    assert plain["tensors"][0]["quant"] == {"scale": float(np.float32(0.16)), "zero_point": -128}
    assert plain["latency_frames"] == 10
    assert_equal(from_data(arrays, plain), deepkws_graph)


def int4_graph() -> QuantGraph:
    """One convolution with an odd number of weights of four bits."""
    tensors = tuple(
        Tensor(name, shape, Quant(0.5, 0)) for name, shape in {"x": (1, 5), "map": (1, 1, 5), "y": (1, 1, 3)}.items()
    )
    weights = np.arange(-7, 8, dtype=np.int8).reshape(3, 1, 1, 5)
    conv = Conv2D("map", "y", weights, np.ones(3, np.float32), np.zeros(3, np.int32), weight_bits=4)
    return QuantGraph(tensors, (Reshape("x", "map"), conv), (), "x", "y")


def test_weights_of_four_bits_are_packed_two_to_a_byte() -> None:
    arrays, plain = to_data(int4_graph())
    assert plain["ops"][1]["weight_bits"] == 4
    assert arrays["op1.weights"].tolist()[:2] == [0xA9, 0xCB]  # -7, -6; -5, -4: the first in the lower half
    assert arrays["op1.weights"].shape == (8,)
    assert_equal(from_data(arrays, json.loads(json.dumps(plain))), int4_graph())


def test_weights_of_eight_bits_are_written_as_before_there_were_four(deepkws_graph: QuantGraph) -> None:
    assert all("weight_bits" not in entry for entry in to_data(deepkws_graph)[1]["ops"])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([3, 1, 1, 7], r"operator 1: uint8\[8\] does not hold 21 values of four bits; the file is damaged"),
        ([3, 1, 1, 0], r"key 'weights_shape' is \[3, 1, 1, 0\]; it must be a list of positive whole numbers"),
        (None, r"key 'weights_shape' is None"),
    ],
)
def test_packed_weights_of_another_shape_are_refused(shape: list[int] | None, message: str) -> None:
    arrays, plain = to_data(int4_graph())
    plain["ops"][1]["weights_shape"] = shape
    with pytest.raises(KwsError, match=message):
        from_data(arrays, plain, "model.kws")


def drop_array(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    del arrays["op4.bias"]


def add_array(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    arrays["op9.bias"] = np.zeros(1, np.int32)


def retype_array(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    arrays["op4.bias"] = arrays["op4.bias"].astype(np.float32)


def drop_key(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    del data["latency_frames"]


def add_key(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    data["inputs"] = "features"


def unknown_op(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    data["ops"][1]["op"] = "Softmax"


def no_op(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    del data["ops"][1]["op"]


def op_key(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    data["ops"][2]["start"] = 1


def op_type(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    data["ops"][2]["begin"] = "1"


def op_not_a_table(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    data["ops"][2] = "Slice"


def bad_activation(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    data["ops"][3]["activation"] = "tanh"


def bad_scale(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    data["tensors"][0]["quant"]["scale"] = 0.1


def bad_shape(arrays: dict[str, Any], data: dict[str, Any]) -> None:
    data["tensors"][0]["shape"] = [1, 40.0]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (drop_array, "model.kws: the array 'op4.bias' is missing"),
        (add_array, "model.kws: the array 'op9.bias' is unknown"),
        (retype_array, "model.kws: operator 4 .*bias must be int32"),
        (drop_key, "model.kws: key 'latency_frames' is missing"),
        (add_key, "model.kws: unknown key 'inputs'"),
        (unknown_op, r"model.kws: key 'ops\[1\].op' is 'Softmax'; it must be one of Reshape"),
        (no_op, r"model.kws: key 'ops\[1\].op' is None"),
        (op_key, "model.kws: operator 2: unknown key 'start'"),
        (op_type, "model.kws: operator 2: key 'begin' is '1'"),
        (op_not_a_table, r"model.kws: key 'ops\[2\]' is 'Slice'"),
        (bad_activation, "model.kws: operator 3: key 'activation' is 'tanh'"),
        (bad_scale, "model.kws: tensor 'features': the scale 0.1"),
        (bad_shape, r"model.kws: key 'tensors\[0\].shape\[1\]' is 40.0"),
    ],
)
def test_a_damaged_graph_is_refused(
    deepkws_graph: QuantGraph, damage: Callable[[dict[str, Any], dict[str, Any]], None], sentence: str
) -> None:
    arrays, data = to_data(deepkws_graph)
    damage(arrays, data)
    with pytest.raises(KwsError, match=sentence):
        from_data(arrays, data, "model.kws")
