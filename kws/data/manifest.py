"""One manifest format for every clip: a CSV file, paths relative to it (described in docs/manifest.md)."""

import csv
import io
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kws.data import csv_table, times
from kws.data.letters import letter_runs
from kws.errors import KwsError
from kws.system.files import replace_file

REQUIRED = ("path", "split", "label", "speaker", "source", "licence", "duration_s", "kw_start_s", "kw_end_s", "n_utts")
CHANNEL, MIX = "channel", 0
COLUMNS = (*REQUIRED, "text", "words", CHANNEL)
SPLITS = ("train", "dev", "test")
NEAR_PHRASE = "neg_phrase"
SPEECH = "neg_speech"
WORD = "neg_word"
RESERVED = frozenset({NEAR_PHRASE, SPEECH, WORD, "noise", "music", "rir", "array"})
"""Labels with a meaning of their own; a phrase never gets one of them as its slug."""


@dataclass(frozen=True)
class Word:
    """One word and its start and end in its clip, in seconds."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Clip:
    """One audio file: its label, speaker, source, terms and transcript."""

    path: str
    split: str
    label: str
    speaker: str
    source: str
    licence: str
    duration_s: float
    kw_start_s: float | None = None
    kw_end_s: float | None = None
    n_utts: int = 1
    text: str = ""
    words: tuple[Word, ...] = ()
    channel: int | None = None
    """The channel that is read, counted from 1; ``MIX``: their mean; None: their mean, since nobody chose."""


def slug(text: str) -> str:
    """Return the label of a phrase: its letters and digits in lower case, everything between them one underscore.

    Raises:
        KwsError: the text has no letter and no digit.

    >>> slug("Smart mirror"), slug("  Hé, Jürgen! "), slug("noise")
    ('smart_mirror', 'hé_jürgen', 'phrase_noise')
    """
    label = "_".join(letter_runs(text))
    if not re.search(r"\w", label):
        raise KwsError(f"phrase {text!r}: it has no letter and no digit; give a phrase that can be spoken")
    return f"phrase_{label}" if label in RESERVED else label


def read(path: Path) -> list[Clip]:
    """Read the manifest at ``path``; every clip's ``path`` comes back absolute.

    Raises:
        KwsError: the file, a column, a row or a value is wrong, or a clip is listed twice; the sentence names file
            and line.
    """
    path = Path(path)
    folder = Path(os.path.abspath(path.parent))
    clips, lines = list[Clip](), dict[str, int]()
    for line, row in csv_table.read(path, REQUIRED, COLUMNS):
        clip = _clip(row, folder, f"{path}, line {line}")
        if lines.setdefault(clip.path, line) != line:
            raise KwsError(
                f"{path}, line {line}: {row['path']!r} is already in line {lines[clip.path]}; remove one of the rows"
            )
        clips.append(clip)
    return clips


def write(clips: Iterable[Clip], path: Path) -> None:
    """Write ``clips`` to the manifest at ``path``, paths relative to it; an old manifest is replaced at once or kept.

    Raises:
        KwsError: a clip lies outside the manifest's folder or is given twice, a value is not allowed, or the disk is
            full.
    """
    path = Path(path)
    folder, clips = Path(os.path.abspath(path.parent)), tuple(clips)
    rows = [_row(clip, folder, path) for clip in clips]
    if twice := [name for name, count in Counter(row[0] for row in rows).items() if count > 1]:
        raise KwsError(f"{path}: the clip {twice[0]} would be listed twice; give each clip once")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = len(COLUMNS) - all(clip.channel is None for clip in clips)  # the last one, if no clip needs it
    writer.writerow(COLUMNS[:columns])
    writer.writerows(row[:columns] for row in rows)
    replace_file(path, text.getvalue().encode())


def _clip(row: dict[str, str], folder: Path, where: str) -> Clip:
    if row["split"] not in SPLITS:
        raise KwsError(f"{where}: split is {row['split']!r}; it must be one of {', '.join(SPLITS)}")
    _check_label(row["label"], where)
    duration_s = _number(row["duration_s"], "duration_s", where)
    start_s, end_s = (_number(row[name], name, where) for name in ("kw_start_s", "kw_end_s"))
    _check_span(start_s, end_s, where)
    if start_s is not None and row["label"] in RESERVED:
        raise KwsError(f"{where}: label {row['label']!r} is not a phrase, but kw_start_s is given; correct one of them")
    count = row["n_utts"] or "1"
    if not re.fullmatch(r"[0-9]{1,9}", count):
        raise KwsError(f"{where}: n_utts is {count!r}; it must be a whole number")
    clip = Clip(
        path=str(_audio_path(row["path"], folder, where)),
        split=row["split"],
        label=row["label"],
        speaker=row["speaker"],
        source=row["source"],
        licence=row["licence"],
        duration_s=0.0 if duration_s is None else duration_s,
        kw_start_s=start_s,
        kw_end_s=end_s,
        n_utts=int(count),
        text=row.get("text", ""),
        words=_words(row.get("words", ""), where),
        channel=_channel(row.get(CHANNEL, ""), where),
    )
    times.check_row(clip, where)
    return clip


def _check_label(label: str, where: str) -> None:
    """A label that is not written as a slug would be no phrase's: recordings of the phrase would count as others."""
    if not label:
        raise KwsError(f"{where}: label is empty; give the phrase or word of the clip, neg_speech or noise")
    word = label.removeprefix("sentence:")
    # With a word in front slug neither refuses what has no letter nor takes it for a reserved label.
    if word not in RESERVED and (proper := slug(f"x {word}").removeprefix("x").removeprefix("_")) != word:
        kept = label[: len(label) - len(word)]
        raise KwsError(f"{where}: label is {label!r}; write it as {kept + (proper or SPEECH)!r}")


