"""Graphs of one operator that rounds, or one that does not, in every runtime; what each becomes in the files."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from firmware_export.engines.runtimes import LiteRtEngine, OnnxEngine, TfliteMicroEngine
from firmware_export.onnx import writer as onnx_writer
from firmware_export.tflite import writer as tflite
from kws.errors import KwsError
from kws.graph.arithmetic import float32_exact
from kws.graph.interpret import Interpreter
from kws.graph.ir import (
    Activation,
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
    Tensor,
)

STEPS = 6
GRAPHS = 12


def pick(rng: np.random.Generator, *choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def any_quant(rng: np.random.Generator, scale: float | None = None) -> Quant:
    zero_point = pick(rng, -128, 127, 0, int(rng.integers(-128, 128)))
    return Quant(float32_exact(10 ** rng.uniform(-3, 3) if scale is None else scale), zero_point)


def activation(rng: np.random.Generator) -> Activation:
    chosen: Activation = pick(rng, "none", "relu")
    return chosen


def with_map(source: Tensor, ops: list[Op], others: list[Tensor], output: Tensor) -> QuantGraph:
    """The input as the map ``source``, then these operators."""
    time, frequency, channels = source.shape
    features = Tensor("input", (time, frequency * channels), source.quant)
    ops = [Reshape("input", source.name), *ops]
    return QuantGraph((features, source, *others, output), tuple(ops), (), "input", output.name)


def any_map(rng: np.random.Generator) -> Tensor:
    time, frequency, channels = rng.integers(1, 7, 3).tolist()
    return Tensor("map", (time, frequency, channels), any_quant(rng))


def depthwise(rng: np.random.Generator) -> QuantGraph:
    source = any_map(rng)
    time, frequency, channels = source.shape
    kernel = int(rng.integers(1, time + 1)), int(rng.integers(1, frequency + 1))
    dilation = int(rng.integers(1, (time - 1) // max(kernel[0] - 1, 1) + 1)) if time > 1 else 1
    stride_time, stride_frequency = rng.integers(1, 4, 2).tolist()
    typical = 74 * 74 * float(np.sqrt(np.prod(kernel)))
    target = any_quant(rng)
    scales = rng.uniform(0.3, 3, channels) * 64 / typical * target.scale / source.quant.scale
    op = DepthwiseConv2D(
        "map",
        "output",
        rng.integers(-127, 128, (*kernel, channels)).astype(np.int8),
        scales.astype(np.float32),
        rng.integers(-int(typical), int(typical), channels).astype(np.int32),
        stride_time,
        stride_frequency,
        dilation,
        activation(rng),
    )
    rows = 1 + (time - (kernel[0] - 1) * dilation - 1) // stride_time
    shape = (rows, 1 + (frequency - kernel[1]) // stride_frequency, channels)
    return with_map(source, [op], [], Tensor("output", shape, target))


def pad(rng: np.random.Generator) -> QuantGraph:
    source = any_map(rng)
    time, frequency, channels = source.shape
    before, after = rng.integers(0, 4, 2).tolist()
    output = Tensor("output", (time, before + frequency + after, channels), source.quant)
    return with_map(source, [Pad("map", "output", before, after)], [], output)


def pool(kind: type[MaxPool2D] | type[AveragePool2D], rng: np.random.Generator) -> QuantGraph:
    source = any_map(rng)
    time, frequency, channels = source.shape
    window = int(rng.integers(1, time + 1)), int(rng.integers(1, frequency + 1))
    output = Tensor("output", (time // window[0], frequency // window[1], channels), source.quant)
    return with_map(source, [kind("map", "output", *window)], [], output)


def add(rng: np.random.Generator, positions: int | None = None) -> QuantGraph:
    """The map's first and second half, the second at another scale: a power of two, which is exact everywhere."""
    source = any_map(rng)
    time, frequency, channels = source.shape
    whole = Tensor("map", (2 * time, frequency, channels), source.quant)
    other = any_quant(rng, source.quant.scale * pick(rng, 0.0625, 0.5, 1, 2))
    weights = np.full((1, 1, channels), 64, np.int8)
    scales = np.full(channels, other.scale / source.quant.scale / 64, np.float32)
    bias = rng.integers(-2000, 2000, channels).astype(np.int32) * 64
    second = Tensor("second", (time, positions or frequency, channels), other)
    narrowing = [MaxPool2D("rest", "narrow", 1, frequency)] if positions else []
    ops: list[Op] = [
        Slice("map", "first", 0),
        Slice("map", "rest", time),
        *narrowing,
        DepthwiseConv2D("narrow" if positions else "rest", "second", weights, scales, bias),
        Add(("first", "second"), "output", activation(rng)),
    ]
    target = any_quant(rng, max(source.quant.scale, other.scale) * 2 ** rng.uniform(-4, 3))
    others = [Tensor(name, source.shape, source.quant) for name in ("first", "rest")]
    others += [Tensor("narrow", second.shape, source.quant)] if positions else []
    return with_map(whole, ops, [*others, second], Tensor("output", source.shape, target))


