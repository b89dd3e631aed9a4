"""Random small graphs: every operator, strides, delay lines, recurrences, extreme scales, zero points and biases."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from kws.graph.arithmetic import float32_exact, quantize_multiplier
from kws.graph.ir import Activation, Concat, Conv2D, Op, Quant, QuantGraph, Reshape, Slice, State, Tensor
from kws.graph.wiring import inputs

INT32_MAX = 2**31 - 1


@pytest.fixture(scope="session")
def graphs() -> st.SearchStrategy[QuantGraph]:
    """Checked graphs of up to seven building blocks."""
    return st.composite(_draw_graph)()


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
        if rows * math.prod(first.shape[1:]) <= 200:
            output = self.add((rows, *first.shape[1:]), first.quant)
            self.ops.append(Concat(tuple(part.name for part in parts), output.name))

    def state(self) -> None:
        like = self.pick()
        self.reads.append(self.add(like.shape, like.quant).name)

    def delay_line(self) -> None:
        source = self.pick()
        rows = self.draw(st.integers(1, 5))
        if (rows + source.shape[0]) * math.prod(source.shape[1:]) > 200:
            return
        read = self.add((rows, *source.shape[1:]), source.quant)
        joined = self.add((rows + source.shape[0], *source.shape[1:]), source.quant)
        kept = self.add(read.shape, source.quant)
        self.reads.append(read.name)
        self.writes[read.name] = kept.name
        self.ops += [
            Concat((read.name, source.name), joined.name),
            Slice(joined.name, kept.name, source.shape[0]),
        ]

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
        if 2 * rows * columns * channels > 200:
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
        weights = self.random.integers(-127, 128, (channels, *kernel, depth)).astype(np.int8)
        if self.draw(st.booleans()):
            weights = (np.sign(weights) * 127).astype(np.int8)
        scales, bias = self._scales_and_bias(weights, source.quant, quant)
        activation: Activation = self.draw(st.sampled_from(["none", "relu"]))
        self.ops.append(Conv2D(source.name, output.name, weights, scales, bias, *strides, activation=activation))
        return output

    def _scales_and_bias(self, weights: Any, source: Quant, output: Quant) -> tuple[Any, Any]:
        """Multipliers from useful to extreme; biases from none to the largest that cannot overflow."""
        channels, fan_in = len(weights), weights[0].size
        useful = 1.0 / (60.0 * 60.0 * math.sqrt(fan_in))
        spread = self.draw(st.sampled_from([0.0, 1.0, 12.0]))
        factors = useful * 2.0 ** self.random.uniform(-spread, spread, channels)
        scales = (factors * output.scale / source.scale).astype(np.float32)
        products = source.scale * scales.astype(np.float64) / output.scale
        left = np.array([max(quantize_multiplier(float(value))[1], 0) for value in products])
        sums = np.abs(weights.astype(np.int64)).reshape(channels, -1).sum(axis=1)
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


def _draw_graph(draw: Any) -> QuantGraph:
    builder = _Builder(draw)
    blocks = ["conv", "reshape", "delay_line", "recurrence", "conv", "state", "concat", "slice"]
    builder.reshape()
    for block in draw(st.lists(st.sampled_from(blocks), max_size=6)):
        getattr(builder, block)()
    return builder.graph()
