"""The interpreter against TensorFlow Lite's reference loops, and a step against many at once."""

import hashlib
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.graph.arithmetic import channel_multipliers, quantize_multiplier
from kws.graph.check import GraphError
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
from kws.graph.wiring import inputs

Int8 = NDArray[np.int8]


def noise(rng: np.random.Generator, graph: QuantGraph, steps: int) -> Int8:
    stride, bands = graph.tensor(graph.input).shape
    return rng.integers(-128, 128, (steps * stride, bands)).astype(np.int8)


def requantize(x: int, multiplier: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier with double rounding, in whole numbers (gemmlowp's fixedpoint.h)."""
    product = x * (1 << max(shift, 0)) * multiplier
    total = product + ((1 << 30) if product >= 0 else 1 - (1 << 30))
    high = total // (1 << 31) if total >= 0 else -(-total // (1 << 31))
    exponent = max(-shift, 0)
    mask = (1 << exponent) - 1
    return (high >> exponent) + (1 if (high & mask) > (mask >> 1) + (1 if high < 0 else 0) else 0)


def conv_per_channel(graph: QuantGraph, op: Conv2D, x: Int8) -> Int8:
    """reference_integer_ops::ConvPerChannel with valid padding, loop by loop."""
    source, output = graph.tensor(op.input), graph.tensor(op.output)
    multipliers, shifts = channel_multipliers(graph, op)
    y = np.zeros(output.shape, np.int8)
    lowest = output.quant.zero_point if op.activation == "relu" else -128
    for out_y, out_x, channel in np.ndindex(*output.shape):
        acc = 0
        for i, j, k in np.ndindex(*op.weights.shape[1:]):
            value = int(x[out_y * op.stride_time + i, out_x * op.stride_frequency + j, k])
            acc += int(op.weights[channel, i, j, k]) * (value - source.quant.zero_point)
        acc += int(op.bias[channel])
        assert -(2**31) <= acc < 2**31
        acc = requantize(acc, int(multipliers[channel]), int(shifts[channel])) + output.quant.zero_point
        y[out_y, out_x, channel] = min(max(acc, lowest), 127)
    return y


def depthwise_per_channel(graph: QuantGraph, op: DepthwiseConv2D, x: Int8) -> Int8:
    """reference_integer_ops::DepthwiseConvPerChannel with a depth multiplier of 1 and valid padding."""
    source, output = graph.tensor(op.input), graph.tensor(op.output)
    multipliers, shifts = channel_multipliers(graph, op)
    y = np.zeros(output.shape, np.int8)
    lowest = output.quant.zero_point if op.activation == "relu" else -128
    for out_y, out_x, channel in np.ndindex(*output.shape):
        acc = 0
        for i, j in np.ndindex(*op.weights.shape[:2]):
            row, column = out_y * op.stride_time + i * op.dilation_time, out_x * op.stride_frequency + j
            acc += int(op.weights[i, j, channel]) * (int(x[row, column, channel]) - source.quant.zero_point)
        acc += int(op.bias[channel])
        assert -(2**31) <= acc < 2**31
        acc = requantize(acc, int(multipliers[channel]), int(shifts[channel])) + output.quant.zero_point
        y[out_y, out_x, channel] = min(max(acc, lowest), 127)
    return y


def add(graph: QuantGraph, op: Add, x1: Int8, x2: Int8) -> Int8:
    """CalculateOpDataAdd and reference_integer_ops::BroadcastAdd4DSlow."""
    first, second = (graph.tensor(name).quant for name in op.inputs)
    output = graph.tensor(op.output)
    twice_max = 2 * max(first.scale, second.scale)
    scaling1, scaling2 = quantize_multiplier(first.scale / twice_max), quantize_multiplier(second.scale / twice_max)
    scaling = quantize_multiplier(twice_max / ((1 << 20) * output.quant.scale))
    assert scaling[1] <= 0  # QuantizeMultiplierSmallerThanOneExp aborts
    lowest = output.quant.zero_point if op.activation == "relu" else -128
    y = np.zeros(output.shape, np.int8)
    for t, f, c in np.ndindex(*output.shape):
        value1 = requantize((int(x1[t, f, c]) - first.zero_point) * (1 << 20), *scaling1)
        value2 = requantize((int(x2[t, f if x2.shape[1] > 1 else 0, c]) - second.zero_point) * (1 << 20), *scaling2)
        y[t, f, c] = min(max(requantize(value1 + value2, *scaling) + output.quant.zero_point, lowest), 127)
    return y


def pool(graph: QuantGraph, op: MaxPool2D | AveragePool2D, x: Int8) -> Int8:
    """reference_integer_ops::MaxPool and AveragePool with valid padding, the stride being the window."""
    y = np.zeros(graph.tensor(op.output).shape, np.int8)
    count = op.window_time * op.window_frequency
    for t, f, c in np.ndindex(*y.shape):
        rows = range(t * op.window_time, (t + 1) * op.window_time)
        columns = range(f * op.window_frequency, (f + 1) * op.window_frequency)
        values = [int(x[row, column, c]) for row in rows for column in columns]
        assert len(values) == count
        acc = sum(values)
        mean = (acc + count // 2) // count if acc > 0 else -(-(acc - count // 2) // count)  # C's division truncates
        y[t, f, c] = max(values) if isinstance(op, MaxPool2D) else mean
    return y


def pad(graph: QuantGraph, op: Pad, x: Int8) -> Int8:
    """reference_ops::Pad with the zero point as its value."""
    y = np.full(graph.tensor(op.output).shape, graph.tensor(op.input).quant.zero_point, np.int8)
    for t, f, c in np.ndindex(*x.shape):
        y[t, op.before + f, c] = x[t, f, c]
    return y


BOOK: dict[type[Op], Callable[..., Int8]] = {
    Reshape: lambda graph, op, x: x.reshape(graph.tensor(op.output).shape),
    Concat: lambda graph, op, *xs: np.concatenate(xs),
    Slice: lambda graph, op, x: x[op.begin : op.begin + graph.tensor(op.output).shape[0]],
    Conv2D: conv_per_channel,
    DepthwiseConv2D: depthwise_per_channel,
    Pad: pad,
    Add: add,
    MaxPool2D: pool,
    AveragePool2D: pool,
}


def run_by_the_book(graph: QuantGraph, features: Int8) -> Int8:
    """One step after the other, one operator after the other."""
    stride = graph.stride
    states = {state.read: graph.tensor(state.read) for state in graph.states}
    stored = {name: np.full(tensor.shape, tensor.quant.zero_point, np.int8) for name, tensor in states.items()}
    logits = []
    for start in range(0, len(features), stride):
        values = {graph.input: features[start : start + stride], **stored}
        for op in graph.ops:
            values[op.output] = BOOK[type(op)](graph, op, *(values[name] for name in inputs(op)))
        stored = {state.read: values[state.write] for state in graph.states}
        logits.append(values[graph.output].reshape(-1))
    return np.array(logits, np.int8)


@settings(deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_random_graphs_equal_the_reference_loops(
    graphs: st.SearchStrategy[QuantGraph], data: st.DataObject, seed: int
) -> None:
    graph = data.draw(graphs)
    features = noise(np.random.default_rng(seed), graph, 4)
    assert np.array_equal(Interpreter(graph).run(features), run_by_the_book(graph, features))


@settings(deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 9))
def test_any_chunking_gives_the_same(
    graphs: st.SearchStrategy[QuantGraph], data: st.DataObject, seed: int, cut: int
) -> None:
    graph = data.draw(graphs)
    features = noise(np.random.default_rng(seed), graph, 9)
    whole = Interpreter(graph).run(features)
    interpreter = Interpreter(graph)
    for _ in range(2):
        parts = [interpreter.run(features[: cut * graph.stride])]
        parts += [
            interpreter.step(features[step * graph.stride : (step + 1) * graph.stride])[None] for step in range(cut, 9)
        ]
        assert np.array_equal(np.concatenate(parts), whole)
        interpreter.reset()


def test_chunks_of_many_steps_join(rng: np.random.Generator, deepkws_like_graph: Callable[..., QuantGraph]) -> None:
    """More steps than are computed at once."""
    graph = deepkws_like_graph(rng, outputs=2, hidden=16)
    features = noise(rng, graph, 1300)
    whole = Interpreter(graph).run(features)
    interpreter = Interpreter(graph)
    assert np.array_equal(np.concatenate([interpreter.run(features[:700]), interpreter.run(features[700:])]), whole)


def test_deepkws_equals_the_reference_loops(
    rng: np.random.Generator, deepkws_like_graph: Callable[..., QuantGraph]
) -> None:
    graph = deepkws_like_graph(rng, hidden=5)
    features = noise(rng, graph, 45)  # the window is filled after 41
    assert np.array_equal(Interpreter(graph).run(features), run_by_the_book(graph, features))


def test_golden_logits() -> None:
    """A change of these numbers is a change of what every exported model computes."""
    logits = Interpreter(golden_graph()).run(
        (np.arange(4 * 60, dtype=np.int64) * 97 % 256 - 128).astype(np.int8).reshape(60, 4)
    )
    assert logits[:4].tolist() == GOLDEN_FIRST
    assert hashlib.sha256(logits.tobytes()).hexdigest() == GOLDEN_SHA256


def golden_graph() -> QuantGraph:
    """Two frames of 4 bands a step, a window of 5 rows, a strided convolution, a dense layer."""
    lfbe, hidden, logit = Quant(0.15625, -128), Quant(0.75, -128), Quant(0.5, 3)
    weights = (np.arange(6 * 3 * 2, dtype=np.int64) * 53 % 255 - 127).astype(np.int8).reshape(6, 3, 2, 1)
    dense = (np.arange(3 * 2 * 3 * 6, dtype=np.int64) * 29 % 255 - 127).astype(np.int8).reshape(3, 2, 3, 6)
    return QuantGraph(
        tensors=(
            Tensor("features", (2, 4), lfbe),
            Tensor("frames", (2, 4, 1), lfbe),
            Tensor("past", (3, 4, 1), lfbe),
            Tensor("window", (5, 4, 1), lfbe),
            Tensor("past_next", (3, 4, 1), lfbe),
            Tensor("hidden", (2, 3, 6), hidden),
            Tensor("logits", (1, 1, 3), logit),
        ),
        ops=(
            Reshape("features", "frames"),
            Concat(("past", "frames"), "window"),
            Slice("window", "past_next", 2),
            Conv2D(
                "window", "hidden", weights, np.full(6, 2.0**-7, np.float32), np.arange(-900, 900, 300, dtype=np.int32),
                stride_time=2, activation="relu",
            ),
            Conv2D("hidden", "logits", dense, np.full(3, 2.0**-10, np.float32), np.array([5, -7000, 900], np.int32)),
        ),
        states=(State("past", "past_next"),),
        input="features",
        output="logits",
    )  # fmt: skip


GOLDEN_FIRST = [[3, -4, 11], [-9, -7, 16], [-21, -14, 14], [-21, -14, 15]]
GOLDEN_SHA256 = "ec8347c69565a52991f057df41787c66388faeaf6f250283c57bdce84534d92a"


def test_states_start_at_the_real_zero(deepkws_graph: QuantGraph) -> None:
    """Digital silence (LFBE 0) before the stream and no stream before it are the same."""
    silence = np.full((60, 40), -128, np.int8)
    logits = Interpreter(deepkws_graph).run(silence)
    assert (logits == logits[0]).all()


def test_ten_minutes_take_seconds(rng: np.random.Generator, deepkws_graph: QuantGraph) -> None:
    """60,000 steps in about 10 s at most; a tenth of them here, with room for a busy machine."""
    features = noise(rng, deepkws_graph, 6000)
    interpreter = Interpreter(deepkws_graph)
    start = time.process_time()
    interpreter.run(features)
    assert time.process_time() - start < 4.0


@pytest.mark.parametrize(
    "features",
    [
        np.zeros((2, 40), np.int16),
        np.zeros((2, 39), np.int8),
        np.zeros(40, np.int8),
        np.zeros((1, 2, 40), np.int8),
    ],
)
def test_other_features_are_refused(deepkws_graph: QuantGraph, features: Int8) -> None:
    with pytest.raises(ValueError, match=r"give int8\[n \* 1, 40\], whole steps"):
        Interpreter(deepkws_graph).run(features)


def test_frames_that_do_not_fill_a_step_are_refused() -> None:
    with pytest.raises(ValueError, match=r"give int8\[n \* 2, 4\], whole steps"):
        Interpreter(golden_graph()).run(np.zeros((3, 4), np.int8))


def test_no_steps_give_no_logits(deepkws_graph: QuantGraph) -> None:
    assert Interpreter(deepkws_graph).run(np.zeros((0, 40), np.int8)).shape == (0, 3)


def test_a_broken_graph_is_refused() -> None:
    tensor = Tensor("features", (1, 4), Quant(0.1, 0))
    with pytest.raises(GraphError, match="float32"):
        Interpreter(QuantGraph((tensor,), (), (), "features", "features"))
