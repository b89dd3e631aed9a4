"""Noise for examples: the built-in generators by name, and many recordings at once. float32, about unit RMS.

Each function takes how many samples to make and an explicit ``numpy.random.Generator``; the caller sets the level.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kws.data.sounds.colours import Signal, any_colour, brown, pink, unit_rms, white
from kws.data.sounds.machines import clicks, dishwasher, fan, hum, motor
from kws.data.sounds.music import music

GENERATORS: dict[str, Callable[[int, np.random.Generator], Signal]] = {
    "white": white,
    "pink": pink,
    "brown": brown,
    "any_colour": any_colour,
    "hum": hum,
    "clicks": clicks,
    "fan": fan,
    "motor": motor,
    "dishwasher": dishwasher,
    "tune": music,
}
"""The built-in noises that need no recordings, by name."""


def babble(samples: int, clips: Sequence[NDArray[np.int16]], rng: np.random.Generator) -> Signal:
    """Return the clips all at once: each at equal power, from a random place in it, repeated to the end."""
    total = np.zeros(samples, dtype=np.float32)
    for clip in clips:
        if len(clip):
            total += unit_rms(excerpt(clip, int(rng.integers(len(clip))), samples).astype(np.float32))
    return unit_rms(total)


def excerpt(clip: NDArray[np.int16], begin: int, samples: int) -> NDArray[np.int16]:
    """Return ``samples`` of the clip from ``begin`` on, which goes on at its start where it ends.

    >>> excerpt(np.array([1, 2, 3], np.int16), 2, 5)
    array([3, 1, 2, 3, 1], dtype=int16)
    """
    if begin + samples <= len(clip):
        return clip[begin : begin + samples]
    whole = np.tile(clip, -(-(begin + samples) // len(clip)))
    return whole[begin : begin + samples]
