"""Graphs to export: DeepKWS- and BC-ResNet-shaped ones, and the small random ones of the tests of the graph; older
runtimes.
"""

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.graph.arithmetic import float32_exact
from kws.graph.check import check
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
from kws.graph.kernels import KERNELS
from kws.graph.wiring import inputs

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


def make_deepkws(
    rng: np.random.Generator, hidden: int = 128, layers: int = 3, outputs: int = 3, frames: int = 41
) -> QuantGraph:
    """DeepKWS's shape: 41 frames of 40 bands, ``layers`` of ``hidden``; random weights, every activation well in range.

    The input's zero point is off 0 on purpose: a state that starts at 0 instead of it shows.
    """
    sketch = Sketch(1, 40, Quant(float32_exact(0.18), -37))
    sketch.reshape(1, 40, 1)
    sketch.remember(frames - 1)
    spread = 74 * 0.18  # of the white int8 input, in real units
    for layer in range(layers + 1):
        last = layer == layers
        out = outputs if last else hidden
        kernel = (frames, 40, 1) if layer == 0 else (1, 1, hidden)
        scales = (rng.uniform(0.5, 2, out) * 0.002).astype(np.float32)
        weights = np.clip(np.round(rng.normal(0, 40, (out, *kernel))), -127, 127)
        spread *= 40 * float(scales.mean()) * float(np.sqrt(np.prod(kernel)))
        bias = np.round(rng.normal(0, 0.3 * spread, out) / (sketch.last.quant.scale * scales))
        quant = Quant(float32_exact(spread * 3 / 128), 3) if last else Quant(float32_exact(spread * 3 / 255), -128)
        sketch.conv(weights, scales, bias, quant, NONE if last else RELU)
        spread *= 0.7  # of a rectified normal distribution
    return sketch.graph()


