"""Gains over frequency: tilt, equalizer, band limits, a microphone; plain numbers, applied by one transform."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kws.data.sounds.colours import SAMPLE_RATE_HZ
from kws.data.sounds.transforms import fast_length, spectrum, wave

Signal = NDArray[np.float32]
POINTS_HZ = 40.0 * 2.0 ** np.arange(0.0, 7.75, 1.0 / 6.0)
"""Where a gain is computed: six points an octave from 40 Hz; straight lines between them."""
OCTAVES = np.log2(POINTS_HZ / 1000.0)
TOP_HZ = SAMPLE_RATE_HZ / 2.0
FLOOR_DB = -60.0
RING_SAMPLES = 480
"""How long a filter may ring before and after: 30 ms of zeros, so that nothing comes round from the other end."""


@dataclass(frozen=True)
class Channel:
    """Where sound goes through. Tilt in dB per octave around 1 kHz; one equalizer gain per octave from 62.5 Hz."""

    tilt_db_per_octave: float = 0.0
    equalizer_db: tuple[float, ...] = ()
    low_cut_hz: float = 0.0
    high_cut_hz: float = TOP_HZ

    def decibels(self) -> NDArray[np.float64]:
        """Return the gain at POINTS_HZ: a high-pass of 24 dB an octave, a low-pass of 48 beside tilt and equalizer."""
        gain = self.tilt_db_per_octave * OCTAVES
        if self.equalizer_db:
            gain = gain + np.interp(OCTAVES, np.arange(len(self.equalizer_db)) - 4.0, self.equalizer_db)
        if self.low_cut_hz > 0.0:
            gain = gain - 12.0 * np.log2(1.0 + (self.low_cut_hz / POINTS_HZ) ** 2)
        if self.high_cut_hz < TOP_HZ:
            gain = gain - 6.0 * np.log2(1.0 + (POINTS_HZ / self.high_cut_hz) ** 8)
        return np.asarray(gain)


@dataclass(frozen=True)
class Resonance:
    """A peak or a hole around ``hertz``, ``gain_db`` high; half of that ``octaves`` away."""

    hertz: float
    gain_db: float
    octaves: float


@dataclass(frozen=True)
class Microphone:
    """A small microphone in its case: a high-pass of 12 dB an octave, a tilt, resonances."""

    low_cut_hz: float = 0.0
    tilt_db_per_octave: float = 0.0
    resonances: tuple[Resonance, ...] = ()

    def decibels(self) -> NDArray[np.float64]:
        """Return the gain at POINTS_HZ."""
        gain = self.tilt_db_per_octave * OCTAVES
        if self.low_cut_hz > 0.0:
            gain = gain - 3.01 * np.log2(1.0 + (self.low_cut_hz / POINTS_HZ) ** 4)
        for peak in self.resonances:
            gain = gain + peak.gain_db * 0.5 ** ((OCTAVES - math.log2(peak.hertz / 1000.0)) / peak.octaves) ** 2
        return np.asarray(gain)


def draw_microphone(rng: np.random.Generator) -> Microphone:
    """Draw a microphone: the high-pass up to 250 Hz, +-2 dB an octave, up to three resonances of +-8 dB."""
    return Microphone(
        low_cut_hz=float(rng.uniform(20.0, 250.0)),
        tilt_db_per_octave=float(rng.uniform(-2.0, 2.0)),
        resonances=tuple(
            Resonance(float(150.0 * 50.0 ** rng.random()), float(rng.uniform(-8.0, 8.0)), float(rng.uniform(0.1, 0.6)))
            for _ in range(int(rng.integers(4)))
        ),
    )


def filtered(signal: Signal, decibels: NDArray[np.float64], room: Signal | None = None, direct: int = 0) -> Signal:
    """Return the signal [n] under zero-phase gains (dB at POINTS_HZ) and a room response, its tail cut at the end.

    ``direct`` is the sample of the response that must not shift the sound: the direct path. Flat gains without a room
    return the signal itself.
    """
    flat = not decibels.any()
    if flat and room is None:
        return signal
    length = fast_length(len(signal) + (RING_SAMPLES if room is None else max(len(room), RING_SAMPLES)))
    transform = spectrum(signal, length)
    if not flat:
        transform *= gains(length, decibels)
    if room is not None:
        transform *= spectrum(room, length)
    return wave(transform, length)[direct : direct + len(signal)]


def gains(length: int, decibels: NDArray[np.float64]) -> Signal:
    """Return the gain of each bin of a transform of ``length`` samples, float32 [length // 2 + 1]."""
    return np.interp(_hertz(length), POINTS_HZ, 10.0 ** (np.maximum(decibels, FLOOR_DB) / 20.0)).astype(np.float32)


@lru_cache(maxsize=64)
def _hertz(length: int) -> NDArray[np.float64]:
    return np.linspace(0.0, TOP_HZ, length // 2 + 1)
