"""tflite-runtime 2.14 as an engine: LiteRT's name until 2024, still installed on many a Raspberry Pi.

It needs numpy below 2 and Python 3.11 at most, so it lives in an environment of its own, and runs there as a program
(``tflite_worker_main``) that is fed through a pipe. No module of this folder may have the name of one that the program
imports: a script's own folder comes first in its search path.
"""

import importlib.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_export import exported_file
from firmware_export.engines.runtimes import RuntimeEngine
from kws.errors import KwsError
from kws.graph.wiring import as_steps
from kws.system.packages import NotInstalledError

VARIABLE = "KWS_TFLITE_RUNTIME"
"""The environment variable with the path of a Python that has tflite-runtime."""

_MAIN = Path(__file__).parent / "tflite_worker_main.py"


def interpreter() -> Path | None:
    """Return the Python that has tflite-runtime: that of ``KWS_TFLITE_RUNTIME``, or this one, or None."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    return Path(sys.executable) if importlib.util.find_spec("tflite_runtime") else None


class TfliteRuntimeEngine(RuntimeEngine):
    """tflite-runtime's reference kernels, in another process; ``close`` ends it."""

    name = "tflite-runtime"
    exact = True

    def __init__(self, model: Path | bytes) -> None:
        python = interpreter()
        if python is None:
            raise NotInstalledError(
                f"tflite-runtime is not set up here; make an environment with tflite-runtime==2.14.0 and numpy<2 and "
                f"set {VARIABLE} to its Python"
            )
        file = exported_file.read(model, "tflite")
        if file.states:
            self.name = f"{self.name}, stateless"
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen([python, str(_MAIN)], stdin=pipe, stdout=pipe, stderr=pipe)
        except OSError as error:
            raise NotInstalledError(
                f"{python}: cannot be run ({error.strerror}); set {VARIABLE} to a Python with tflite-runtime"
            ) from error
        initial = [state["initial"] for state in file.states]
        head = {"bytes": len(file.content), "initial": initial, "reset": exported_file.RESET_SIGNATURE}
        self._send(json.dumps(head).encode() + b"\n" + file.content)
        shapes = json.loads(self._receive_line())
        self._take_shapes(shapes["input"], shapes["output"])

    def reset(self) -> None:
        """Return to the initial state by the file's own signature, or with a new interpreter if it has none."""
        self._send(struct.pack("<Q", 0))

    def run(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        """Take n steps, going on from the last ones: int8 [n * stride, bands] -> int8 [n, outputs]."""
        steps = as_steps(features, self.stride, self.bands)
        if not len(steps):
            return np.empty((0, self.outputs), np.int8)
        self._send(struct.pack("<Q", len(steps)) + steps.tobytes())
        assert self._process.stdout is not None
        content = self._process.stdout.read(len(steps) * self.outputs)
        if len(content) < len(steps) * self.outputs:
            raise self._failed()
        return np.frombuffer(content, np.int8).reshape(len(steps), self.outputs)

    def close(self) -> None:
        """End the other process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def __del__(self) -> None:
        """End the other process with the last reference."""
        if hasattr(self, "_process"):
            self.close()

    def _step(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        return self.run(features[0])

    def _send(self, content: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(content)
            self._process.stdin.flush()
        except (OSError, ValueError) as error:  # the pipe is broken, or closed
            raise self._failed() from error

    def _receive_line(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._failed()
        return line

    def _failed(self) -> KwsError:
        self._process.kill()
        lines = (self._process.communicate()[1] or b"").decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else "without an error message"
        if "No module named" in reason:
            return NotInstalledError(f"{interpreter()}: {reason}; install tflite-runtime==2.14.0 and numpy<2 there")
        return KwsError(f"{self.name}: failed ({reason}); export the model again")
