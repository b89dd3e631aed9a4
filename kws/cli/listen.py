"""Commands that listen: ``kws detect`` to files, ``kws listen`` to the microphone."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws.cli.options import CHANNEL, ENGINE, FILE, JSON_LINES, THRESHOLD, Finite, complain, raw_samples
from kws.errors import KwsError

if TYPE_CHECKING:
    from kws.audio import Pcm
    from kws.detector.decision import Detection
    from kws.detector.model_file import KwsModel
    from kws.detector.thresholds import Thresholds


@click.command()
@click.argument("model", type=FILE)
@click.argument("files", type=FILE, nargs=-1, required=True)
@JSON_LINES
@ENGINE
@THRESHOLD
@click.option("--scores", type=FILE, help="Write the scores of every step to this CSV file; for one sound file only.")
@CHANNEL
@raw_samples
def detect(
    model: Path,
    files: tuple[Path, ...],
    as_json: bool,
    engine: str,
    thresholds: Thresholds | None,
    scores: Path | None,
    channel: int | None,
    samples: Pcm | None,
) -> None:
    """Find the wake word in sound files or a pipe.

    FILES may be WAV, FLAC, OGG, Opus or MP3, at any sample rate, with any number of channels; - is standard input. From
    a pipe, WAV and --raw are processed as they arrive; other formats are saved to a temporary file first. A detection
    in a file is printed once its peak score is known, at the end of the refractory period; one in a pipe is printed at
    once, without the peak.
    """
    from kws.detector.model_file import load
    from kws.detector.thresholds import levels_q15

    if scores is not None:
        _check_scores(scores, model, files)
    loaded, good = load(model), True
    levels_q15(loaded.detector.phrases, loaded.thresholds, thresholds)  # a wrong phrase is wrong for every file
    for file in files:
        try:
            _detect_one(loaded, file, as_json, engine, thresholds, scores, channel, samples)
        except KwsError as error:  # go on with the other files
            complain(str(error))
            good = False
    if not good:
        sys.exit(2)


def _detect_one(
    model: KwsModel,
    file: Path,
    as_json: bool,
    engine: str,
    thresholds: Thresholds | None,
    scores: Path | None,
    channel: int | None,
    samples: Pcm | None,
) -> None:
    """Print the detections of one file as they come; if there are none, say how close the score came."""
    from kws.audio import Steady, is_pipe, mono_16k, open_sound
    from kws.detector.files import detect_blocks
    from kws.detector.score_file import writing_scores

    line, steady = json_line if as_json else text_line, Steady()
    count, highest, at_once = 0, (0.0,) * len(model.detector.phrases), is_pipe(file)
    writing = writing_scores(scores, model) if scores else nullcontext()
    with open_sound(file, samples) as sound, writing as write:
        for partial in detect_blocks(model, mono_16k(sound, channel, steady), engine, thresholds):
            detections = partial.made if at_once else partial.detections
            count += len(detections)
            highest = tuple(map(max, highest, partial.highest_scores))
            for detection in detections:
                print(line(file, detection, model, thresholds), flush=True)
            if write is not None:
                write(partial)
    if steady.remark:
        complain(f"{file}: {steady.remark}; check the microphone or program that recorded it")
    elif not count and not as_json:
        print(nothing_line(file, highest, model, thresholds), file=sys.stderr)


@click.command()
@click.argument("model", type=FILE, required=False)
@click.option("--device", help="Name (or part of it) or number of the input device.  [default: the system's default]")
@click.option("--list-devices", is_flag=True, help="List the microphones and stop.")
@click.option("--seconds", type=Finite(0, 1e9, min_open=True), help="Stop after so many seconds.")
@JSON_LINES
@ENGINE
@THRESHOLD
@CHANNEL
def listen(
    model: Path | None,
    device: str | None,
    list_devices: bool,
    seconds: float | None,
    as_json: bool,
    engine: str,
    thresholds: Thresholds | None,
    channel: int | None,
) -> None:
    """Listen to the microphone; show the level and every detection."""
    from kws.detector.model_file import load
    from kws.live.listen import listen as run
    from kws.live.microphone import list_devices as devices

    if list_devices:
        lines = devices()
        click.echo("\n".join(lines) if lines else "this machine has no input device", err=not lines)
        return
    if model is None:
        raise click.UsageError("give the model to listen with, for example: kws listen out/computer/computer.kws")
    run(
        load(model),
        device=device,
        as_json=as_json,
        engine=engine,
        thresholds=thresholds,
        seconds=seconds,
        channel=channel,
    )


def _check_scores(scores: Path, model: Path, files: tuple[Path, ...]) -> None:
    if len(files) > 1:
        raise click.UsageError("--scores takes one sound file; run kws detect for each file")
    if scores.resolve() in {path.resolve() for path in (model, *files)}:
        raise click.UsageError(f"--scores {scores}: this file is an input and would be overwritten; name another")


def text_line(
    path: Path | str, detection: Detection, model: KwsModel, thresholds: float | Thresholds | None = None
) -> str:
    """Return the detection as a line for people: file, time, phrase, score, peak and the threshold that it reached."""
    peak = "" if detection.peak is None else f"peak {detection.peak:.3f}  "
    return (
        f"{path}: {detection.time_s:8.2f} s  {detection.phrase}  score {detection.score:.3f}  "
        f"{peak}(threshold {_limit(model, detection.phrase, thresholds):.3f})"
    )


def nothing_line(
    path: Path | str, highest_scores: Sequence[float], model: KwsModel, thresholds: float | Thresholds | None = None
) -> str:
    """Return the line for a file without a detection: how close the score came to the threshold.

    With several phrases, it names the one that came closest to its threshold.
    """
    phrases = model.detector.phrases
    margins = [score - _limit(model, phrase, thresholds) for phrase, score in zip(phrases, highest_scores, strict=True)]
    closest = margins.index(max(margins))
    phrase, score = phrases[closest], highest_scores[closest]
    scores = f"highest score {score:.3f}, threshold {_limit(model, phrase, thresholds):.3f}"
    if len(phrases) == 1:
        return f"{path}: {phrase!r} was not detected  ({scores})"
    return f"{path}: none of {len(phrases)} phrases was detected  (closest: {phrase!r}, {scores})"


def json_line(
    path: Path | str, detection: Detection, model: KwsModel, thresholds: float | Thresholds | None = None
) -> str:
    """Return the detection as one JSON object: file, phrase, time_s, score, peak and threshold (0..1)."""
    data = {
        "file": str(path),
        "phrase": detection.phrase,
        "time_s": round(detection.time_s, 4),
        "score": round(detection.score, 6),
        "peak": None if detection.peak is None else round(detection.peak, 6),
        "threshold": round(_limit(model, detection.phrase, thresholds), 6),
    }
    return json.dumps(data)  # ASCII: a file's name need not be UTF-8


def _limit(model: KwsModel, phrase: str, thresholds: float | Thresholds | None) -> float:
    from kws.detector.decision import SCORE_ONE
    from kws.detector.thresholds import levels_q15

    limits = levels_q15(model.detector.phrases, model.thresholds, thresholds)
    return limits[model.detector.phrases.index(phrase)] / SCORE_ONE
