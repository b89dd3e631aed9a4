"""Examples as features in tar files (shards), the layout of webdataset: written by many processes, streamed by many.

Sample n of the sequence is ``000000042.features.npy`` (int16 [frames, bands]), ``000000042.spans.npy`` (float32
[words, 4], see ``dataset.Batch``) and ``000000042.json`` (kind, and label, speaker, source and licence of the clip in
its foreground; the licences of every clip in it). ``shards.json`` describes the shards.
The same examples give the same bytes, whoever writes them.
"""

import dataclasses
import hashlib
import io
import json
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kws.audio import Samples
from kws.config import to_data
from kws.data.examples.batches import Drawn, DrawnBatches
from kws.data.examples.clip_file import shared
from kws.data.examples.pool import Item, SoundStore
from kws.data.manifest import Clip
from kws.errors import KwsError
from kws.system import progress
from kws.system.files import replace_file, replacing, unwritable
from kws.system.lock import locked
from kws.system.processes import in_order, processors

INDEX = "shards.json"
FORMAT = 1
"""Raised when the files' layout, or what the same arguments give, changes."""
FEATURES, SPANS, INFO = ".features.npy", ".spans.npy", ".json"


def shard_name(shard: int) -> str:
    """Return the file name of a shard."""
    return f"shard_{shard:06d}.tar"


def bounds(shard: int, examples: int, shards: int) -> range:
    """Return which of the examples are in a shard."""
    return range(shard * examples // shards, (shard + 1) * examples // shards)


def write_shards(
    drawn: DrawnBatches,
    phrases: Sequence[str],
    directory: Path,
    examples: int,
    shards: int,
    processes: int | None = None,
) -> Path:
    """Write the first ``examples`` of a sequence as ``shards`` files into ``directory``; return the index's path.

    Every file is written beside and renamed, so that a shard is whole or not there. A directory with the same index
    is gone on with: shards that it has are kept.

    Args:
        drawn: the sequence.
        phrases: those of its positives; for the index alone.
        directory: new, empty, or with some of these shards.
        examples: how many, at least one for each shard.
        shards: how many files.
        processes: how many write; by default one for each processor.

    Raises:
        KwsError: the directory holds something else, a clip cannot be read, or the disk is full.
    """
    if not 1 <= shards <= examples:
        raise KwsError(f"{examples} examples do not fill {shards} shards; lower --shards or raise --examples")
    index = _index(drawn, phrases, examples, shards)
    with locked(directory):
        _claim(directory, index)
        _write_missing(drawn, directory, examples, shards, processors() if processes is None else processes)
    return directory / INDEX


def _write_missing(drawn: DrawnBatches, directory: Path, examples: int, shards: int, processes: int) -> None:
    missing = tuple(shard for shard in range(shards) if not (directory / shard_name(shard)).exists())
    if missing:
        with shared(drawn.pool, directory, processes) as pool, progress.bar("Writing shards", shards) as advance:
            advance(shards - len(missing), before=True)
            writer = _Writer(drawn.of(pool), directory, examples, shards, missing)
            for _ in in_order(writer, len(missing), processes if processes > 1 else 0):
                advance()


def read_index(directory: Path) -> dict[str, Any]:
    """Return the contents of ``shards.json`` in a directory of shards.

    Raises:
        KwsError: there is none, or it is of another format.
    """
    path = directory / INDEX
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise KwsError(
            f"{path}: cannot be read ({error.strerror}); it must be in the shards' folder, copy it there"
        ) from error
    except ValueError as error:
        raise KwsError(f"{path}: is not an index of shards; write them again with kws shards") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise KwsError(f"{path}: is of another version of kws; write the shards again with kws shards")
    return data


def _row(clip: Clip) -> tuple[Any, ...]:
    """Return all of a clip but its path; the channel only if one is chosen, as older shards were written."""
    row = dataclasses.astuple(clip)[1:]
    return row[:-1] if clip.channel is None else row


def _index(drawn: DrawnBatches, phrases: Sequence[str], examples: int, shards: int) -> bytes:
    """Return the index's bytes: everything that decides what the shards hold."""
    items = [item for group in (*drawn.pool.groups(), drawn.pool.rooms) for item in group]
    clips = [item.clip for item in items]
    rows: list[Any] = [(Path(clip.path).name, *_row(clip)) for clip in clips]
    if drawn.examples.recorded_share > 0.0:
        rows += [item.key for item in items if item.recorded]
    data = {
        "format": FORMAT,
        "phrases": list(phrases),
        "examples": examples,
        "shards": shards,
        "frames": drawn.frames,
        "bands": drawn.bands,
        "seed": drawn.seed,
        "clips": hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16],
        "sources": _sources(clips),
        "frontend": to_data(drawn.frontend),
        "drawing": to_data(drawn.examples),
        "augmentation": to_data(drawn.augmentation),
    }
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def _sources(clips: Iterable[Clip]) -> list[dict[str, Any]]:
    """Return what the examples are made from, by source and licence."""
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for clip in clips:
        seconds[clip.source, clip.licence].append(clip.duration_s)
    return [
        {"name": name, "licence": licence, "clips": len(each), "hours": round(sum(each) / 3600.0, 4)}
        for (name, licence), each in sorted(seconds.items())
    ]


