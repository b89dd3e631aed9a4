"""Two processes, one directory: the second is told who is there, and a process that dies leaves nothing behind."""

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kws.errors import KwsError
from kws.system import lock
from kws.system.lock import LOCK, locked

HOLD = """
import sys
from pathlib import Path
from kws.errors import KwsError
from kws.system.lock import locked
try:
    with locked(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
except KwsError as error:
    print(error, flush=True)
"""


@contextmanager
def holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the directory until a line comes, or was refused."""
    command = [sys.executable, "-c", HOLD, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_is_refused_and_told_who_is_there(tmp_path: Path) -> None:
    out = tmp_path / "made" / "here"
    with holder(out) as first:
        assert says(first) == "held"
        with holder(out) as second:
            assert says(second) == (
                f"{out}: another program -c (process {first.pid}) is writing there; "
                "wait for it or choose another directory (--out)"
            )
        with locked(tmp_path):
            pass  # another directory is another matter
        assert first.stdin is not None
        first.stdin.write("\n")
        first.stdin.flush()
        first.wait()
    assert not out.exists(), "it was made for the lock alone"
    with locked(out):
        (out / "something").touch()
    assert [path.name for path in out.iterdir()] == ["something"]


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path) as first:
        assert says(first) == "held"
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert (tmp_path / LOCK).exists(), "nobody was left to remove it"
    with locked(tmp_path), holder(tmp_path) as second:
        assert f"(process {os.getpid()})" in says(second)
    assert not (tmp_path / LOCK).exists()


def test_one_process_may_hold_a_directory_within_itself(tmp_path: Path) -> None:
    with locked(tmp_path):
        with locked(tmp_path / "."):
            assert (tmp_path / LOCK).exists()
        assert (tmp_path / LOCK).exists(), "the inner one does not give it back"


def test_an_error_in_the_work_is_its_own_and_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="what was wrong"), locked(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "what was wrong")
    with pytest.raises(FileNotFoundError, match="inside"), locked(tmp_path), locked(tmp_path):
        raise FileNotFoundError(errno.ENOENT, "inside")
    assert not (tmp_path / LOCK).exists()


def test_a_lock_file_that_was_removed_and_made_anew_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, who held the directory before may end and take the file away."""
    tries: list[int] = []
    try_once = lock._try

    def slowly(descriptor: int) -> bool:
        if not tries:
            (tmp_path / LOCK).unlink()
        tries.append(descriptor)
        return try_once(descriptor)

    monkeypatch.setattr(lock, "_try", slowly)
    with locked(tmp_path):
        assert len(tries) == 2
        assert (tmp_path / LOCK).read_text().splitlines()[:2] == [str(os.getpid()), socket.gethostname()]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KwsError, match=r"file: cannot be written"), locked(tmp_path / "file"):
        pass


def test_a_file_system_without_locks_is_told_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock, "_lock_file", refuse)
    with locked(tmp_path):
        pass
    assert "has no locks (No locks available)" in capsys.readouterr().err


def test_the_holder_on_another_machine_is_named_with_it(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("7\nelsewhere\nkws train\n")
    assert lock._holder(tmp_path / LOCK) == "kws train (process 7 on elsewhere)"


@pytest.mark.parametrize(
    ("called", "name"),
    [
        (["/usr/bin/kws", "train", "r.toml"], "kws train"),
        (["/x/kws/__main__.py", "synth"], "kws synth"),
        (["my_program.py", "x"], "program my_program.py"),
    ],
)
def test_a_command_is_named_as_it_was_called(called: list[str], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", called)
    assert lock._command() == name
