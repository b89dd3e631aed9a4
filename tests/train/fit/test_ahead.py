"""Items made by another thread: in order, one ahead, and the generator's end is the iteration's."""

import threading
import time
from collections.abc import Generator

import pytest

from kws.train.fit.ahead import Ahead


def test_one_item_is_made_while_the_one_before_is_in_use() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Generator[int, None, None]:
        for number in range(4):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    iteration = iter(Ahead(items()))
    assert next(iteration) == 0
    assert second.wait(10.0)
    assert next(iteration) == 1
    iteration.close()
    assert made[:2] == [0, 1]
    assert len(made) <= 3


def test_the_generator_is_closed_with_the_iteration() -> None:
    closed: list[bool] = []

    def items() -> Generator[int, None, None]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    iteration = iter(Ahead(items()))
    next(iteration)
    iteration.close()
    assert closed == [True]


def test_an_error_comes_where_its_item_would() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        raise ValueError("broken")

    iteration = iter(Ahead(items()))
    assert next(iteration) == 1
    with pytest.raises(ValueError, match="broken"):
        next(iteration)


def test_waiting_is_the_time_that_the_consumer_stands_still() -> None:
    def items() -> Generator[int, None, None]:
        for number in range(3):
            time.sleep(0.05)
            yield number

    ahead = Ahead(items())
    assert len(list(ahead)) == 3
    assert ahead.waited_since() > 0.1
    assert ahead.waited_since() == 0.0
