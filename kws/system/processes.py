"""Work divided among processes: results in order, errors passed on unchanged, no process left behind.

The processes are spawned, not forked: torch or a sound library may have threads in this one. Ctrl+C is left to this
process, and the others end with it, however it ends.
"""

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any, TypeVar

from kws.errors import KwsError

Result = TypeVar("Result")
_CONTEXT = multiprocessing.get_context("spawn")
_STOPPED, _GOING = b"\1", b"\0"


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shared_bytes(size: int) -> Any:
    """Return a block of memory that can be given to ``in_order``'s processes as ``shared``.

    It has no name in the file system (a temporary file, removed once opened), so that nothing is left of it.
    """
    return _CONTEXT.RawArray("B", size)


def in_order(
    work: Callable[..., Result],
    count: int,
    processes: int,
    shared: tuple[Any, ...] = (),
    ahead: int = 0,
    at_once: bool = False,
) -> Generator[Result, None, None]:
    """Yield ``work(0, *shared)`` .. ``work(count - 1, *shared)``, in order, done by ``processes`` processes.

    Args:
        work: picklable, and small enough for each process to have its own copy. It is sent once.
        count: how many results.
        processes: how many worker processes; 0: this process works.
        shared: blocks from ``shared_bytes``.
        ahead: how many results at most are being made or wait to be taken; by default two for each process and two.
            Number n is begun after n - ``ahead`` was taken and the next asked for.
        at_once: when the iteration is left early, stop the work at once instead of finishing what was begun.

    Raises:
        KwsError: the work raised it, or a process ended unexpectedly.
        RuntimeError: the work raised anything else; the text holds the traceback.
    """
    if not processes or not count:
        yield from (work(index, *shared) for index in range(count))
        return
    team = _Team(work, min(processes, count), shared)
    try:
        ahead = ahead or 2 * processes + 2
        for index in range(min(ahead, count)):
            team.begin(index)
        for index in range(count):
            result = team.result(index)
            yield result
            del result
            if index + ahead < count:
                team.begin(index + ahead)
    except BaseException:
        team.end(at_once)
        raise
    team.end(at_once=False)


class _Team:
    """The processes, each with a pipe: a number goes in, (number, result, error) comes out."""

    def __init__(self, work: Callable[..., Any], processes: int, shared: tuple[Any, ...]) -> None:
        # Pickled into shared memory: a large object in a start's own pipe would hold up the next start.
        pickled = pickle.dumps(work)
        payload, self.state = shared_bytes(len(pickled)), shared_bytes(1)
        memoryview(payload).cast("B")[:] = pickled
        self.members: list[Any] = []
        self.pipes: list[connection.Connection] = []
        self.pending: list[set[int]] = []
        self.results: dict[int, tuple[Any, Exception | None]] = {}
        try:
            with _without_interrupts():
                for _ in range(processes):
                    self._start(payload, shared)
        except BaseException:
            self.end(at_once=True)
            raise

    def _start(self, payload: Any, shared: tuple[Any, ...]) -> None:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(theirs, self.state, payload, shared), daemon=True)
        with theirs:
            try:
                process.start()
            except BaseException:
                ours.close()
                raise
        self.members.append(process)
        self.pipes.append(ours)
        self.pending.append(set())

    def begin(self, index: int) -> None:
        """Give number ``index`` to the process with the least to do."""
        least = min(range(len(self.pipes)), key=lambda member: len(self.pending[member]))
        self.pending[least].add(index)
        try:
            self.pipes[least].send(index)
        except OSError as error:
            raise _lost(self.members[least]) from error

    def result(self, index: int) -> Any:
        """Wait for number ``index``; return its result or raise its error."""
        while index not in self.results:
            for pipe in connection.wait(self.pipes):
                member = self.pipes.index(pipe)  # type: ignore[arg-type]  # these are all Connections
                try:
                    done, result, error = self.pipes[member].recv()
                except (EOFError, OSError) as lost:
                    raise _lost(self.members[member]) from lost
                self.pending[member].remove(done)
                self.results[done] = (result, error)
        result, error = self.results.pop(index)
        if error is not None:
            raise error
        return result

    def end(self, at_once: bool) -> None:
        """Let every process finish its work, or stop it ``at_once``, and wait until all have ended."""
        memoryview(self.state).cast("B")[:] = _STOPPED
        for process, pipe in zip(self.members, self.pipes, strict=True):
            if at_once:
                process.terminate()
            pipe.close()
        for process in self.members:
            process.join()
            process.close()
        self.members, self.pipes = [], []


def _lost(process: Any) -> KwsError:
    process.join(1.0)
    return KwsError(
        f"a worker process ended unexpectedly (status {process.exitcode}); it may have run out of memory: use fewer. "
        "In a script, call this below if __name__ == '__main__'"
    )


def _serve(pipe: connection.Connection, state: Any, payload: Any, shared: tuple[Any, ...]) -> None:
    """In a process of the team: work until the other end of the pipe is closed."""
    _end_with_parent()
    work = pickle.loads(memoryview(payload))
    try:
        while True:
            index = pipe.recv()
            if bytes(state) == _GOING:
                pipe.send((index, *_attempt(work, index, shared)))
    except (EOFError, OSError):
        return


def _attempt(work: Callable[..., Any], index: int, shared: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return work(index, *shared), None
    except KwsError as error:
        return None, error
    except Exception:  # raised again, with its traceback, when the result is taken
        return None, RuntimeError(f"in another process:\n{traceback.format_exc()}")


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Hold Ctrl+C back; processes started meanwhile have it held back too until they ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """Leave Ctrl+C to the parent, and end when the parent ends, even if it was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
