"""Detections in sound files: what ``kws detect`` prints, through the same pipeline as the microphone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws.audio import SAMPLE_RATE_HZ, read_blocks
from kws.detector.decision import SCORE_ONE, Detection
from kws.detector.model_file import KwsModel
from kws.detector.pipeline import Pipeline


@dataclass(frozen=True)
class Partial:
    """What one block of a file gave: detections, seconds heard by now, each phrase's highest score in it (0..1)."""

    detections: tuple[Detection, ...]
    heard_s: float
    highest_scores: tuple[float, ...]


def detect_file(
    model: KwsModel, path: Path | str, engine: str = "auto", threshold: float | None = None
) -> list[Detection]:
    """Return every detection in the file, in order; ``threshold`` (0..1) replaces the model's own.

    Example::

        for detection in detect_file(model_file.load(Path("computer.kws")), "take.flac"):
            print(detection.time_s, detection.score)

    Raises:
        KwsError: the file cannot be read as sound (see ``kws.audio.read_audio``), or the engine is not available.
    """
    return [detection for partial in detect_blocks(model, path, engine, threshold) for detection in partial.detections]


def detect_blocks(
    model: KwsModel,
    source: Path | str | Iterable[NDArray[np.int16]],
    engine: str = "auto",
    threshold: float | None = None,
    block_s: float = 10.0,
) -> Iterator[Partial]:
    """Yield what each ``block_s`` of the file gave, so that hours of sound need little memory and show progress.

    ``source`` may be blocks of sound, int16 [n] at 16 kHz, as they come (``kws.audio.heard``), in place of a path.

    The file's end is followed by ``trailing_samples`` of digital silence (their detections come in a last
    ``Partial``), so that a word at the very end is found; such a detection's time may lie after the file's end.
    """
    pipeline = Pipeline(model, engine, None if threshold is None else round(threshold * SCORE_ONE))
    heard = 0
    silence = np.zeros(trailing_samples(model), np.int16)
    blocks = read_blocks(source, block_s) if isinstance(source, Path | str) else source
    for sound in (blocks, (silence,)):
        for block in sound:
            heard += 0 if block is silence else len(block)
            found = tuple(pipeline.push(block))
            highest = (pipeline.scores.max(axis=0, initial=0) / SCORE_ONE).tolist()
            yield Partial(found, heard / SAMPLE_RATE_HZ, tuple(highest))


def trailing_samples(model: KwsModel) -> int:
    """Return how many samples after a word's end can still raise its score.

    The last frame that holds a sample of it ends up to one window later; its decision comes ``latency_frames`` after
    that, in a step that may need ``stride - 1`` frames more; the smoothed posterior grows for ``smooth_frames`` steps.
    """
    frames = model.graph.latency_frames + model.graph.stride * model.detector.smooth_frames + model.graph.stride - 1
    return model.frontend.window_samples + frames * model.frontend.hop_samples


def thresholds_q15(model: KwsModel, threshold: float | None) -> tuple[int, ...]:
    """Return each phrase's threshold in Q15: the user's (0..1) for all, or the model's own."""
    return model.thresholds if threshold is None else (round(threshold * SCORE_ONE),) * len(model.thresholds)
