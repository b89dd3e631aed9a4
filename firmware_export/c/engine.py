"""A bundle's own sources, compiled for this machine, as an ``Engine``: verify runs what ships."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_export.c.marker import check_whole
from kws.errors import KwsError
from kws.graph.wiring import as_steps

FLAGS = ("-O2", "-std=c99")
"""No warnings: a future compiler's must not stop an export. The tests turn them on, as errors."""

_MAIN = Path(__file__).parent / "files" / "engine_main.c"


def sources(bundle_dir: Path) -> list[Path]:
    """Return the C files that firmware compiles: runtime and model, without the self-test."""
    return [path for path in sorted((bundle_dir / "src").glob("*.c")) if path.name != "kws_selftest.c"]


def compiler() -> list[str]:
    """Return the command of a C compiler: $CC, cc, gcc or clang; ``KwsError`` if there is none."""
    for candidate in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        command = shlex.split(candidate)
        if command and shutil.which(command[0]):
            return command
    raise KwsError("there is no C compiler to verify the bundle with; install gcc or clang, or set CC")


def compile_program(sources: list[Path], include: Path, program: Path, flags: tuple[str, ...] = FLAGS) -> None:
    """Compile and link C99 ``sources`` into ``program``; ``KwsError`` with the compiler's first error if it fails."""
    command = [*compiler(), *flags, "-I", str(include), "-o", str(program), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode != 0:
        errors = (
            [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no output"]
        )
        raise KwsError(f"{include}: {command[0]} cannot compile the bundle ({errors[0]}); set CC to another compiler")


class BundleEngine:
    """The network of a bundle, in a process of its own for each run; the state is carried over between runs."""

    name = "C bundle"
    exact = True

    def __init__(self, program: Path, stride: int, bands: int, outputs: int) -> None:
        self.stride = stride
        self.bands = bands
        self.outputs = outputs
        self._program = program
        self._arena = b""

    def run(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        """Take n steps, going on from the last ones: int8 [n * stride, bands] -> int8 [n, outputs].

        Raises:
            ValueError: the features have another type or shape, or do not fill the last step.
            KwsError: the program failed.
        """
        steps = len(as_steps(features, self.stride, self.bands))
        command = [str(self._program), *(["resume"] if self._arena else [])]
        done = subprocess.run(command, input=self._arena + features.tobytes(), capture_output=True)
        if done.returncode != 0 or len(done.stdout) < steps * self.outputs:
            raise KwsError(
                f"{self.name}: {self._program.name} failed with status {done.returncode}; export the model again"
            )
        logits, self._arena = done.stdout[: steps * self.outputs], done.stdout[steps * self.outputs :]
        return np.frombuffer(logits, np.int8).reshape(steps, self.outputs)

    def reset(self) -> None:
        """Return to the initial state."""
        self._arena = b""


def build_host_engine(bundle_dir: Path, build_dir: Path, flags: tuple[str, ...] = FLAGS) -> BundleEngine:
    """Compile the sources in ``bundle_dir`` into a program in ``build_dir`` (made if missing) and wrap it.

    Raises:
        KwsError: ``bundle_dir`` is not a complete bundle, there is no C compiler, or it cannot compile the sources.
    """
    facts = check_whole(bundle_dir)
    build_dir.mkdir(parents=True, exist_ok=True)
    program = build_dir / "kws_bundle_engine"
    compile_program([*sources(bundle_dir), _MAIN], bundle_dir / "src", program, flags)
    return BundleEngine(program, int(facts["stride"]), int(facts["bands"]), int(facts["outputs"]))