MAKERS: dict[str, Callable[[np.random.Generator], QuantGraph]] = {
    "depthwise": depthwise,
    "pad": pad,
    "add": add,
    "add, broadcast": lambda rng: add(rng, positions=1),
    "max pool": lambda rng: pool(MaxPool2D, rng),
    "average pool": lambda rng: pool(AveragePool2D, rng),
}
EXACT_EVERYWHERE = ("pad", "max pool")


@pytest.mark.parametrize("kind", MAKERS)
def test_one_operator_in_every_runtime(kind: str) -> None:
    """Equal in TFLite Micro, LiteRT's reference kernels and ONNX; where it rounds, at most 1 off in the other two."""
    rng = np.random.default_rng(sorted(MAKERS).index(kind))
    seen = set()
    for _ in range(GRAPHS):
        graph = MAKERS[kind](rng)
        stride, bands = graph.tensor(graph.input).shape
        features = rng.integers(-128, 128, (STEPS * stride, bands)).astype(np.int8)
        wanted = Interpreter(graph).run(features)
        seen.update(wanted.reshape(-1).tolist())
        content = tflite.to_bytes(graph)
        for exact in (TfliteMicroEngine(content), LiteRtEngine(content, True), OnnxEngine(onnx_writer.to_bytes(graph))):
            np.testing.assert_array_equal(exact.run(features), wanted, err_msg=f"{exact.name}: {graph.ops}")
        for rounded in (LiteRtEngine(content), OnnxEngine(onnx_writer.to_bytes(graph, form="qdq"))):
            difference = np.abs(rounded.run(features).astype(np.int16) - wanted).max()
            assert difference <= (0 if kind in EXACT_EVERYWHERE else 1), f"{rounded.name}: {graph.ops}"
    assert len(seen) > 50, "outputs that say something"


def test_the_negative_mean_of_a_tie_is_rounded_away_from_zero() -> None:
    """TFLite's rounding, whatever the zero point; the one place where it is neither up nor to even."""
    quant = Quant(1.0, 5)
    source, output = Tensor("map", (1, 2, 1), quant), Tensor("output", (1, 1, 1), quant)
    graph = with_map(source, [AveragePool2D("map", "output", 1, 2)], [], output)
    features = np.array([[-3, -2], [2, 3], [0, -1], [-128, -127], [126, 127]], np.int8)
    wanted = [[-3], [3], [-1], [-128], [127]]
    content = tflite.to_bytes(graph)
    engines = (
        TfliteMicroEngine(content),
        LiteRtEngine(content, reference=True),
        OnnxEngine(onnx_writer.to_bytes(graph)),
    )
    for engine in (Interpreter(graph), *engines):
        assert engine.run(features).tolist() == wanted


def test_an_output_much_finer_than_the_inputs_is_refused() -> None:
    """TFLite and TFLite Micro end the process at such an ADD: no file may hold one."""
    fine, coarse = Quant(2.0**-19, 0), Quant(1.0, 0)
    source, output = Tensor("map", (1, 2, 1), coarse), Tensor("output", (1, 2, 1), fine)
    graph = with_map(source, [Add(("map", "map"), "output")], [], output)
    for to_bytes in (tflite.to_bytes, onnx_writer.to_bytes):
        with pytest.raises(KwsError, match=r"operator 1 \(Add -> 'output'\): the output's scale"):
            to_bytes(graph)


@pytest.mark.parametrize("count", [10, 11])
def test_more_tensors_than_tflite_micro_joins_are_refused(count: int) -> None:
    quant = Quant(1.0, 0)
    source, output = Tensor("map", (1, 2, 1), quant), Tensor("output", (count, 2, 1), quant)
    graph = with_map(source, [Concat(("map",) * count, "output")], [], output)
    if count > 10:
        with pytest.raises(
            KwsError, match=r"Concat \(output 'output'\) joins 11 tensors, but TFLite Micro joins at most 10"
        ):
            tflite.to_bytes(graph)
    else:
        features = np.array([[1, -2]], np.int8)
        assert TfliteMicroEngine(tflite.to_bytes(graph)).run(features).tolist() == [[1, -2] * 10]


# ---- what stands in the files ----


def operators(graph: QuantGraph) -> dict[str, tuple[Any, Any, int]]:
    """By the operator's name in the schema: the last one of it, the subgraph's tensors, the operator's version."""
    model = schema.ModelT.InitFromPackedBuf(tflite.to_bytes(graph))
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    main = model.subgraphs[0]
    codes = [model.operatorCodes[operator.opcodeIndex] for operator in main.operators]
    return {
        names[code.builtinCode]: (operator, main.tensors, code.version)
        for operator, code in zip(main.operators, codes, strict=True)
    }


