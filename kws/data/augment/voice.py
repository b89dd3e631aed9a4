"""A voice changed: speed, pitch, tempo, vocal tract and gain, each by itself.

Pitch goes up without the tempo by resampling, then stretching back (WSOLA: Verhelst and Roelands, ICASSP 1993). The
vocal tract's length moves the spectral envelope along the frequency axis and leaves the harmonics where they are.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kws.data.augment.config import AugmentConfig
from kws.data.sounds.transforms import fast_pair, spectrum, wave

Samples = NDArray[np.int16]
Signal = NDArray[np.float32]
HOP = 256
SEARCH = 128
"""How far WSOLA moves a frame to fit its predecessor: 8 ms either way, a whole period of 62 Hz and above."""
BAND_BINS = 3
"""Bins of a band of the envelope: 94 Hz. Each is averaged with its neighbours, so that harmonics hardly show."""


@dataclass(frozen=True)
class VoiceChange:
    """What is done to a clip. ``speed`` and ``tempo`` divide its length, ``formant`` multiplies formant frequencies."""

    speed: float = 1.0
    pitch_semitones: float = 0.0
    tempo: float = 1.0
    formant: float = 1.0
    gain_db: float = 0.0


def draw_voice(config: AugmentConfig, rng: np.random.Generator) -> VoiceChange:
    """Draw one clip's change; the same number of values is drawn whatever is switched off."""
    speed, pitch, tempo, formant = rng.uniform(-1.0, 1.0, 4)
    share, gain = rng.random(2)
    apart = float(share < config.voice_share)
    return VoiceChange(
        speed=1.0 + config.speed_percent / 100.0 * float(speed),
        pitch_semitones=apart * config.pitch_semitones * float(pitch),
        tempo=1.0 + apart * config.tempo_percent / 100.0 * float(tempo),
        formant=1.0 + apart * config.formant_percent / 100.0 * float(formant),
        gain_db=-config.gain_db * float(gain),
    )


def change_voice(samples: Samples, change: VoiceChange) -> tuple[Samples, float]:
    """Return the changed sound, int16 [about n / speed / tempo], and how many times as fast it is, exactly.

    What stood at second t stands at t divided by that number, within 8 ms where pitch or tempo are changed apart.

    >>> sound, factor = change_voice(np.zeros(16000, np.int16), VoiceChange(speed=1.25))
    >>> len(sound), round(factor, 3)
    (12800, 1.25)
    """
    if change == VoiceChange() or not len(samples):
        return samples, 1.0
    pitch = 2.0 ** (change.pitch_semitones / 12.0)
    signal, resampled = resample(samples.astype(np.float32), change.speed * pitch)
    signal, stretched = stretch(signal, change.tempo / pitch)
    signal = warp(signal, change.formant / pitch)
    signal = signal * np.float32(10.0 ** (change.gain_db / 20.0))
    return np.asarray(np.clip(np.rint(signal), -32768, 32767)).astype(np.int16), resampled * stretched


def resample(signal: Signal, factor: float) -> tuple[Signal, float]:
    """Return the signal played ``factor`` times as fast and the factor that it became (within 0.3 %), by an FFT."""
    if abs(factor - 1.0) < 1e-4:
        return signal, 1.0
    long, short = fast_pair(len(signal) + 64, factor)
    exact = long / short
    bins = spectrum(signal, long)[: short // 2 + 1] * np.float32(1.0 / exact)
    return wave(bins, short)[: max(round(len(signal) / exact), 1)], exact


def stretch(signal: Signal, tempo: float) -> tuple[Signal, float]:
    """Return the signal at ``tempo`` times its tempo, pitch kept (WSOLA), and the tempo that it became.

    Frames of 32 ms follow on without a seam until one would be more than 8 ms from its place; it is then moved to
    where its sound fits best.
    """
    frames = math.ceil(len(signal) / tempo / HOP) + 1
    if abs(tempo - 1.0) < 1e-3 or len(signal) < 4 * HOP:
        return signal, 1.0
    ahead = HOP + 2 * SEARCH
    padded = np.zeros(len(signal) + 2 * ahead + 4 * HOP, np.float32)
    padded[ahead : ahead + len(signal)] = signal
    starts = _starts(padded, tempo, frames, ahead - HOP)
    pieces = padded[starts[:, None] + np.arange(2 * HOP)] * hann()
    out = pieces[:, HOP:].copy()
    out[:-1] += pieces[1:, :HOP]
    return out.reshape(-1)[: max(round(len(signal) / tempo), 1)], tempo


def _starts(padded: Signal, tempo: float, frames: int, first: int) -> NDArray[np.int64]:
    """Return each frame's first sample in ``padded``; frame k's place is ``first`` + k * HOP * tempo."""
    starts = np.empty(frames, np.int64)
    last = len(padded) - 2 * HOP
    at = first
    for frame in range(frames):
        place = first + round(frame * HOP * tempo)
        if abs(at - place) > SEARCH:
            target = padded[min(at, last) :][: 2 * HOP : 2]
            around = padded[max(place - SEARCH, 0) : place + SEARCH + 2 * HOP : 2]
            at = max(place - SEARCH, 0) + 2 * int(np.correlate(around, target, "valid").argmax())
        starts[frame] = at = min(at, last)
        at += HOP
    return starts


def warp(signal: Signal, ratio: float) -> Signal:
    """Return the signal with its formants at ``ratio`` times their frequency and its pitch where it was."""
    if abs(ratio - 1.0) < 2e-3:
        return signal
    frames = math.ceil(len(signal) / HOP) + 1
    padded = np.zeros((frames + 1) * HOP, np.float32)
    padded[HOP : HOP + len(signal)] = signal
    window = np.sqrt(hann())
    spectra = spectrum(sliding_window_view(padded, 2 * HOP)[::HOP] * window, 2 * HOP)
    levels = _envelope(spectra)
    centres = np.arange(levels.shape[1]) * BAND_BINS + BAND_BINS // 2
    change = _read_off(levels, centres / ratio) - levels
    gains = np.exp(_read_off(np.clip(change * np.float32(0.5), -2.3, 2.3), np.arange(HOP + 1)))
    pieces = wave(spectra * gains, 2 * HOP) * window
    out = pieces[:, HOP:].copy()
    out[:-1] += pieces[1:, :HOP]
    return out.reshape(-1)[: len(signal)]


def _envelope(spectra: NDArray[np.complex64]) -> Signal:
    """Return the log power [frames, 85] around every BAND_BINS-th bin, so wide that harmonics hardly show."""
    power = spectra.real**2 + spectra.imag**2
    bands = power[:, : HOP // BAND_BINS * BAND_BINS].reshape(len(power), -1, BAND_BINS).sum(axis=2)
    padded = np.pad(bands, ((0, 0), (1, 1)), mode="edge")
    return np.asarray(np.log(padded[:, :-2] + 2.0 * bands + padded[:, 2:] + np.float32(1.0)))


def _read_off(bands: Signal, bins: NDArray[np.float64] | NDArray[np.int64]) -> Signal:
    """Return [frames, len(bins)]: the bands' values at fractional bins, straight between centres, held at both ends."""
    places = np.clip((bins - BAND_BINS // 2) / BAND_BINS, 0.0, bands.shape[1] - 1.001)
    below = places.astype(np.int64)
    part = (places - below).astype(np.float32)
    return np.asarray(bands[:, below] * (1.0 - part) + bands[:, below + 1] * part)


@lru_cache(maxsize=1)
def hann() -> Signal:
    """Return the window of 2 * HOP samples whose halves add up to 1."""
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(2 * HOP) + 0.5) / HOP)).astype(np.float32)
