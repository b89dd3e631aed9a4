"""Real Fourier transforms in float32, and the lengths they are quick at: even, with no prime factor above 11."""

import itertools

import numpy as np
from numpy.typing import NDArray


def _quick_lengths(most: int) -> NDArray[np.int64]:
    lengths = {2}
    for prime in (2, 3, 5, 7, 11):
        powers = list(itertools.takewhile(lambda power: power <= most, (prime**n for n in range(64))))
        lengths |= {length * power for length in lengths for power in powers if length * power <= most}
    return np.array(sorted(lengths))


LENGTHS = _quick_lengths(1 << 24)
"""All of them up to 17 minutes of sound."""


def fast_length(samples: int) -> int:
    """Return the smallest quick length that holds ``samples``; a multiple of 480 beyond 2^24.

    >>> fast_length(1), fast_length(38400), fast_length(38401)
    (2, 38400, 38416)
    """
    if samples > LENGTHS[-1]:
        return -(-samples // 480) * 480
    return int(LENGTHS[np.searchsorted(LENGTHS, samples)])


def fast_pair(least: int, ratio: float) -> tuple[int, int]:
    """Return two quick lengths, the first from ``least`` to about 1.15 times that, whose quotient is nearest ``ratio``.

    >>> long, short = fast_pair(38400, 1.1)
    >>> abs(long / short / 1.1 - 1.0) < 2e-3
    True
    """
    first = int(np.searchsorted(LENGTHS, least))
    long = LENGTHS[first : max(int(np.searchsorted(LENGTHS, least * 1.15)), first + 4)]
    at = np.searchsorted(LENGTHS, long / ratio)
    short = LENGTHS[np.clip(np.stack([at - 1, at]), 0, len(LENGTHS) - 1)]
    error = np.abs(long / short / ratio - 1.0)
    row, column = np.unravel_index(int(error.argmin()), error.shape)
    return int(long[column]), int(short[row, column])


def spectrum(signal: NDArray[np.float32], length: int) -> NDArray[np.complex64]:
    """Return the transform of the last axis, padded with zeros to ``length``: complex64 [.., length // 2 + 1].

    Computed in float64: numpy 2's float32 forward transform takes three times as long (its inverse does not).
    """
    return np.fft.rfft(signal.astype(np.float64), length).astype(np.complex64)


def wave(transform: NDArray[np.complex64], length: int) -> NDArray[np.float32]:
    """Return the signal of a spectrum, float32 [.., length].

    >>> float(np.abs(wave(spectrum(np.ones(6, np.float32), 8), 8)[:6] - 1.0).max()) < 1e-6
    True
    """
    return np.fft.irfft(transform, length).astype(np.float32, copy=False)
