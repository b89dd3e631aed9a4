"""What an iterator gives, made by another thread while the one before is in use."""

import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """The items of a generator in order, one made ahead; the generator is closed with the iteration.

    ``waited_s`` sums up how long the consumer stood still for the next item, whatever it is made of.

    >>> list(Ahead(number * number for number in range(4)))
    [0, 1, 4, 9]
    """

    def __init__(self, items: Generator[T, None, None]) -> None:
        self.items = items
        self.waited_s = 0.0
        self._told_s = 0.0

    def __iter__(self) -> Generator[T, None, None]:
        """Yield the items; an error of the generator comes where its item would."""
        with closing(self.items), ThreadPoolExecutor(1, thread_name_prefix="ahead") as executor:
            coming = executor.submit(self._next)
            while True:
                began = time.perf_counter()
                result = coming.result()
                self.waited_s += time.perf_counter() - began
                if not result:
                    return
                coming = executor.submit(self._next)
                yield result[0]

    def waited_since(self) -> float:
        """Return the seconds waited since the last call."""
        passed_s, self._told_s = self.waited_s - self._told_s, self.waited_s
        return passed_s

    def _next(self) -> tuple[T, ...]:
        for item in self.items:
            return (item,)
        return ()
