"""Random small graphs: every operator, strides, dilation, delay lines, recurrences, residual blocks, extreme scales,
zero points and biases. ``draw_graph`` draws one; the tests of the exports may use it too.
"""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.graph.arithmetic import float32_exact, quantize_multiplier
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
    WeightBits,
)
from kws.graph.wiring import inputs

INT32_MAX = 2**31 - 1
LARGEST = 200
"""Values of a tensor."""


@pytest.fixture(scope="session")
def graphs() -> st.SearchStrategy[QuantGraph]:
    """Checked graphs of up to seven building blocks."""
    return st.composite(draw_graph)()


class _Builder:
    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.random = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="weights' seed"))
        self.quants = [self._quant() for _ in range(2)]
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.reads: list[str] = []
        self.writes: dict[str, str] = {}
        shape = (draw(st.integers(1, 4)), draw(st.integers(1, 12)))
        self.add(shape, self.quants[0])

    def _quant(self) -> Quant:
        scale = float32_exact(10.0 ** self.draw(st.floats(-4, 4)))
        return Quant(scale, self.draw(st.sampled_from([-128, 127, 0]) | st.integers(-128, 127)))

    def add(self, shape: tuple[int, ...], quant: Quant) -> Tensor:
        tensor = Tensor(f"t{len(self.tensors)}", shape, quant)
        self.tensors.append(tensor)
        return tensor

    def activation(self) -> Activation:
        activation: Activation = self.draw(st.sampled_from(["none", "relu"]))
        return activation

    def pick(self, rank: int = 0) -> Tensor:
        """Return a tensor (the last one first) of this rank, or of any."""
        fitting = [tensor for tensor in self.tensors if rank in (0, len(tensor.shape))]
        return fitting[-1] if self.draw(st.booleans()) else self.draw(st.sampled_from(fitting))

    def reshape(self) -> None:
        source = self.pick()
        values = math.prod(source.shape)
        rows = self.draw(st.sampled_from([d for d in range(1, values + 1) if values % d == 0]))
        columns = self.draw(st.sampled_from([d for d in range(1, values // rows + 1) if values // rows % d == 0]))
        shape = (rows, columns, values // rows // columns)
        self.ops.append(Reshape(source.name, self.add(shape, source.quant).name))

    def slice(self) -> None:
        source = self.pick()
        begin = self.draw(st.integers(0, source.shape[0] - 1))
        rows = self.draw(st.integers(1, source.shape[0] - begin))
        self.ops.append(Slice(source.name, self.add((rows, *source.shape[1:]), source.quant).name, begin))

    def concat(self) -> None:
        first = self.pick()
        alike = [t for t in self.tensors if t.shape[1:] == first.shape[1:] and t.quant == first.quant]
        parts = self.draw(st.lists(st.sampled_from(alike), min_size=1, max_size=3))
        rows = sum(part.shape[0] for part in parts)
        if rows * math.prod(first.shape[1:]) <= LARGEST:
            output = self.add((rows, *first.shape[1:]), first.quant)
            self.ops.append(Concat(tuple(part.name for part in parts), output.name))

    def state(self) -> None:
        like = self.pick()
        self.reads.append(self.add(like.shape, like.quant).name)

    def delay_line(self) -> None:
        source = self.pick()
        rows = self.draw(st.integers(1, 5))
        if (rows + source.shape[0]) * math.prod(source.shape[1:]) <= LARGEST:
            self.add_delay_line(source, rows)

    def add_delay_line(self, source: Tensor, rows: int) -> Tensor:
        """Return the last ``rows`` rows of before and the source's."""
        read = self.add((rows, *source.shape[1:]), source.quant)
        joined = self.add((rows + source.shape[0], *source.shape[1:]), source.quant)
        kept = self.add(read.shape, source.quant)
        self.reads.append(read.name)
        self.writes[read.name] = kept.name
        self.ops += [
            Concat((read.name, source.name), joined.name),
            Slice(joined.name, kept.name, source.shape[0]),
        ]
        return joined

    def conv(self) -> None:
        source = self.pick(rank=3)
        kernel = (self.draw(st.integers(1, source.shape[0])), self.draw(st.integers(1, source.shape[1])))
        strides = (self.draw(st.integers(1, 3)), self.draw(st.integers(1, 3)))
        channels = self.draw(st.sampled_from([source.shape[2], 1, 4, 5, 7]))
        self.add_conv(source, channels, kernel, strides, self.draw(st.sampled_from(self.quants)))

    def recurrence(self) -> None:
        """A convolution over its own last output and something else."""
        source = self.pick(rank=3)
        rows, columns, channels = source.shape
        if 2 * rows * columns * channels > LARGEST:
            return
        read = self.add(source.shape, source.quant)
        joined = self.add((2 * rows, columns, channels), source.quant)
        self.ops.append(Concat((read.name, source.name), joined.name))
        output = self.add_conv(joined, channels, (rows + 1, 1), (1, 1), source.quant)
        self.reads.append(read.name)
        self.writes[read.name] = output.name

    def add_conv(
        self, source: Tensor, channels: int, kernel: tuple[int, int], strides: tuple[int, int], quant: Quant
    ) -> Tensor:
        rows, columns, depth = source.shape
        shape = (1 + (rows - kernel[0]) // strides[0], 1 + (columns - kernel[1]) // strides[1], channels)
        output = self.add(shape, quant)
        weights, bits = self.weights((channels, *kernel, depth))
        scales, bias = self._scales_and_bias(weights.reshape(channels, -1), source.quant, quant)
        constants = (weights, scales, bias)
        self.ops.append(Conv2D(source.name, output.name, *constants, *strides, self.activation(), bits))
        return output

    def weights(self, shape: tuple[int, ...]) -> tuple[NDArray[np.int8], WeightBits]:
        """Return weights over their whole range, or at its ends alone, and their bits."""
        bits: WeightBits = self.draw(st.sampled_from([8, 4]))
        largest = {8: 127, 4: 7}[bits]
        weights = self.random.integers(-largest, largest + 1, shape).astype(np.int8)
        if self.draw(st.booleans()):
            weights = (np.sign(weights) * largest).astype(np.int8)
        return weights, bits

    def depthwise(self) -> None:
        source = self.pick(rank=3)
        kernel = (self.draw(st.integers(1, source.shape[0])), self.draw(st.integers(1, source.shape[1])))
        strides = (self.draw(st.integers(1, 3)), self.draw(st.integers(1, 3)))
        furthest = (source.shape[0] - 1) // (kernel[0] - 1) if kernel[0] > 1 else 3
        dilation = self.draw(st.integers(1, furthest))
        self.add_depthwise(source, kernel, strides, dilation, self.draw(st.sampled_from(self.quants)))

    def add_depthwise(
        self, source: Tensor, kernel: tuple[int, int], strides: tuple[int, int], dilation: int, quant: Quant
    ) -> Tensor:
        rows, columns, channels = source.shape
        rows -= (kernel[0] - 1) * dilation
        output = self.add((1 + (rows - 1) // strides[0], 1 + (columns - kernel[1]) // strides[1], channels), quant)
        weights, bits = self.weights((*kernel, channels))
        scales, bias = self._scales_and_bias(weights.reshape(-1, channels).T, source.quant, quant)
        constants = (weights, scales, bias)
        self.ops.append(
            DepthwiseConv2D(source.name, output.name, *constants, *strides, dilation, self.activation(), bits)
        )
        return output

    def pad(self) -> None:
        source = self.pick(rank=3)
        before, after = self.draw(st.integers(0, 3)), self.draw(st.integers(0, 3))
        if math.prod(source.shape) // source.shape[1] * (before + source.shape[1] + after) <= LARGEST:
            self.add_pad(source, before, after)

    def add_pad(self, source: Tensor, before: int, after: int) -> Tensor:
        rows, columns, channels = source.shape
        output = self.add((rows, before + columns + after, channels), source.quant)
        self.ops.append(Pad(source.name, output.name, before, after))
        return output

    def addition(self) -> None:
        """Any two maps that fit, be they one."""
        first = self.pick(rank=3)
        rows, _, channels = first.shape
        alike = [tensor for tensor in self.tensors if tensor.shape in (first.shape, (rows, 1, channels))]
        self.add_addition(first, self.draw(st.sampled_from(alike[::-1])))

    def add_addition(self, first: Tensor, second: Tensor) -> None:
        greater = max(first.quant.scale, second.quant.scale)
        wanted = self.draw(st.sampled_from(self.quants))
        choice = self.draw(st.sampled_from(["useful", "extreme", "given"]))
        if choice != "given":
            exponent = self.draw(st.floats(-0.5, 1.5) if choice == "useful" else st.floats(-19, 12))
            wanted = Quant(float32_exact(greater * 2.0**exponent), wanted.zero_point)
        finest = float32_exact(greater * 2.0**-18.9)  # what is finer than 2^-19 of an input's scale is refused
        scale = float32_exact(min(max(wanted.scale, 1e-8), 1e8))  # a chain of additions does not leave float32
        quant = Quant(max(scale, finest), wanted.zero_point)
        output = self.add(first.shape, quant)
        self.ops.append(Add((first.name, second.name), output.name, self.activation()))

    def pool(self) -> None:
        source = self.pick(rank=3)
        rows, columns, channels = source.shape
        window = (self.draw(st.integers(1, rows)), self.draw(st.sampled_from([columns, *range(1, columns + 1)])))
        kind = self.draw(st.sampled_from([MaxPool2D, AveragePool2D]))
        output = self.add((rows // window[0], columns // window[1], channels), source.quant)
        self.ops.append(kind(source.name, output.name, *window))

    def residual(self) -> None:
        """The last rows of before, padded, through a dilated depthwise convolution, added to what came in."""
        source = self.pick(rank=3)
        rows, columns, channels = source.shape
        kernel, dilation = (self.draw(st.integers(1, 3)), self.draw(st.integers(1, 3))), self.draw(st.integers(1, 2))
        before = (kernel[0] - 1) * dilation
        if (rows + before) * (columns + kernel[1] - 1) * channels > LARGEST:
            return
        body = self.add_delay_line(source, before) if before else source
        body = self.add_pad(body, kernel[1] // 2, kernel[1] - 1 - kernel[1] // 2)
        self.add_addition(source, self.add_depthwise(body, kernel, (1, 1), dilation, self.quants[1]))

    def broadcast(self) -> None:
        """The mean over frequency, through a 1 x 1 convolution, added to every frequency."""
        source = self.pick(rank=3)
        rows, columns, channels = source.shape
        mean = self.add((rows, 1, channels), source.quant)
        self.ops.append(AveragePool2D(source.name, mean.name, 1, columns))
        self.add_addition(source, self.add_conv(mean, channels, (1, 1), (1, 1), self.quants[0]))

    def _scales_and_bias(self, weights: Any, source: Quant, output: Quant) -> tuple[Any, Any]:
        """Multipliers from useful to extreme; biases from none to the largest that cannot overflow.

        ``weights`` are [channels, weights of one sum].
        """
        channels, fan_in = weights.shape
        useful = 1.0 / (60.0 * 60.0 * math.sqrt(fan_in))
        spread = self.draw(st.sampled_from([0.0, 1.0, 12.0]))
        factors = useful * 2.0 ** self.random.uniform(-spread, spread, channels)
        scales = (factors * output.scale / source.scale).astype(np.float32)
        products = source.scale * scales.astype(np.float64) / output.scale
        left = np.array([max(quantize_multiplier(float(value))[1], 0) for value in products])
        sums = np.abs(weights.astype(np.int64)).sum(axis=1)
        room = (INT32_MAX >> left) - 255 * sums
        size = self.draw(st.sampled_from(["none", "useful", "largest"]))
        useful_bias = self.random.integers(-(10**4), 10**4 + 1, channels)
        wanted = {"none": np.zeros(channels, np.int64), "useful": useful_bias, "largest": room * np.sign(useful_bias)}
        return scales, np.clip(wanted[size], -room, room).astype(np.int32)

    def graph(self) -> QuantGraph:
        return QuantGraph(tuple(self.tensors), tuple(self.ops), self._states(), "t0", self._output())

    def _states(self) -> tuple[State, ...]:
        """Let each open state take over any tensor of its shape and quantization: a delay or a recurrence."""
        by_name = {tensor.name: tensor for tensor in self.tensors}
        for read in self.reads:
            own = by_name[read]
            alike = [t.name for t in self.tensors if (t.shape, t.quant) == (own.shape, own.quant) and t is not own]
            self.writes.setdefault(read, self.draw(st.sampled_from(alike[::-1])))
        return tuple(State(read, self.writes[read]) for read in self.reads)

    def _output(self) -> str:
        """Any tensor that depends on the input; the last one first."""
        reached = {"t0"}
        for _ in range(len(self.ops) + len(self.reads)):
            reached |= {op.output for op in self.ops if reached.intersection(inputs(op))}
            reached |= {read for read in self.reads if self.writes[read] in reached}
        names = [tensor.name for tensor in self.tensors[::-1] if tensor.name in reached]
        return names[0] if self.draw(st.booleans()) else str(self.draw(st.sampled_from(names)))


BLOCKS = (
    "conv", "reshape", "delay_line", "recurrence", "depthwise", "state", "concat", "slice", "pad", "addition", "pool",
    "residual", "broadcast",
)  # fmt: skip


def draw_graph(draw: Any, blocks: tuple[str, ...] = BLOCKS) -> QuantGraph:
    """Draw a checked graph of up to seven of these building blocks."""
    builder = _Builder(draw)
    builder.reshape()
    for block in draw(st.lists(st.sampled_from(blocks), max_size=6)):
        getattr(builder, block)()
    return builder.graph()
