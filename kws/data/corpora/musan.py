"""MUSAN (OpenSLR 17): Snyder, Chen, Povey, "MUSAN: A Music, Speech, and Noise Corpus", arXiv 1510.08484, 2015.

``noise``, ``speech`` and ``music``, each with a folder for each source, in which ``LICENSE`` gives the terms of single
files: a block that starts with their names. Where no file is named, its text is about all of them. A part of the music
is for non-commercial use.
"""

import re
from pathlib import Path

from kws.data.corpora.adapter import Adapter, ListedClip, Options, Skips, hint, read_lines, require_folder, sound_files
from kws.data.corpora.splits import by_name
from kws.data.licences import in_text
from kws.data.manifest import SPEECH
from kws.errors import KwsError

LABELS = {"noise": "noise", "music": "music", "speech": SPEECH}
NOT_NAMED = "unknown (MUSAN's LICENSE does not say)"


def scan(folder: Path, options: Options, skips: Skips) -> list[ListedClip]:
    """Return every file: noise split by file, music by artist; speech is all train, since its readers are not named."""
    require_folder(folder)
    clips = []
    for part, label in LABELS.items():
        if not (folder / part).is_dir():
            continue
        paths = list(sound_files(folder / part, skips))
        licences: dict[Path, str] = {}
        for place in sorted({path.parent for path in paths}):
            licences |= _licences(place, [path for path in paths if path.parent == place])
        groups = dict.fromkeys(paths, "") if part == "speech" else _groups(paths)
        split_of = by_name(groups.values()) if part != "speech" else {"": "train"}
        clips += [ListedClip(path, split_of[groups[path]], label, licences[path]) for path in paths]
    if not clips:
        meant = hint(folder, tuple(LABELS))
        raise KwsError(f"{folder}: has no sound in noise, speech or music{meant}; give the folder musan")
    return clips


def _licences(place: Path, paths: list[Path]) -> dict[Path, str]:
    lines = read_lines(place / "LICENSE") if (place / "LICENSE").is_file() else []
    by_stem = blocks(lines, {path.stem for path in paths})
    together = "/".join(in_text("\n".join(lines))) if not by_stem else ""
    return {path: "/".join(by_stem.get(path.stem, ())) or together or NOT_NAMED for path in paths}


def blocks(lines: list[str], stems: set[str]) -> dict[str, tuple[str, ...]]:
    """Return the licences of each file that a block of a LICENSE names; several that differ are all kept.

    >>> blocks(["a-1", "CC BY 3.0", "=====", "a-2", "a-3", "Public Domain"], {"a-1", "a-2", "a-3"})
    {'a-1': ('CC-BY-3.0',), 'a-2': ('public-domain',), 'a-3': ('public-domain',)}
    """
    named: dict[str, list[str]] = {}
    heads: list[str] = []
    body = True
    for line in lines:
        first = line.strip().removesuffix(".wav")
        if first in stems:
            heads = [first] if body else [*heads, first]
            body = False
            named.setdefault(first, [])
        elif re.fullmatch(r"={3,}", first):
            heads, body = [], True
        elif first:
            body = True
            for head in heads:
                named[head].append(line)
    return {stem: in_text("\n".join(text)) for stem, text in named.items()}


def _groups(paths: list[Path]) -> dict[Path, str]:
    """Return what must not be divided: an artist's music, by ANNOTATIONS ("FILE GENRES VOCALS ARTIST"), or a file."""
    artists: dict[str, str] = {}
    for place in sorted({path.parent for path in paths}):
        lines = read_lines(place / "ANNOTATIONS") if (place / "ANNOTATIONS").is_file() else []
        cells = [line.split() for line in lines]
        artists |= {row[0]: f"artist {row[3].lower()}" for row in cells if len(row) >= 4 and row[2] in ("Y", "N")}
    return {path: artists.get(path.stem, path.stem) for path in paths}


ADAPTER = Adapter(
    kind="musan",
    name="MUSAN",
    holds="6 hours of noises, 42 of music, 60 of speech without transcripts",
    licences=("public-domain", "CC0-1.0", "CC-BY", "CC-BY-SA", "CC-BY-NC-SA", NOT_NAMED),
    scan=scan,
)
