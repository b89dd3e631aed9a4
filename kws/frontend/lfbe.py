"""The specification of the frontend's arithmetic: readable integer numpy that the C code must equal bit for bit.

One frame is a pure function of its samples. The FFT is a decimation-in-frequency radix-4 FFT (Cooley and Tukey 1965)
of half the length over even samples as real and odd ones as imaginary parts (Press et al., Numerical Recipes, section
12.3). A frame's samples share one exponent (block floating point): they are shifted left as far as they go, and the
logarithm takes the shift off again, so that a whisper is as exact as a shout.

Rounding: products of data and Q31 twiddles keep their high 32 bits (floor, one SMMUL on a Cortex-M4), shifts are
arithmetic (floor), the result is rounded to nearest.
"""

import numpy as np
from numpy.typing import NDArray

from kws.frontend.config import LFBE_FRACTION_BITS
from kws.frontend.tables import LOG2_SEGMENTS, PEAK_BITS, POWER_SHIFT, Tables, pass_sizes

Int64 = NDArray[np.int64]
BLOCK_FRAMES = 128
"""Frames worked on at a time: few enough to stay in the processor's cache."""


def lfbe(frames: NDArray[np.int16], tables: Tables) -> NDArray[np.int16]:
    """Return the log filter-bank energies int16[frames, bands] (Q6.9 log2) of int16[frames, window].

    >>> from kws.frontend.config import FrontendConfig
    >>> from kws.frontend.tables import build
    >>> lfbe(np.zeros((2, 400), np.int16), build(FrontendConfig())).shape
    (2, 40)
    """
    out = np.empty((len(frames), tables.bands), np.int16)
    for start in range(0, len(frames), BLOCK_FRAMES):
        block = slice(start, start + BLOCK_FRAMES)
        real, imaginary, shift = normalise(frames[block], tables)
        power = power_spectrum(*fft(real, imaginary, tables), tables)
        out[block] = log2_energies(band_energies(power, tables), shift, tables)
    return out


def normalise(frames: NDArray[np.int16], tables: Tables) -> tuple[Int64, Int64, Int64]:
    """Window the frames and shift each so that its largest magnitude has ``PEAK_BITS`` bits.

    Returns:
        Even and odd samples [frames, fft_size / 2], zeros behind the window, and the left shifts [frames].
    """
    windowed = frames.astype(np.int64) * tables.window  # exact, below 2^30 in magnitude
    ones = np.bitwise_or.reduce(windowed ^ (windowed >> 63), axis=1)  # the longest magnitude's bits, -1 counting as 0
    shift = 31 - bit_length(ones)
    peak_31_bits = windowed << shift[:, None]
    padded = np.zeros((len(frames), tables.fft_size), np.int64)
    padded[:, : tables.window_samples] = peak_31_bits >> (31 - PEAK_BITS)
    return padded[:, 0::2], padded[:, 1::2], shift