def _claim(directory: Path, index: bytes) -> None:
    """Make the directory these shards' own, or raise ``KwsError`` where it holds anything else."""
    try:
        names = {path.name for path in directory.iterdir() if not path.name.startswith(".")}
    except OSError as error:
        raise unwritable(directory, error) from error
    if names and INDEX not in names:
        raise KwsError(f"{directory}: holds other files; name a new or empty directory for the shards")
    if names and (directory / INDEX).read_bytes() != index:
        raise KwsError(
            f"{directory}: holds shards of another recipe, other clips or another number; "
            "delete it or name another directory"
        )
    if not names:
        replace_file(directory / INDEX, index)


@dataclass(frozen=True)
class _Writer:
    """What a process does: write one of the missing shards."""

    drawn: DrawnBatches
    directory: Path
    examples: int
    shards: int
    missing: tuple[int, ...]

    def __call__(self, index: int) -> None:
        shard = self.missing[index]
        noted = _Noted(self.drawn.pool.sounds)
        drawn = self.drawn.of(dataclasses.replace(self.drawn.pool, sounds=noted))
        with (
            replacing(self.directory / shard_name(shard)) as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for number in bounds(shard, self.examples, self.shards):
                noted.items.clear()
                example = drawn.example(number)
                _add(tar, number, example, noted.items)


class _Noted:
    """A store that notes which items were read for an example, its foreground first."""

    def __init__(self, sounds: SoundStore) -> None:
        self.sounds = sounds
        self.items: list[Item] = []

    def read(self, item: Item) -> Samples:
        self.items.append(item)
        return self.sounds.read(item)


def _add(tar: tarfile.TarFile, number: int, example: Drawn, items: list[Item]) -> None:
    features, spans, kind = example
    front = items[0].clip if items and kind != "noise" else None
    info = {
        "index": number,
        "kind": kind,
        "label": front.label if front else "noise",
        "speaker": front.speaker if front else "",
        "source": front.source if front else "",
        "licence": front.licence if front else "",
        "licences": sorted({item.clip.licence for item in items}),
    }
    text = json.dumps(info, ensure_ascii=False).encode()
    for ending, data in ((FEATURES, _npy(features)), (SPANS, _npy(spans)), (INFO, text)):
        member = tarfile.TarInfo(f"{number:09d}{ending}")  # its time, owner and group stay 0: the same bytes
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def _npy(array: NDArray[Any]) -> bytes:
    file: BinaryIO = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    file.seek(0)
    return file.read()
