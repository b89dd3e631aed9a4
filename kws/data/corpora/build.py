"""A corpus' folder -> ``manifest.csv`` and ``utterances.csv`` beside it, and what was left out."""

import csv
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kws.audio import SAMPLE_RATE_HZ, Steady, declared_seconds, read_blocks
from kws.data import copies, manifest
from kws.data.corpora.adapter import Adapter, ListedClip, Options, Skips
from kws.data.corpora.report import Report
from kws.data.licences import terms
from kws.data.manifest import Clip
from kws.errors import KwsError
from kws.system import progress
from kws.system.files import replace_file
from kws.system.lock import locked

MANIFEST = "manifest.csv"
UTTERANCES = "utterances.csv"
MARKER_ENDING = ".corpus.json"
"""Beside a manifest: what it was made from, and its SHA-256, by which kws recognizes it."""
_THREADS = 8
_CHUNK = 256


def build(
    adapter: Adapter,
    folder: Path,
    options: Options | None = None,
    out: Path | None = None,
    force: bool = False,
    check: bool = False,
) -> Report:
    """Write the manifest of a downloaded corpus, and ``utterances.csv`` where the corpus has transcripts.

    Args:
        adapter: the kind of corpus.
        folder: where it lies; nothing in it is changed, no sound is copied.
        options: what the user decides.
        out: the manifest; by default ``manifest.csv`` in the folder. It must lie there or in a folder above.
        force: replace files that kws did not write, or that were changed since.
        check: decode every file, not its header alone.

    Raises:
        KwsError: the folder is no such corpus, nothing in it can be used, or a file must not be replaced.
    """
    folder, options = Path(os.path.abspath(folder)), options or Options()
    if options.pattern and adapter.kind != "folder":
        raise KwsError(
            f"--pattern is for the kind folder, your own recordings; {adapter.kind} has its own layout; omit --pattern"
        )
    path = _place(folder, out)
    if not force:
        _refuse_foreign(path, path)
    skips = Skips()
    listed = list(_usable(adapter.scan(folder, options, skips), folder, skips))
    if options.clear_only:
        listed = _clear(listed, options, skips)
    if not force and any(one.text for one in listed):
        _refuse_foreign(path, path.parent / UTTERANCES)
    clips = _in_one_split(_clips(adapter, listed, options, check, skips), skips)
    if not clips:
        raise _nothing_usable(folder, skips)
    transcribed = [clip for clip in clips if clip.text]
    with locked(path.parent):
        if not force:  # once more, now that nobody else writes
            _refuse_foreign(path, path)
            if transcribed:
                _refuse_foreign(path, path.parent / UTTERANCES)
        _write(adapter, folder, path, clips, transcribed)
    return Report(folder, path, path.parent / UTTERANCES if transcribed else None, tuple(clips), skips)


def _nothing_usable(folder: Path, skips: Skips) -> KwsError:
    if not skips.count:
        return KwsError(f"{folder}: has no sound file; give the folder that holds the recordings")
    reason, names = next(iter(skips.by_reason.items()))
    return KwsError(f"{folder}: no clip can be used, {skips.count} left out; the first, {names[0]}: {reason}")


def _place(folder: Path, out: Path | None) -> Path:
    path = Path(os.path.abspath(out or folder / MANIFEST))
    if path.is_dir():
        path = path / MANIFEST
    if path.suffix != ".csv":
        raise KwsError(f"{path}: a manifest's name ends in .csv; give another --out, or a folder that exists")
    if not folder.is_relative_to(path.parent):
        raise KwsError(
            f"{path}: must be in {folder} or a folder above it, since its paths are relative to it; change --out"
        )
    # For root such a folder can be written to all the same, and whoever marked it meant to prevent that.
    if path.parent.is_dir() and not path.parent.stat().st_mode & 0o222:
        raise KwsError(f"{path.parent}: is read-only; link the corpus into a folder of yours and give --out there")
    return path


def _marker(path: Path) -> Path:
    return path.with_name(path.stem + MARKER_ENDING)


def _refuse_foreign(path: Path, place: Path) -> None:
    """Raise ``KwsError`` where ``place``, which would be replaced, is there and not as kws left it."""
    written = _written(path).get(place.name)
    if not os.path.lexists(place):
        return
    if written is None:
        raise KwsError(
            f"{place}: already exists and was not written for this corpus; move it, or give --force to replace it"
        )
    if _digest(place) != written:
        raise KwsError(f"{place}: was changed since kws wrote it; move it, or give --force to replace it")


