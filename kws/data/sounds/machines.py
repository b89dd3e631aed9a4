"""Noise of things: mains hum, keys and cutlery, a fan, a motor, a dishwasher. float32, about unit RMS.

Made from nothing but a generator, as in ``noise_colours``; each takes well below 2 ms for 2.4 s.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kws.data.sounds.colours import SAMPLE_RATE_HZ, Signal, coloured, unit_rms, white

TABLE = 4096
"""Samples of one turn of a periodic sound."""


def hum(samples: int, rng: np.random.Generator) -> Signal:
    """Return mains hum: 50 or 60 Hz with up to 20 harmonics of random strength, on a floor of white noise."""
    period = turn(int(rng.integers(5, 22)), 1.0, rng)
    hertz = float(rng.choice([50.0, 60.0])) * rng.uniform(0.998, 1.002)
    return unit_rms(turned(period, samples, hertz) + np.float32(0.03) * white(samples, rng))


def clicks(samples: int, rng: np.random.Generator) -> Signal:
    """Return keys, cutlery and crackle: 1 to 12 decaying bursts a second over a weak noise floor."""
    total = 0.02 * white(samples, rng)
    add_bursts(total, float(rng.uniform(1.0, 12.0)), rng)
    return unit_rms(total)


def fan(samples: int, rng: np.random.Generator) -> Signal:
    """Return a fan or an extractor hood: rushing air, and its blades' tone, both swelling a little with each turn."""
    air = coloured(samples, float(rng.uniform(-9.0, -2.0)), rng)
    blades_hz = float(rng.uniform(40.0, 400.0))
    tone = turned(turn(int(rng.integers(2, 8)), 1.0, rng), samples, blades_hz)
    swell = np.float32(rng.uniform(0.0, 0.4)) * turned(_sine(), samples, blades_hz / int(rng.integers(3, 9)))
    return unit_rms((air + np.float32(rng.uniform(0.0, 0.8)) * unit_rms(tone)) * (1.0 + swell))


def motor(samples: int, rng: np.random.Generator) -> Signal:
    """Return a mixer, drill or vacuum cleaner: many harmonics of a speed that drifts, and brushes' noise with them."""
    hertz = float(rng.uniform(60.0, 400.0))
    drift = np.interp(np.arange(samples), np.linspace(0, samples, 6), rng.uniform(0.94, 1.06, 6))
    turns = np.cumsum(drift * (hertz * TABLE / SAMPLE_RATE_HZ)).astype(np.int64) % TABLE
    tone = turn(int(rng.integers(8, 30)), float(rng.uniform(0.3, 1.0)), rng).take(turns)
    noise = coloured(samples, float(rng.uniform(-4.0, 1.0)), rng)
    ripple = 1.0 + np.float32(rng.uniform(0.0, 0.9)) * _sine().take(turns)
    return unit_rms(unit_rms(tone) + np.float32(rng.uniform(0.2, 1.5)) * noise * ripple)


def dishwasher(samples: int, rng: np.random.Generator) -> Signal:
    """Return a dishwasher or washing machine: a pump's hum, water that comes and goes, things that clink."""
    pump = turned(turn(int(rng.integers(3, 12)), 1.0, rng), samples, float(rng.choice([50.0, 60.0])) * 2.0)
    water = coloured(samples, float(rng.uniform(-6.0, -1.0)), rng)
    wave = turned(_sine(), samples, float(rng.uniform(0.3, 2.5)))
    strength = np.exp(np.float32(rng.uniform(0.3, 1.2)) * wave)
    total = np.float32(rng.uniform(0.1, 0.7)) * unit_rms(pump) + water * strength
    add_bursts(total, float(rng.uniform(0.0, 3.0)), rng)
    return unit_rms(total)


def turn(harmonics: int, steepness: float, rng: np.random.Generator) -> Signal:
    """Return one turn [TABLE] of harmonics of random strength, falling with their number to the power of steepness."""
    numbers = np.arange(1, harmonics + 1)
    bins = np.zeros(TABLE // 2 + 1, np.complex128)
    bins[numbers] = rng.uniform(0.1, 1.0, harmonics) / numbers**steepness
    bins[numbers] *= np.exp(2j * np.pi * rng.random(harmonics))
    return np.fft.irfft(bins * TABLE).astype(np.float32)


def turned(period: Signal, samples: int, hertz: float) -> Signal:
    """Return a turn repeated ``hertz`` times a second."""
    step = hertz * TABLE / SAMPLE_RATE_HZ
    return period.take((np.arange(samples) * step).astype(np.int64) % TABLE)


def add_bursts(total: Signal, per_second: float, rng: np.random.Generator) -> None:
    """Add decaying bursts of noise, at least one, in place."""
    length = 800
    for _ in range(int(per_second * len(total) / SAMPLE_RATE_HZ) + 1):
        begin = int(rng.integers(len(total)))
        burst = white(length, rng) * np.exp(-_ramp() / np.float32(rng.uniform(8.0, 200.0)))
        part = total[begin : begin + length]
        part += np.float32(rng.uniform(0.2, 1.0)) * burst[: len(part)]


@lru_cache(maxsize=1)
def _ramp() -> Signal:
    return np.arange(800, dtype=np.float32)


@lru_cache(maxsize=1)
def _sine() -> NDArray[np.float32]:
    return np.asarray(np.sin(np.arange(TABLE) * (2.0 * np.pi / TABLE)), np.float32)
