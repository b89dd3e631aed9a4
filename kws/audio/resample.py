"""Any rate to 16 kHz, streaming, and floats to int16: soxr "HQ" (20 bits), then round to nearest, ties to even."""

from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from kws.errors import KwsError

SAMPLE_RATE_HZ = 16000
"""The sample rate of all sound after this module."""

RATE_HZ_MIN, RATE_HZ_MAX = 4000, 768000
"""Rates outside this range cannot carry speech, or come from a broken header."""


class Resampler:
    """Streaming rate conversion of mono sound to 16 kHz int16; any chunking gives the same samples.

    soxr holds 20 to 40 ms back (48 kHz); ``flush`` gives the rest. At 16 kHz int16 passes through untouched.

    >>> resampler = Resampler(48000)
    >>> len(resampler.push(np.zeros(48000, np.int16))) + len(resampler.flush())
    16000
    """

    def __init__(self, rate_hz: float) -> None:
        if not RATE_HZ_MIN <= rate_hz <= RATE_HZ_MAX:
            raise KwsError(f"sample rate {rate_hz:g} Hz: must be {RATE_HZ_MIN} to {RATE_HZ_MAX} Hz; choose another")
        self.rate_hz = rate_hz
        self._stream: Any = self._make()

    def push(self, samples: NDArray[np.int16] | NDArray[np.floating[Any]]) -> NDArray[np.int16]:
        """Take mono samples [n] (int16, or float in -1..1) and return the int16 samples that are ready."""
        if samples.dtype == np.int16:
            if self._stream is None:
                return samples.astype(np.int16, copy=False)
            samples = samples / np.float32(32768)
        if self._stream is None:
            return to_int16(samples)
        return to_int16(self._stream.resample_chunk(np.ascontiguousarray(samples, np.float32)))

    def flush(self) -> NDArray[np.int16]:
        """Return what is held back and start anew."""
        if self._stream is None:
            return np.empty(0, np.int16)
        rest = to_int16(self._stream.resample_chunk(np.empty(0, np.float32), last=True))
        self._stream = self._make()
        return rest

    def _make(self) -> Any:
        if self.rate_hz == SAMPLE_RATE_HZ:
            return None
        return soxr.ResampleStream(self.rate_hz, SAMPLE_RATE_HZ, 1, "float32", "HQ")


def to_int16(samples: NDArray[Any]) -> NDArray[np.int16]:
    """Scale floats in -1..1 by 32768, round to nearest (ties to even), clip.

    >>> to_int16(np.array([-1.0, 0.5, 1.0, 7.0]))
    array([-32768,  16384,  32767,  32767], dtype=int16)
    """
    rounded: NDArray[Any] = np.rint(samples * 32768)
    return rounded.clip(-32768, 32767).astype(np.int16)
