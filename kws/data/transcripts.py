"""What is said in a negative recording: to explain a false accept, and to leave out a phrase that is really there."""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kws.errors import KwsError


@dataclass(frozen=True)
class Utterance:
    """One utterance inside a recording, in seconds."""

    start_s: float
    end_s: float
    transcript: str


Transcripts = Mapping[str, tuple[Utterance, ...]]
"""By the clip's absolute path."""


def read(manifest: Path) -> Transcripts:
    """Return the utterances that ``utterances.csv`` beside the manifest lists; nothing where there is no such file.

    Columns: path (relative to the file), start_s, end_s, transcript; others are not looked at.

    Raises:
        KwsError: the file is there but lacks a column or holds a time that is no number.
    """
    path = manifest.parent / "utterances.csv"
    if not path.is_file():
        return {}
    found: dict[str, list[Utterance]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                clip = os.path.abspath(path.parent / row["path"])
                utterance = Utterance(float(row["start_s"]), float(row["end_s"]), row["transcript"] or "")
                found.setdefault(clip, []).append(utterance)
    except (KeyError, TypeError, ValueError) as error:
        raise KwsError(f"{path}: not a list of path, start_s, end_s, transcript ({error}); correct or remove it") from (
            error
        )
    except OSError as error:
        raise KwsError(f"{path}: cannot be read ({error.strerror}); check it") from error
    return {clip: tuple(utterances) for clip, utterances in found.items()}


def at(transcripts: Transcripts, path: str, time_s: float) -> str:
    """Return the transcript of the utterance that a detection at ``time_s`` of a clip has just heard, else ""."""
    heard = [utterance for utterance in transcripts.get(path, ()) if utterance.start_s <= time_s]
    return heard[-1].transcript if heard else ""
