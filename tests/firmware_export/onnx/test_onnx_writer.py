"""The .onnx: sound by onnx's own checker, the graph's numbers in integers, and but for float rounding in QDQ form."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from firmware_export.engines.runtimes import OnnxEngine
from firmware_export.onnx import writer as onnx_writer
from kws.errors import KwsError
from kws.graph.interpret import Interpreter
from kws.graph.ir import Concat, Conv2D, Quant, QuantGraph, State, Tensor
from kws.graph.packing import pack_int4

Maker = Callable[..., QuantGraph]
GRAPHS = int(os.environ.get("KWS_RANDOM_GRAPHS", "120"))  # `make random-graphs` draws more


@pytest.fixture
def graph(deepkws_like: Maker) -> QuantGraph:
    return deepkws_like(np.random.default_rng(1), hidden=16, layers=2)


def features_for(graph: QuantGraph, steps: int) -> NDArray[np.int8]:
    stride, bands = graph.tensor(graph.input).shape
    return np.random.default_rng(0).integers(-128, 128, (steps * stride, bands)).astype(np.int8)


def difference_lsb(graph: QuantGraph, steps: int, form: onnx_writer.Form = "integer") -> NDArray[np.int16]:
    features = features_for(graph, steps)
    got = OnnxEngine(onnx_writer.to_bytes(graph, form=form)).run(features)
    difference: NDArray[np.int16] = np.abs(got.astype(np.int16) - Interpreter(graph).run(features))
    return difference


@pytest.mark.parametrize(("form", "kind", "initial"), [("integer", np.uint8, 91), ("qdq", np.int8, -37)])
def test_the_model_passes_the_checker_and_says_what_it_is(
    graph: QuantGraph, form: onnx_writer.Form, kind: type, initial: int
) -> None:
    content = onnx_writer.to_bytes(graph, "hey marvin", form=form, metadata={"kws.recipe_hash": "0123"})
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert model.doc_string == "hey marvin"
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert (properties["kws.recipe_hash"], properties["kws.form"]) == ("0123", form)
    states = json.loads(properties["kws.states"])
    assert states == [{"input": "state/past0", "output": "next/past0", "initial": initial}]
    int8, state = (onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for dtype in (np.int8, kind))

    def described(values: Any) -> dict[str, tuple[int, list[int]]]:
        types = {value.name: value.type.tensor_type for value in values}
        return {name: (t.elem_type, [axis.dim_value for axis in t.shape.dim]) for name, t in types.items()}

    assert described(model.graph.input) == {"features": (int8, [1, 1, 40]), "state/past0": (state, [1, 40, 40, 1])}
    assert described(model.graph.output) == {"logits": (int8, [1, 3]), "next/past0": (state, [1, 40, 40, 1])}


def test_equal_graphs_give_equal_bytes(deepkws_like: Maker) -> None:
    first, second = (onnx_writer.to_bytes(deepkws_like(np.random.default_rng(4), hidden=8)) for _ in range(2))
    assert first == second != onnx_writer.to_bytes(deepkws_like(np.random.default_rng(5), hidden=8))


def test_scales_and_zero_points_are_scalars(residual_like: Maker) -> None:
    """ONNX Runtime's integer operators refuse vectors of one; convolutions alone have one for each channel."""
    model = onnx.load_from_string(onnx_writer.to_bytes(residual_like(np.random.default_rng(1)), form="qdq"))
    dims = {array.name: tuple(array.dims) for array in model.graph.initializer}
    quantized = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    per_tensor = [node for node in quantized if not node.attribute]
    assert len(per_tensor) > 20
    assert all(dims[name] == () for node in per_tensor for name in node.input[1:])


@settings(max_examples=GRAPHS, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=st.data())
def test_any_small_graph_is_equal_in_the_integer_form(
    random_graphs: st.SearchStrategy[QuantGraph], data: st.DataObject
) -> None:
    """Of weights of eight and of four bits, whatever the scales and zero points."""
    graph = data.draw(random_graphs)
    assert difference_lsb(graph, 12).max(initial=0) == 0


