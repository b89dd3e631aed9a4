"""Augmentation of waveforms: draw parameters, then apply them. The drawn parameters are plain numbers.

The order is that of the world: the voice is coloured by its room and microphone, noise joins it, the recorder sets
the level and may clip. The same drawn values and the same sound give the same samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws.config import check_range
from kws.data import noise

Samples = NDArray[np.int16]
BLOCK = 160
"""Samples in which power is measured: 10 ms."""


@dataclass(frozen=True)
class AugmentConfig:
    """How far the world may differ from the clips. A share is a probability per example.

    The defaults were chosen on real recordings of other words than the phrases the project reports on: a detector
    of synthesized "alexa", 45,000 examples each. Rooms, speeds and milder noise found more of the real ones.
    """

    noise_share: float = 0.85
    # Of the noises: how many are babble, and how many recorded (where a manifest has clips labelled noise).
    babble_share: float = 0.3
    recorded_share: float = 0.5
    snr_db_min: float = 0.0
    snr_db_max: float = 30.0
    # Level of the speech, RMS over its active parts; 0 dBFS is the RMS of a full-scale square wave.
    level_dbfs_min: float = -50.0
    level_dbfs_max: float = -12.0
    clip_share: float = 0.05
    speed_percent: float = 20.0
    # Spectral tilt and the strength of a random equalizer with one gain per octave.
    tilt_db_per_octave: float = 3.0
    equalizer_db: float = 6.0
    # Narrow channels: telephone lines, small loudspeakers, low-rate codecs.
    band_limit_share: float = 0.2
    room_share: float = 0.7
    reverberation_s_min: float = 0.1
    reverberation_s_max: float = 0.7

    def __post_init__(self) -> None:
        """Check every bound."""
        for name in ("noise_share", "babble_share", "recorded_share", "clip_share", "band_limit_share", "room_share"):
            check_range(name, getattr(self, name), 0.0, 1.0)
        for name, low, high in (("snr_db", -40.0, 80.0), ("level_dbfs", -90.0, 0.0), ("reverberation_s", 0.05, 3.0)):
            check_range(f"{name}_min", getattr(self, f"{name}_min"), low, high)
            check_range(f"{name}_max", getattr(self, f"{name}_max"), getattr(self, f"{name}_min"), high)
        check_range("speed_percent", self.speed_percent, 0.0, 40.0)
        check_range("tilt_db_per_octave", self.tilt_db_per_octave, 0.0, 12.0)
        check_range("equalizer_db", self.equalizer_db, 0.0, 30.0)


@dataclass(frozen=True)
class Augmentation:
    """What was drawn for one example. ``noise`` is a name of ``noise.GENERATORS``, "babble", "recorded" or ""."""

    tilt_db_per_octave: float = 0.0
    equalizer_db: tuple[float, ...] = ()
    low_cut_hz: float = 0.0
    high_cut_hz: float = 8000.0
    reverberation_s: float = 0.0
    direct_db: float = 0.0
    noise: str = ""
    snr_db: float = 20.0
    level_dbfs: float = -25.0
    overdrive_db: float = 0.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Backgrounds:
    """Sounds that noise is made of: other people's speech for babble, recorded noise; either may be empty."""

    speech: Sequence[Samples] = ()
    noise: Sequence[Samples] = ()


def draw(config: AugmentConfig, rng: np.random.Generator, backgrounds: Backgrounds) -> Augmentation:
    """Draw one example's parameters; noises that ``backgrounds`` cannot give are replaced by generated ones."""
    narrow = rng.random() < config.band_limit_share
    room = rng.random() < config.room_share
    low, high = math.log(config.reverberation_s_min), math.log(config.reverberation_s_max)
    return Augmentation(
        tilt_db_per_octave=_spread(config.tilt_db_per_octave, rng),
        equalizer_db=tuple(_spread(config.equalizer_db, rng) for _ in range(8)),
        low_cut_hz=float(rng.uniform(60.0, 350.0)) if narrow else 0.0,
        high_cut_hz=float(rng.uniform(2800.0, 7000.0)) if narrow else 8000.0,
        reverberation_s=math.exp(rng.uniform(low, high)) if room else 0.0,
        direct_db=float(rng.uniform(-6.0, 12.0)),
        noise=_noise_name(config, rng, backgrounds),
        snr_db=float(rng.uniform(config.snr_db_min, config.snr_db_max)),
        level_dbfs=float(rng.uniform(config.level_dbfs_min, config.level_dbfs_max)),
        overdrive_db=float(rng.uniform(3.0, 18.0)) if rng.random() < config.clip_share else 0.0,
        seed=int(rng.integers(2**63)),
    )


def apply(samples: Samples, drawn: Augmentation, backgrounds: Backgrounds) -> Samples:
    """Return the augmented sound, int16 [n] -> int16 [n]. Digital silence becomes noise alone at its level."""
    rng = np.random.default_rng(drawn.seed)
    signal = _filter(samples.astype(np.float32), drawn, rng)
    power = active_power(signal)
    speech_power = power if power > 0.0 else 1.0
    if drawn.noise:
        noise_power = speech_power / 10.0 ** (drawn.snr_db / 10.0)
        signal = signal + np.float32(math.sqrt(noise_power)) * _noise(len(samples), drawn.noise, backgrounds, rng)
        if power == 0.0:
            speech_power = max(speech_power, noise_power)
    gain = 32768.0 * 10.0 ** (drawn.level_dbfs / 20.0) / math.sqrt(speech_power)
    return _to_int16(signal * np.float32(gain), drawn.overdrive_db)


