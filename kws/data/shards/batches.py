"""Batches by number from shards on disk: any batch at any time, so that a resumed training goes on where it stopped."""

import glob
import math
import re
import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.data.examples.batches import ArrayBatch, Drawn, collate, share
from kws.data.shards import write as shards
from kws.data.shards.stream import to_sample
from kws.errors import KwsError

BUFFER_EXAMPLES = 16384
_OPEN_AT_MOST = 64


class ShardBatches:
    """The examples of some shards, epoch after epoch, in a new order each time.

    The shards are dealt out to lanes, as many as the greatest common divisor of shards and clips of a batch, and every
    lane gives each batch equally many examples, which stand together. So ranks that share a batch read shards of their
    own each, wherever their number divides that of the shards, and a batch is the same however many share it.
    The arguments are those of ``dataset.ShardDataset``.
    """

    def __init__(self, paths: Sequence[str | Path], seed: tuple[int, ...], buffer_examples: int) -> None:
        self.paths, self.seed, self.buffer_examples = shard_paths(paths), seed, buffer_examples
        indexes = {folder: shards.read_index(folder) for folder in sorted({path.parent for path in self.paths})}
        self.index = indexes[self.paths[0].parent]
        for folder, index in indexes.items():
            if any(index[key] != self.index[key] for key in ("phrases", "frontend", "frames", "bands")):
                raise KwsError(
                    f"{folder}: its shards have other phrases or another frontend than {self.paths[0].parent}; "
                    "name shards of one recipe"
                )
        self.sources: list[dict[str, Any]] = [row for index in indexes.values() for row in index["sources"]]
        self.frames, self.bands = int(self.index["frames"]), int(self.index["bands"])
        self.counts = [_count(path, indexes[path.parent]) for path in self.paths]
        self.examples = sum(self.counts)
        self._opened = lru_cache(maxsize=_OPEN_AT_MOST)(_Shard)
        self._lanes = lru_cache(maxsize=4)(self._deal)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process without open files."""
        return ShardBatches, (self.paths, self.seed, self.buffer_examples)

    def batch(self, number: int, clips: int, rank: int = 0, world: int = 1) -> ArrayBatch:
        """Return the share of ``rank`` in batch ``number``."""
        lanes = self._lanes(math.gcd(len(self.paths), clips))
        each = clips // len(lanes)
        places = (position - number * clips for position in share(number, clips, rank, world))
        return collate([self._read(lanes[place // each], number * each + place % each) for place in places])

    def _read(self, lane: "_Lane", position: int) -> Drawn:
        shard, number = lane.find(position)
        return self._opened(self.paths[shard], self.counts[shard]).read(number, (self.frames, self.bands))

    def _deal(self, lanes: int) -> "list[_Lane]":
        """Return the lanes: shard n is in lane n modulo their number."""
        dealt = [range(lane, len(self.paths), lanes) for lane in range(lanes)]
        run = -(-self.buffer_examples // lanes)
        return [
            _Lane(mine, [self.counts[shard] for shard in mine], (*self.seed, lane), run)
            for lane, mine in enumerate(dealt)
        ]


class _Lane:
    """The endless sequence of the examples of some shards.

    An epoch puts the shards into a random order and their examples one after the other; each run of ``run_examples``
    is shuffled in itself, so that few shards are read at a time. 0 examples: the order in which they were written.
    """

    def __init__(self, shards: Sequence[int], counts: Sequence[int], seed: tuple[int, ...], run_examples: int) -> None:
        self.shards, self.counts, self.seed, self.run_examples = shards, np.array(counts), seed, run_examples
        self.examples = int(self.counts.sum())
        self._epoch = lru_cache(maxsize=2)(self._draw_epoch)
        self._run = lru_cache(maxsize=4)(self._draw_run)

    def find(self, position: int) -> tuple[int, int]:
        """Return which shard the example at a position is in, and its number there."""
        epoch, place = divmod(position, self.examples)
        if self.run_examples:
            run, within = divmod(place, self.run_examples)
            place = run * self.run_examples + int(self._run(epoch, run)[within])
        order, ends = self._epoch(epoch)
        turn = int(np.searchsorted(ends, place, side="right"))
        shard = int(order[turn])
        return self.shards[shard], place - int(ends[turn]) + int(self.counts[shard])

    def _draw_epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the order of the shards and where each of them ends."""
        order = np.arange(len(self.shards))
        if self.run_examples:
            order = self._generator(epoch).permutation(order)
        return order, np.cumsum(self.counts[order])

    def _draw_run(self, epoch: int, run: int) -> NDArray[np.int64]:
        """Return the order within a run."""
        return self._generator(epoch, run).permutation(min(self.run_examples, self.examples - run * self.run_examples))

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


class _Shard:
    """One shard, mapped into memory: where in the file each example's parts lie."""

    def __init__(self, path: Path, examples: int) -> None:
        self.path = path
        self.places: list[dict[str, slice]] = []
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    _, dot, ending = member.name.partition(".")
                    if dot + ending == shards.FEATURES:
                        self.places.append({})
                    self.places[-1][dot + ending] = slice(member.offset_data, member.offset_data + member.size)
            self._bytes: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")
        except (OSError, tarfile.TarError, IndexError) as error:
            raise _damaged(path) from error
        if len(self.places) != examples:
            raise _damaged(path)

    def read(self, number: int, shape: tuple[int, int]) -> Drawn:
        """Return example ``number`` of the shard."""
        place = self.places[number]
        try:
            parts = (self._bytes[place[ending]].tobytes() for ending in (shards.FEATURES, shards.SPANS, shards.INFO))
            sample = to_sample(*parts)
            kind = str(sample.info["kind"])
        except (KeyError, ValueError, EOFError) as error:
            raise _damaged(self.path) from error
        if sample.features.shape != shape or sample.features.dtype != np.int16:
            raise _damaged(self.path)
        return sample.features, sample.spans, kind


def _damaged(path: Path) -> KwsError:
    return KwsError(f"{path}: is damaged or does not match its index; delete it and run kws shards again")


def shard_paths(paths: Sequence[str | Path]) -> tuple[Path, ...]:
    """Return the shards that paths and patterns name, in the order of their names.

    Raises:
        KwsError: a path or pattern names none.
    """
    unique: set[Path] = set()
    for path in paths:
        named = sorted(glob.glob(str(path))) if glob.has_magic(str(path)) else [str(path)]
        missing = not named or not Path(named[0]).exists()
        if missing:
            raise KwsError(f"{path}: no such shard; write shards with kws shards, or correct the path")
        unique |= {Path(name) for name in named}
    if not unique:
        raise KwsError("no shards are named; give their paths or a pattern such as 'shards/*.tar'")
    return tuple(sorted(unique))


def _count(path: Path, index: dict[str, Any]) -> int:
    """Return how many examples a shard has, by its place in the index."""
    number = re.fullmatch(r"shard_([0-9]{6,9})\.tar", path.name)
    if number is None or int(number[1]) >= index["shards"]:
        raise KwsError(f"{path}: {shards.INDEX} beside it does not list this shard; leave it out of the pattern")
    return len(shards.bounds(int(number[1]), index["examples"], index["shards"]))