class CalibratedSketch:
    """A graph whose activations get the scales that white noise at its input asks for, layer by layer.

    ``values`` has what every tensor holds, int8 [steps, *shape].
    """

    def __init__(self, rng: np.random.Generator, bands: int, steps: int = 60) -> None:
        self.rng = rng
        quant = Quant(float32_exact(0.18), -37)
        self.tensors = [Tensor("input", (1, bands), quant)]
        self.ops: list[Op] = []
        self.states: list[State] = []
        self.values = {"input": rng.integers(-128, 128, (steps, 1, bands)).astype(np.int8)}

    def append(self, op: Op, shape: tuple[int, ...], quant: Quant) -> Tensor:
        """Add an operator with its output."""
        tensor = Tensor(op.output, shape, quant)
        self.tensors.append(tensor)
        self.ops.append(op)
        self.values[tensor.name] = self._run(op)
        return tensor

    def name(self) -> str:
        return f"t{len(self.tensors)}"

    def reshape(self, source: Tensor, *shape: int) -> Tensor:
        return self.append(Reshape(source.name, self.name()), shape, source.quant)

    def remember(self, source: Tensor, rows: int) -> Tensor:
        """Put the last ``rows`` rows of before in front of the present one."""
        past, after = (f"{kind}{len(self.tensors)}" for kind in ("past", "after"))
        shape = (rows, *source.shape[1:])
        # What the state read in each step: the rows of the steps before, at first the zero point.
        start = np.full(shape, source.quant.zero_point, np.int8)
        line = np.concatenate([start, self.values[source.name][:, 0]])
        steps = len(line) - rows
        self.values[past] = np.stack([line[step : step + rows] for step in range(steps)])
        self.tensors.append(Tensor(past, shape, source.quant))
        window = self.append(Concat((past, source.name), self.name()), (rows + 1, *source.shape[1:]), source.quant)
        self.append(Slice(window.name, after, 1), shape, source.quant)
        self.states.append(State(past, after))
        return window

    def pad(self, source: Tensor, each: int) -> Tensor:
        time, frequency, channels = source.shape
        shape = (time, frequency + 2 * each, channels)
        return self.append(Pad(source.name, self.name(), each, each), shape, source.quant)

    def pool(self, kind: type[MaxPool2D] | type[AveragePool2D], source: Tensor, window: int) -> Tensor:
        time, frequency, channels = source.shape
        shape = (time, frequency // window, channels)
        return self.append(kind(source.name, self.name(), 1, window), shape, source.quant)

    def add(self, first: Tensor, second: Tensor, activation: Activation = NONE) -> Tensor:
        return self._fitted(Add((first.name, second.name), self.name(), activation), first.shape)

    def conv(self, source: Tensor, out: int, kernel: tuple[int, int] = (1, 1), **options: Any) -> Tensor:
        """Add a convolution; ``options`` are those of Conv2D."""
        time, frequency, depth = source.shape
        weights, scales = self._weights((out, *kernel, depth), (1, 2, 3))
        op = Conv2D(source.name, self.name(), weights, scales, self._bias(source, scales), **options)
        columns = 1 + (frequency - kernel[1]) // op.stride_frequency
        return self._fitted(op, (1 + time - kernel[0], columns, out))

    def depthwise(self, source: Tensor, kernel: tuple[int, int], **options: Any) -> Tensor:
        """Add a depthwise convolution; ``options`` are those of DepthwiseConv2D."""
        time, frequency, channels = source.shape
        weights, scales = self._weights((*kernel, channels), (0, 1))
        op = DepthwiseConv2D(source.name, self.name(), weights, scales, self._bias(source, scales), **options)
        rows = time - (kernel[0] - 1) * op.dilation_time
        return self._fitted(op, (rows, frequency - kernel[1] + 1, channels))

    def _weights(self, shape: tuple[int, ...], summed: tuple[int, ...]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        real = self.rng.normal(0, 1, shape)
        scales = np.abs(real).max(axis=summed, keepdims=True) / 127
        return np.round(real / scales).astype(np.int8), scales.reshape(-1).astype(np.float32)

    def _bias(self, source: Tensor, scales: NDArray[np.float32]) -> NDArray[np.int32]:
        """A few LSB of the input, at the accumulators' scale."""
        return np.round(self.rng.normal(0, 20, len(scales)) / scales).astype(np.int32)

    def _fitted(self, op: Conv2D | DepthwiseConv2D | Add, shape: tuple[int, ...]) -> Tensor:
        """Add an operator that computes, with the scale and zero point that fit its values."""
        tensors = {tensor.name: tensor for tensor in self.tensors}
        scale = 255.0 * sum(tensors[name].quant.scale for name in inputs(op))
        if not isinstance(op, Add):
            scale *= float(np.abs(op.weights.astype(int)).sum() * op.weight_scales.max())
        for _ in range(6):  # the first ones are far too coarse
            self.tensors.append(Tensor(op.output, shape, Quant(float32_exact(scale), 0)))
            real = self._run(replace(op, activation=NONE)) * scale
            self.tensors.pop()
            scale = float(np.abs(real).max()) / 100 + scale / 1000
        low, high = (0.0 if op.activation == RELU else min(0.0, real.min())), max(scale, real.max())
        zero_point = int(np.clip(round(-128 - 255 * low / (high - low)), -128, 127))
        return self.append(op, shape, Quant(float32_exact((high - low) / 255), zero_point))

    def _run(self, op: Op) -> NDArray[np.int8]:
        graph = QuantGraph(tuple(self.tensors), (), (), "input", "input")
        return KERNELS[type(op)](graph, op)([self.values[name] for name in inputs(op)])

    def graph(self, output: Tensor) -> QuantGraph:
        graph = QuantGraph(tuple(self.tensors), tuple(self.ops), tuple(self.states), "input", output.name)
        check(graph)
        return graph


def make_residual(rng: np.random.Generator, channels: int = 6, blocks: int = 2, outputs: int = 3) -> QuantGraph:
    """BC-ResNet's shape: blocks of a depthwise convolution over frequency and, of the mean over frequency, a dilated
    one over time, broadcast and added, around them a shortcut; a max pool behind each.
    """
    sketch = CalibratedSketch(rng, 40)
    x = sketch.remember(sketch.reshape(sketch.tensors[0], 1, 40, 1), 2)
    x = sketch.conv(sketch.pad(x, 2), channels, (3, 5), stride_frequency=2, activation=RELU)
    for block in range(blocks):
        dilation = 1 + block
        body = sketch.depthwise(sketch.pad(x, 1), (1, 3))
        mean = sketch.pool(AveragePool2D, body, body.shape[1])
        mean = sketch.depthwise(sketch.remember(mean, 2 * dilation), (3, 1), dilation_time=dilation, activation=RELU)
        x = sketch.add(sketch.add(body, sketch.conv(mean, channels)), x, RELU)
        x = sketch.pool(MaxPool2D, x, 2)
    return sketch.graph(sketch.conv(sketch.pool(AveragePool2D, x, x.shape[1]), outputs))


@pytest.fixture(scope="session")
def deepkws_like() -> Callable[..., QuantGraph]:
    """Makes DeepKWS-shaped graphs: ``deepkws_like(rng, hidden=128, layers=3, outputs=3, frames=41)``."""
    return make_deepkws


@pytest.fixture(scope="session")
def residual_like() -> Callable[..., QuantGraph]:
    """Makes BC-ResNet-shaped graphs: ``residual_like(rng, channels=6, blocks=2, outputs=3)``."""
    return make_residual


def make_four_bits(graph: QuantGraph) -> QuantGraph:
    """The graph with weights of four bits, which are nearly the same real values."""
    return replace(graph, ops=tuple(four_bit_op(op) for op in graph.ops))


def four_bit_op(op: Op) -> Op:
    if not isinstance(op, Conv2D | DepthwiseConv2D):
        return op
    step = np.float32(127 / 7)
    weights, bias = np.rint(op.weights / step).astype(np.int8), np.rint(op.bias / step).astype(np.int32)
    return replace(op, weights=weights, bias=bias, weight_scales=op.weight_scales * step, weight_bits=4)


@pytest.fixture(scope="session")
def four_bits() -> Callable[[QuantGraph], QuantGraph]:
    """Makes of a graph one whose weights have four bits: ``four_bits(graph)``."""
    return make_four_bits


@pytest.fixture(scope="session")
def older_runtimes() -> Path:
    """The Python of an environment with tflite-runtime 2.14 and ONNX Runtime 1.15, which `make test` sets up.

    There are builds for Python 3.11 on Linux; where there are none, there is nothing to test.
    """
    named = os.environ.get("KWS_TFLITE_RUNTIME")
    if not named:
        reason = "KWS_TFLITE_RUNTIME names no Python with the older runtimes: make test sets one up"
        if os.environ.get("CI") and sys.version_info[:2] == (3, 11) and platform.system() == "Linux":
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(named)
