"""From samples to overlapping windows: the only part of the frontend that has state."""

import numpy as np
from numpy.typing import NDArray

from kws.errors import KwsError
from kws.frontend.config import FrontendConfig

INT16 = np.dtype(np.int16)


def count_frames(samples: int, config: FrontendConfig) -> int:
    """Return how many whole windows ``samples`` samples hold; nothing is padded.

    >>> count_frames(16000, FrontendConfig()), count_frames(399, FrontendConfig())
    (98, 0)
    """
    return max(0, (samples - config.window_samples) // config.hop_samples + 1)


def check_samples(samples: NDArray[np.int16]) -> None:
    """Raise ``KwsError`` unless ``samples`` is a one-dimensional int16 array."""
    if samples.dtype != INT16 or samples.ndim != 1:
        raise KwsError(
            f"the frontend was given {samples.dtype} samples of shape {samples.shape}; "
            "give one channel of int16 samples, shape [n]"
        )


def frames_of(samples: NDArray[np.int16], config: FrontendConfig) -> NDArray[np.int16]:
    """Return a read-only view [frames, window]: frame i is samples [i * hop, i * hop + window)."""
    if len(samples) < config.window_samples:
        return np.zeros((0, config.window_samples), np.int16)
    return np.lib.stride_tricks.sliding_window_view(samples, config.window_samples)[:: config.hop_samples]


class Framer:
    """Cuts a stream into windows; any chunking of the samples gives the same frames.

    >>> framer = Framer(FrontendConfig())
    >>> framer.push(np.zeros(500, np.int16)).shape, framer.push(np.zeros(60, np.int16)).shape
    ((1, 400), (1, 400))
    """

    def __init__(self, config: FrontendConfig) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forget every sample, as at the start of a stream."""
        self._held = np.zeros(0, np.int16)

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take int16[n] (any n, 0 too), return the int16[frames, window] that are now complete."""
        check_samples(samples)
        held = np.concatenate([self._held, samples])
        frames = frames_of(held, self.config)
        self._held = held[len(frames) * self.config.hop_samples :].copy()
        return frames