def constant(graph: QuantGraph, index: int) -> NDArray[np.int32]:
    model = schema.ModelT.InitFromPackedBuf(tflite.to_bytes(graph))
    tensor = model.subgraphs[0].tensors[index]
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.int32).reshape(tensor.shape)


def test_every_new_operator_is_one_of_the_firmware_and_of_its_int8_version(
    residual_like: Callable[..., QuantGraph],
) -> None:
    found = operators(residual_like(np.random.default_rng(0)))
    assert set(found) <= tflite.MICRO_OPERATORS
    versions = {"DEPTHWISE_CONV_2D": 3, "PAD": 2, "ADD": 2, "MAX_POOL_2D": 2, "AVERAGE_POOL_2D": 2, "CONV_2D": 3}
    assert {name: found[name][2] for name in versions} == versions


def test_a_depthwise_convolution_in_tflite() -> None:
    """Weights [1, time, frequency, channels] quantized along the last axis, height for time."""
    weights = np.arange(-12, 12).reshape(2, 3, 4).astype(np.int8)
    scales = np.array([0.5, 0.25, 0.125, 1], np.float32)
    bias = np.arange(4, dtype=np.int32)
    quant = Quant(0.5, -3)
    op = DepthwiseConv2D("map", "output", weights, scales, bias, 1, 2, 3, "relu")
    graph = with_map(Tensor("map", (5, 7, 4), quant), [op], [], Tensor("output", (2, 3, 4), Quant(64.0, -128)))
    operator, tensors, _ = operators(graph)["DEPTHWISE_CONV_2D"]
    options = operator.builtinOptions
    assert (options.strideH, options.strideW, options.dilationHFactor, options.dilationWFactor) == (1, 2, 3, 1)
    assert (options.padding, options.depthMultiplier) == (schema.Padding.VALID, 1)
    assert options.fusedActivationFunction == schema.ActivationFunctionType.RELU
    kernel, offsets = (tensors[index] for index in operator.inputs[1:])
    assert kernel.shape.tolist() == [1, 2, 3, 4]
    assert (kernel.quantization.quantizedDimension, kernel.quantization.scale.tolist()) == (3, scales.tolist())
    assert (offsets.shape.tolist(), offsets.quantization.scale.tolist()) == ([4], (scales * 0.5).tolist())


def test_a_padding_in_tflite_pads_the_frequency_axis() -> None:
    quant = Quant(0.5, -3)
    graph = with_map(
        Tensor("map", (2, 3, 4), quant), [Pad("map", "output", 1, 2)], [], Tensor("output", (2, 6, 4), quant)
    )
    operator, _, _ = operators(graph)["PAD"]
    assert constant(graph, operator.inputs[1]).tolist() == [[0, 0], [0, 0], [1, 2], [0, 0]]


@pytest.mark.parametrize(("kind", "name"), [(MaxPool2D, "MAX_POOL_2D"), (AveragePool2D, "AVERAGE_POOL_2D")])
def test_a_pool_in_tflite_steps_by_its_window(kind: type[MaxPool2D] | type[AveragePool2D], name: str) -> None:
    quant = Quant(0.5, -3)
    graph = with_map(
        Tensor("map", (5, 7, 2), quant), [kind("map", "output", 2, 3)], [], Tensor("output", (2, 2, 2), quant)
    )
    options = operators(graph)[name][0].builtinOptions
    assert (options.filterHeight, options.filterWidth, options.strideH, options.strideW) == (2, 3, 2, 3)
    assert options.padding == schema.Padding.VALID
    assert options.fusedActivationFunction == schema.ActivationFunctionType.NONE


def test_in_qdq_form_what_computes_is_float_between_quantizations(residual_like: Callable[..., QuantGraph]) -> None:
    """Paddings and largest values stay int8; sums and means are dequantized, computed, quantized."""
    graph = residual_like(np.random.default_rng(0))
    model = onnx.load_from_string(onnx_writer.to_bytes(graph, form="qdq"))
    makes = {output: node.op_type for node in model.graph.node for output in node.output}
    kinds: dict[str, tuple[type[Op], ...]] = {
        "Conv": (Conv2D, DepthwiseConv2D),
        "Add": (Add,),
        "AveragePool": (AveragePool2D,),
        "Pad": (Pad,),
        "MaxPool": (MaxPool2D,),
    }
    for kind, classes in kinds.items():
        nodes = [node for node in model.graph.node if node.op_type == kind]
        assert len(nodes) == sum(isinstance(op, classes) for op in graph.ops) > 0
        computes = kind not in ("Pad", "MaxPool")
        assert all((makes[node.input[0]] == "DequantizeLinear") == computes for node in nodes)
