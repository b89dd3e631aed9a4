"""Noise made from nothing but a generator: coloured noise, mains hum, clicks, babble. float32, about unit RMS.

Each function takes how many samples to make and an explicit ``numpy.random.Generator``; the caller sets the level.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16000
Signal = NDArray[np.float32]


def coloured(samples: int, slope_db_per_octave: float, rng: np.random.Generator) -> Signal:
    """Return Gaussian noise of this slope (white 0, pink -3, brown -6 dB an octave), flat below 20 Hz.

    >>> coloured(16000, -3.0, np.random.default_rng(0)).shape
    (16000,)
    """
    length = fast_length(max(samples, 2))
    bins = length // 2 + 1
    hertz = np.maximum(np.arange(bins, dtype=np.float32) * (SAMPLE_RATE_HZ / length), 20.0)
    gain = (hertz / 1000.0) ** np.float32(slope_db_per_octave / 20.0 / np.log10(2.0))
    spectrum = rng.standard_normal((bins, 2), dtype=np.float32).view(np.complex64)[:, 0] * gain.astype(np.complex64)
    spectrum[0] = 0.0
    return unit_rms(np.fft.irfft(spectrum, length)[:samples].astype(np.float32))


def white(samples: int, rng: np.random.Generator) -> Signal:
    """Return white Gaussian noise: equal power at every frequency."""
    return rng.standard_normal(samples, dtype=np.float32)


def pink(samples: int, rng: np.random.Generator) -> Signal:
    """Return pink noise: equal power in every octave."""
    return coloured(samples, -3.0103, rng)


def brown(samples: int, rng: np.random.Generator) -> Signal:
    """Return brown noise, power falling by 6 dB an octave: traffic, wind, ventilation."""
    return coloured(samples, -6.0206, rng)


def any_colour(samples: int, rng: np.random.Generator) -> Signal:
    """Return noise of a random slope from +3 to -9 dB an octave, its level swinging slowly by up to 6 dB."""
    noise = coloured(samples, float(rng.uniform(-9.0, 3.0)), rng)
    time_s = np.arange(samples, dtype=np.float32) / SAMPLE_RATE_HZ
    swing = np.sin(2.0 * np.pi * (rng.uniform(0.1, 2.0) * time_s + rng.uniform()), dtype=np.float32)
    return unit_rms(noise * np.exp(np.float32(rng.uniform(0.0, 0.7)) * swing))


def hum(samples: int, rng: np.random.Generator) -> Signal:
    """Return mains hum: 50 or 60 Hz with up to 20 harmonics of random strength, on a floor of white noise."""
    turn = np.arange(4096, dtype=np.float32) * np.float32(2.0 * np.pi / 4096)
    period = np.zeros(4096, dtype=np.float32)
    for harmonic in range(1, int(rng.integers(5, 22))):
        strength = np.float32(rng.uniform(0.1, 1.0) / harmonic)
        period += strength * np.sin(harmonic * turn + np.float32(rng.uniform(0.0, 2.0 * np.pi)))
    step = float(rng.choice([50.0, 60.0])) * rng.uniform(0.998, 1.002) * 4096 / SAMPLE_RATE_HZ
    places = (np.arange(samples) * step).astype(np.int64) % 4096
    return unit_rms(period[places] + np.float32(0.03) * white(samples, rng))


def clicks(samples: int, rng: np.random.Generator) -> Signal:
    """Return keys, cutlery and crackle: 1 to 12 decaying bursts a second over a weak noise floor."""
    total = 0.02 * white(samples, rng)
    length = 800
    for _ in range(int(rng.uniform(1.0, 12.0) * samples / SAMPLE_RATE_HZ) + 1):
        begin = int(rng.integers(samples))
        burst = white(length, rng) * np.exp(-np.arange(length, dtype=np.float32) / np.float32(rng.uniform(8.0, 200.0)))
        part = total[begin : begin + length]
        part += np.float32(rng.uniform(0.2, 1.0)) * burst[: len(part)]
    return unit_rms(total)


def babble(samples: int, clips: Sequence[NDArray[np.int16]], rng: np.random.Generator) -> Signal:
    """Return the clips all talking at once: each at equal power, from a random place in it, repeated to the end."""
    total = np.zeros(samples, dtype=np.float32)
    for clip in clips:
        if len(clip):
            begin = int(rng.integers(len(clip)))
            total += unit_rms(np.take(clip, np.arange(begin, begin + samples), mode="wrap").astype(np.float32))
    return unit_rms(total)


GENERATORS: dict[str, Callable[[int, np.random.Generator], Signal]] = {
    "white": white,
    "pink": pink,
    "brown": brown,
    "any_colour": any_colour,
    "hum": hum,
    "clicks": clicks,
}
"""The built-in noises that need no recordings, by name."""


def fast_length(samples: int) -> int:
    """Return the smallest multiple of 480 that holds ``samples``: small prime factors, quick to transform."""
    return -(-samples // 480) * 480


def unit_rms(signal: Signal) -> Signal:
    """Return the signal scaled to a root mean square of 1; digital silence stays as it is."""
    power = float(np.dot(signal, signal)) / max(len(signal), 1)
    return (signal / np.float32(np.sqrt(power))).astype(np.float32) if power > 0.0 else signal.astype(np.float32)
