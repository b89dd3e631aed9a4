"""Noise of a colour: Gaussian, its power falling or rising with frequency. float32, about unit RMS.

Each function takes how many samples to make and an explicit ``numpy.random.Generator``; the caller sets the level.
"""

import numpy as np
from numpy.typing import NDArray

from kws.data.sounds.transforms import fast_length, wave

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
    return unit_rms(wave(spectrum, length)[:samples])


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


def unit_rms(signal: Signal) -> Signal:
    """Return the signal scaled to a root mean square of 1; digital silence stays as it is."""
    power = float(np.dot(signal, signal)) / max(len(signal), 1)
    return (signal / np.float32(np.sqrt(power))).astype(np.float32) if power > 0.0 else signal.astype(np.float32)
