"""The .tflite: what stands in the file, and that the runtimes give the graph's numbers from it."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter as LiteRtInterpreter
from ai_edge_litert.interpreter import OpResolverType
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from firmware_export.engines.runtimes import LiteRtEngine, TfliteMicroEngine
from firmware_export.tflite import lowering as tflite_lowering
from firmware_export.tflite import writer as tflite
from kws.errors import KwsError
from kws.graph.interpret import Interpreter
from kws.graph.ir import Concat, Conv2D, DepthwiseConv2D, Quant, QuantGraph, Reshape, State, Tensor

Maker = Callable[..., QuantGraph]
Graphs = st.SearchStrategy[QuantGraph]
DATA = st.data()
GRAPHS = int(os.environ.get("KWS_RANDOM_GRAPHS", "120"))  # `make random-graphs` draws more


@pytest.fixture
def graph(deepkws_like: Maker) -> QuantGraph:
    return deepkws_like(np.random.default_rng(1), hidden=16, layers=2)


def features_for(graph: QuantGraph, steps: int, rng: np.random.Generator) -> NDArray[np.int8]:
    stride, bands = graph.tensor(graph.input).shape
    return rng.integers(-128, 128, (steps * stride, bands)).astype(np.int8)


def parsed(content: bytes) -> Any:
    return schema.ModelT.InitFromPackedBuf(content)


def operator_names(model: Any, subgraph: int = 0) -> list[str]:
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    codes = [names[code.builtinCode] for code in model.operatorCodes]
    return [codes[operator.opcodeIndex] for operator in model.subgraphs[subgraph].operators]


def test_the_operators_are_those_of_the_firmware(graph: QuantGraph) -> None:
    model = parsed(tflite.to_bytes(graph))
    main, initial = operator_names(model), operator_names(model, 1)
    assert set(main) | set(initial) <= tflite.MICRO_OPERATORS
    assert main[:3] == ["CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE"]
    assert main[-1] == "ASSIGN_VARIABLE"
    assert main.count("CONV_2D") == 3
    assert initial == ["VAR_HANDLE", "ASSIGN_VARIABLE"]


def test_the_head_of_the_file(graph: QuantGraph) -> None:
    content = tflite.to_bytes(graph, "hey marvin", metadata={"kws.recipe_hash": "0123456789abcdef"})
    model = parsed(content)
    assert content[4:8] == b"TFL3"
    assert model.version == 3
    assert model.description == b"hey marvin"
    assert len(model.subgraphs) == 2
    assert [entry.name for entry in model.metadata] == [b"kws.recipe_hash", b"kws.form", b"kws.file_sha256"]
    assert bytes(model.buffers[model.metadata[0].buffer].data) == b"0123456789abcdef"
    assert model.buffers[0].data is None
    handles = [o.builtinOptions for s in model.subgraphs for o in s.operators if hasattr(o.builtinOptions, "container")]
    # A missing container would be None, and a null pointer on the device.
    assert [(handle.container, handle.sharedName) for handle in handles] == [(b"", b"past0")] * 2


def test_shapes_and_quantization_as_the_device_sees_them(graph: QuantGraph) -> None:
    interpreter = LiteRtInterpreter(model_content=tflite.to_bytes(graph))
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert (given["shape"].tolist(), given["dtype"]) == ([1, 1, 40], np.int8)
    assert (made["shape"].tolist(), made["dtype"]) == ([1, 3], np.int8)
    for detail, name in ((given, graph.input), (made, graph.output)):
        quant = graph.tensor(name).quant
        assert detail["quantization"] == (quant.scale, quant.zero_point)


def test_weights_of_four_bits_are_packed_two_to_a_byte() -> None:
    """An odd number of them, the first in the lower half of its byte."""
    quant = Quant(1.0, 0)
    weights = np.array([1, -2, 3, 4, -5, 7, -7, 0, 6], np.int8).reshape(3, 1, 1, 3)
    constants = (weights, np.ones(3, np.float32), np.zeros(3, np.int32))
    tensors = (Tensor("input", (1, 3), quant), Tensor("map", (1, 1, 3), quant), Tensor("output", (1, 1, 3), quant))
    conv = Conv2D("map", "output", *constants, weight_bits=4)
    graph = QuantGraph(tensors, (Reshape("input", "map"), conv), (), "input", "output")
    model = parsed(tflite.to_bytes(graph))
    (tensor,) = [tensor for tensor in model.subgraphs[0].tensors if tensor.type == schema.TensorType.INT4]
    assert tensor.shape.tolist() == [3, 1, 1, 3]
    assert bytes(model.buffers[tensor.buffer].data).hex() == "e1437b0906"
    eight = parsed(tflite.to_bytes(replace(graph, ops=(graph.ops[0], replace(conv, weight_bits=8)))))
    assert all(tensor.type != schema.TensorType.INT4 for tensor in eight.subgraphs[0].tensors)


def test_weights_and_biases_lie_where_a_microcontroller_can_read_them(residual_like: Maker) -> None:
    graph = residual_like(np.random.default_rng(1))
    content = tflite.to_bytes(graph, "a description of odd length", metadata={"a": "b"})
    conv = [op for op in graph.ops if isinstance(op, Conv2D | DepthwiseConv2D)]
    assert {type(op) for op in conv} == {Conv2D, DepthwiseConv2D}
    for array in [op.weights for op in conv] + [op.bias for op in conv]:
        place = content.find(array.tobytes())
        assert place >= 0
        assert place % 16 == 0


def test_equal_graphs_give_equal_bytes(deepkws_like: Maker) -> None:
    first, second = (tflite.to_bytes(deepkws_like(np.random.default_rng(4), hidden=8), "x") for _ in range(2))
    other = tflite.to_bytes(deepkws_like(np.random.default_rng(5), hidden=8), "x")
    assert first == second != other


@settings(max_examples=GRAPHS, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=DATA)
def test_any_small_graph_is_equal_on_tflite_micro_and_litert(random_graphs: Graphs, data: st.DataObject) -> None:
    """Of weights of eight and of four bits, the state in the file's variables or the caller's hands."""
    graph = data.draw(random_graphs)
    features = features_for(graph, 12, np.random.default_rng(len(graph.ops)))
    wanted = Interpreter(graph).run(features)
    for content in (tflite.to_bytes(graph), tflite.to_bytes(graph, streaming=False)):
        for engine in (TfliteMicroEngine(content), LiteRtEngine(content, reference=True)):
            np.testing.assert_array_equal(engine.run(features), wanted, err_msg=engine.name)
            engine.reset()
            np.testing.assert_array_equal(engine.run(features), wanted, err_msg=f"{engine.name} after a reset")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(data=DATA)
def test_state_carried_by_the_caller_gives_the_same(random_graphs: Graphs, data: st.DataObject) -> None:
    graph = data.draw(random_graphs)
    features = features_for(graph, 8, np.random.default_rng(0))
    content = tflite.to_bytes(graph, streaming=False)
    assert not set(operator_names(parsed(content))) & {"CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}
    np.testing.assert_array_equal(run_stateless(graph, content, features), Interpreter(graph).run(features))


def run_stateless(graph: QuantGraph, content: bytes, features: NDArray[np.int8]) -> NDArray[np.int8]:
    interpreter = LiteRtInterpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF, num_threads=1
    )
    runner = interpreter.get_signature_runner(tflite.SIGNATURE_KEY)
    reads = [graph.tensor(state.read) for state in graph.states]
    states = {f"state/{t.name}": np.full((1, *t.shape), t.quant.zero_point, np.int8) for t in reads}
    logits = []
    for step in features.reshape(-1, 1, *graph.tensor(graph.input).shape):
        made = runner(features=step, **states)
        logits.append(made["logits"][0])
        states = {name: made[name.replace("state/", "next/", 1)] for name in states}
    return np.array(logits)


@pytest.mark.parametrize("kernels", list(OpResolverType))
def test_a_signature_starts_a_new_stream_in_litert(graph: QuantGraph, kernels: OpResolverType) -> None:
    """Before the first step and after many, and as often as one likes; what LiteRT calls a reset does nothing."""
    interpreter = LiteRtInterpreter(
        model_content=tflite.to_bytes(graph), experimental_op_resolver_type=kernels, num_threads=1
    )
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    features = features_for(graph, 50, np.random.default_rng(0))

    def stream() -> NDArray[np.int8]:
        logits = []
        for step in features:
            interpreter.set_tensor(source, step[None, None])
            interpreter.invoke()
            logits.append(interpreter.get_tensor(target)[0])
        return np.array(logits)

    interpreter.get_signature_runner("reset_state")()
    first = stream()
    assert np.abs(first.astype(np.int16) - Interpreter(graph).run(features)).max() <= 1
    interpreter.reset_all_variables()
    assert not np.array_equal(stream(), first)
    for _ in range(2):
        interpreter.get_signature_runner("reset_state")()
        np.testing.assert_array_equal(stream(), first)


def test_a_signature_starts_a_new_stream_in_a_compiled_model(graph: QuantGraph, tmp_path: Path) -> None:
    """LiteRT's newer interface, which has no reset of its own."""
    path = tmp_path / "model.tflite"
    tflite.write(graph, path)
    model = CompiledModel.from_file(str(path))
    assert list(model.get_signature_list()) == ["serving_default", "reset_state"]
    given, made = model.create_input_buffers(0), model.create_output_buffers(0)
    features = features_for(graph, 50, np.random.default_rng(0))

    def stream() -> NDArray[np.int8]:
        logits = []
        for step in features:
            given[0].write(step)
            model.run_by_index(0, given, made)
            logits.append(made[0].read(graph.outputs, np.int8))
        return np.array(logits)

    first = stream()
    assert not np.array_equal(stream(), first)
    model.run_by_index(1, [], [])
    np.testing.assert_array_equal(stream(), first)