def fft(real: Int64, imaginary: Int64, tables: Tables) -> tuple[Int64, Int64]:
    """Return the complex FFT of [frames, N], in the order of its passes (bin k stands at ``tables.order[k]``).

    Every pass with twiddles halves, so that values grow by 2 a pass and N / 2^passes in all: below 2^30.
    """
    frames, points = real.shape
    start = 0
    for size in pass_sizes(points):
        end = start + 6 * (size // 4 - 1)
        twiddles = tables.twiddles[start:end].reshape(-1, 6).T.astype(np.int64)
        blocks = (frames, points // size, 4, size // 4)
        real, imaginary = _radix4_twiddled(real.reshape(blocks), imaginary.reshape(blocks), twiddles)
        start = end
    rest = pass_sizes(points)[-1] // 4  # 4 or 2 points a block
    butterfly = _radix4 if rest == 4 else _radix2
    real, imaginary = butterfly(real.reshape(frames, -1, rest, 1), imaginary.reshape(frames, -1, rest, 1))
    return real.reshape(frames, points), imaginary.reshape(frames, points)


def _radix2(real: Int64, imaginary: Int64) -> tuple[Int64, Int64]:
    """Return the 2-point DFTs along axis 2 of [frames, blocks, 2, 1]."""
    sums = real.sum(axis=2, keepdims=True), imaginary.sum(axis=2, keepdims=True)
    differences = real[:, :, :1] - real[:, :, 1:], imaginary[:, :, :1] - imaginary[:, :, 1:]
    return np.concatenate([sums[0], differences[0]], axis=2), np.concatenate([sums[1], differences[1]], axis=2)


def _radix4(real: Int64, imaginary: Int64) -> tuple[Int64, Int64]:
    """Return the 4-point DFTs along axis 2 of [frames, blocks, 4, n / 4]."""
    a, b, c, d = (real[:, :, i] for i in range(4))
    e, f, g, h = (imaginary[:, :, i] for i in range(4))
    out_real = np.empty_like(real)
    out_imaginary = np.empty_like(imaginary)
    out_real[:, :, 0] = (a + c) + (b + d)
    out_real[:, :, 1] = (a - c) + (f - h)
    out_real[:, :, 2] = (a + c) - (b + d)
    out_real[:, :, 3] = (a - c) - (f - h)
    out_imaginary[:, :, 0] = (e + g) + (f + h)
    out_imaginary[:, :, 1] = (e - g) - (b - d)
    out_imaginary[:, :, 2] = (e + g) - (f + h)
    out_imaginary[:, :, 3] = (e - g) + (b - d)
    return out_real, out_imaginary


def _radix4_twiddled(real: Int64, imaginary: Int64, twiddles: Int64) -> tuple[Int64, Int64]:
    """Return the 4-point DFTs turned back by their twiddles [6, n / 4 - 1], halved."""
    real, imaginary = _radix4(real, imaginary)
    for r in (1, 2, 3):
        cos, sin = twiddles[2 * r - 2], twiddles[2 * r - 1]
        x, y = real[:, :, r, 1:], imaginary[:, :, r, 1:]
        turned = high(x, cos) + high(y, sin), high(y, cos) - high(x, sin)
        real[:, :, r, 1:], imaginary[:, :, r, 1:] = turned
        real[:, :, r, 0] >>= 1
        imaginary[:, :, r, 0] >>= 1
    real[:, :, 0] >>= 1
    imaginary[:, :, 0] >>= 1
    return real, imaginary


def high(a: Int64, b: Int64) -> Int64:
    """Return the high 32 bits of the 64-bit product of two 32-bit numbers, rounded down."""
    product: Int64 = a * b
    product >>= 32
    return product


def power_spectrum(real: Int64, imaginary: Int64, tables: Tables) -> Int64:
    """Return |X|^2 >> POWER_SHIFT of the bins 1 .. N - 1, [frames, N - 1], from the complex FFT of N points."""
    points = tables.fft_size // 2
    middle = points // 2
    low, upper = tables.order[1:middle], tables.order[:middle:-1]
    cos, sin = (tables.split[i::2].astype(np.int64) for i in (0, 1))
    even_real = (real[:, low] + real[:, upper]) >> 1
    even_imaginary = (imaginary[:, low] - imaginary[:, upper]) >> 1
    minus, plus = real[:, low] - real[:, upper], imaginary[:, low] + imaginary[:, upper]
    odd_real = high(plus, cos) - high(minus, sin)
    odd_imaginary = high(minus, cos) + high(plus, sin)
    power = np.empty((len(real), points - 1), np.int64)
    power[:, : middle - 1] = (even_real + odd_real) ** 2 + (even_imaginary - odd_imaginary) ** 2
    power[:, : middle - 1 : -1] = (even_real - odd_real) ** 2 + (even_imaginary + odd_imaginary) ** 2
    power[:, middle - 1] = real[:, tables.order[middle]] ** 2 + imaginary[:, tables.order[middle]] ** 2
    return power >> POWER_SHIFT


def band_energies(power: Int64, tables: Tables) -> Int64:
    """Return the weighted sums [frames, bands] of the powers of the bins 1 .. N - 1; below 2^62."""
    edges = tables.mel_edges.astype(np.int64) - 1  # bin k stands in column k - 1
    used = power[:, edges[0] : edges[-1]]
    zero = np.zeros((len(power), 1), np.int64)
    total = np.concatenate([zero, np.cumsum(used, axis=1)], axis=1)[:, edges - edges[0]]
    rising = np.concatenate([zero, np.cumsum(used * tables.mel_weights, axis=1)], axis=1)[:, edges - edges[0]]
    rising_pieces = np.diff(rising, axis=1)
    falling_pieces = (np.diff(total, axis=1) << 16) - rising_pieces
    energies: Int64 = rising_pieces[:, :-1] + falling_pieces[:, 1:]
    return energies


def log2_energies(energies: Int64, shift: Int64, tables: Tables) -> NDArray[np.int16]:
    """Return log2 of the true energies, floored at 0, in Q6.9: table of 64 pieces, interpolated in Q15."""
    exponent = np.maximum(bit_length(energies) - 1, 0)
    mantissa = np.where(
        exponent > 30, energies >> np.maximum(exponent - 30, 0), energies << np.maximum(30 - exponent, 0)
    )
    piece = (mantissa >> 24) & (LOG2_SEGMENTS - 1)
    part = (mantissa >> 9) & 0x7FFF
    table = tables.log2_table.astype(np.int64)
    fraction = table[piece] + (((table[piece + 1] - table[piece]) * part) >> 15)
    log2 = ((exponent - (tables.energy_bits + 2 * shift[:, None])) << 15) + fraction
    rounding = 15 - LFBE_FRACTION_BITS
    rounded = (log2 + (1 << (rounding - 1))) >> rounding
    return np.where(energies > 0, np.maximum(rounded, 0), 0).astype(np.int16)


def bit_length(values: Int64) -> Int64:
    """Return how many bits each value (0 .. 2^62) has, exactly; 0 has none."""
    length = np.zeros_like(values)
    rest = values
    for bits in (32, 16, 8, 4, 2, 1):
        large = rest >= (1 << bits)
        length += np.where(large, bits, 0)
        rest = np.where(large, rest >> bits, rest)
    return length + (rest > 0)
