"""One process at a time writes into a directory: the system takes the lock back when the process ends, however it ends.

The lock is on a hidden file in the directory, which goes with it. Where a file system has no locks (some network ones),
that is told and work goes on without.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from kws.errors import KwsError
from kws.system.files import unwritable

LOCK = ".kws.lock"

if sys.platform == "win32":
    import msvcrt

    def _lock_file(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # what is locked cannot be read by others: far behind the text
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock_file(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_held: set[str] = set()


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory against other processes; within this one it may be held again.

    A directory that is missing is made, and removed again when nothing was written into it.

    Raises:
        KwsError: another process is writing there, or the directory cannot be made or written to.
    """
    place = os.path.realpath(directory)
    if place in _held:
        yield
        return
    made = [one for one in (directory, *directory.parents) if not one.exists()]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = _take(directory)
    except OSError as error:
        raise unwritable(directory, error) from error
    _held.add(place)
    try:
        yield
    finally:
        _held.discard(place)
        with contextlib.suppress(OSError):  # Windows removes no open file: it stays, empty of meaning
            (directory / LOCK).unlink()
        os.close(descriptor)
        with contextlib.suppress(OSError):
            for one in made:
                one.rmdir()


def _take(directory: Path) -> int:
    """Return the open, locked file. One that was removed meanwhile by who held it before locks nothing."""
    path = directory / LOCK
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _try(descriptor):
                raise KwsError(
                    f"{directory}: another {_holder(path)} is writing there; "
                    "wait for it or choose another directory (--out)"
                )
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    os.truncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()}\n{socket.gethostname()}\n{_command()}\n".encode())
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    """Lock an open file; return False where another process has locked it."""
    try:
        _lock_file(descriptor)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        print(f"This file system has no locks ({error.strerror}): let no other kws write there now", file=sys.stderr)
    return True


def _holder(path: Path) -> str:
    """Return who holds a lock, as far as its file tells.

    >>> _holder(Path("no such file"))
    'kws'
    """
    try:
        process, host, command = path.read_text(encoding="utf-8", errors="replace").splitlines()[:3]
    except (OSError, ValueError):  # it has only just been taken
        return "kws"
    elsewhere = "" if host == socket.gethostname() else f" on {host}"
    return f"{command} (process {process}{elsewhere})"


def _command() -> str:
    """Return what this process is called in a sentence: ``kws train``, or a program that uses kws."""
    name = Path(sys.argv[0]).name if sys.argv else ""
    by_kws = name.removesuffix(".exe") == "kws" or Path(*Path(sys.argv[0]).parts[-2:]) == Path("kws", "__main__.py")
    return f"kws {sys.argv[1]}" if by_kws and len(sys.argv) > 1 else f"program {name}".strip()
