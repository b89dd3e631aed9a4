"""Batches of examples as arrays, without torch: what the processes that draw examples need, and no more.

Example ``index`` has a generator of its own, the ``index``-th child of the seed: what is drawn depends neither on who
draws it nor on where a training run was resumed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kws.data.augment import AugmentConfig, mask_features
from kws.data.examples.draw import ExampleConfig, draw_example
from kws.data.examples.pool import UNKNOWN_PHONE, ClipPool
from kws.frontend import FrontendConfig, compute
from kws.frontend.framing import count_frames

Features = NDArray[np.int16]
Spans = NDArray[np.float32]
Phones = NDArray[np.int8]
Drawn = tuple[Features, Spans, str]
"""One example: LFBE int16 [frames, bands], spans float32 [words, 4], its kind."""


@dataclass(frozen=True, eq=False)
class ArrayBatch:
    """features int16 [clips, frames, bands], spans float32 [clips, words, 4] (see ``dataset.Batch``), kinds, phones."""

    features: Features
    spans: Spans
    kinds: tuple[str, ...]
    phones: Phones | None = None


class BatchSource(Protocol):
    """What gives batches: picklable, and the same batch for the same number in every process."""

    @property
    def frames(self) -> int:
        """Frames of each example."""

    @property
    def bands(self) -> int:
        """Bands of each frame."""

    def batch(self, number: int, clips: int, rank: int = 0, world: int = 1) -> ArrayBatch:
        """Return the share of ``rank`` in batch ``number``, which has ``clips`` examples over all ranks."""


class DrawnBatches:
    """Batches of examples drawn anew each time from the clips of a pool; the arguments are those of ``Dataset``."""

    def __init__(
        self,
        pool: ClipPool,
        frontend: FrontendConfig,
        examples: ExampleConfig,
        augmentation: AugmentConfig,
        seed: tuple[int, ...],
    ) -> None:
        self.pool, self.frontend, self.examples, self.augmentation = pool, frontend, examples, augmentation
        self.seed = seed
        self.frames = count_frames(examples.window_ms * frontend.sample_rate_hz // 1000, frontend)
        self.bands = frontend.bands

    def of(self, pool: ClipPool) -> "DrawnBatches":
        """Return the same sequence drawn from ``pool``."""
        return DrawnBatches(pool, self.frontend, self.examples, self.augmentation, self.seed)

    def example(self, index: int) -> Drawn:
        """Return example ``index`` of the sequence."""
        return self.with_phones(index)[0]

    def with_phones(self, index: int) -> tuple[Drawn, Phones | None]:
        """Return example ``index`` and its phones, int8 [frames], where the pool knows any."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(index,)))
        example = draw_example(self.pool, self.examples, self.augmentation, rng)
        features = mask_features(compute(example.samples, self.frontend), self.augmentation, rng)
        spans = np.array(example.words, np.float32).reshape(-1, 4)
        phones = None if example.phones is None else example.phones[: len(features)]
        return (features, spans, example.kind), phones

    def batch(self, number: int, clips: int, rank: int = 0, world: int = 1) -> ArrayBatch:
        """Return the share of ``rank`` in batch ``number``."""
        drawn = [self.with_phones(index) for index in share(number, clips, rank, world)]
        return collate([example for example, _ in drawn], [phones for _, phones in drawn])


def share(number: int, clips: int, rank: int, world: int) -> range:
    """Return which examples of the sequence ``rank`` has in batch ``number`` of ``clips``; ranks in order have all.

    >>> [list(share(1, 8, rank, 3)) for rank in range(3)]
    [[8, 9], [10, 11, 12], [13, 14, 15]]
    """
    if not 0 <= rank < world:
        raise ValueError(f"rank must be 0 to {world - 1}, not {rank}")
    begin = number * clips
    return range(begin + rank * clips // world, begin + (rank + 1) * clips // world)


def collate(drawn: Sequence[Drawn], phones: Sequence[Phones | None] = ()) -> ArrayBatch:
    """Return examples as one batch, with their phones where there are any."""
    return ArrayBatch(
        features=np.stack([features for features, _, _ in drawn]),
        spans=padded([spans for _, spans, _ in drawn]),
        kinds=tuple(kind for _, _, kind in drawn),
        phones=_phones(phones, len(drawn[0][0])),
    )


def _phones(phones_of: Sequence[Phones | None], frames: int) -> Phones | None:
    """Return the clips' phones int8 [clips, frames], those of clips without as unknown; None where no clip has any."""
    if all(phones is None for phones in phones_of):
        return None
    unknown = np.full(frames, UNKNOWN_PHONE, np.int8)
    return np.stack([unknown if phones is None else phones for phones in phones_of])


def padded(spans: Sequence[Spans]) -> Spans:
    """Return the clips' spans as one array float32 [clips, words, 4], short ones filled up with rows of -1.

    >>> padded([np.zeros((0, 4), np.float32), np.array([[0, 0, 0.5, 0.9]], np.float32)])[:, 0, 2]
    array([-1. ,  0.5], dtype=float32)
    """
    filled = np.full((len(spans), max((len(rows) for rows in spans), default=0), 4), -1.0, np.float32)
    for clip, rows in zip(filled, spans, strict=True):
        clip[: len(rows)] = rows
    return filled
