"""The operators on maps, against real numbers and worked examples: what they mean, not only what they round to."""

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws import runtime
from kws.detector.engine import CEngine
from kws.graph.arithmetic import add_multipliers, float32_exact
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
    State,
    Tensor,
)

Int8 = NDArray[np.int8]
Real = NDArray[np.float64]

IN = Quant(0.125, -37)
OUT = Quant(0.25, 11)
SHAPE = (5, 6, 3)


def one_operator(op: Op, shape: tuple[int, ...], quant: Quant) -> QuantGraph:
    """A map "x" of ``SHAPE`` through one operator that gives "y"."""
    tensors = (Tensor("features", (5, 18), IN), Tensor("x", SHAPE, IN), Tensor("y", shape, quant))
    return QuantGraph(tensors, (Reshape("features", "x"), op), (), "features", "y")


def run(graph: QuantGraph, x: Int8) -> Int8:
    logits = Interpreter(graph).step(x.reshape(graph.stride, -1))
    output: Int8 = logits.reshape(graph.tensor(graph.output).shape)
    return output


def real(values: Int8, quant: Quant) -> Real:
    return quant.scale * (values.astype(np.float64) - quant.zero_point)


def difference_lsb(got: Int8, wanted: Real, quant: Quant, activation: Activation = "none") -> float:
    """The largest difference, the wanted values being clipped to what int8 and the activation let through."""
    least = 0.0 if activation == "relu" else float(real(np.array(-128, np.int8), quant))
    clipped = np.clip(wanted, least, real(np.array(127, np.int8), quant))
    return float(np.abs(real(got, quant) - clipped).max() / quant.scale)


@settings(deadline=None)  # loops
@given(
    seed=st.integers(0, 2**32 - 1),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    dilation=st.integers(1, 2),
    activation=st.sampled_from(["none", "relu"]),
)
def test_depthwise_convolution(
    seed: int, kernel: tuple[int, int], strides: tuple[int, int], dilation: int, activation: Activation
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, SHAPE).astype(np.int8)
    weights = rng.integers(-127, 128, (*kernel, 3)).astype(np.int8)
    scales = (rng.uniform(0.5, 2, 3) / 127).astype(np.float32)
    bias = rng.integers(-2000, 2000, 3).astype(np.int32)
    time, frequency = 1 + (4 - (kernel[0] - 1) * dilation) // strides[0], 1 + (6 - kernel[1]) // strides[1]
    op = DepthwiseConv2D("x", "y", weights, scales, bias, *strides, dilation, activation)
    wanted = np.zeros((time, frequency, 3))
    x_real, w_real = real(x, IN), weights * scales.astype(np.float64)
    for t, f, c in np.ndindex(wanted.shape):
        wanted[t, f, c] = IN.scale * float(scales[c]) * int(bias[c]) + sum(
            w_real[i, j, c] * x_real[t * strides[0] + i * dilation, f * strides[1] + j, c]
            for i in range(kernel[0])
            for j in range(kernel[1])
        )
    assert difference_lsb(run(one_operator(op, wanted.shape, OUT), x), wanted, OUT, activation) <= 0.51


