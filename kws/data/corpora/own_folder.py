"""A folder of one's own recordings: folder and file names give labels and speakers.

A pattern says how, part by part of the path: ``{label}``, ``{speaker}`` and ``{split}`` take what stands there, ``*``
takes anything, everything else is itself. The file's ending is left away. ``{label}`` takes as much of a name as it
can, ``{speaker}`` and ``*`` as little.
"""

import re
from collections import defaultdict
from pathlib import Path

from kws.data.corpora.adapter import Adapter, ListedClip, Options, Skips, require_folder, sound_files
from kws.data.corpora.splits import by_name
from kws.data.manifest import RESERVED, SPLITS, slug
from kws.data.phrases import lost_sign
from kws.errors import KwsError

DEFAULT_PATTERNS = ("{label}/{speaker}/*", "{label}/*")
NOBODY = frozenset({"noise", "music", "rir", "array"})
"""Labels without a speaker."""

_PARTS = {"{label}": r"(?P<label>[^/]+)", "{speaker}": r"(?P<speaker>[^/]+?)", "{split}": r"(?P<split>[^/]+?)"}


def scan(folder: Path, options: Options, skips: Skips) -> list[ListedClip]:
    """Return the recordings that fit the pattern; others are noted."""
    require_folder(folder)
    texts = (options.pattern,) if options.pattern else DEFAULT_PATTERNS
    patterns = [compile_pattern(text) for text in texts]
    read: list[tuple[Path, dict[str, str]]] = []
    for path in sound_files(folder, skips):
        name = path.relative_to(folder).with_suffix("").as_posix()
        match = next(filter(None, (pattern.fullmatch(name) for pattern in patterns)), None)
        if match is None:
            skips.add(path, f"its name does not fit {' or '.join(texts)}")
        else:
            read.append((path, match.groupdict()))
    named = [(path, _label(parts["label"], path), parts.get("speaker") or "", parts) for path, parts in read]
    splits = _splits(folder, [(path, label, speaker) for path, label, speaker, _ in named])
    licence = options.licence or "unknown"
    return [
        ListedClip(path, _own_split(parts, path) or splits[path], label, licence, _speaker(label, speaker, folder))
        for path, label, speaker, parts in named
    ]


def compile_pattern(text: str) -> re.Pattern[str]:
    """Return a pattern as an expression that a path without its ending must match as a whole.

    Raises:
        KwsError: it takes no label, takes something twice, or has other names in braces.

    >>> compile_pattern("{speaker}_{label}_*").fullmatch("ann_hey_marvin_01").groupdict()
    {'speaker': 'ann', 'label': 'hey_marvin'}
    """
    pieces = re.split(r"(\{[^{}]*\}|\*)", text)
    for piece in pieces:
        if piece.startswith("{") and (piece not in _PARTS or pieces.count(piece) > 1):
            raise KwsError(f"pattern {text!r}: {piece} must be one of {', '.join(_PARTS)}, each at most once")
    if "{label}" not in pieces:
        raise KwsError(f"pattern {text!r}: {{label}} is missing; write it where a path names the label")
    return re.compile("".join(_PARTS.get(piece, "[^/]*?" if piece == "*" else re.escape(piece)) for piece in pieces))


def _label(name: str, path: Path) -> str:
    """Return the label of a name: what docs/manifest.md reserves as it is, a phrase's slug for all else."""
    if sign := lost_sign(name):
        raise KwsError(f"{path}: its label {name!r} would lose {sign!r}; rename it, with the sign as a word")
    known = name.strip().casefold().replace(" ", "_")
    try:
        return known if known in RESERVED else slug(name)
    except KwsError as error:
        raise KwsError(f"{path}: its label {name!r} has no letter and no digit; rename it") from error


def _own_split(parts: dict[str, str], path: Path) -> str:
    split = parts.get("split") or ""
    if split and split not in SPLITS:
        raise KwsError(f"{path}: its split {split!r} is none of {', '.join(SPLITS)}; rename it or change the pattern")
    return split


def _speaker(label: str, speaker: str, folder: Path) -> str:
    """Return the speaker; the folder's name where the path has none."""
    return "" if label in NOBODY else speaker or folder.absolute().name


def _splits(folder: Path, clips: list[tuple[Path, str, str]]) -> dict[Path, str]:
    """Divide speakers; where at most one is named, the clips of each label."""
    labels_of: dict[str, set[str]] = defaultdict(set)
    for _, label, speaker in clips:
        if label not in NOBODY and speaker:
            labels_of[speaker].add(label)
    # Speakers with the same labels are divided among themselves, so that every split has each label that three have.
    alike: dict[frozenset[str], list[str]] = defaultdict(list)
    for speaker, labels in labels_of.items():
        alike[frozenset(labels)].append(speaker)
    split_of = {speaker: split for speakers in alike.values() for speaker, split in by_name(speakers).items()}
    by_path: dict[Path, str] = {}
    by_clip: dict[str, list[Path]] = defaultdict(list)
    for path, label, speaker in clips:
        if label in NOBODY or not speaker or len(labels_of) == 1:
            by_clip[label].append(path)
        else:
            by_path[path] = split_of[speaker]
    for paths in by_clip.values():
        names = {path.relative_to(folder).as_posix(): path for path in paths}
        by_path.update({names[name]: split for name, split in by_name(names).items()})
    return by_path


ADAPTER = Adapter(
    kind="folder",
    name="own recordings",
    holds="your recordings; names of folders or files are labels and speakers",
    licences=(),
    scan=scan,
)
