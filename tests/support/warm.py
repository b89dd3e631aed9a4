"""``python -m kws`` as tests run it by the dozen: real processes, forked from one that has imported torch before.

What differs from a process of its own is that numpy, torch and such are imported already: a test of what is imported,
of variables that Python reads when it starts, or of limits starts a process of its own.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Protocol


class RunKws(Protocol):
    """``WarmKws.run``."""

    def __call__(self, *arguments: object, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]: ...


class WarmKws:
    """Runs commands one after the other; the process that forks them starts with the first and ends with ``close``."""

    spent_s = 0.0
    """Seconds of processors of commands whose fork server runs still: the system does not tell them before it ends."""

    def __init__(self) -> None:
        self.server: subprocess.Popen[bytes] | None = None
        self.own_spent_s = 0.0

    def run(self, *arguments: object, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run ``kws ARGUMENTS`` in ``cwd`` with this process's environment; what it prints is captured as text."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            words = [os.fsdecode(str(argument)) for argument in arguments]
            request = {"arguments": words, "cwd": str(cwd), "environment": dict(os.environ)}
            status = self._ask(json.dumps(request), [out.fileno(), err.fileno()], timeout)
            printed = []
            for file in (out, err):
                file.seek(0)
                printed.append(file.read())
        return subprocess.CompletedProcess(["kws", *words], os.waitstatus_to_exitcode(status), *printed)

    def _ask(self, request: str, files: list[int], timeout: float) -> int:
        if self.server is None:
            self._start()
        socket.send_fds(self.channel, [request.encode()], files)
        child = int(self.answers.readline())  # the first time this waits for torch; the command has not begun
        self.channel.settimeout(timeout)
        try:
            status, used_s = self.answers.readline().split()
        except TimeoutError:
            os.kill(child, signal.SIGKILL)
            self.close()
            raise
        self.channel.settimeout(None)
        self.own_spent_s += float(used_s)
        WarmKws.spent_s += float(used_s)
        return int(status)

    def _start(self) -> None:
        self.channel, theirs = socket.socketpair()
        self.answers = self.channel.makefile("r")
        command = [sys.executable, str(Path(__file__).with_name("warm_server.py")), str(theirs.fileno())]
        self.server = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()

    def close(self) -> None:
        """End the process that forks."""
        if self.server is not None:
            self.answers.close()
            self.channel.close()
            self.server.wait()
            WarmKws.spent_s -= self.own_spent_s
            self.server, self.own_spent_s = None, 0.0