@settings(deadline=None)  # loops
@given(
    seed=st.integers(0, 2**32 - 1),
    scales=st.tuples(st.floats(0.01, 10), st.floats(0.01, 10), st.floats(0.05, 20)),
    broadcast=st.booleans(),
    activation=st.sampled_from(["none", "relu"]),
)
def test_addition(seed: int, scales: tuple[float, float, float], broadcast: bool, activation: Activation) -> None:
    """x + a dense layer's output, whose scale is another one, at every frequency or at its own."""
    rng = np.random.default_rng(seed)
    first, second, output = (
        Quant(float32_exact(scale), int(rng.integers(-128, 128))) for scale in (scales[0] / 64, *scales[1:])
    )
    columns = 1 if broadcast else 6
    features = rng.integers(-128, 128, (5, 18)).astype(np.int8)
    tensors = (
        Tensor("features", (5, 18), first),
        Tensor("x", SHAPE, first),
        Tensor("wide", (5, 1, 18), first),
        Tensor("other", (5, 1, 3 * columns), second),
        Tensor("b", (5, columns, 3), second),
        Tensor("y", SHAPE, output),
    )
    weights = rng.integers(-127, 128, (3 * columns, 1, 1, 18)).astype(np.int8)
    weight_scales = np.full(3 * columns, 0.002 * second.scale / first.scale, np.float32)
    ops = (
        Reshape("features", "x"),
        Reshape("features", "wide"),
        Conv2D("wide", "other", weights, weight_scales, np.zeros(3 * columns, np.int32)),
        Reshape("other", "b"),
        Add(("x", "b"), "y", activation),
    )
    graph = QuantGraph(tensors, ops, (), "features", "y")
    b = run(QuantGraph(tensors[:5], ops[:4], (), "features", "b"), features)
    got = run(graph, features)
    assert difference_lsb(got, real(features.reshape(SHAPE), first) + real(b, second), output, activation) <= 0.51


def test_additions_multipliers() -> None:
    """Equal scales: halves of both, and twice the scale over 2^20 times the output's."""
    graph = one_operator(Add(("x", "x"), "y"), SHAPE, OUT)
    op = graph.ops[-1]
    assert isinstance(op, Add)
    assert add_multipliers(graph, op) == ((1 << 30, 0), (1 << 30, 0), (1 << 30, -19))


def test_addition_by_hand() -> None:
    """2 * 0.125 * (q + 37) = 0.25 * (q + 37): with the output's zero point 11 every value goes up by 48, to 127."""
    x = np.resize(np.array([-128, -37, 0, 79, 80, 127], np.int8), SHAPE)
    wanted = np.minimum(x.astype(np.int64) + 48, 127)
    assert np.array_equal(run(one_operator(Add(("x", "x"), "y"), SHAPE, OUT), x), wanted)
    rectified = run(one_operator(Add(("x", "x"), "y", "relu"), SHAPE, OUT), x)
    assert np.array_equal(rectified, np.maximum(wanted, 11))


def test_padding() -> None:
    x = np.arange(90, dtype=np.int8).reshape(SHAPE)
    y = run(one_operator(Pad("x", "y", 1, 2), (5, 9, 3), IN), x)
    assert np.array_equal(y[:, 1:7], x)
    assert (y[:, :1] == IN.zero_point).all()
    assert (y[:, 7:] == IN.zero_point).all()
    assert np.array_equal(run(one_operator(Pad("x", "y", 0, 0), SHAPE, IN), x), x)


@settings(deadline=None)  # loops
@given(seed=st.integers(0, 2**32 - 1), window=st.tuples(st.integers(1, 5), st.integers(1, 6)))
def test_pooling(seed: int, window: tuple[int, int]) -> None:
    """The largest and the mean of windows that do not overlap; what does not fill a window is left out."""
    x = np.random.default_rng(seed).integers(-128, 128, SHAPE).astype(np.int8)
    shape = (5 // window[0], 6 // window[1], 3)
    whole = x[: shape[0] * window[0], : shape[1] * window[1]]
    blocks = whole.reshape(shape[0], window[0], shape[1], window[1], 3)
    largest = run(one_operator(MaxPool2D("x", "y", *window), shape, IN), x)
    assert np.array_equal(largest, blocks.max(axis=(1, 3)))
    mean = run(one_operator(AveragePool2D("x", "y", *window), shape, IN), x)
    assert np.abs(mean - blocks.astype(np.float64).mean(axis=(1, 3))).max() <= 0.5


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ((1, 2), 2), ((-1, -2), -2), ((-1, 0), -1), ((0, 1), 1), ((-1, 1), 0), ((-2, 1), -1), ((127, 126), 127),
        ((-128, -127), -128), ((-128, -128), -128), ((1, 0, 0), 0), ((1, 1, 0), 1), ((-1, -1, 0), -1), ((-1, 0, 0), 0),
    ],
)  # fmt: skip
def test_a_mean_is_rounded_half_away_from_zero(values: tuple[int, ...], mean: int) -> None:
    """Away from the int8 value 0, whatever the zero point: so do TensorFlow Lite's kernels."""
    count = len(values)
    tensors = (Tensor("features", (1, count), IN), Tensor("x", (1, count, 1), IN), Tensor("y", (1, 1, 1), IN))
    ops = (Reshape("features", "x"), AveragePool2D("x", "y", 1, count))
    graph = QuantGraph(tensors, ops, (), "features", "y")
    assert run(graph, np.array(values, np.int8).reshape(1, count, 1)).item() == mean