def _written(path: Path) -> dict[str, str]:
    """Return the SHA-256 of what kws wrote with this manifest, by file name."""
    try:
        digests = json.loads(_marker(path).read_bytes())["sha256"]
        return {str(name): str(digest) for name, digest in digests.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _usable(listed: Sequence[ListedClip], folder: Path, skips: Skips) -> Iterator[ListedClip]:
    """Yield each file once, where a manifest can name it."""
    seen: set[Path] = set()
    for one in listed:
        name = os.path.normpath(one.path)
        if one.path in seen:
            skips.add(name, "the corpus lists it twice")
        elif not Path(name).is_relative_to(folder):
            skips.add(name, "it is outside the corpus folder")
        elif re.search(r"[\\\0\r\n\ud800-\udfff]", name):
            skips.add(name, "its name has characters that a manifest cannot hold")
        else:
            seen.add(one.path)
            yield one


def _clear(listed: Sequence[ListedClip], options: Options, skips: Skips) -> list[ListedClip]:
    """Return what is clearly for commercial use."""
    answers = {licence: terms(licence) for licence in {options.licence or one.licence for one in listed}}
    kept = []
    for one in listed:
        licence = options.licence or one.licence
        if answers[licence].commercial == "yes":
            kept.append(one)
        else:
            skips.add(one.path, f"commercial use is not clear: {licence}")
    return kept


def _clips(adapter: Adapter, listed: list[ListedClip], options: Options, check: bool, skips: Skips) -> list[Clip]:
    clips = []
    chunks = [listed[start : start + _CHUNK] for start in range(0, len(listed), _CHUNK)]
    with ThreadPoolExecutor(_THREADS) as pool, progress.bar(f"Reading {adapter.name}", len(listed)) as advance:
        for chunk in chunks:
            for one, length in zip(
                chunk, pool.map(lambda one: _seconds(one, check, options.channel), chunk), strict=True
            ):
                if isinstance(length, str):
                    skips.add(one.path, length)
                else:
                    clips.append(_clip(adapter, one, length, options))
            advance(len(chunk))
    return clips


def _in_one_split(clips: list[Clip], skips: Skips) -> list[Clip]:
    """Leave out speech that is also in test or dev under another name: nobody could learn from it and be measured."""
    left_out: set[str] = set()
    for group in copies.copies(clip for clip in clips if clip.label not in copies.NO_SPEECH):
        kept = min(group, key=lambda clip: ("test", "dev", "train").index(clip.split))
        for clip in group:
            if clip.split != kept.split:
                left_out.add(clip.path)
                skips.add(clip.path, f"the same recording is in {kept.split}")
    return [clip for clip in clips if clip.path not in left_out]


def _seconds(clip: ListedClip, check: bool, channel: int | None) -> float | str:
    """Return a file's length, or why it cannot be used."""
    try:
        if check:
            steady = Steady()
            samples = sum(map(len, read_blocks(clip.path, channel=channel, steady=steady)))
            return steady.remark or samples / SAMPLE_RATE_HZ
        if clip.duration_s is not None and channel is None and clip.path.is_file():
            return clip.duration_s
        return declared_seconds(clip.path, channel)
    except KwsError as error:
        reason = str(error).removeprefix(f"{clip.path}: ")
        return reason.partition(";")[0].partition(" (")[0]


def _clip(adapter: Adapter, one: ListedClip, seconds: float, options: Options) -> Clip:
    return Clip(
        path=str(one.path),
        split=options.split or one.split,
        label=one.label,
        speaker=one.speaker,
        source=adapter.name,
        licence=options.licence or one.licence,
        duration_s=seconds,
        text=one.text,
        channel=options.channel,
    )


def _write(adapter: Adapter, folder: Path, path: Path, clips: list[Clip], transcribed: list[Clip]) -> None:
    """Write transcripts, manifest and last the marker, by which kws recognizes them."""
    names = [path.name]
    if transcribed:
        replace_file(path.parent / UTTERANCES, _utterances(transcribed, path.parent))
        names.append(UTTERANCES)
    elif _written(path).get(UTTERANCES) == _digest(path.parent / UTTERANCES):
        (path.parent / UTTERANCES).unlink()  # of an earlier run: its transcripts are of other clips
    manifest.write(clips, path)
    digests = {name: hashlib.sha256((path.parent / name).read_bytes()).hexdigest() for name in names}
    data = {
        "kind": adapter.kind,
        "folder": os.path.relpath(folder, path.parent),
        "clips": len(clips),
        "sha256": digests,
    }
    replace_file(_marker(path), (json.dumps(data, indent=1) + "\n").encode())


def _utterances(clips: list[Clip], folder: Path) -> bytes:
    """Return the table that ``kws.data.transcripts`` reads; each clip is one utterance, from start to end."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "start_s", "end_s", "utt", "transcript"))
    for clip in clips:
        place = Path(clip.path)
        end_s = f"{clip.duration_s:.4f}".rstrip("0").rstrip(".")
        writer.writerow((place.relative_to(folder).as_posix(), "0", end_s, place.stem, clip.text))
    return text.getvalue().encode()
