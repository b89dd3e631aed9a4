"""A pool's sounds decoded once into one file, which every process that draws examples maps into its memory.

However many read it, the machine holds the sounds once, and gives the memory back when something else needs it.
Samples int16 at 16 kHz, clip after clip; then, for each clip, how many: int64.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.audio import Samples
from kws.data.clip_sound import read_clip
from kws.data.examples.pool import ClipPool, Item
from kws.data.manifest import Clip
from kws.errors import KwsError
from kws.system import progress
from kws.system.files import replacing, unwritable
from kws.system.processes import in_order, processors

try:
    import fcntl
except ImportError:  # Windows has none; a module that may be missing has no type of its own
    fcntl = None  # type: ignore[assignment]

_CHUNK_CLIPS = 16
_SECONDS_WORTH_PROCESSES = 1200.0


@contextmanager
def shared(pool: ClipPool, directory: Path, processes: int | None = None) -> Iterator[ClipPool]:
    """Give the pool with its sounds in one file in ``directory``: made now, or left there by an interrupted run.

    The file is removed when the block ends well; after an error or an interrupt it stays for the next run. Other
    processes may do the same with the same clips at the same time.

    Args:
        pool: what to keep there.
        directory: where the file lies; 115 MB for each hour of sound.
        processes: how many decode; by default one for each processor.

    Raises:
        KwsError: a clip cannot be read, or the file cannot be written.
    """
    by_key = {item.key: item for group in pool.groups() for item in group}
    items = [by_key[key] for key in sorted(by_key)]
    path = directory / f"clips_{_digest(items)}.pcm"
    with _alone(path.with_suffix(".lock")) as alone:  # of several processes one decodes, the others use its file
        if not path.exists():
            if alone:
                _remove_unfinished(path)
            _decode(items, path, processors() if processes is None else processes)
    yield dataclasses.replace(pool, sounds=ClipFile(path, tuple(item.key for item in items)))
    for name in (path, path.with_suffix(".lock")):
        with suppress(OSError):  # another process was first
            name.unlink()


class ClipFile:
    """The sounds of clips with these keys, in the order of the file; read-only, opened in each process by itself."""

    def __init__(self, path: Path, keys: tuple[int, ...]) -> None:
        self.path, self.keys = path, keys
        try:
            size = path.stat().st_size
            with path.open("rb") as file:
                file.seek(size - 8 * len(keys))
                lengths = np.frombuffer(file.read(), np.int64)
            self._samples: Samples = np.memmap(path, np.int16, "r", shape=((size - lengths.nbytes) // 2,))
        except (OSError, ValueError) as error:
            raise KwsError(f"{path}: cannot be read ({error}); delete it and run the command again") from error
        if len(lengths) != len(keys) or int(lengths.sum()) != len(self._samples):
            raise KwsError(f"{path}: is damaged; delete it and run the command again")
        self._ends = dict(zip(keys, np.cumsum(lengths).tolist(), strict=True))
        self._begins = dict(zip(keys, (np.cumsum(lengths) - lengths).tolist(), strict=True))

    def read(self, item: Item) -> Samples:
        """Return the clip's sound."""
        part: Samples = np.asarray(self._samples[self._begins[item.key] : self._ends[item.key]])
        return part

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as a path."""
        return ClipFile, (self.path, self.keys)


@contextmanager
def _alone(lock: Path) -> Iterator[bool]:
    """Hold other processes of this machine up at the same place until the block ends; give whether that is certain."""
    try:
        file = lock.open("wb")
    except OSError as error:
        raise unwritable(lock, error) from error
    with file:
        alone = False
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks: then each decodes for itself
                fcntl.flock(file, fcntl.LOCK_EX)
                alone = True
        yield alone


def _remove_unfinished(path: Path) -> None:
    """Remove what killed processes had begun to write: a gigabyte each."""
    for unfinished in path.parent.glob(f".{path.name}.*.tmp"):
        with suppress(OSError):
            unfinished.unlink()


def _decode(items: Sequence[Item], path: Path, processes: int) -> None:
    clips = [item.clip for item in items]
    chunks = [clips[begin : begin + _CHUNK_CLIPS] for begin in range(0, len(clips), _CHUNK_CLIPS)]
    long = sum(item.clip.duration_s for item in items) > _SECONDS_WORTH_PROCESSES
    lengths: list[int] = []
    silent: list[str] = []
    with replacing(path) as file, progress.bar("Decoding clips", len(clips)) as advance:
        for sounds in in_order(_Decoder(chunks), len(chunks), processes if long and processes > 1 else 0):
            for samples in sounds:
                if not samples.any():
                    silent.append(clips[len(lengths)].path)
                lengths.append(len(samples))
                file.write(samples.data)
            advance(len(sounds))
        file.write(np.array(lengths, np.int64).data)
    if silent:
        _warn_silent(silent, len(clips))


def _warn_silent(silent: Sequence[str], clips: int) -> None:
    print(
        f"kws: {len(silent):,} of {clips:,} clips are digital silence throughout, such as {silent[0]}; "
        "remove them from the manifest (kws corpus --check leaves them out)",
        file=sys.stderr,
    )


@dataclasses.dataclass(frozen=True)
class _Decoder:
    chunks: Sequence[Sequence[Clip]]

    def __call__(self, index: int) -> list[NDArray[np.int16]]:
        return [read_clip(clip) for clip in self.chunks[index]]


def _digest(items: Sequence[Item]) -> str:
    """Return a name for what the files hold: it changes when one of them does."""
    digest = hashlib.sha256()
    for item in items:
        path = Path(item.clip.path)
        try:
            state = path.stat()
            row: tuple[Any, ...] = (str(path.absolute()), state.st_size, state.st_mtime_ns)
        except OSError:
            row = (str(path), "missing")  # decoding it reports that
        row += () if item.clip.channel is None else (item.clip.channel,)
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()[:16]