# ---- a streaming residual block: two states, a stride, every operator ----


def residual_graph() -> QuantGraph:
    """Two frames of 6 bands a step; a strided convolution over a window of 3, a dilated depthwise one over 5 frames of
    it with padding, added to it, the mean over frequency added to that, and two logits."""
    lfbe, hidden, wide, summed = Quant(0.15625, -128), Quant(0.25, -128), Quant(0.125, 9), Quant(0.375, -60)
    tensors = {
        "features": ((2, 6), lfbe), "frames": ((2, 6, 1), lfbe), "past": ((1, 6, 1), lfbe), "window": ((3, 6, 1), lfbe),
        "next": ((1, 6, 1), lfbe), "stem": ((1, 6, 4), hidden), "line": ((4, 6, 4), hidden),
        "long": ((5, 6, 4), hidden), "line_next": ((4, 6, 4), hidden), "padded": ((5, 8, 4), hidden),
        "depthwise": ((1, 6, 4), wide), "sum": ((1, 6, 4), summed), "mean": ((1, 1, 4), summed),
        "gate": ((1, 1, 4), wide), "both": ((1, 6, 4), summed), "pooled": ((1, 3, 4), summed),
        "logits": ((1, 1, 2), Quant(0.5, 3)),
    }  # fmt: skip

    def constants(
        shape: tuple[int, ...], axis: int, scale: float, factor: int
    ) -> tuple[Int8, NDArray[np.float32], Any]:
        weights = (np.arange(np.prod(shape), dtype=np.int64) * factor % 255 - 127).astype(np.int8).reshape(shape)
        channels = shape[axis]
        bias = (np.arange(channels, dtype=np.int32) - channels // 2) * 300
        return weights, np.full(channels, scale, np.float32), bias

    ops = (
        Reshape("features", "frames"),
        Concat(("past", "frames"), "window"),
        Slice("window", "next", 2),
        Conv2D("window", "stem", *constants((4, 3, 1, 1), 0, 2.0**-7, 53), activation="relu"),
        Concat(("line", "stem"), "long"),
        Slice("long", "line_next", 1),
        Pad("long", "padded", 1, 1),
        DepthwiseConv2D("padded", "depthwise", *constants((3, 3, 4), 2, 2.0**-9, 29), dilation_time=2),
        Add(("depthwise", "stem"), "sum", "relu"),
        AveragePool2D("sum", "mean", 1, 6),
        Conv2D("mean", "gate", *constants((4, 1, 1, 4), 0, 2.0**-8, 31), activation="relu"),
        Add(("sum", "gate"), "both"),
        MaxPool2D("both", "pooled", 1, 2),
        Conv2D("pooled", "logits", *constants((2, 1, 3, 4), 0, 2.0**-8, 91)),
    )
    states = (State("past", "next"), State("line", "line_next"))
    listed = tuple(Tensor(name, shape, quant) for name, (shape, quant) in tensors.items())
    return QuantGraph(listed, ops, states, "features", "logits")


GOLDEN_FIRST = [[-10, 15], [-18, 8], [-16, -6], [-7, -3]]
GOLDEN_SHA256 = "76f89cfc5daa4968ed230a9bad6c44d9efc2d9825a292bb598058784ab69ca56"
"""TensorFlow Lite Micro and LiteRT's reference kernels gave the same when these were written."""


def test_the_residual_blocks_numbers_do_not_change() -> None:
    features = (np.arange(200 * 6, dtype=np.int64) * 7919 % 251 - 125).astype(np.int8).reshape(200, 6)
    logits = Interpreter(residual_graph()).run(features)
    assert logits[:4].tolist() == GOLDEN_FIRST
    assert hashlib.sha256(logits.tobytes()).hexdigest() == GOLDEN_SHA256


@pytest.mark.skipif(not runtime.available(), reason=runtime.reason() or "built")
def test_the_residual_block_in_c(rng: np.random.Generator) -> None:
    graph = residual_graph()
    features = rng.integers(-128, 128, (3000, 6)).astype(np.int8)
    assert np.array_equal(CEngine(graph).run(features), Interpreter(graph).run(features))


@pytest.mark.skipif(not runtime.available(), reason=runtime.reason() or "built")
@pytest.mark.parametrize("channels", [1, 7, 8, 33, 77])
def test_any_number_of_channels_in_c(rng: np.random.Generator, channels: int) -> None:
    """C takes channels in groups, and what is left over otherwise."""
    weights = rng.integers(-127, 128, (2, 3, channels)).astype(np.int8)
    constants = (weights, np.full(channels, 0.003, np.float32), rng.integers(-500, 500, channels).astype(np.int32))
    shapes = {"x": (4, 7), "y": (3, 5), "columns": (1, 5), "mean": (1, 1), "sum": (1, 5), "largest": (1, 2)}
    tensors = [Tensor(name, (*shape, channels), OUT) for name, shape in shapes.items()]
    ops = (
        Reshape("features", "x"),
        DepthwiseConv2D("x", "y", *constants),
        AveragePool2D("y", "columns", 3, 1),
        AveragePool2D("columns", "mean", 1, 5),
        Add(("columns", "mean"), "sum"),
        MaxPool2D("sum", "largest", 1, 2),
    )
    features = Tensor("features", (4, 7 * channels), OUT)
    for output in ("y", "columns", "mean", "sum", "largest"):
        used = 1 + list(shapes).index(output)
        graph = QuantGraph((features, *tensors[:used]), ops[:used], (), "features", output)
        values = rng.integers(-128, 128, (4 * 5, 7 * channels)).astype(np.int8)
        assert np.array_equal(CEngine(graph).run(values), Interpreter(graph).run(values)), output


def test_a_delay_line_is_a_convolution_over_the_whole_signal(rng: np.random.Generator) -> None:
    """The dilated depthwise convolution, frame by frame, is the one over all frames with the real 0 before them."""
    graph = residual_graph()
    quant = graph.tensor("depthwise").quant
    names = [op.output for op in graph.ops]
    ops = graph.ops[: names.index("depthwise") + 1]
    used = {"features", "past", "line", *names[: len(ops)]}
    tensors = tuple(tensor for tensor in graph.tensors if tensor.name in used)
    features = rng.integers(-128, 128, (80, 6)).astype(np.int8)
    stem = QuantGraph(tensors, ops, graph.states, "features", "stem")
    long = real(Interpreter(stem).run(features).reshape(40, 6, 4), graph.tensor("stem").quant)
    op = ops[-1]
    assert isinstance(op, DepthwiseConv2D)
    before = np.pad(long, ((4, 0), (1, 1), (0, 0)))
    weights = op.weights * op.weight_scales.astype(np.float64)
    wanted = np.tile(op.bias * graph.tensor("stem").quant.scale * op.weight_scales.astype(np.float64), (40, 6, 1))
    for i, j in np.ndindex(3, 3):
        wanted += weights[i, j] * before[2 * i : 2 * i + 40, j : j + 6]
    got = Interpreter(QuantGraph(tensors, ops, graph.states, "features", "depthwise")).run(features).reshape(40, 6, 4)
    assert difference_lsb(got, wanted, quant) <= 0.51
