"""The same recording twice, the same voice in two splits: what makes error rates look better or surer than they are."""

import hashlib
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from kws.data.manifest import Clip
from kws.errors import KwsError

NO_SPEECH = frozenset({"noise", "music", "rir", "array"})
"""Labels whose recordings may be in several corpora and splits: they lie under what is learned and measured."""

_PIECE_BYTES = 4096
Key = TypeVar("Key", bound=Hashable)


def copies(clips: Iterable[Clip]) -> list[tuple[Clip, ...]]:
    """Return the clips whose files are the same byte for byte, or one file under several names, in groups.

    Files of one size are compared by a piece from their middle, and only those that agree there as a whole: a corpus of
    a hundred thousand clips of one second takes seconds. What cannot be read is nobody's copy.
    """
    groups = _alike([tuple(clips)], _size)
    groups = _alike(groups, _piece)
    return _alike(groups, _digest)


def check(clips: Sequence[Clip], where: str) -> None:
    """Refuse speech that is in two splits; warn, on standard error, of copies in one and of speakers in several.

    Raises:
        KwsError: the same recording is in two splits.
    """
    groups = copies(clip for clip in clips if clip.label not in NO_SPEECH)
    for group in groups:
        other = next((clip for clip in group if clip.split != group[0].split), None)
        if other is not None:
            one = group[0]
            raise KwsError(
                f"{where}: {one.path} ({one.split}) and {other.path} ({other.split}) are the same recording; a "
                "model must not be measured on what it learned from: remove one of them"
            )
    if groups:
        count = sum(len(group) - 1 for group in groups)
        some = " and ".join(clip.path for clip in groups[0][:2])
        print(f"{where}: {count:,} clips are copies of others, such as {some}; each counts separately", file=sys.stderr)
    if shared := speakers_in_several_splits(clips):
        print(
            f"{where}: {len(shared):,} speakers are in more than one split, such as {shared[0]}; for new "
            "speakers the error rates may be higher",
            file=sys.stderr,
        )


def speakers_in_several_splits(clips: Iterable[Clip]) -> list[str]:
    """Return the speakers that are in more than one split, in alphabetical order."""
    splits: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        splits[clip.speaker].add(clip.split)
    return sorted(speaker for speaker, several in splits.items() if speaker and len(several) > 1)


def _alike(groups: Sequence[tuple[Clip, ...]], key: Callable[[Path], Key | None]) -> list[tuple[Clip, ...]]:
    """Divide groups by what ``key`` gives for the clips' files; return those of two and more."""
    alike = []
    for group in groups:
        parts: dict[Key, list[Clip]] = defaultdict(list)
        for clip in group:
            try:
                value = key(Path(clip.path))
            except OSError:
                value = None
            if value is not None:
                parts[value].append(clip)
        alike += [tuple(part) for part in parts.values() if len(part) > 1]
    return alike


def _size(path: Path) -> int | None:
    return path.stat().st_size or None


def _piece(path: Path) -> bytes:
    with path.open("rb", buffering=0) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _PIECE_BYTES) // 2)
        return file.read(_PIECE_BYTES)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
