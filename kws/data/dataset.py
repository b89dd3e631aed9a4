"""Batches of examples as tensors: drawn anew each time from a seed, or read from shards, prepared while others train.

Torch is imported here alone of all ``kws.data``; processes that draw examples need ``kws.data.examples.batches`` only.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kws.data.augment import AugmentConfig
from kws.data.examples.batches import ArrayBatch, BatchSource, Drawn, DrawnBatches
from kws.data.examples.draw import ExampleConfig
from kws.data.examples.pool import ClipPool
from kws.data.examples.prefetch import Backend, BatchRange, made_ahead
from kws.data.shards.batches import BUFFER_EXAMPLES, ShardBatches
from kws.frontend import FrontendConfig


@dataclass(frozen=True, eq=False)
class Batch:
    """features int16 [clips, frames, bands] (LFBE), spans float32 [clips, words, 4], the kind of each clip.

    A row of ``spans`` is a keyword word: the phrase's index, the word's index in it, start and end in seconds from the
    first sample. The words of one phrase stand in order; rows of -1 fill up clips with fewer words. ``phones`` int8
    [clips, frames] has the phone of each frame, -1 where it is not known; None where none is.
    """

    features: Tensor
    spans: Tensor
    kinds: tuple[str, ...]
    phones: Tensor | None = None


class BatchDataset:
    """Batches by number, always the same for the same number and ``clips``, wherever and by whomever they are made."""

    def __init__(self, source: BatchSource) -> None:
        self.source = source

    @property
    def frames(self) -> int:
        """Frames of each example."""
        return self.source.frames

    def batch(self, number: int, clips: int, rank: int = 0, world: int = 1) -> Batch:
        """Return batch ``number`` of ``clips`` examples, or the share of ``rank`` in it.

        The shares of ranks 0 .. ``world`` - 1, one after the other, are the whole batch; they differ by at most one
        clip where ``clips`` is no multiple of ``world``.
        """
        return to_tensors(self.source.batch(number, clips, rank, world))


class Dataset(BatchDataset):
    """An endless sequence of examples, each drawn from a generator of its own.

    Args:
        pool: the clips of one split; ``clip_file.shared`` gives one that many processes read from the same memory.
        frontend: what computes the features; the same C code as on the device where it was built.
        examples, augmentation: how examples are put together and how far they are changed.
        seed: whole numbers that name this sequence; others name another, independent one.
    """

    def __init__(
        self,
        pool: ClipPool,
        frontend: FrontendConfig,
        examples: ExampleConfig,
        augmentation: AugmentConfig,
        seed: tuple[int, ...],
    ) -> None:
        self.drawn = DrawnBatches(pool, frontend, examples, augmentation, seed)
        super().__init__(self.drawn)

    def example(self, index: int) -> Drawn:
        """Return features int16 [frames, bands], spans float32 [words, 4] and the kind of example ``index``."""
        return self.drawn.example(index)


class ShardDataset(BatchDataset):
    """An endless sequence of the examples in shards (``kws shards``), epoch after epoch, each shuffled anew.

    Args:
        paths: the shards, in any order, or patterns with * and ?.
        seed: of the shuffling.
        buffer_examples: among how many examples is shuffled; 0: the order in which they were written.

    Raises:
        KwsError: no shard is found, or one is missing, foreign or damaged.
    """

    def __init__(
        self, paths: Sequence[str | Path], seed: tuple[int, ...], buffer_examples: int = BUFFER_EXAMPLES
    ) -> None:
        self.shards = ShardBatches(paths, seed, buffer_examples)
        super().__init__(self.shards)


class Prefetch:
    """Batches ``first`` .. ``last - 1`` in order, prepared ahead by ``workers`` threads or processes (0: neither).

    What comes does not depend on either. ``waited_s`` sums up how long the consumer stood still: near 0 where training
    is the slower of the two. With ``rank`` and ``world``, this rank's share of each batch.
    """

    def __init__(
        self,
        dataset: BatchDataset,
        clips: int,
        first: int,
        last: int,
        workers: int = 1,
        backend: Backend = "auto",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.dataset, self.workers, self.backend = dataset, workers, backend
        self.batches = BatchRange(clips, first, last, rank, world)
        self.waited_s = 0.0

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches; whoever prepares them ends with the iteration, also when it is broken off."""
        with closing(made_ahead(self.dataset.source, self.batches, self.workers, self.backend)) as made:
            while True:
                began = time.perf_counter()
                arrays = next(made, None)
                self.waited_s += time.perf_counter() - began
                if arrays is None:
                    return
                yield to_tensors(arrays)


def to_tensors(arrays: ArrayBatch) -> Batch:
    """Return the batch as tensors that share the arrays' memory."""
    phones = None if arrays.phones is None else torch.from_numpy(arrays.phones)
    return Batch(torch.from_numpy(arrays.features), torch.from_numpy(arrays.spans), arrays.kinds, phones)