def test_a_deep_graph_is_equal_in_the_integer_form(residual_like: Maker) -> None:
    """Where the QDQ form is tens of LSB off."""
    graph = residual_like(np.random.default_rng(1))
    assert difference_lsb(graph, 300).max() == 0
    assert difference_lsb(graph, 300, "qdq").max() > 1


def test_the_qdq_form_of_deepkws_differs_by_at_most_one_and_seldom(deepkws_like: Maker) -> None:
    """Over 3,000 steps; ``verify`` has the figures of longer runs."""
    difference = difference_lsb(deepkws_like(np.random.default_rng(1)), 3000, "qdq")
    assert difference.max() <= 1
    assert np.count_nonzero(difference) < 0.05 * difference.size


@pytest.mark.parametrize("form", ["integer", "qdq"])
def test_weights_of_four_bits_are_packed(deepkws_like: Maker, four_bits: Maker, form: onnx_writer.Form) -> None:
    """Half the bytes, in the integer form with 8 added to each value; the same numbers, within 1 LSB in QDQ form."""
    four = four_bits(deepkws_like(np.random.default_rng(1), hidden=32))
    model = onnx.load_from_string(onnx_writer.to_bytes(four, form=form))
    kind, offset = (onnx.TensorProto.INT4, 0) if form == "qdq" else (onnx.TensorProto.UINT8, 0x88)
    packed = [array.raw_data for array in model.graph.initializer if array.data_type == kind]
    weights = [op.weights.transpose(0, 3, 1, 2) for op in four.ops if isinstance(op, Conv2D)]
    for values in weights:
        assert (pack_int4(values) ^ np.uint8(offset)).tobytes() in packed
    assert difference_lsb(four, 200, form).max() <= (0 if form == "integer" else 1)


def test_weights_of_four_bits_are_unpacked_when_the_file_is_loaded(
    deepkws_like: Maker, four_bits: Maker, tmp_path: Path
) -> None:
    """ONNX Runtime's optimizer leaves no node of it: a step costs what it costs with eight bits."""
    graph = deepkws_like(np.random.default_rng(1), hidden=17)  # an odd number of weights
    eight, four = (nodes_left(each, tmp_path / "optimized.onnx") for each in (graph, four_bits(graph)))
    assert eight == four


def nodes_left(graph: QuantGraph, path: Path) -> Counter[str]:
    """Which nodes ONNX Runtime runs in a step of the integer form; it writes them to ``path``."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(onnx_writer.to_bytes(graph), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("form", ["integer", "qdq"])
def test_states_that_are_inputs_or_outputs_or_kept_are_exact(form: onnx_writer.Form) -> None:
    quant = Quant(0.5, -7)
    frames = [Tensor(name, (1, 2), quant) for name in ("input", "older", "oldest")]
    graph = QuantGraph(
        (*frames, Tensor("output", (3, 2), quant), Tensor("kept", (3, 2), quant)),
        (Concat(("input", "older", "oldest"), "output"),),
        (State("older", "input"), State("oldest", "older"), State("kept", "output")),
        "input",
        "output",
    )
    assert difference_lsb(graph, 10, form).max() == 0


@dataclass(frozen=True)
class Swirl:
    """An operator that no writer knows."""

    input: str
    output: str


def test_an_operator_that_cannot_be_expressed_is_named(graph: QuantGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = replace(graph, ops=(*graph.ops[:-1], Swirl("window0", graph.output)))  # type: ignore[arg-type]  # on purpose
    with pytest.raises(KwsError, match="Swirl"):
        onnx_writer.to_bytes(strange)
    monkeypatch.setattr(onnx_writer, "check", lambda _: None)  # a graph operator of tomorrow, without a lowering
    with pytest.raises(KwsError, match=rf"Swirl \(output '{graph.output}'\) cannot be written as ONNX"):
        onnx_writer.to_bytes(strange)


def test_a_failed_write_leaves_the_old_file(graph: QuantGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "marvin.onnx"
    onnx_writer.write(graph, path, "first")
    first = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(KwsError, match=r"marvin\.onnx: cannot be written"):
        onnx_writer.write(graph, path, "second")
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_without_the_package_the_sentence_names_the_extra(graph: QuantGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(KwsError, match=r'onnx is not installed here; pip install "kws\[export\]"'):
        onnx_writer.to_bytes(graph)