def test_a_file_without_state_of_its_own_has_nothing_to_reset(graph: QuantGraph) -> None:
    stateless = LiteRtInterpreter(model_content=tflite.to_bytes(graph, streaming=False))
    assert list(stateless.get_signature_list()) == ["serving_default"]


def test_an_older_file_is_reset_by_a_fresh_interpreter(graph: QuantGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was exported when there was no such signature."""
    monkeypatch.setattr(tflite, "RESET_SIGNATURE", "another")
    content = tflite.to_bytes(graph)
    features = features_for(graph, 50, np.random.default_rng(0))
    engine = LiteRtEngine(content, reference=True)
    for _ in range(2):
        np.testing.assert_array_equal(engine.run(features), Interpreter(graph).run(features))
        engine.reset()


def test_states_that_are_inputs_or_outputs_or_kept() -> None:
    """States that keep the input, another state, and the output."""
    quant = Quant(0.5, -7)
    names = ("input", "older", "oldest")
    frames = [Tensor(name, (1, 2), quant) for name in names]
    graph = QuantGraph(
        (*frames, Tensor("output", (3, 2), quant), Tensor("kept", (3, 2), quant)),
        (Concat(names, "output"),),
        (State("older", "input"), State("oldest", "older"), State("kept", "output")),
        "input",
        "output",
    )
    features = features_for(graph, 10, np.random.default_rng(0))
    wanted = Interpreter(graph).run(features)
    np.testing.assert_array_equal(TfliteMicroEngine(tflite.to_bytes(graph)).run(features), wanted)
    np.testing.assert_array_equal(LiteRtEngine(tflite.to_bytes(graph), True).run(features), wanted)
    np.testing.assert_array_equal(run_stateless(graph, tflite.to_bytes(graph, streaming=False), features), wanted)


def renamed(graph: QuantGraph, names: dict[str, str]) -> QuantGraph:
    def new(name: str) -> str:
        return names.get(name, name)

    ops = []
    for op in graph.ops:
        sources: dict[str, Any] = (
            {"inputs": tuple(map(new, op.inputs))} if hasattr(op, "inputs") else {"input": new(op.input)}
        )
        ops.append(replace(op, output=new(op.output), **sources))
    return QuantGraph(
        tuple(replace(tensor, name=new(tensor.name)) for tensor in graph.tensors),
        tuple(ops),
        tuple(replace(state, read=new(state.read), write=new(state.write)) for state in graph.states),
        new(graph.input),
        new(graph.output),
    )


def test_the_graphs_own_names_may_be_those_of_the_file(graph: QuantGraph) -> None:
    names = {"input": "features", graph.output: "logits", "past0": "state/past", "window0": "next/state/past"}
    other = renamed(graph, names)
    features = features_for(graph, 50, np.random.default_rng(0))
    wanted = Interpreter(graph).run(features)
    np.testing.assert_array_equal(TfliteMicroEngine(tflite.to_bytes(other)).run(features), wanted)
    np.testing.assert_array_equal(run_stateless(other, tflite.to_bytes(other, streaming=False), features), wanted)


@dataclass(frozen=True)
class Swirl:
    """An operator that no writer knows."""

    input: str
    output: str


def test_an_operator_that_cannot_be_expressed_is_named(graph: QuantGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = replace(graph, ops=(*graph.ops[:-1], Swirl(graph.ops[-1].input, graph.output)))  # type: ignore[arg-type, union-attr]
    with pytest.raises(KwsError, match="Swirl"):
        tflite.to_bytes(strange)
    monkeypatch.setattr(tflite, "check", lambda _: None)  # a graph operator of tomorrow, without a lowering
    with pytest.raises(KwsError, match=rf"Swirl \(output '{graph.output}'\) cannot be written as TFLite"):
        tflite.to_bytes(strange)


def test_an_operator_that_firmware_lacks_is_refused(graph: QuantGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_transpose(context: Any, op: Any) -> None:
        context.subgraph.operator("TRANSPOSE", [context.index(op.input)], [context.index(op.output)])

    monkeypatch.setitem(tflite_lowering.LOWERINGS.functions, Conv2D, as_transpose)
    with pytest.raises(KwsError, match="TRANSPOSE"):
        tflite.to_bytes(graph)


def test_a_failed_write_leaves_the_old_file(graph: QuantGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "marvin.tflite"
    tflite.write(graph, path, "first")
    first = path.read_bytes()
    assert first == tflite.to_bytes(graph, "first")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(KwsError, match=r"marvin\.tflite: cannot be written \(No space left on device\)"):
        tflite.write(graph, path, "second")
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_without_the_package_the_sentence_names_the_extra(graph: QuantGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.schema_py_generated", None)
    with pytest.raises(KwsError, match=r'ai-edge-litert is not installed here; pip install "kws\[export\]"'):
        tflite.to_bytes(graph)
