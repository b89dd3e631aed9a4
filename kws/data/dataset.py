"""Examples as tensors, drawn anew each time from a seed, prepared by threads while the model trains.

Example ``index`` has a generator of its own, the ``index``-th child of the seed: what is drawn depends neither on
the number of threads nor on where a training run was resumed.
"""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kws.data.augment import AugmentConfig
from kws.data.examples import ExampleConfig, draw_example, frame_labels
from kws.data.pool import ClipPool
from kws.frontend import FrontendConfig, compute
from kws.frontend.framing import count_frames


@dataclass(frozen=True, eq=False)
class Batch:
    """features int16 [clips, frames, bands] (LFBE), labels int64 [clips, frames], the kind of each clip."""

    features: Tensor
    labels: Tensor
    kinds: tuple[str, ...]


class Dataset:
    """An endless sequence of examples: ``batch(n)`` is always the same for the same seed and clips.

    Args:
        pool: the clips of one split.
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
        self.pool, self.frontend, self.examples, self.augmentation = pool, frontend, examples, augmentation
        self.seed = seed
        self.frames = count_frames(examples.window_ms * frontend.sample_rate_hz // 1000, frontend)

    def example(self, index: int) -> tuple[NDArray[np.int16], NDArray[np.int64], str]:
        """Return features int16 [frames, bands], labels int64 [frames] and the kind of example ``index``."""
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(index,)))
        example = draw_example(self.pool, self.examples, self.augmentation, rng)
        features = compute(example.samples, self.frontend)
        labels = frame_labels(example, self.frames, self.frontend.window_samples, self.frontend.hop_samples)
        return features, labels, example.kind

    def batch(self, number: int, clips: int) -> Batch:
        """Return batch ``number`` of ``clips`` examples."""
        drawn = [self.example(index) for index in range(number * clips, (number + 1) * clips)]
        return Batch(
            features=torch.from_numpy(np.stack([features for features, _, _ in drawn])),
            labels=torch.from_numpy(np.stack([labels for _, labels, _ in drawn])),
            kinds=tuple(kind for _, _, kind in drawn),
        )


class Prefetch:
    """Batches ``first`` .. ``last - 1`` in order, prepared ahead by ``workers`` threads.

    The numpy transforms and the C frontend leave Python's lock, so that threads help. ``waited_s`` sums up how long
    the consumer stood still: near 0 where training is the slower of the two.
    """

    def __init__(self, dataset: Dataset, clips: int, first: int, last: int, workers: int = 1) -> None:
        self.dataset, self.clips, self.first, self.last = dataset, clips, first, last
        self.workers = workers
        self.waited_s = 0.0

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches; threads end with the iteration, also when it is broken off."""
        executor = ThreadPoolExecutor(self.workers, thread_name_prefix="examples")
        waiting: deque[Future[Batch]] = deque()
        try:
            ahead = iter(range(self.first, self.last))
            for number in ahead:
                waiting.append(executor.submit(self.dataset.batch, number, self.clips))
                if len(waiting) > 2 * self.workers + 1:
                    break
            while waiting:
                began = time.perf_counter()
                batch = waiting.popleft().result()
                self.waited_s += time.perf_counter() - began
                for number in ahead:
                    waiting.append(executor.submit(self.dataset.batch, number, self.clips))
                    break
                yield batch
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
