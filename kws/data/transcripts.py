"""Transcripts of negative recordings: to explain a false accept, and to leave out a phrase that is really there."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kws.data import csv_table, times
from kws.errors import KwsError

COLUMNS = ("path", "start_s", "end_s", "transcript")


@dataclass(frozen=True)
class Utterance:
    """One utterance inside a recording, in seconds."""

    start_s: float
    end_s: float
    transcript: str


Transcripts = Mapping[str, tuple[Utterance, ...]]
"""By the clip's absolute path."""


def read(manifest: Path, lengths_s: Mapping[str, float] | None = None) -> Transcripts:
    """Return the utterances that ``utterances.csv`` beside the manifest lists; nothing where there is no such file.

    Columns: path (relative to the file), start_s, end_s, transcript; others are not looked at. ``lengths_s``: the
    seconds of the recordings by absolute path, as far as they are known, for the times to be held against.

    Raises:
        KwsError: the file is there and a column or a value is wrong; the sentence names file and line.
    """
    path = manifest.parent / "utterances.csv"
    if not path.is_file():
        return {}
    by_clip: dict[str, list[Utterance]] = {}
    for line, row in csv_table.read(path, COLUMNS):
        where = f"{path}, line {line}"
        start_s, end_s = (_seconds(row[name], name, where) for name in ("start_s", "end_s"))
        if end_s < start_s:
            raise KwsError(f"{where}: end_s ({end_s:g}) is before start_s ({start_s:g}); correct them")
        clip = os.path.abspath(path.parent / row["path"])
        utterance = Utterance(start_s, end_s, row["transcript"])
        if lengths_s and lengths_s.get(clip):
            times.check_utterances([utterance], lengths_s[clip], where)
        by_clip.setdefault(clip, []).append(utterance)
    return {clip: tuple(utterances) for clip, utterances in by_clip.items()}


def _seconds(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0.0:
        raise KwsError(f"{where}: {name} is {text!r}; it must be a number of seconds, at least 0")
    return value


def at(transcripts: Transcripts, path: str, time_s: float) -> str:
    """Return the transcript of the utterance at a detection's ``time_s`` in a clip, else ""."""
    begun = [utterance for utterance in transcripts.get(path, ()) if utterance.start_s <= time_s]
    return begun[-1].transcript if begun else ""
