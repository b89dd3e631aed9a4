"""The detection API of ``import kws``: ``Detector`` and ``detect_file`` (docs/python.md)."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.detector import files, model_file
from kws.detector.config import SCORE_ONE, Detection
from kws.detector.model_file import KwsModel
from kws.detector.pipeline import Pipeline
from kws.detector.thresholds import levels_q15
from kws.errors import KwsError

Model = str | PathLike[str] | KwsModel
"""The path of a ``.kws`` file, or the model read from it."""

Thresholds = float | Mapping[str, float] | None
"""A confidence above 0 and up to 1 for every phrase, or one for each of some phrases; None: the model's own."""


class Detector:
    """Detects a model's phrases in one stream of sound. Any chunking of the same samples gives the same detections.

    Args:
        model: path of a ``.kws`` file.
        thresholds: in place of the model's own: a number above 0 and up to 1 for every phrase, or ``{phrase: number}``.
        engine: "auto" (the compiled runtime where it was built, else numpy), "c" or "graph"; the numbers are equal.

    Raises:
        KwsError: the file is not a model, a threshold is out of range or for a phrase that the model does not have, or
            the engine is missing.

    >>> import kws, numpy
    >>> detector = kws.Detector("tests/golden/computer.kws", thresholds={"computer": 0.8})
    >>> detector.phrases, detector.push(numpy.zeros(16000, numpy.int16))
    (('computer',), [])
    """

    sample_rate_hz = 16000

    def __init__(self, model: Model, *, thresholds: Thresholds = None, engine: str = "auto") -> None:
        self._model = _loaded(model)
        phrases, own = self._model.detector.phrases, self._model.thresholds
        self._pipeline = Pipeline(self._model, engine, levels_q15(phrases, own, thresholds))

    @property
    def phrases(self) -> tuple[str, ...]:
        """The phrases that it detects."""
        return self._model.detector.phrases

    @property
    def thresholds(self) -> dict[str, float]:
        """The score at which each phrase is detected; above 1 for one that never is."""
        levels = (level / SCORE_ONE for level in self._pipeline.thresholds)
        return dict(zip(self.phrases, levels, strict=True))

    @property
    def engine(self) -> str:
        """The engine that runs the model: "c" or "graph"."""
        return self._pipeline.engine

    @property
    def scores(self) -> NDArray[np.float64]:
        """Each phrase's confidence (0..1) in each step that the last ``push`` completed: float64 [steps, phrases]."""
        scores: NDArray[np.float64] = self._pipeline.scores / SCORE_ONE
        return scores

    @property
    def settled(self) -> list[Detection]:
        """The detections, also of earlier pushes, whose ``peak`` became known in the last ``push``; in order."""
        return list(self._pipeline.settled)

    def push(self, samples: Any) -> list[Detection]:
        """Take the next samples of the stream, return what was detected in them, by time.

        Args:
            samples: 16 kHz, one channel: int16 [n] or [n, 1], any n; or bytes, which are int16, little endian.

        A detection is returned at once, when its score reaches the threshold; ``settled`` and ``finish`` give it once
        more, with its ``peak``.

        Raises:
            KwsError: the samples are of another type or shape; the message says how to convert them.
        """
        return self._pipeline.push(_int16(samples))

    def finish(self) -> list[Detection]:
        """Return the detections that still wait for their peak, with the highest score so far: the stream has ended."""
        return self._pipeline.finish()

    def reset(self) -> None:
        """Start a new stream: times count from 0 again; the thresholds stay."""
        self._pipeline.reset()


def detect_file(
    model: Model,
    path: str | PathLike[str],
    *,
    thresholds: Thresholds = None,
    engine: str = "auto",
    channel: int | None = None,
) -> list[Detection]:
    """Return every detection in a sound file, in order, with its peak.

    Args:
        model: path of a ``.kws`` file.
        path: WAV, FLAC, OGG, Opus or MP3, any rate, any number of channels.
        thresholds: as ``Detector`` takes them.
        engine: as ``Detector`` takes it.
        channel: the one to listen to, counted from 1; 0 or None: the mean of all.

    Raises:
        KwsError: a file cannot be read or has no such channel, or what ``Detector`` raises.

    Example::

        for detection in kws.detect_file("computer.kws", "talk.wav"):
            print(detection.time_s, detection.phrase, detection.peak)
    """
    return files.detect_file(_loaded(model), Path(path), engine, thresholds, channel)


def _loaded(model: Model) -> KwsModel:
    return model if isinstance(model, KwsModel) else model_file.load(Path(model))


def _int16(samples: Any) -> NDArray[np.int16]:
    """Return samples as int16 [n]; refuse what could mean several things."""
    array = samples if isinstance(samples, np.ndarray) else _from_buffer(samples)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise KwsError(
            f"samples have the shape {array.shape}; give one channel, shape [n] (from [n, channels]: samples[:, 0])"
        )
    if array.dtype.kind == "f":
        raise KwsError(
            f"samples are {array.dtype}; give int16: from floats in -1..1 by "
            "(samples * 32767).clip(-32768, 32767).astype(numpy.int16), or record with sounddevice's dtype='int16'"
        )
    if array.dtype.kind != "i" or array.dtype.itemsize != 2:
        raise KwsError(f"samples are {array.dtype}; give int16, 16 kHz, one channel")
    return np.asarray(array, np.int16)


def _from_buffer(samples: Any) -> NDArray[Any]:
    """Return the samples in bytes (int16, little endian), or in another buffer, which knows its own type."""
    try:
        view = memoryview(samples)
    except TypeError:
        raise KwsError(
            f"samples are a {type(samples).__name__}; give a numpy array: int16, 16 kHz, one channel"
        ) from None
    if view.format not in ("B", "b", "c", "<b", "<B"):
        return np.asarray(view)
    if view.nbytes % 2:
        raise KwsError(f"samples are {view.nbytes} bytes, an odd number; give whole int16 samples, two bytes each")
    return np.frombuffer(view, "<i2")
