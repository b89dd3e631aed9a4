"""What codecs leave of a sound: mu-law of 8 bits, and a transform codec with a narrow band or too few bits.

The transform is the MDCT of Princen and Bradley (ICASSP 1987), frames of 20 ms, as in Opus, AAC and their like. GSM is
stood in for by its band and by noise as coarse as its own.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kws.data.sounds.colours import SAMPLE_RATE_HZ

Signal = NDArray[np.float32]
HOP = 320
BAND = 16
"""Coefficients that share a step size: 400 Hz."""
NAMES = ("mulaw", "narrow", "transform")


@dataclass(frozen=True)
class Codec:
    """A codec, by name. ``coarseness``: step over a band's RMS; bands ``depth_db`` below a frame's loudest are lost."""

    name: str
    low_hz: float = 0.0
    high_hz: float = 8000.0
    coarseness: float = 1.0
    depth_db: float = 60.0


def draw_codec(rng: np.random.Generator) -> Codec:
    """Draw one of the codecs: mu-law, a telephone's band (GSM), a low bit rate."""
    name = NAMES[int(rng.integers(len(NAMES)))]
    low_hz, high_hz, coarseness, depth_db = rng.random(4).tolist()
    if name == "mulaw":
        return Codec(name)
    if name == "narrow":
        return Codec(name, 80.0 + 220.0 * low_hz, 3300.0 + 500.0 * high_hz, 0.4 + 1.0 * coarseness, 50.0)
    return Codec(name, 80.0 * low_hz, 3800.0 + 4200.0 * high_hz, 0.5 + 1.5 * coarseness, 20.0 + 30.0 * depth_db)


def coded(signal: Signal, codec: Codec) -> Signal:
    """Return the signal, in int16 units, as the codec gives it back; same length, no delay."""
    if codec.name == "mulaw":
        return mulaw(signal)
    return quantized(signal, codec)


def mulaw(signal: Signal) -> Signal:
    """Return the signal after mu-law companding to 8 bits (ITU-T G.711's curve, mu = 255)."""
    return _mulaw_table().take(np.clip(np.rint(signal), -32768, 32767).astype(np.int64) + 32768)


def quantized(signal: Signal, codec: Codec) -> Signal:
    """Return the signal after its MDCT was cut to a band and rounded to steps, band by band and frame by frame."""
    coefficients = mdct(signal)
    hertz = (np.arange(HOP) + 0.5) * (SAMPLE_RATE_HZ / 2.0 / HOP)
    coefficients *= (hertz >= codec.low_hz) & (hertz <= codec.high_hz)
    bands = coefficients.reshape(len(coefficients), -1, BAND)
    power = np.einsum("ijk,ijk->ij", bands, bands) / BAND
    kept = power > power.max(axis=1, keepdims=True) * np.float32(10.0 ** (-codec.depth_db / 10.0))
    step = np.maximum(np.sqrt(power) * np.float32(codec.coarseness), np.float32(1e-3))[..., None]
    rounded = np.rint(bands / step) * (step * kept[..., None])
    return inverse_mdct(rounded.reshape(len(coefficients), HOP))[: len(signal)]


def mdct(signal: Signal) -> Signal:
    """Return the MDCT, float32 [frames, 320], sine window; ``inverse_mdct`` gives the signal back.

    >>> sound = np.arange(1000, dtype=np.float32)
    >>> float(np.abs(inverse_mdct(mdct(sound))[:1000] - sound).max()) < 0.01
    True
    """
    frames = -(-len(signal) // HOP) + 1
    padded = np.zeros((frames + 1) * HOP, np.float32)
    padded[HOP : HOP + len(signal)] = signal
    halves = padded.reshape(-1, HOP)
    rise = _sine()
    first, second = halves[:-1] * rise, halves[1:] * rise[::-1]
    half = HOP // 2
    left = -second[:, :half][:, ::-1] - second[:, half:]
    right = first[:, :half] - first[:, half:][:, ::-1]
    return _dct4(np.concatenate([left, right], axis=1))


def inverse_mdct(coefficients: Signal) -> Signal:
    """Return the signal of an MDCT, float32 [(frames - 1) * 320]."""
    folded = _dct4(coefficients) * np.float32(2.0 / HOP)
    half = HOP // 2
    left, right = folded[:, :half], folded[:, half:]
    rise = _sine()
    first = np.concatenate([right, -right[:, ::-1]], 1) * rise
    second = np.concatenate([-left[:, ::-1], -left], 1) * rise[::-1]
    return (second[:-1] + first[1:]).reshape(-1)


def _dct4(rows: Signal) -> Signal:
    """Return each row's DCT-IV by a complex transform of half its length; applied twice it is len / 2 times the row."""
    twist = _twist()
    paired = (rows[:, ::2] + 1j * rows[:, ::-2]).astype(np.complex64) * twist
    turned = np.fft.fft(paired).astype(np.complex64) * twist
    out = np.empty_like(rows)
    out[:, ::2] = turned.real
    out[:, ::-2] = -turned.imag
    return out


@lru_cache(maxsize=1)
def _twist() -> NDArray[np.complex64]:
    return np.asarray(np.exp(-1j * np.pi * (np.arange(HOP // 2) + 0.125) / HOP), np.complex64)


@lru_cache(maxsize=1)
def _sine() -> Signal:
    return np.sin(np.pi * (np.arange(HOP) + 0.5) / (2 * HOP)).astype(np.float32)


@lru_cache(maxsize=1)
def _mulaw_table() -> Signal:
    """Return what each int16 value becomes: the middle of its one of 256 intervals."""
    values = np.arange(-32768, 32768) / 32768.0
    companded = np.sign(values) * np.log1p(255.0 * np.abs(values)) / np.log(256.0)
    code = np.clip(np.floor((companded + 1.0) * 128.0), 0, 255)
    middle = (code + 0.5) / 128.0 - 1.0
    return np.asarray(np.sign(middle) * np.expm1(np.abs(middle) * np.log(256.0)) / 255.0 * 32768.0, np.float32)
