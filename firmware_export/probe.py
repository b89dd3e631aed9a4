"""The audio that verification feeds to every engine: deterministic, and difficult on purpose."""

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 16000


def probe_audio(seconds: float, seed: int = 0) -> NDArray[np.int16]:
    """Return int16 [seconds * 16000] of one-second scenes that reach every corner of a model's input range.

    Scenes take turns: noise from 1 LSB to full scale, syllable-like bursts of harmonics with gliding pitch, tones
    that sweep the bands, clicks, clipping, digital silence. The same seed gives the same samples.

    >>> probe_audio(0.5).shape
    (8000,)
    """
    rng = np.random.default_rng(seed)
    scenes = (_noise, _syllables, _sweep, _syllables, _clicks, _syllables, _clipped, _silence)
    total = round(seconds * RATE_HZ)
    made = [scenes[index % len(scenes)](rng) for index in range(-(-total // RATE_HZ))]
    audio = np.concatenate(made)[:total]
    return np.clip(np.round(audio), -32768, 32767).astype(np.int16)


def _time() -> NDArray[np.float64]:
    return np.arange(RATE_HZ) / RATE_HZ


def _amplitude(rng: np.random.Generator, log2_low: float, log2_high: float) -> float:
    return float(np.exp2(rng.uniform(log2_low, log2_high)))


def _noise(rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.standard_normal(RATE_HZ) * _amplitude(rng, 0, 14)


def _syllables(rng: np.random.Generator) -> NDArray[np.float64]:
    """Voiced speech in outline: harmonics of a gliding pitch under moving formants, about four bursts a second."""
    time = _time()
    pitch_hz = rng.uniform(80, 300) * (1 + rng.uniform(-0.3, 0.3) * time)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    formants_hz = [rng.uniform(low, high) * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(1, 4) * time))
                   for low, high in ((300, 900), (900, 2400), (2400, 3600))]  # fmt: skip
    voice: NDArray[np.float64] = np.zeros(RATE_HZ)
    # The gains move slowly, so every 10 ms is enough; harmonic h of a phasor is its power h: both save a second's time.
    coarse = slice(None, None, RATE_HZ // 100)
    phasor = np.exp(1j * phase)
    harmonics = np.ones_like(phasor)
    for harmonic in range(1, 40):
        harmonics *= phasor
        gain = sum(np.exp(-(((harmonic * pitch_hz[coarse] - hz[coarse]) / 150.0) ** 2)) for hz in formants_hz)
        voice += np.interp(time, time[coarse], gain) * harmonics.imag
    envelope = np.clip(np.sin(2 * np.pi * rng.uniform(2, 4) * time + rng.uniform(0, 6)), 0, 1)
    loud: NDArray[np.float64] = voice * envelope * _amplitude(rng, 6, 14)
    return loud + rng.standard_normal(RATE_HZ) * _amplitude(rng, 0, 6)


def _sweep(rng: np.random.Generator) -> NDArray[np.float64]:
    hz = np.geomspace(50, 7900, RATE_HZ)
    tone: NDArray[np.float64] = np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ)
    return tone * _amplitude(rng, 3, 14.9)


def _clicks(rng: np.random.Generator) -> NDArray[np.float64]:
    audio = np.zeros(RATE_HZ)
    audio[rng.integers(0, RATE_HZ, 20)] = rng.uniform(-32768, 32767, 20)
    return audio


def _clipped(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.clip(_syllables(rng) * 100.0, -32768, 32767)


def _silence(_: np.random.Generator) -> NDArray[np.float64]:
    return np.zeros(RATE_HZ)
