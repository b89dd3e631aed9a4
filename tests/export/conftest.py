"""Graphs to export: DeepKWS-shaped ones, and small random ones that reach the corners of the arithmetic."""

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume

from kws.graph.arithmetic import float32_exact
from kws.graph.check import GraphError, check
from kws.graph.ir import Activation, Concat, Conv2D, Op, Quant, QuantGraph, Reshape, Slice, State, Tensor

RELU: Activation = "relu"
NONE: Activation = "none"


class Sketch:
    """A graph while it grows, from the input on."""

    def __init__(self, stride: int, bands: int, quant: Quant) -> None:
        self.tensors = [Tensor("input", (stride, bands), quant)]
        self.ops: list[Op] = []
        self.states: list[State] = []

    @property
    def last(self) -> Tensor:
        return self.tensors[-1]

    def tensor(self, name: str, shape: tuple[int, ...], quant: Quant) -> Tensor:
        self.tensors.append(Tensor(name, shape, quant))
        return self.tensors[-1]

    def reshape(self, *shape: int) -> None:
        source = self.last
        name = f"reshape{len(self.ops)}"
        self.ops.append(Reshape(source.name, self.tensor(name, shape, source.quant).name))

    def remember(self, rows: int) -> None:
        """Put the last ``rows`` rows of before in front of the present ones."""
        now = self.last
        index = len(self.states)
        rest, quant = now.shape[1:], now.quant
        self.tensor(f"past{index}", (rows, *rest), quant)
        self.tensor(f"next{index}", (rows, *rest), quant)
        self.tensor(f"window{index}", (rows + now.shape[0], *rest), quant)
        self.ops.append(Concat((f"past{index}", now.name), f"window{index}"))
        self.ops.append(Slice(f"window{index}", f"next{index}", now.shape[0]))
        self.states.append(State(f"past{index}", f"next{index}"))

    def conv(self, weights: Any, scales: Any, bias: Any, quant: Quant, activation: Activation, *strides: int) -> None:
        source = self.last
        time, frequency, _ = source.shape
        out, kernel_time, kernel_frequency, _ = weights.shape
        stride_time, stride_frequency = strides or (1, 1)
        rows = 1 + (time - kernel_time) // stride_time
        columns = 1 + (frequency - kernel_frequency) // stride_frequency
        name = f"conv{len(self.ops)}"
        self.tensor(name, (rows, columns, out), quant)
        self.ops.append(
            Conv2D(
                source.name,
                name,
                weights.astype(np.int8),
                np.asarray(scales, np.float32),
                np.asarray(bias, np.int32),
                stride_time,
                stride_frequency,
                activation,
            )
        )

    def graph(self) -> QuantGraph:
        graph = QuantGraph(tuple(self.tensors), tuple(self.ops), tuple(self.states), "input", self.last.name)
        check(graph)
        return graph


def make_deepkws(rng: np.random.Generator, hidden: int = 128, layers: int = 3, outputs: int = 3) -> QuantGraph:
    """DeepKWS's shape: 41 frames of 40 bands, ``layers`` of ``hidden``; random weights, every activation well in range.

    The input's zero point is off 0 on purpose: a state that starts at 0 instead of it shows.
    """
    sketch = Sketch(1, 40, Quant(float32_exact(0.18), -37))
    sketch.reshape(1, 40, 1)
    sketch.remember(40)
    spread = 74 * 0.18  # of the white int8 input, in real units
    for layer in range(layers + 1):
        last = layer == layers
        out = outputs if last else hidden
        kernel = (41, 40, 1) if layer == 0 else (1, 1, hidden)
        scales = (rng.uniform(0.5, 2, out) * 0.002).astype(np.float32)
        weights = np.clip(np.round(rng.normal(0, 40, (out, *kernel))), -127, 127)
        spread *= 40 * float(scales.mean()) * float(np.sqrt(np.prod(kernel)))
        bias = np.round(rng.normal(0, 0.3 * spread, out) / (sketch.last.quant.scale * scales))
        quant = Quant(float32_exact(spread * 3 / 128), 3) if last else Quant(float32_exact(spread * 3 / 255), -128)
        sketch.conv(weights, scales, bias, quant, NONE if last else RELU)
        spread *= 0.7  # of a rectified normal distribution
    return sketch.graph()


@st.composite
def small_graphs(draw: st.DrawFn, convolutions: int = 3) -> QuantGraph:
    """Up to ``convolutions`` convolutions, each with or without a state, strides and extreme scales and zero points."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    stride, bands = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    sketch = Sketch(stride, bands, Quant(float32_exact(draw(st.floats(1e-3, 1e3))), draw(zero_points)))
    sketch.reshape(*draw(st.sampled_from([(stride, bands, 1), (stride, 1, bands)])))
    for _ in range(draw(st.integers(1, convolutions))):
        if draw(st.booleans()):
            sketch.remember(draw(st.integers(1, 4)))
        _draw_conv(draw, rng, sketch)
    try:
        return sketch.graph()
    except GraphError:
        assume(False)  # multipliers that no engine takes
        raise


zero_points = st.one_of(st.sampled_from([-128, 127, 0]), st.integers(-128, 127))


def _draw_conv(draw: st.DrawFn, rng: np.random.Generator, sketch: Sketch) -> None:
    time, frequency, depth = sketch.last.shape
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, time)), draw(st.integers(1, frequency)), depth)
    largest = draw(st.sampled_from([1, 20, 127]))
    weights = rng.integers(-largest, largest, shape, endpoint=True)
    if draw(st.booleans()):
        weights = np.sign(weights) * largest
    scales = np.exp(rng.uniform(-7, -5, shape[0])).astype(np.float32)
    # Accumulators of random inputs are about this large; mostly the biases are no larger.
    typical = 1 + 74 * largest * float(np.sqrt(np.prod(shape[1:])))
    reach = round(typical) if draw(st.integers(0, 4)) else 1 << 24
    bias = rng.integers(-reach, reach, shape[0], endpoint=True)
    # The multiplier of channel 0: mostly one that fills the range, now and then far below or above.
    exponent = draw(st.floats(-2, 1)) if draw(st.integers(0, 4)) else draw(st.integers(-36, 20))
    multiplier = 64 / typical * 2.0**exponent
    scale = float32_exact(min(max(sketch.last.quant.scale * float(scales[0]) / multiplier, 1e-30), 1e30))
    strides = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    activation = RELU if draw(st.booleans()) else NONE
    sketch.conv(weights, scales, bias, Quant(scale, draw(zero_points)), activation, *strides)


@pytest.fixture(scope="session")
def deepkws_like() -> Callable[..., QuantGraph]:
    """Makes DeepKWS-shaped graphs: ``deepkws_like(rng, hidden=128, layers=3, outputs=3)``."""
    return make_deepkws


@pytest.fixture(scope="session")
def random_graphs() -> Callable[..., st.SearchStrategy[QuantGraph]]:
    """Makes the strategy of small random graphs: ``random_graphs(convolutions=3)``, to be drawn from ``st.data()``."""
    return small_graphs
