"""Signals that the frontend's tests share, all from an explicit generator."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Samples = NDArray[np.int16]
Make = Callable[[int, np.random.Generator], Samples]
RATE_HZ = 16000


def to_int16(signal: NDArray[np.float64]) -> Samples:
    return np.clip(np.rint(signal), -32768, 32767).astype(np.int16)


def voiced_speech(samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Harmonics of a wandering pitch under the formants of random vowels, syllable by syllable; peak near 1."""
    syllable = RATE_HZ // 5
    syllables = samples // syllable + 1
    place = np.arange(samples) / syllable
    pitch_hz = np.interp(place, np.arange(syllables + 1), rng.uniform(80, 250, syllables + 1))
    formants = rng.uniform([250, 800, 2000], [850, 2200, 3200], (syllables + 1, 3)).T
    formants_hz = [np.interp(place, np.arange(syllables + 1), formant) for formant in formants]
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    signal = np.zeros(samples)
    for harmonic in range(1, 31):
        frequency = harmonic * pitch_hz
        gain = sum(0.5**i / (1 + ((frequency - f) / 80) ** 2) for i, f in enumerate(formants_hz))
        signal += gain * np.sin(harmonic * phase) * (frequency < 7500)
    breath = rng.standard_normal(samples) * 0.02
    signal = signal * np.abs(np.sin(np.pi * place)) + breath
    return np.asarray(signal / np.abs(signal).max())


@pytest.fixture(scope="session")
def speech() -> NDArray[np.float64]:
    """Ten seconds of speech-like signal with peak 1."""
    return voiced_speech(10 * RATE_HZ, np.random.default_rng(21))


@pytest.fixture(scope="session")
def quantized() -> Callable[[NDArray[np.float64]], Samples]:
    return to_int16
