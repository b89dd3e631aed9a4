"""Commands that listen: ``kws detect`` to files, ``kws listen`` to the microphone."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kws.cli.options import CHANNEL, ENGINE, FILE, JSON_LINES, THRESHOLD, Finite, complain, raw_samples
from kws.errors import KwsError

if TYPE_CHECKING:
    from kws.audio import Pcm
    from kws.detector.decision import Detection
    from kws.detector.model_file import KwsModel


@click.command()
@click.argument("model", type=FILE)
@click.argument("files", type=FILE, nargs=-1, required=True)
@JSON_LINES
@ENGINE
@THRESHOLD
@CHANNEL
@raw_samples
def detect(
    model: Path,
    files: tuple[Path, ...],
    as_json: bool,
    engine: str,
    threshold: float | None,
    channel: int | None,
    samples: Pcm | None,
) -> None:
    """Find the wake word in FILES: WAV, FLAC, OGG, Opus or MP3, any rate, any number of channels.

    A FILE may be a pipe, and - is standard input: WAV and --raw are heard while they come; of other formats all is
    kept in a temporary file first.
    """
    from kws.audio import Steady, heard, open_sound
    from kws.detector.files import detect_blocks
    from kws.detector.model_file import load

    loaded, good = load(model), True
    for file in files:
        found, highest, steady = 0, (0.0,) * len(loaded.detector.phrases), Steady()
        try:
            with open_sound(file, samples) as sound:
                for partial in detect_blocks(loaded, heard(sound, channel, steady), engine, threshold):
                    found += len(partial.detections)
                    highest = tuple(map(max, highest, partial.highest_scores))
                    for detection in partial.detections:
                        print((json_line if as_json else text_line)(file, detection, loaded, threshold), flush=True)
        except KwsError as error:  # the other files are still of use
            complain(str(error))
            good = False
        else:
            if steady.remark:
                complain(f"{file}: {steady.remark}; check the microphone or program that recorded it")
            elif not found and not as_json:
                print(nothing_line(file, highest, loaded, threshold), file=sys.stderr)
    if not good:
        sys.exit(2)


@click.command()
@click.argument("model", type=FILE, required=False)
@click.option("--device", help="Name (or part of it) or number of the input device.  [default: the system's]")
@click.option("--list-devices", is_flag=True, help="List the microphones and stop.")
@click.option("--seconds", type=Finite(0, 1e9, min_open=True), help="Stop by itself after this time.")
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
    threshold: float | None,
    channel: int | None,
) -> None:
    """Listen to the microphone; show the level and every detection."""
    from kws.detector.model_file import load
    from kws.live.listen import listen as run
    from kws.live.microphone import list_devices as devices

    if list_devices:
        found = devices()
        click.echo("\n".join(found) if found else "this machine has no input device", err=not found)
        return
    if model is None:
        raise click.UsageError("give the model to listen with, for example: kws listen out/computer/computer.kws")
    run(
        load(model),
        device=device,
        as_json=as_json,
        engine=engine,
        threshold=threshold,
        seconds=seconds,
        channel=channel,
    )


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
    from kws.detector.decision import SCORE_ONE
    from kws.detector.files import thresholds_q15

    return thresholds_q15(model, threshold)[model.detector.phrases.index(phrase)] / SCORE_ONE
