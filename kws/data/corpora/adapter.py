"""What an adapter takes and returns, and helpers that several of them share."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kws.config import read_text
from kws.data import csv_table
from kws.errors import KwsError

_OFTEN = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"}
SOUNDS = frozenset(_OFTEN | {".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", ".sph"})
UNREADABLE = frozenset({".m4a", ".mp4", ".aac", ".wma", ".amr", ".webm", ".3gp", ".voc", ".raw", ".pcm"})
"""What recorders also write and kws cannot read."""


@dataclass(frozen=True)
class Options:
    """What the user decides.

    One split for all clips, one licence for all; for a folder of recordings, its pattern. ``clear_only`` leaves out
    what is not clearly for commercial use (``kws.data.licences``). ``channel`` goes into the clips' column.
    """

    split: str = ""
    licence: str = ""
    pattern: str = ""
    clear_only: bool = False
    channel: int | None = None


@dataclass(frozen=True)
class ListedClip:
    """A clip that a corpus lists, before its sound is looked at; ``duration_s`` where the corpus gives it itself."""

    path: Path
    split: str
    label: str
    licence: str
    speaker: str = ""
    text: str = ""
    duration_s: float | None = None


class Skips:
    """What was left out of a corpus, by reason."""

    def __init__(self) -> None:
        self.by_reason: dict[str, list[str]] = {}

    def add(self, what: Path | str, reason: str) -> None:
        """Note that a file was left out, and why."""
        self.by_reason.setdefault(reason, []).append(str(what))

    @property
    def count(self) -> int:
        """How many files were left out."""
        return sum(map(len, self.by_reason.values()))


Scan = Callable[[Path, Options, Skips], list[ListedClip]]
"""Looks at names and lists in a corpus' folder, at no sound. Raises ``KwsError`` where it is another kind of folder."""


@dataclass(frozen=True)
class Adapter:
    """One kind of corpus. ``licences``: those of its parts, as its manifest will name them; none: the user names it."""

    kind: str
    name: str
    holds: str
    licences: tuple[str, ...]
    scan: Scan


def require_folder(folder: Path) -> None:
    """Raise ``KwsError`` where there is no such folder."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise KwsError(f"{folder}: {what}; give the folder that a corpus was unpacked to")


def sound_files(folder: Path, skips: Skips) -> Iterator[Path]:
    """Yield the sound files below a folder, sorted; hidden ones are not looked at, unreadable kinds are noted.

    Raises:
        KwsError: a folder in it cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise KwsError(f"{error.filename}: cannot be listed ({error.strerror}); check its permissions") from error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            suffix = os.path.splitext(name)[1].lower()
            if name.startswith("."):
                continue
            if suffix in SOUNDS:
                yield Path(place, name)
            elif suffix in UNREADABLE:
                skips.add(Path(place, name), f"kws cannot read {suffix}: convert it to WAV or FLAC")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a corpus' own text file; signs that are no UTF-8 are replaced.

    Only line feeds end a line: sentences hold other signs that Python takes for one.

    Raises:
        KwsError: it cannot be read.
    """
    text = read_text(path, "the corpus as it was unpacked", errors="replace").replace("\r\n", "\n")
    return text.removesuffix("\n").split("\n") if text else []


def read_table(path: Path, columns: tuple[str, ...], tabs: bool = False) -> list[dict[str, str]]:
    """Return these columns of a table with a header, its values separated by commas or by ``tabs``.

    Raises:
        KwsError: it cannot be read, lacks one of ``columns``, or a row is too short for them.
    """
    remedy = "unpack the corpus again"
    rows = csv_table.read(path, columns, tabs=tabs, remedy=remedy, ragged=True, errors="replace")
    return [{column: row[column] for column in columns} for _, row in rows]


def hint(folder: Path, marks: tuple[str, ...]) -> str:
    """Return which folder the user may have meant: one below, or the one above, that holds one of ``marks``."""
    for mark in marks:
        for place in (*sorted(folder.glob(f"*/{mark}")), *sorted(folder.parent.glob(mark))):
            return f" (did you mean {place.parent}?)"
    return ""
