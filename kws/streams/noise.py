"""Noise laid under a stream at a stated signal-to-noise ratio: recordings, clip by clip, or built-in noises."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kws.audio import SAMPLE_RATE_HZ
from kws.data.clip_sound import read_clip
from kws.data.manifest import Clip
from kws.data.sounds.endpoints import levels_db
from kws.data.sounds.noise import GENERATORS
from kws.errors import KwsError

ACTIVE_BELOW_PEAK_DB = 30.0
RAMP_SAMPLES = SAMPLE_RATE_HZ // 20
"""The noise gain goes from one clip's to the next one's over 50 ms, in the middle of the gap between them."""

BUILT_IN_S = 5
"""A built-in noise lasts so long, then comes another one."""


class NoiseBed:
    """Draws stretches of noise recordings and scales them to a clip's speech.

    Args:
        recordings: clips of noise; each is decoded once.
        snr_db: power of the clip's active speech over the power of the whole noise recording.
    """

    def __init__(self, recordings: Sequence[Clip], snr_db: float) -> None:
        if not recordings:
            raise KwsError("no clip labelled 'noise' in this split of the manifest; add one or evaluate without noise")
        self.recordings = tuple(recordings)
        self.snr_db = snr_db
        self._decoded: dict[int, NDArray[np.float32]] = {}

    def under(
        self, clips: Sequence[NDArray[np.int16]], bounds: Sequence[int], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return the noise for a whole stream, float32 [bounds[-1]] in int16 units.

        Clip i (int16 [n]) sets the gain from sample bounds[i] to bounds[i + 1]; len(bounds) == len(clips) + 1.
        """
        bed = np.zeros(bounds[-1], np.float32)
        for clip, first, after in zip(clips, bounds[:-1], bounds[1:], strict=True):
            lead = min(RAMP_SAMPLES, first)
            piece = self._draw(after - first + lead, rng)
            gain = self._gain(active_power(clip), piece[1])
            stretch = piece[0] * np.float32(gain)
            if lead:  # equal-power cross-fade into the noise before it
                rise = np.sin(np.linspace(0.0, np.pi / 2, lead, dtype=np.float32))
                bed[first - lead : first] *= rise[::-1]
                stretch[:lead] *= rise
            bed[first - lead : after] += stretch
        return bed

    def _gain(self, speech_power: float, noise_power: float) -> float:
        if noise_power == 0.0:
            return 0.0
        return float(np.sqrt(speech_power / noise_power / 10.0 ** (self.snr_db / 10.0)))

    def _draw(self, samples: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], float]:
        """Return a random stretch [samples] of a random recording (looped where it is shorter) and its power."""
        index = int(rng.integers(len(self.recordings)))
        if index not in self._decoded:
            self._decoded[index] = read_clip(self.recordings[index]).astype(np.float32)
        noise = self._decoded[index]
        first = int(rng.integers(len(noise)))
        power = float(np.mean(np.square(noise, dtype=np.float64)))
        return np.resize(np.roll(noise, -first), samples), power


def with_built_in_noise(
    samples: NDArray[np.int16], spans: Sequence[tuple[int, int]], snr_db: float, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Return a stream, int16 [n], with built-in noises at a ratio to the mean active speech of its clips.

    ``spans`` are the clips' first samples and those after their last.
    """
    noisy = samples.astype(np.float32)
    power = float(np.mean([active_power(samples[begin:end]) for begin, end in spans]))
    gain = np.float32(np.sqrt(power / 10.0 ** (snr_db / 10.0)))
    names = sorted(GENERATORS)
    size = BUILT_IN_S * SAMPLE_RATE_HZ
    for begin in range(0, len(noisy), size):
        piece = noisy[begin : begin + size]
        piece += gain * GENERATORS[names[int(rng.integers(len(names)))]](size, rng)[: len(piece)]
    noisy *= np.float32(min(1.0, 32767.0 / max(1.0, float(np.abs(noisy).max()))))
    return np.clip(np.rint(noisy), -32768, 32767).astype(np.int16)


def active_power(samples: NDArray[np.int16] | NDArray[np.float32]) -> float:
    """Mean power (int16 units squared) of the 20 ms frames at most 30 dB below the loudest: pauses do not count.

    >>> tone = np.sin(np.arange(16000)) * 1000
    >>> round(10 * np.log10(active_power(np.concatenate([tone, np.zeros(160000)]).astype(np.int16))))
    57
    """
    levels = levels_db(samples, pre_emphasis=0.0)
    active = levels[levels >= levels.max() - ACTIVE_BELOW_PEAK_DB]
    return float(np.mean(10.0 ** (active / 10.0)))
