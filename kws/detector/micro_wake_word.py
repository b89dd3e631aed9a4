"""Models of ESPHome's micro_wake_word (a manifest and a .tflite) in the desktop's runtime, pymicro-wakeword.

It has a TensorFlow Lite of its own, which rounds once where the graph rounds twice, and compares the mean of the last
probabilities with the manifest's cutoff.
"""

import contextlib
import importlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.errors import KwsError

HOP_S = 0.01
WINDOW_S = 0.03
STEPS = 256
"""A probability is a multiple of 1 / 256."""


@dataclass(frozen=True)
class Published:
    """A manifest's phrase and decision, and the file of its model. ``stride`` is in frames of 10 ms."""

    manifest: Path
    phrase: str
    probability_cutoff: float
    window: int
    stride: int

    @property
    def least_sum(self) -> int:
        """The least sum of the last ``window`` probabilities (0..255 each) that this runtime fires at."""
        return math.floor(self.probability_cutoff * STEPS * self.window) + 1

    @property
    def step_s(self) -> float:
        """Seconds from one probability to the next."""
        return self.stride * HOP_S

    @property
    def first_s(self) -> float:
        """When the first probability is known, in seconds of the stream."""
        return WINDOW_S + (self.stride - 1) * HOP_S


def read(manifest: Path) -> Published:
    """Read a manifest and load its model.

    Raises:
        KwsError: the file is missing or not a manifest, its model does not load, or pymicro-wakeword is not installed.
    """
    try:
        data = json.loads(manifest.read_bytes())
        supported = data["type"] == "micro" and _is_tflite(manifest.parent / data["model"])
        values = str(data["wake_word"]), float(data["micro"]["probability_cutoff"])
        window = int(data["micro"]["sliding_window_size"])
    except OSError as error:
        raise KwsError(f"{manifest}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, LookupError, TypeError) as error:
        raise KwsError(f"{manifest}: is not a manifest of micro_wake_word ({error}); give one of version 2") from error
    if not supported:
        raise KwsError(f"{manifest}: its type is not micro or its model not a .tflite; give both files as exported")
    with _opened(manifest) as model:
        return Published(manifest, *values, window, int(model.stride))


def features(samples: NDArray[np.int16]) -> Iterator[NDArray[np.float64]]:
    """Yield the runtime's own features of a recording from the start: [1, 1, 40] a frame, each v / 25.6."""
    yield from package().MicroWakeWordFeatures().process_streaming(np.ascontiguousarray(samples, "<i2").tobytes())


def quantized(published: Published, frames: NDArray[np.float64]) -> NDArray[np.int8]:
    """Quantize features as the runtime does for the model's input: [n, 40] -> int8 [n, 40]."""
    with _opened(published.manifest) as model:
        steps = np.round(frames / model.input_scale + model.input_zero_point)
    return np.asarray(np.clip(steps, -128, 127), np.int8)


def sums(published: Published, samples: NDArray[np.int16]) -> NDArray[np.int64]:
    """Return the sum of the last ``window`` probabilities (0..255) at every step of a recording, from the start.

    The runtime gives their mean; the sum is 0 until there are ``window`` of them. Features above the int8 range are
    clipped, as in the firmware; the runtime itself does not clip them, and they would turn into silence.
    """
    with _opened(published.manifest) as model:
        loudest = (127 - model.input_zero_point) * model.input_scale
        means = [model.process_streaming_prob(np.minimum(frame, loudest)) for frame in features(samples)]
    # it answers 0 while a step is not full
    given = np.array(means[published.stride - 1 :: published.stride], np.float64)
    return np.rint(given * STEPS * published.window).astype(np.int64)


def package() -> Any:
    """Return pymicro-wakeword's module.

    Raises:
        KwsError: it is not installed here; the message says how to install it.
    """
    try:
        return importlib.import_module("pymicro_wakeword")
    except ImportError as error:
        raise KwsError('pymicro-wakeword is not installed here; pip install "kws[esphome]"') from error


def _is_tflite(path: Path) -> bool:
    """Return whether a file starts as TensorFlow Lite files do; any other would crash the runtime's process."""
    with path.open("rb") as file:
        return file.read(8)[4:] == b"TFL3"


@contextlib.contextmanager
def _opened(manifest: Path) -> Iterator[Any]:
    """Yield a freshly loaded model of the runtime."""
    try:
        model = package().MicroWakeWord.from_config(manifest)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise KwsError(f"{manifest}: pymicro-wakeword cannot load it ({error}); export it again") from error
    try:
        yield model
    finally:
        model.close()
