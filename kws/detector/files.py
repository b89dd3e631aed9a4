"""Detections in sound files: what ``kws detect`` prints, through the same pipeline as the microphone."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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
    model: KwsModel, path: Path | str, engine: str = "auto", threshold: float | None = None, block_s: float = 10.0
) -> Iterator[Partial]:
    """Yield what each ``block_s`` of the file gave, so that hours of sound need little memory and show progress.

    The file's end is followed by ``trailing_samples`` of digital silence (their detections come in a last
    ``Partial``), so that a word at the very end is found; such a detection's time may lie after the file's end.
    """
    pipeline = Pipeline(model, engine, None if threshold is None else round(threshold * SCORE_ONE))
    heard = 0
    silence = np.zeros(trailing_samples(model), np.int16)
    for sound in (read_blocks(path, block_s), (silence,)):
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


def text_line(path: Path | str, detection: Detection, model: KwsModel, threshold: float | None = None) -> str:
    """Return the detection as a line for people: file, time, phrase, score and the threshold that it reached."""
    return (
        f"{path}: {detection.time_s:8.2f} s  {detection.phrase}  score {detection.score:.3f}  "
        f"(threshold {_limit(model, detection.phrase, threshold):.3f})"
    )


def nothing_line(
    path: Path | str, highest_scores: Sequence[float], model: KwsModel, threshold: float | None = None
) -> str:
    """Return what is said of a file without a detection: how close it came, so that silence is no riddle.

    Of several phrases the one that came closest to its threshold is told.
    """
    phrases = model.detector.phrases
    margins = [score - _limit(model, phrase, threshold) for phrase, score in zip(phrases, highest_scores, strict=True)]
    closest = margins.index(max(margins))
    phrase, score = phrases[closest], highest_scores[closest]
    scores = f"highest score {score:.3f}, threshold {_limit(model, phrase, threshold):.3f}"
    if len(phrases) == 1:
        return f"{path}: {phrase!r} was not heard  ({scores})"
    return f"{path}: none of {len(phrases)} phrases was heard  (closest: {phrase!r}, {scores})"


def json_line(path: Path | str, detection: Detection, model: KwsModel, threshold: float | None = None) -> str:
    """Return the detection as one JSON object: file, phrase, time_s, score and threshold (0..1)."""
    data = {
        "file": str(path),
        "phrase": detection.phrase,
        "time_s": round(detection.time_s, 4),
        "score": round(detection.score, 6),
        "threshold": round(_limit(model, detection.phrase, threshold), 6),
    }
    return json.dumps(data)  # ASCII: a file's name need not be UTF-8


def _limit(model: KwsModel, phrase: str, threshold: float | None) -> float:
    return thresholds_q15(model, threshold)[model.detector.phrases.index(phrase)] / SCORE_ONE
