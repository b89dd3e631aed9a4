"""What augmentation takes from recordings: other speech, noise, music, room responses."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Backgrounds:
    """Sounds int16 [n] that noise is made of, and rooms; any of them may be empty.

    speech: other people's, for babble. rooms: recorded responses, float32 [channels, n] as ``kws.data.sounds.rooms``
    aligns them; simulated: float32 [n], of ``kws.data.sounds.simulated_rooms.bank``.
    """

    speech: Sequence[Samples] = ()
    noise: Sequence[Samples] = ()
    music: Sequence[Samples] = ()
    rooms: Sequence[NDArray[np.float32]] = ()
    simulated: Sequence[NDArray[np.float32]] = ()