def change_speed(samples: Samples, factor: float) -> Samples:
    """Return the sound ``factor`` times as fast, pitch and all, by linear interpolation: int16 [n / factor].

    >>> len(change_speed(np.zeros(1100, np.int16), 1.1))
    1000
    """
    count = max(round(len(samples) / factor), 1)
    places = np.arange(count, dtype=np.float64) * factor
    return np.asarray(np.rint(np.interp(places, np.arange(len(samples)), samples))).astype(np.int16)


def active_power(signal: NDArray[np.float32]) -> float:
    """Return the mean square over the 10 ms blocks within 30 dB of the loudest block; 0 for digital silence."""
    blocks = signal[: len(signal) - len(signal) % BLOCK].reshape(-1, BLOCK)
    powers = np.einsum("ij,ij->i", blocks, blocks) / BLOCK
    loudest = float(powers.max(initial=0.0))
    return float(powers[powers > loudest / 1000.0].mean()) if loudest > 0.0 else 0.0


def _filter(signal: NDArray[np.float32], drawn: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """Tilt, equalizer, band limits and room in one pass through the frequency domain, tails cut at the end."""
    tail = int(drawn.reverberation_s * noise.SAMPLE_RATE_HZ)
    length = noise.fast_length(len(signal) + max(tail, 480))
    spectrum = np.fft.rfft(signal, length) * _response(length, drawn)
    if tail:
        spectrum *= np.fft.rfft(_room(tail, drawn, rng), length)
    return np.fft.irfft(spectrum, length)[: len(signal)].astype(np.float32)


def _response(length: int, drawn: Augmentation) -> NDArray[np.float32]:
    """Return the zero-phase gain per bin, interpolated in dB over log frequency from a few points per octave."""
    points_hz = 62.5 * 2.0 ** np.arange(0.0, 7.25, 0.25)
    octaves = np.log2(points_hz / 1000.0)
    decibels = drawn.tilt_db_per_octave * octaves
    if drawn.equalizer_db:
        decibels = decibels + np.interp(octaves, np.arange(-4.0, 4.0), drawn.equalizer_db)
    # A high-pass of 24 dB an octave, a low-pass of 48.
    if drawn.low_cut_hz > 0.0:
        decibels = decibels - 12.0 * np.log2(1.0 + (drawn.low_cut_hz / points_hz) ** 2)
    if drawn.high_cut_hz < 8000.0:
        decibels = decibels - 6.0 * np.log2(1.0 + (points_hz / drawn.high_cut_hz) ** 8)
    hertz = np.linspace(0.0, 8000.0, length // 2 + 1)
    gains = 10.0 ** (np.maximum(decibels, -60.0) / 20.0)
    return np.interp(hertz, points_hz, gains).astype(np.float32)


def _room(samples: int, drawn: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a room response: the direct sound, then noise decaying by 60 dB in the reverberation time (Polack 1988).

    ``direct_db`` is the direct sound's energy over the tail's.
    """
    tail = noise.coloured(samples, -3.0, rng)
    tail *= np.exp(np.arange(samples, dtype=np.float32) * np.float32(-6.91 / samples))
    tail[: int(rng.integers(16, 160))] = 0.0
    tail *= np.float32(10.0 ** (-drawn.direct_db / 20.0) / max(float(np.sqrt(np.dot(tail, tail))), 1e-9))
    tail[0] += 1.0
    return tail


def _noise(samples: int, name: str, backgrounds: Backgrounds, rng: np.random.Generator) -> NDArray[np.float32]:
    if name == "babble":
        count = int(rng.integers(2, 8))
        picked = [backgrounds.speech[int(rng.integers(len(backgrounds.speech)))] for _ in range(count)]
        return noise.babble(samples, picked, rng)
    if name == "recorded":
        return noise.babble(samples, [backgrounds.noise[int(rng.integers(len(backgrounds.noise)))]], rng)
    return noise.GENERATORS[name](samples, rng)


def _noise_name(config: AugmentConfig, rng: np.random.Generator, backgrounds: Backgrounds) -> str:
    none, babble, recorded = rng.random(3)
    name = str(rng.choice(list(noise.GENERATORS)))
    if none >= config.noise_share:
        return ""
    if babble < config.babble_share and len(backgrounds.speech):
        return "babble"
    return "recorded" if recorded < config.recorded_share and len(backgrounds.noise) else name


def _to_int16(signal: NDArray[np.float32], overdrive_db: float) -> Samples:
    """Round and clip; an overdriven recorder clips the loudest ``overdrive_db`` wherever its level ends."""
    if overdrive_db > 0.0:
        ceiling = np.float32(float(np.abs(signal).max(initial=0.0)) * 10.0 ** (-overdrive_db / 20.0))
        signal = np.clip(signal, -ceiling, ceiling)
    return np.asarray(np.clip(np.rint(signal), -32768, 32767)).astype(np.int16)


def _spread(most: float, rng: np.random.Generator) -> float:
    return float(rng.uniform(-most, most))
