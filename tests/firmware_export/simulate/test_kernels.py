"""The inner loops on the emulated processors: every remainder of channels, inputs and kernel positions, both widths of
weights, outputs that the short way scales and others; and the frontend at its extremes.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_export.simulate.graph import SimulatedEngine, runtime_machine
from firmware_export.simulate.machine import CONSTANTS
from firmware_export.simulate.memory import Arena
from firmware_export.simulate.structs import runtime_structs
from firmware_export.simulate.targets import find
from kws.detector.engine import CEngine
from kws.frontend import FrontendConfig, compute, tables
from kws.graph.interpret import Interpreter
from kws.graph.ir import Conv2D, DepthwiseConv2D, Quant, QuantGraph, Reshape, Tensor, WeightBits

pytestmark = pytest.mark.emulator

Shape = tuple[int, int, int]
TARGETS = ("cortex-m4", "cortex-m0plus", "rv32imc")
Q = Quant(0.5, -9)
FEW = [(1, 1), (2, 1), (5, 1), (3, 3)]

CONVOLUTIONS: list[tuple[Shape, tuple[int, int], int]] = [
    ((1, 1, 1), (1, 1), 1), ((1, 1, 3), (1, 1), 2), ((1, 1, 4), (1, 1), 3), ((1, 1, 5), (1, 1), 4),
    ((1, 1, 8), (1, 1), 5), ((1, 1, 12), (1, 1), 6), ((1, 1, 31), (1, 1), 7), ((1, 1, 64), (1, 1), 8),
    ((1, 1, 255), (1, 1), 5), ((1, 1, 256), (1, 1), 4), ((1, 1, 257), (1, 1), 3), ((1, 1, 771), (1, 1), 9),
    ((4, 5, 1), (3, 3), 5), ((3, 4, 3), (2, 3), 6), ((3, 6, 4), (3, 2), 4), ((2, 60, 5), (2, 55), 3),
]  # fmt: skip
"""Maps, kernels, output channels; blocks are of 256 inputs."""


def graph(
    inputs: Shape, kernel: tuple[int, int], out: int | None, bits: WeightBits, real_scale: float, zero_point: int
) -> QuantGraph:
    """Return one convolution, depthwise without ``out``, of random weights, its output clamped at a ReLU."""
    rng = np.random.default_rng((*inputs, *kernel, bits))
    time, frequency, depth = inputs
    shape = (*kernel, depth) if out is None else (out, *kernel, depth)
    channels = depth if out is None else out
    largest = 127 if bits == 8 else 7
    weights = rng.integers(-largest, largest + 1, shape).astype(np.int8)
    summed = weights.size / channels
    scales = (rng.uniform(0.1, 1, channels) * real_scale / (largest * np.sqrt(summed))).astype(np.float32)
    bias = rng.integers(-5000, 5000, channels).astype(np.int32)
    kind = DepthwiseConv2D if out is None else Conv2D
    op = kind("x", "y", weights, scales, bias, activation="relu", weight_bits=bits)
    output = (time - kernel[0] + 1, frequency - kernel[1] + 1, channels)
    tensors = (
        Tensor("input", (1, time * frequency * depth), Q),
        Tensor("x", inputs, Q),
        Tensor("y", output, Quant(0.5, zero_point)),
    )
    return QuantGraph(tensors, (Reshape("input", "x"), op), (), "input", "y")


def features(made: QuantGraph) -> NDArray[np.int8]:
    """All least, all greatest, two steps of noise."""
    bands = made.tensor("input").shape[1]
    noise = np.random.default_rng(1).integers(-128, 128, (2, bands))
    return np.concatenate([np.full((1, bands), -128), np.full((1, bands), 127), noise]).astype(np.int8)


def check(made: QuantGraph, target: str) -> None:
    given = features(made)
    wanted = Interpreter(made).run(given)
    assert np.array_equal(SimulatedEngine(made, target).run(given), wanted)
    assert np.array_equal(CEngine(made).run(given), wanted)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bits", [8, 4])
def test_convolutions(target: str, bits: WeightBits) -> None:
    for inputs, kernel, out in CONVOLUTIONS:
        check(graph(inputs, kernel, out, bits, 0.1, -128), target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("bits", [8, 4])
def test_depthwise_convolutions(target: str, bits: WeightBits) -> None:
    """Over few positions and over many."""
    for kernel in FEW:
        for channels in (1, 3, 4, 7, 8, 12):
            for positions in (1, 3, 8):
                inputs = (kernel[0], kernel[1] + positions - 1, channels)
                check(graph(inputs, kernel, None, bits, 0.1, -128), target)


@pytest.mark.parametrize("bits", [8, 4])
def test_outputs_that_are_scaled_the_long_way(bits: WeightBits) -> None:
    """A ReLU that clamps above -128, multipliers near 1 and above it."""
    for real_scale, zero_point in ((0.1, -100), (2.0, -128), (300.0, 5)):
        check(graph((1, 1, 20), (1, 1), 6, bits, real_scale, zero_point), "cortex-m4")
        check(graph((3, 8, 8), (2, 1), None, bits, real_scale, zero_point), "cortex-m4")


# ---- the frontend ----


def extremes(rng: np.random.Generator, length: int) -> NDArray[np.int16]:
    full = np.array([-32768, 32767], np.int16)
    parts = [np.full(length, value) for value in (0, -32768, 32767, -1)]
    parts += [np.tile(full, length // 2), rng.choice(full, length), rng.integers(-3, 4, length)]
    return np.concatenate([*parts, rng.integers(-32768, 32768, length)]).astype(np.int16)


@pytest.mark.parametrize("target", ["cortex-m4", "cortex-m0plus"])
@pytest.mark.parametrize(
    "config",
    [
        FrontendConfig(),
        FrontendConfig(fft_size=1024, window_ms=64, hop_ms=40, bands=80),
        FrontendConfig(fft_size=256, window_ms=16, hop_ms=10, bands=20),
    ],
    ids=["512", "1024", "256"],
)
def test_the_frontend_equals_its_specification(target: str, config: FrontendConfig, rng: np.random.Generator) -> None:
    samples = extremes(rng, config.window_samples)
    expected = compute(samples, config, "numpy")
    machine, structs, constants = runtime_machine(find(target)), runtime_structs(), Arena(CONSTANTS)
    built = tables.build(config)
    fields = constants.put_struct(structs, "kws_lfbe_tables_t", dict([*built.scalars(), *built.arrays()]))
    machine.write(CONSTANTS, constants.content)
    audio, made = machine.allocate(samples.nbytes), machine.allocate(expected.nbytes)
    scratch = machine.allocate(machine.call("kws_lfbe_scratch_bytes", fields))
    machine.write(audio, samples.tobytes())
    machine.call("kws_lfbe_compute", fields, audio, config.hop_samples, len(expected), made, scratch)
    got = np.frombuffer(machine.read(made, expected.nbytes), np.int16).reshape(expected.shape)
    assert np.array_equal(got, expected)
