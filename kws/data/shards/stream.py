"""Shards read as they come: from files, pipes or sockets, split by rank and worker, shuffled through a buffer."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from kws.data.shards.write import FEATURES, INFO, SPANS
from kws.errors import KwsError

Opener = Callable[[str], BinaryIO]
_END = 1024
"""Zeros at the end of every tar file (POSIX.1-2001, pax, "ustar Interchange Format")."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One example of a shard: features int16 [frames, bands], spans float32 [words, 4], and its JSON."""

    features: NDArray[np.int16]
    spans: NDArray[np.float32]
    info: dict[str, Any]


@dataclass(frozen=True)
class Share:
    """Which reader this is: ``rank`` of ``world`` machines' processes, ``worker`` of the ``workers`` of each."""

    rank: int = 0
    world: int = 1
    worker: int = 0
    workers: int = 1


def open_file(name: str) -> BinaryIO:
    """Open a shard that is a file."""
    try:
        return Path(name).open("rb")
    except OSError as error:
        raise KwsError(f"{name}: cannot be read ({error.strerror}); check the path of the shard") from error


def stream(
    names: Sequence[str],
    seed: int,
    epoch: int = 0,
    share: Share | None = None,
    buffer_examples: int = 1000,
    opener: Opener = open_file,
) -> Iterator[Sample]:
    """Yield the samples of this reader's shards once, in an order that seed, epoch and share decide.

    The shards are put into an order that all readers agree on and dealt out one by one; what a reader gets is shuffled
    through a buffer. Memory: the buffer. A shard is read from front to end, so that ``opener`` may return a pipe.

    Args:
        names: the shards, the same for every reader.
        seed, epoch: another epoch, another order.
        share: which reader this is; by default the only one.
        buffer_examples: among how many is shuffled; 0 or 1: not at all.
        opener: a name to a file object to read from; it is closed afterwards.

    Raises:
        KwsError: a shard cannot be read, is damaged or cut short, or there are fewer shards than readers.
    """
    share = share or Share()
    readers, reader = share.world * share.workers, share.rank + share.world * share.worker
    if len(names) < readers:
        raise KwsError(f"{len(names)} shards cannot be split among {readers} readers; write more shards")
    order = np.random.default_rng([seed, epoch]).permutation(len(names))
    mine = [sorted(names)[place] for place in order[reader::readers]]
    samples = (sample for name in mine for sample in read_shard(opener(name), name))
    yield from shuffled(samples, buffer_examples, np.random.default_rng([seed, epoch, reader]))


def shuffled(samples: Iterator[Sample], size: int, rng: np.random.Generator) -> Iterator[Sample]:
    """Yield the samples shuffled: each takes a random place in a buffer, and what stood there goes on."""
    buffer: list[Sample] = []
    for sample in samples:
        if len(buffer) < size:
            buffer.append(sample)
            continue
        place = int(rng.integers(size)) if size > 1 else 0
        if buffer:
            sample, buffer[place] = buffer[place], sample
        yield sample
    yield from (buffer[place] for place in (rng.permutation(len(buffer)) if size > 1 else range(len(buffer))))


def read_shard(file: BinaryIO, name: str = "shard") -> Iterator[Sample]:
    """Yield the samples of one shard in its order, reading ``file`` forward only; it is closed at the end.

    Raises:
        KwsError: it is no shard, is damaged or cut short; the sentence begins with ``name``.
    """
    parts: dict[str, bytes] = {}
    watched = _Watched(file)
    try:
        with file, tarfile.open(fileobj=cast(BinaryIO, watched), mode="r|") as tar:
            for member in tar:
                data = tar.extractfile(member)
                parts[member.name[member.name.index(".") :]] = data.read() if data else b""
                if len(parts) == 3:
                    yield to_sample(parts[FEATURES], parts[SPANS], parts[INFO])
                    parts.clear()
            while watched.read(1 << 16):
                pass
    except (tarfile.TarError, KeyError, ValueError, EOFError) as error:
        raise KwsError(f"{name}: is not a shard, or is damaged or cut short; write it again with kws shards") from error
    if parts or watched.last != bytes(_END):
        raise KwsError(f"{name}: is cut short; copy it or write it again with kws shards")


class _Watched:
    """A file read forward that remembers its last bytes: tarfile takes an archive cut between members for whole."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.last = b""

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.last = (self.last + data)[-_END:]
        return data


def to_sample(features: bytes, spans: bytes, info: bytes) -> Sample:
    """Return a sample from its three parts."""
    return Sample(_array(features), _array(spans), json.loads(info))


def _array(data: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array
