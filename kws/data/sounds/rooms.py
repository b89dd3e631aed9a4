"""Room responses: recorded ones made ready, and decaying noise. Simulated rooms: ``kws.data.sounds.simulated_rooms``.

Every response is float32 with its direct path at sample ``DIRECT`` and a direct path of unit energy, so that a room
neither moves the start of a word nor changes its level.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from kws.audio import read_channels
from kws.data.sounds import colours
from kws.data.sounds.colours import SAMPLE_RATE_HZ
from kws.errors import KwsError

Signal = NDArray[np.float32]
DIRECT = 16
"""Samples of a response before its direct path: 1 ms of what a band-limited pulse rings ahead."""
DIRECT_SAMPLES = 40
"""What counts as the direct sound: 2.5 ms after its peak (Naylor and Gaubitch, Speech Dereverberation, section 2.3)."""
LONGEST_SAMPLES = 24000
"""Responses are cut after 1.5 s."""


class RecordedRooms(Sequence[Signal]):
    """The responses of some files, each read on first use; the last 512 files are kept."""

    def __init__(self, places: Sequence[tuple[str, int | None]]) -> None:
        self.places = places
        """Paths, and which channel."""

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # Sequence's overload; slices are not needed
        path, channel = self.places[index]
        return read_rooms(Path(path), channel)


@lru_cache(maxsize=512)
def read_rooms(path: Path, channel: int | None = None) -> Signal:
    """Return the responses of a file, float32 [channels, n] at 16 kHz, aligned by ``aligned``.

    Each channel is a response; of a chosen ``channel`` (``kws.audio``) it alone.

    Raises:
        KwsError: the file cannot be read or holds no sound, or has no such channel.
    """
    sound, rate_hz = read_channels(path, channel)
    if not sound.size or not np.isfinite(sound).all() or not sound.any(axis=0).all():
        raise KwsError(f"{path}: has a silent channel, which is not a room response; remove it from the manifest")
    if rate_hz != SAMPLE_RATE_HZ:
        sound = soxr.resample(sound, rate_hz, SAMPLE_RATE_HZ)
    channels = [aligned(np.ascontiguousarray(channel)) for channel in sound.T]
    longest = max(map(len, channels))
    return np.stack([np.pad(channel, (0, longest - len(channel))) for channel in channels])


def aligned(response: Signal) -> Signal:
    """Return the response from ``DIRECT`` samples before its direct path on, the direct path at unit energy.

    The direct path is the first peak within 10 dB of the largest: what comes later may be stronger, not earlier.

    >>> aligned(np.array([0, 0, 0, 2, 0, 1], np.float32))[DIRECT:].round(3)
    array([0.894, 0.   , 0.447], dtype=float32)
    """
    size = np.abs(response)
    first = int(np.argmax(size > size.max(initial=0.0) * 10.0**-0.5))
    peak = first + int(np.argmax(size[first : first + DIRECT]))
    padded = np.concatenate([np.zeros(DIRECT, np.float32), response])[peak : peak + LONGEST_SAMPLES]
    padded = padded.astype(np.float32)
    padded[:DIRECT] *= np.linspace(0.0, 1.0, DIRECT, dtype=np.float32)
    direct = padded[: DIRECT + DIRECT_SAMPLES]
    return np.asarray(padded / max(float(np.sqrt(np.dot(direct, direct))), 1e-9), np.float32)


def nearer(response: Signal, decibels: float) -> Signal:
    """Return the response nearer to the source: everything after the direct sound is lower by ``decibels``."""
    fade = np.float32(10.0 ** (-decibels / 20.0))
    gain = np.full(len(response), fade, np.float32)
    gain[: DIRECT + DIRECT_SAMPLES] = 1.0
    return response * gain


def decaying_noise(reverberation_s: float, direct_db: float, rng: np.random.Generator) -> Signal:
    """Return a direct sound, then noise decaying by 60 dB in the reverberation time (Polack 1988).

    ``direct_db`` is the direct sound's energy over the tail's.
    """
    samples = max(int(reverberation_s * SAMPLE_RATE_HZ), 1)
    tail = colours.coloured(samples, -3.0, rng)
    tail *= np.exp(np.arange(samples, dtype=np.float32) * np.float32(-6.91 / samples))
    tail[: int(rng.integers(16, 160))] = 0.0
    tail *= np.float32(10.0 ** (-direct_db / 20.0) / max(float(np.sqrt(np.dot(tail, tail))), 1e-9))
    tail[0] += 1.0
    return np.concatenate([np.zeros(DIRECT, np.float32), tail])


def reverberation_s(response: Signal) -> float:
    """Return a response's reverberation time: its backward energy from -5 to -25 dB, times three (ISO 3382-2's T20)."""
    decay = np.cumsum(response[::-1].astype(np.float64) ** 2)[::-1]
    level_db = 10.0 * np.log10(np.maximum(decay / decay[0], 1e-12))
    first, last = int(np.argmax(level_db <= -5.0)), int(np.argmax(level_db <= -25.0))
    return 3.0 * (last - first) / SAMPLE_RATE_HZ


def direct_db(response: Signal) -> float:
    """Return an aligned response's direct-to-reverberant ratio."""
    energy = response.astype(np.float64) ** 2
    split = DIRECT + DIRECT_SAMPLES
    return float(10.0 * np.log10(energy[:split].sum() / max(energy[split:].sum(), 1e-12)))
