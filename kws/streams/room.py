"""Clips as a room's microphone records them: recorded room responses, drawn clip by clip."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws.data.manifest import Clip
from kws.data.sounds import rooms
from kws.data.sounds.transforms import fast_length, spectrum, wave
from kws.errors import KwsError
from kws.streams.noise import active_power


class Rooms:
    """Draws a response for each clip and convolves the clip with it.

    Args:
        clips: room responses (``kws.data.sounds.rooms.read_rooms``), one or more channels each.
    """

    def __init__(self, clips: Sequence[Clip]) -> None:
        if not clips:
            raise KwsError("no clip labelled 'rir' in this split of the manifest; add one or evaluate without --room")
        self.clips = tuple(clips)

    def convolved(self, clip: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Return the clip with its tail, float32 [n] -> [n + tail], in int16 units.

        The direct path has no delay, so words stay where they are; the active speech keeps its power, so that what is
        measured is the room and not a level.
        """
        recorded = self.clips[int(rng.integers(len(self.clips)))]
        channels = rooms.read_rooms(Path(recorded.path), recorded.channel)
        response = channels[int(rng.integers(len(channels)))]
        total = len(clip) + len(response) - rooms.DIRECT
        length = fast_length(len(clip) + len(response))
        sound = wave(spectrum(clip, length) * spectrum(response, length), length)[rooms.DIRECT :][:total]
        power = active_power(sound)
        return sound * np.float32(np.sqrt(active_power(clip) / power)) if power else sound
