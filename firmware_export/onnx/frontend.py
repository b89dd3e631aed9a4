"""The LFBE frontend as ONNX nodes: int16 samples to the graph's features, bit for bit as ``kws.frontend.lfbe``.

Everything after the window is int64; every function here corresponds to the one of the same name there. A pass of the
FFT is a product with a matrix of 1, 0 and -1 (the butterfly), then the twiddles; a halving is a twiddle of 2^31.
"""

import numpy as np
from numpy.typing import NDArray

from firmware_export.onnx.arithmetic import Integers
from firmware_export.onnx.builder import Writer
from kws.frontend.config import LFBE_FRACTION_BITS, FrontendConfig
from kws.frontend.tables import LOG2_SEGMENTS, PEAK_BITS, POWER_SHIFT, Tables, build, pass_sizes
from kws.graph.arithmetic import feature_multiplier
from kws.graph.ir import Quant

AUDIO_NAME = "audio"
STATE_NAME, NEXT_NAME = "audio_state", "audio_next"

ENERGY_BITS = 62
SAMPLES_BITS = 31


def write(writer: Writer, config: FrontendConfig, quant: Quant, stride: int, target: str) -> None:
    """Add nodes from ``audio`` int16 [1, stride * hop] and ``audio_state`` int16 [1, window - hop] to ``target``.

    ``target`` [1, stride, bands] is the quantized features as the file stores them; the next state is
    ``audio_next``.
    """
    ints = Integers(writer, "frontend")
    energies = lfbe(ints, build(config), stride)
    multiplier, left = (np.array(value, np.int64) for value in feature_multiplier(quant))
    features = ints.stored(ints.requantize(energies, multiplier, left), -128, 127, quant.zero_point)
    writer.reshape(features, target, (stride, config.bands))


def lfbe(ints: Integers, tables: Tables, stride: int) -> str:
    """Add the log filter-bank energies int64 [stride, bands] (Q6.9 log2) of the step's samples; return their name."""
    frames = _frames(ints, tables, stride)
    samples, shift = _normalise(ints, tables, frames, stride)
    power = _power_spectrum(ints, tables, _fft(ints, tables, samples, stride))
    return _log2_energies(ints, tables, _band_energies(ints, tables, power, stride), shift)


def _frames(ints: Integers, tables: Tables, stride: int) -> str:
    """Return int32 [stride, window], and keep the samples that the next step's frames need."""
    joined = AUDIO_NAME
    kept = tables.window_samples - tables.hop_samples
    if kept:
        joined = ints.op("Concat", STATE_NAME, AUDIO_NAME, axis=1)
        begin = stride * tables.hop_samples
        limits = [ints.constant([value]) for value in (begin, begin + kept, 1)]
        ints.writer.node("Slice", [joined, *limits], NEXT_NAME)
    parts = [
        ints.op("Slice", joined, [start], [start + tables.window_samples], [1])
        for start in range(0, stride * tables.hop_samples, tables.hop_samples)
    ]
    return ints.cast(ints.op("Concat", *parts, axis=0), np.int32)


