"""Work in other processes: in order, errors as they are, nobody and nothing left behind."""

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kws.errors import KwsError
from kws.system.processes import in_order, processors, shared_bytes


@dataclass(frozen=True)
class Work:
    """Notes who did it; number ``bad`` fails in the way ``how`` says."""

    notes: Path
    bad: int = -1
    how: str = ""

    def __call__(self, index: int, *shared: Any) -> int:
        (self.notes / str(os.getpid())).touch()
        if index == self.bad:
            if self.how == "user":
                raise KwsError("clip.wav: is not a sound file")
            if self.how == "bug":
                raise ZeroDivisionError("of mine")
            if self.how == "killed":
                os._exit(9)
            time.sleep(60.0)
        if shared:
            shared[0][index] = index + 1
        return index * index

    def workers(self) -> set[int]:
        return {int(path.name) for path in self.notes.iterdir()} - {os.getpid()}


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    yield
    assert not multiprocessing.active_children()


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_results_come_in_order_and_through_shared_memory(tmp_path: Path) -> None:
    work, memory = Work(tmp_path), shared_bytes(20)
    assert list(in_order(work, 20, 3, (memory,))) == [index * index for index in range(20)]
    assert bytes(memory) == bytes(range(1, 21))
    assert 1 <= len(work.workers()) <= 3
    assert all(map(gone, work.workers()))


def test_without_others_this_process_works(tmp_path: Path) -> None:
    work = Work(tmp_path)
    assert list(in_order(work, 3, 0)) == [0, 1, 4]
    assert list(in_order(work, 0, 4)) == []
    assert not work.workers()
    assert processors() >= 1


def test_errors_come_when_it_is_their_turn(tmp_path: Path) -> None:
    with closing(in_order(Work(tmp_path, 2, "user"), 9, 2)) as results:
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(KwsError, match=r"^clip\.wav: is not a sound file$"):
            next(results)
    with pytest.raises(RuntimeError, match="ZeroDivisionError: of mine"):
        list(in_order(Work(tmp_path, 0, "bug"), 3, 2))
    with pytest.raises(KwsError, match=r"ended unexpectedly \(status 9\)"):
        list(in_order(Work(tmp_path, 1, "killed"), 3, 1))


def test_at_once_does_not_wait_for_what_was_begun(tmp_path: Path) -> None:
    work = Work(tmp_path, 1, "sleeps")
    with closing(in_order(work, 9, 2, at_once=True)) as results:
        assert next(results) == 0
        began = time.monotonic()
    assert time.monotonic() - began < 10.0
    assert all(map(gone, work.workers()))


def test_what_was_begun_is_finished_and_no_more(tmp_path: Path) -> None:
    with closing(in_order(Work(tmp_path), 1000, 2)) as results:
        assert next(results) == 0
    assert all(map(gone, Work(tmp_path).workers()))


def test_no_more_is_made_than_was_asked_for(tmp_path: Path) -> None:
    """Else a slot of shared memory could be written over before it was read."""
    memory = shared_bytes(40)
    with closing(in_order(Work(tmp_path), 40, 2, (memory,), ahead=5)) as results:
        for index in range(35):
            next(results)
            assert not any(bytes(memory)[index + 5 :])
