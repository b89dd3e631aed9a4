"""Batches made ahead of their use: by threads, or by processes that hand them over in shared memory.

Drawing an example is numpy, C and a good deal of Python. Threads wait for each other at Python's lock, and so does
the training beside them; processes do not. A batch's arrays are copied once into a slot of shared memory and once out
of it; through the pipe goes only what they are.
"""

import pickle
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from kws.data.examples.batches import ArrayBatch, BatchSource
from kws.system.processes import in_order, shared_bytes

Backend = Literal["auto", "threads", "processes"]
EXAMPLES_WORTH_PROCESSES = 4000
"""Starting processes takes about a second; fewer examples than this are drawn by threads before it pays."""


@dataclass(frozen=True)
class BatchRange:
    """Batches ``first`` .. ``last - 1`` of ``clips`` examples each over all ranks, and whose share of them."""

    clips: int
    first: int
    last: int
    rank: int = 0
    world: int = 1


def made_ahead(
    source: BatchSource, batches: BatchRange, workers: int, backend: Backend = "auto"
) -> Generator[ArrayBatch, None, None]:
    """Yield the batches in order, made by ``workers`` threads or processes; 0: here, when the caller asks for them.

    Whoever works ends with the iteration, also when it is broken off. "auto" takes processes where they pay.

    Raises:
        KwsError: a clip cannot be read, or a process ended unexpectedly.
    """
    count = max(batches.last - batches.first, 0)
    if backend == "auto":
        few = count * batches.clips // batches.world < EXAMPLES_WORTH_PROCESSES
        backend = "threads" if few else "processes"
    if workers == 0 or not count:
        return (_make(source, batches, index) for index in range(count))
    if backend == "threads":
        return _by_threads(source, batches, count, workers)
    return _by_processes(source, batches, count, workers)


def _make(source: BatchSource, batches: BatchRange, index: int) -> ArrayBatch:
    return source.batch(batches.first + index, batches.clips, batches.rank, batches.world)


def _by_threads(
    source: BatchSource, batches: BatchRange, count: int, workers: int
) -> Generator[ArrayBatch, None, None]:
    executor = ThreadPoolExecutor(workers, thread_name_prefix="examples")
    ahead = 2 * workers + 2
    try:
        waiting: deque[Future[ArrayBatch]] = deque(
            executor.submit(_make, source, batches, index) for index in range(min(ahead, count))
        )
        for index in range(count):
            yield waiting.popleft().result()
            if index + ahead < count:
                waiting.append(executor.submit(_make, source, batches, index + ahead))
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _by_processes(
    source: BatchSource, batches: BatchRange, count: int, workers: int
) -> Generator[ArrayBatch, None, None]:
    slots = 2 * workers + 2
    # Two spans more than a phrase of a few words has, and room for headers; what is larger goes through the pipe.
    example_bytes = source.frames * (source.bands * 2 + 1) + 8 * 4 * 4
    size = -(-batches.clips // batches.world) * example_bytes + 4096
    memory = shared_bytes(slots * size)
    fill = _Fill(source, batches, slots)
    with closing(in_order(fill, count, workers, (memory,), ahead=slots, at_once=True)) as made:
        for index, parcel in enumerate(made):
            yield parcel.open(_slot(memory, index, slots))


@dataclass(frozen=True)
class _Fill:
    """What a process does: make batch ``index`` and put it into its slot."""

    source: BatchSource
    batches: BatchRange
    slots: int

    def __call__(self, index: int, memory: Any) -> "_Parcel":
        return _packed(_make(self.source, self.batches, index), _slot(memory, index, self.slots))


@dataclass(frozen=True)
class _Parcel:
    """A pickled batch and the sizes of its arrays' contents, which lie one after the other in a slot."""

    pickled: bytes
    sizes: tuple[int, ...]

    def open(self, slot: memoryview) -> ArrayBatch:
        """Return the batch with arrays of its own, so that the slot is free again."""
        ends = [sum(self.sizes[: place + 1]) for place in range(len(self.sizes))]
        copies = [bytearray(slot[end - size : end]) for end, size in zip(ends, self.sizes, strict=True)]
        batch: ArrayBatch = pickle.loads(self.pickled, buffers=copies)
        return batch


def _packed(batch: ArrayBatch, slot: memoryview) -> _Parcel:
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(batch, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    if sum(view.nbytes for view in views) > len(slot):
        return _Parcel(pickle.dumps(batch, protocol=5), ())
    place = 0
    for view in views:
        slot[place : place + view.nbytes] = view
        place += view.nbytes
    return _Parcel(pickled, tuple(view.nbytes for view in views))


def _slot(memory: Any, index: int, slots: int) -> memoryview:
    """Return the memory of batch ``index``: free again once batch ``index + slots`` is begun."""
    whole = memoryview(memory).cast("B")
    size = len(whole) // slots
    return whole[index % slots * size : (index % slots + 1) * size]
