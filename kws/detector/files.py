"""Detections in sound files: what ``kws detect`` prints, through the same pipeline as the microphone."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws.audio import SAMPLE_RATE_HZ, read_blocks
from kws.detector.decision import SCORE_ONE, Detection
from kws.detector.model_file import KwsModel
from kws.detector.pipeline import Pipeline
from kws.detector.thresholds import Thresholds, levels_q15
from kws.errors import KwsError

BLOCK_S = 10.0
"""How much of a file is read at a time."""


@dataclass(frozen=True, eq=False)
class Partial:
    """The results of one block of a file, which ends ``end_s`` seconds into it.

    ``scores`` are each phrase's confidence in each of the block's steps, int32 [steps, phrases] in Q15; the first of
    these steps is ``first_step`` of the file. ``detections`` are those whose peak became known in this block; ``made``
    are those that were made in it, without a peak.
    """

    detections: tuple[Detection, ...]
    end_s: float
    scores: NDArray[np.int32]
    first_step: int
    made: tuple[Detection, ...] = ()

    @property
    def highest_scores(self) -> tuple[float, ...]:
        """Each phrase's highest score in the block, 0..1."""
        return tuple((self.scores.max(axis=0, initial=0) / SCORE_ONE).tolist())


def detect_file(
    model: KwsModel,
    path: Path | str,
    engine: str = "auto",
    thresholds: float | Mapping[str, float] | Thresholds | None = None,
    channel: int | None = None,
) -> list[Detection]:
    """Return every detection in the file, in order, with its peak; ``thresholds`` (0..1) replace the model's own.

    Example::

        for detection in detect_file(model_file.load(Path("computer.kws")), "take.flac"):
            print(detection.time_s, detection.score, detection.peak)

    Raises:
        KwsError: the file cannot be read as sound (see ``kws.audio.read_audio``), the engine is not available, or a
            threshold is out of range or for a phrase that the model does not have.
    """
    partials = detect_blocks(model, read_blocks(path, BLOCK_S, channel), engine, thresholds)
    return [detection for partial in partials for detection in partial.detections]


def detect_blocks(
    model: KwsModel,
    source: Path | str | Iterable[NDArray[np.int16]],
    engine: str = "auto",
    thresholds: float | Mapping[str, float] | Thresholds | None = None,
    block_s: float = BLOCK_S,
) -> Iterator[Partial]:
    """Yield the results of each ``block_s`` of the file, so that hours of sound need little memory and show progress.

    ``source`` is a path, or blocks of sound, int16 [n] at 16 kHz (``kws.audio.mono_16k``).

    The file's end is followed by ``trailing_samples`` of digital silence (the last ``Partial``), so that a word at the
    very end is detected; the time of such a detection may be after the file's end.
    """
    pipeline = Pipeline(model, engine, levels_q15(model.detector.phrases, model.thresholds, thresholds))
    samples = steps = 0
    silence = np.zeros(trailing_samples(model), np.int16)
    blocks = read_blocks(source, block_s) if isinstance(source, Path | str) else source
    try:
        for block in itertools.chain(blocks, (silence,)):
            samples += 0 if block is silence else len(block)
            made = tuple(pipeline.push(block))
            settled = (*pipeline.settled, *(pipeline.finish() if block is silence else ()))
            yield Partial(settled, samples / SAMPLE_RATE_HZ, pipeline.scores, steps, made)
            steps += len(pipeline.scores)
    except KwsError:  # the sound ends in an error: still give the detections up to there
        if waiting := tuple(pipeline.finish()):
            yield Partial(waiting, samples / SAMPLE_RATE_HZ, pipeline.scores[:0], steps)
        raise


def trailing_samples(model: KwsModel) -> int:
    """Return how many samples after a word's end can still raise its score.

    The last frame that holds a sample of it ends up to one window later; its decision comes ``latency_frames`` after
    that, in a step that may need ``stride - 1`` frames more; the smoothed posterior grows for ``smooth_frames`` steps.
    """
    frames = model.graph.latency_frames + model.graph.stride * model.detector.smooth_frames + model.graph.stride - 1
    return model.frontend.window_samples + frames * model.frontend.hop_samples
