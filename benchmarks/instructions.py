"""Instructions of the C runtime, exactly counted on an emulated Cortex-M4: python benchmarks/instructions.py [TARGET]

Each operator is computed once with 8-bit and once with 4-bit weights; the numbers are compared with the graph's, then
printed: instructions, multiply-accumulates, instructions for each, and what CMSIS-NN takes in the same emulator (built
by gcc 12 -Ofast); then one frame of the frontend. Any target of `kws profile` may be given, or several.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from firmware_export.simulate.graph import SimulatedEngine, runtime_machine
from firmware_export.simulate.memory import Arena
from firmware_export.simulate.structs import runtime_structs
from firmware_export.simulate.targets import find
from kws.frontend import FrontendConfig, compute, tables
from kws.graph.cost import cost
from kws.graph.interpret import Interpreter
from kws.graph.ir import Conv2D, DepthwiseConv2D, Quant, QuantGraph, Reshape, Tensor, WeightBits

_IN, _OUT = Quant(0.0625, -7), Quant(0.0625, -128)


@dataclass(frozen=True)
class Case:
    """An operator: its name, graphs that have only it, what CMSIS-NN takes for each multiply-accumulate."""

    name: str
    graphs: Callable[[WeightBits], tuple[QuantGraph, ...]]
    peer: str


@dataclass(frozen=True)
class Count:
    """Instructions of an operator, and those of each multiply-accumulate."""

    instructions: int
    macs: int

    @property
    def each(self) -> float:
        """Instructions for one multiply-accumulate."""
        return self.instructions / self.macs


def convolution(inputs: tuple[int, int, int], out: int, kernel: tuple[int, int], bits: WeightBits) -> QuantGraph:
    """Return one convolution of a map [time, frequency, channels], ReLU behind it."""
    time, frequency, depth = inputs
    weights, scales, bias = _constants((out, *kernel, depth), out, bits)
    op = Conv2D("x", "y", weights, scales, bias, activation="relu", weight_bits=bits)
    return _graph(inputs, op, (time - kernel[0] + 1, frequency - kernel[1] + 1, out))


def depthwise(inputs: tuple[int, int, int], kernel: tuple[int, int], bits: WeightBits) -> QuantGraph:
    """Return one depthwise convolution of a map [time, frequency, channels], ReLU behind it."""
    time, frequency, channels = inputs
    weights, scales, bias = _constants((*kernel, channels), channels, bits)
    op = DepthwiseConv2D("x", "y", weights, scales, bias, activation="relu", weight_bits=bits)
    return _graph(inputs, op, (time - kernel[0] + 1, frequency - kernel[1] + 1, channels))


def _constants(shape: tuple[int, ...], channels: int, bits: WeightBits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    largest = 127 if bits == 8 else 7
    summed = np.prod(shape) / channels
    scales = (rng.uniform(0.5, 2, channels) / (largest * np.sqrt(summed))).astype(np.float32)
    weights = rng.integers(-largest, largest + 1, shape).astype(np.int8)
    return weights, scales, rng.integers(-3000, 3000, channels).astype(np.int32)


def _graph(inputs: tuple[int, int, int], op: Conv2D | DepthwiseConv2D, output: tuple[int, int, int]) -> QuantGraph:
    tensors = (Tensor("input", (1, int(np.prod(inputs))), _IN), Tensor("x", inputs, _IN), Tensor("y", output, _OUT))
    return QuantGraph(tensors, (Reshape("input", "x"), op), (), "input", "y")


WREN_KERNELS = ((5, 32), (11, 60), (15, 60), (23, 60))
"""Steps and channels of the default model's depthwise convolutions."""

CASES = (
    Case("pointwise 64 -> 64, one position", lambda bits: (convolution((1, 1, 64), 64, (1, 1), bits),), "6.0"),
    Case("dense 1640 -> 12", lambda bits: (convolution((1, 1, 1640), 12, (1, 1), bits),), "1.9"),
    Case("dense 1640 -> 128", lambda bits: (convolution((1, 1, 1640), 128, (1, 1), bits),), "1.9"),
    Case("depthwise 3 x 3 over 25 x 5, 64 channels", lambda bits: (depthwise((27, 7, 64), (3, 3), bits),), "8.1"),
    Case(
        "depthwise over time, Wren's four",
        lambda bits: tuple(depthwise((kernel, 1, channels), (kernel, 1), bits) for kernel, channels in WREN_KERNELS),
        "-",
    ),
)


def count(case: Case, target: str, bits: WeightBits) -> Count:
    """Run an operator on noise; return what it took.

    Raises:
        AssertionError: its output is not the graph's.
    """
    instructions = macs = 0
    for graph in case.graphs(bits):
        bands = graph.tensor("input").shape[1]
        features = np.random.default_rng(1).integers(-128, 128, (1, bands)).astype(np.int8)
        logits, counts = SimulatedEngine(graph, target).count_ops(features)
        assert np.array_equal(logits, Interpreter(graph).run(features)), f"{case.name}: not the graph's numbers"
        instructions += sum(op.instructions for op in counts)
        macs += cost(graph).macs_per_step
    return Count(instructions, macs)


def count_frame(target: str) -> int:
    """Push hops of noise into the frontend; return the instructions of one that completes a frame.

    Raises:
        AssertionError: the features are not those of the specification.
    """
    config = FrontendConfig()
    built, structs, machine = tables.build(config), runtime_structs(), runtime_machine(find(target))
    hop, frames = config.hop_samples, 4
    samples = np.random.default_rng(2).normal(0, 3000, config.window_samples + hop * frames).astype(np.int16)
    constants = Arena(0x10000000)
    fields = constants.put_struct(structs, "kws_lfbe_tables_t", dict([*built.scalars(), *built.arrays()]))
    machine.write(constants.origin, constants.content)
    stream, audio = machine.allocate(structs.size("kws_lfbe_t")), machine.allocate(2 * len(samples))
    features = machine.allocate(2 * config.bands)
    machine.write(audio, samples.tobytes())
    machine.call("kws_lfbe_init", stream, fields, machine.allocate(machine.call("kws_lfbe_memory_bytes", fields)))
    expected = iter(compute(samples, config, "numpy"))
    counts = []
    for begin in range(0, len(samples) - hop + 1, hop):
        with machine.counting() as found:
            made = machine.call("kws_lfbe_push", stream, audio + 2 * begin, hop, features)
        if made:
            got = np.frombuffer(machine.read(features, 2 * config.bands), np.int16)
            assert np.array_equal(got, next(expected)), "the frontend: not the specification's numbers"
            counts.append(found[0].instructions)
    return int(max(counts))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("targets", nargs="*", default=["cortex-m4"], metavar="TARGET")
    for target in parser.parse_args().targets:
        peers = target == "cortex-m4"
        print(f"{target:<42}{'8 bits':>11}{'MACs':>9}{'each':>7}{'4 bits':>11}{'each':>7}{'CMSIS-NN' * peers:>10}")
        for case in CASES:
            eight, four = count(case, target, 8), count(case, target, 4)
            print(f"{case.name:<42}{eight.instructions:>11,}{eight.macs:>9,}{eight.each:>7.2f}", end="")
            print(f"{four.instructions:>11,}{four.each:>7.2f}{case.peer * peers:>10}")
        print(f"{'frontend, one frame':<42}{count_frame(target):>11,}", end="")
        print("   (TensorFlow Lite Micro's: 83,243)\n" if peers else "\n")


if __name__ == "__main__":
    main()