def _normalise(ints: Integers, tables: Tables, frames: str, stride: int) -> tuple[str, str]:
    """Return [stride, 2, fft_size / 2], even samples and odd ones, and the left shifts [stride, 1]."""
    windowed = ints.op("Mul", frames, ints.cast(tables.window, np.int32))  # below 2^30 in magnitude
    # A negative number's bits are those of its complement, and the longest of all are those of the largest.
    magnitudes = ints.op("Max", windowed, ints.op("Sub", np.array(-1, np.int32), windowed))
    # Not ReduceMax: since opset 18 it takes its axes as an input, before as an attribute.
    place = ints.op("ArgMax", magnitudes, axis=1)
    largest = ints.cast(ints.op("GatherElements", magnitudes, place, axis=1), np.int64)
    length = ints.bit_length(largest, SAMPLES_BITS)
    shift = ints.op("Sub", SAMPLES_BITS, length)
    powers = np.left_shift(np.int64(1), np.arange(SAMPLES_BITS + 1))
    peak_31_bits = ints.op("Mul", ints.cast(windowed, np.int64), ints.op("Gather", powers, shift))
    peak = ints.floor_shift(peak_31_bits, SAMPLES_BITS - PEAK_BITS)
    padded = ints.op("Pad", peak, [0, 0, 0, tables.fft_size - tables.window_samples])
    pairs = ints.reshape(padded, stride, tables.fft_size // 2, 2)
    return ints.op("Transpose", pairs, perm=[0, 2, 1]), shift


def _fft(ints: Integers, tables: Tables, values: str, stride: int) -> str:
    """Return [stride, 2, points] in the order of the passes, of [stride, 2, points]."""
    points = tables.fft_size // 2
    start, blocks = 0, stride
    sizes = pass_sizes(points)
    for size in sizes:
        quarter = size // 4
        end = start + 6 * (quarter - 1)
        turns = _turns(tables.twiddles[start:end].reshape(-1, 6))
        butterflies = ints.reshape(values, blocks, 8, quarter)
        values = _twiddled(ints, butterflies, turns)
        values = ints.op("Transpose", ints.reshape(values, blocks, 2, 4, quarter), perm=[0, 2, 1, 3])
        start, blocks = end, blocks * 4
    rest = sizes[-1] // 4
    last = ints.op("MatMul", _butterfly(rest), ints.reshape(values, blocks, 2 * rest, 1))
    by_frame = ints.reshape(last, stride, blocks // stride, 2, rest)
    return ints.reshape(ints.op("Transpose", by_frame, perm=[0, 2, 1, 3]), stride, 2, points)


def _butterfly(points: int) -> NDArray[np.int64]:
    """Return the DFT of 2 or 4 complex points as a matrix on (real parts, imaginary parts): 1, 0 and -1."""
    grid = np.outer(np.arange(points), np.arange(points)) * (4 // points) % 4
    cos, sin = np.array([1, 0, -1, 0], np.int64)[grid], np.array([0, 1, 0, -1], np.int64)[grid]
    return np.block([[cos, sin], [-sin, cos]])


def _turns(twiddles: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return cos and sin [4, n / 4] of a pass, from [n / 4 - 1, 6]: 2^31 and 0 halve where there is no twiddle."""
    cos, sin = np.full((4, len(twiddles) + 1), 1 << 31, np.int64), np.zeros((4, len(twiddles) + 1), np.int64)
    cos[1:, 1:], sin[1:, 1:] = twiddles[:, 0::2].T, twiddles[:, 1::2].T
    return cos, sin


def _twiddled(ints: Integers, values: str, turns: tuple[NDArray[np.int64], NDArray[np.int64]]) -> str:
    """Return the 4-point DFTs of [blocks, 8, n / 4], turned back: (x cos + y sin, y cos - x sin)."""
    cos, sin = turns
    butterfly = _butterfly(4)
    straight = ints.high(ints.op("MatMul", butterfly, values), np.concatenate([cos, cos]))
    crossed = ints.high(ints.op("MatMul", np.roll(butterfly, 4, axis=0), values), np.concatenate([sin, sin]))
    signs = np.repeat(np.array([[1], [-1]], np.int64), 4, axis=0)
    return ints.op("Add", straight, ints.op("Mul", crossed, signs))


def _power_spectrum(ints: Integers, tables: Tables, spectrum: str) -> str:
    """Return |X|^2 >> POWER_SHIFT of the bins that the bands use, [stride, bins], of [stride, 2, points]."""
    points = tables.fft_size // 2
    middle = points // 2
    order = tables.order.astype(np.int64)
    low, upper = (
        ints.op("Gather", spectrum, ints.widened(places.astype(np.int32)), axis=2)
        for places in (order[1:middle], order[:middle:-1])
    )
    sums, differences = ints.op("Add", low, upper), ints.op("Sub", low, upper)
    plus_real, plus = (ints.op("Gather", sums, part, axis=1) for part in (0, 1))
    minus, minus_imaginary = (ints.op("Gather", differences, part, axis=1) for part in (0, 1))
    even_real, even_imaginary = ints.floor_shift(plus_real, 1), ints.floor_shift(minus_imaginary, 1)
    cos, sin = (ints.widened(tables.split[part::2].copy()) for part in (0, 1))
    odd_real = ints.op("Sub", ints.high(plus, cos), ints.high(minus, sin))
    odd_imaginary = ints.op("Add", ints.high(minus, cos), ints.high(plus, sin))
    rising = _squares(ints, ints.op("Add", even_real, odd_real), ints.op("Sub", even_imaginary, odd_imaginary))
    falling = _squares(ints, ints.op("Sub", even_real, odd_real), ints.op("Add", even_imaginary, odd_imaginary))
    centre = ints.op("Gather", spectrum, [int(order[middle])], axis=2)
    centre_power = _squares(ints, *(ints.op("Gather", centre, part, axis=1) for part in (0, 1)))
    # Bins 1 .. N/2 - 1, N/2, and N - 1 down to N/2 + 1: reversed.
    backwards = ints.op("Gather", falling, np.arange(middle - 1)[::-1].astype(np.int32), axis=1)
    return ints.op("Div", ints.op("Concat", rising, centre_power, backwards, axis=1), 1 << POWER_SHIFT)


def _squares(ints: Integers, real: str, imaginary: str) -> str:
    return ints.op("Add", ints.op("Mul", real, real), ints.op("Mul", imaginary, imaginary))


def _band_energies(ints: Integers, tables: Tables, power: str, stride: int) -> str:
    """Return the weighted sums [stride, bands]."""
    edges = tables.mel_edges.astype(np.int64) - 1
    used = ints.op("Slice", power, [int(edges[0])], [int(edges[-1])], [1])
    total, rising = (
        _pieces(ints, values, edges - edges[0])
        for values in (used, ints.op("Mul", used, ints.widened(tables.mel_weights)))
    )
    falling = ints.op("Sub", ints.op("Mul", total, 1 << 16), rising)
    bands = tables.bands
    return ints.op("Add", ints.op("Slice", rising, [0], [bands], [1]), ints.op("Slice", falling, [1], [bands + 1], [1]))


def _pieces(ints: Integers, values: str, edges: NDArray[np.int64]) -> str:
    """Return the sums between the edges, [stride, bands + 1], of [stride, bins]."""
    sums = ints.op("Pad", ints.op("CumSum", values, 1), [0, 1, 0, 0])
    at_edges = ints.op("Gather", sums, edges.astype(np.int32), axis=1)
    last = len(edges)
    return ints.op(
        "Sub", ints.op("Slice", at_edges, [1], [last], [1]), ints.op("Slice", at_edges, [0], [last - 1], [1])
    )


def _log2_energies(ints: Integers, tables: Tables, energies: str, shift: str) -> str:
    """Return log2 of the true energies, floored at 0, in Q6.9, [stride, bands]."""
    at_least_one = ints.at_least(energies, 1)
    exponent = ints.op("Sub", ints.bit_length(at_least_one, ENERGY_BITS), 1)
    exponents = np.arange(ENERGY_BITS)
    up, down = (
        ints.op("Gather", np.left_shift(np.int64(1), np.maximum(moves, 0)), exponent)
        for moves in (30 - exponents, exponents - 30)
    )
    mantissa = ints.op("Div", ints.op("Mul", at_least_one, up), down)  # 2^30 .. 2^31 - 1
    whole_piece = ints.op("Div", mantissa, 1 << 24)
    piece = ints.op("Sub", whole_piece, LOG2_SEGMENTS)
    part = ints.op("Sub", ints.op("Div", mantissa, 1 << 9), ints.op("Mul", whole_piece, 1 << 15))
    table = tables.log2_table.astype(np.int64)
    rise = ints.op("Div", ints.op("Mul", ints.op("Gather", np.diff(table), piece), part), 1 << 15)
    fraction = ints.op("Add", ints.op("Gather", table[:-1], piece), rise)
    true_exponent = ints.op("Sub", exponent, ints.op("Add", ints.op("Mul", shift, 2), tables.energy_bits))
    log2 = ints.op("Add", ints.op("Mul", true_exponent, 1 << 15), fraction)
    rounding = 15 - LFBE_FRACTION_BITS
    rounded = ints.op("Div", ints.at_least(ints.op("Add", log2, 1 << (rounding - 1)), 0), 1 << rounding)
    return ints.op("Where", ints.op("Greater", energies, 0), rounded, 0)