def _check_span(start_s: float | None, end_s: float | None, where: str) -> None:
    if (start_s is None) != (end_s is None):
        raise KwsError(f"{where}: kw_start_s and kw_end_s must both be given or both be empty")
    if start_s is not None and end_s is not None and end_s < start_s:
        raise KwsError(f"{where}: kw_end_s ({end_s:g}) is before kw_start_s ({start_s:g}); correct them")


def _audio_path(text: str, folder: Path, where: str) -> Path:
    parts = PurePosixPath(text).parts
    if not text.strip() or "\0" in text or not parts:
        raise KwsError(f"{where}: path is empty; name the audio file, relative to the manifest")
    if ".." in parts or "\\" in text:
        raise KwsError(f"{where}: path {text!r} must lie below the manifest's folder and use '/', without '..'")
    return folder / text


def _number(text: str, name: str, where: str) -> float | None:
    """Return seconds, or None for an empty cell."""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0.0:
        raise KwsError(f"{where}: {name} is {text!r}; it must be a number of seconds, at least 0, or empty")
    return value


def _channel(text: str, where: str) -> int | None:
    if text in ("", "mix"):
        return MIX if text else None
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise KwsError(f"{where}: channel is {text!r}; it must be a number, counted from 1, or mix, or empty")
    return int(text)


def _words(text: str, where: str) -> tuple[Word, ...]:
    if not text:
        return ()
    try:
        words = tuple(Word(str(item[0]), *(float(value) for value in item[1:])) for item in json.loads(text))
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise KwsError(f'{where}: words must be a JSON list such as [["hey", 0.12, 0.31]]; correct it') from error
    for word in words:
        if not (0.0 <= word.start_s <= word.end_s < math.inf):
            raise KwsError(f"{where}: word {word.text!r} ends before it starts or outside the clip; correct its times")
    return words


def _row(clip: Clip, folder: Path, path: Path) -> list[str]:
    place = Path(os.path.normpath(folder / clip.path))
    if not place.is_relative_to(folder) or place == folder:
        raise KwsError(f"{path}: the clip {clip.path} does not lie below the manifest's folder; move one of them")
    words = [[word.text, round(word.start_s, 4), round(word.end_s, 4)] for word in clip.words]
    row = [
        place.relative_to(folder).as_posix(),
        *(clip.split, clip.label, clip.speaker, clip.source, clip.licence),
        *(_decimal(value) for value in (clip.duration_s, clip.kw_start_s, clip.kw_end_s)),
        str(clip.n_utts),
        clip.text,
        json.dumps(words, ensure_ascii=False, separators=(",", ":")) if words else "",
        "" if clip.channel is None else "mix" if clip.channel == MIX else str(clip.channel),
    ]
    _clip(dict(zip(COLUMNS, row, strict=True)), folder, str(path))
    return row


def _decimal(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}".rstrip("0").rstrip(".")
