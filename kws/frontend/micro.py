"""TensorFlow Lite Micro's audio frontend, the features of ESPHome's micro_wake_word: the package pymicro-features.

Window, FFT and mel filters over the square root of energies, then noise reduction, PCAN gain control and the logarithm
(tensorflow/lite/experimental/microfrontend). Noise reduction and gain control follow an estimate of each band's noise
that starts at 0 and has settled after about a second: unlike an LFBE, a frame depends on all samples before it. The
package has the firmware's own settings.
"""

import functools
import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.errors import KwsError
from kws.frontend.config import LFBE_FRACTION_BITS, MICRO_STEP

CHUNK_SAMPLES = 160
"""What the package takes at a time: one hop."""


BANDS = 40


def device_steps(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the firmware's int8 features plus 128, before they are clipped to 255, of its frontend's integers.

    As in ``MicroWakeWord::generate_features_`` of ESPHome's micro_wake_word.cpp.

    >>> device_steps(np.array([0, 1, 2, 665, 666]))
    array([  0,   0,   1, 256, 256])
    """
    steps: NDArray[np.int64] = (values * 256 + 333) // 666
    return steps


def features_of(values: NDArray[np.int64]) -> NDArray[np.int16]:
    """Return features, int16 in the unit of ``frontend.config``, of the frontend's integers; any shape."""
    return np.asarray(np.rint(device_steps(values) * (MICRO_STEP * 2.0**LFBE_FRACTION_BITS)), np.int16)


class Stream:
    """The streaming frontend: int16 [n] -> int16 [frames, 40], in the unit of ``frontend.config``.

    Raises:
        KwsError: pymicro-features is not installed.
    """

    def __init__(self) -> None:
        self._frontend = package().MicroFrontend()
        self._held = b""

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take int16[n] (any n, 0 too), return the frames that are now complete."""
        held = self._held + np.ascontiguousarray(samples, "<i2").tobytes()
        size = 2 * CHUNK_SAMPLES
        rows = []
        for begin in range(0, len(held) - size + 1, size):
            row = self._frontend.process_samples(held[begin : begin + size]).features
            if row:
                rows.append(row)
        self._held = held[len(held) - len(held) % size :]
        # exact: the package divides the frontend's integers by 25.6
        return features_of(np.rint(np.array(rows, np.float64).reshape(len(rows), BANDS) * 25.6).astype(np.int64))

    def reset(self) -> None:
        """Forget every sample and what was learned of the noise."""
        self._frontend.reset()
        self._held = b""


@functools.cache
def package() -> Any:
    """Return pymicro-features' module.

    Raises:
        KwsError: it is not installed; the sentence says how to get it.
    """
    try:
        return importlib.import_module("pymicro_features")
    except ImportError as error:
        raise KwsError(
            'pymicro-features, for the frontend "micro", is not installed here; pip install "kws[esphome]"'
        ) from error
