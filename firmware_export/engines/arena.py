"""How many bytes of arena a .tflite takes in TFLite Micro, measured by running it."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from firmware_export.engines.runtimes import ARENA_FLOOR_BYTES, TfliteMicroEngine
from kws.errors import KwsError

_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")


HEAD_ROOM = 0.1
ROUNDED_TO_BYTES = 1024

MEASURED_KEY, DECLARED_KEY = "kws.arena_measured_bytes", "kws.arena_bytes"
"""Metadata entries of a .tflite: the arena that it took in TFLite Micro here, and the one to give it on a device."""


@dataclass(frozen=True)
class Arena:
    """What a .tflite takes of TFLite Micro's arena, in bytes."""

    measured_bytes: int

    @property
    def declared_bytes(self) -> int:
        """What to give it: a tenth more, for other kernels and versions, rounded up to whole KiB.

        >>> Arena(10_000).declared_bytes
        11264
        """
        return -(-round(self.measured_bytes * (1 + HEAD_ROOM)) // ROUNDED_TO_BYTES) * ROUNDED_TO_BYTES

    def metadata(self) -> dict[str, str]:
        """Return the entries for the file."""
        return {MEASURED_KEY: str(self.measured_bytes), DECLARED_KEY: str(self.declared_bytes)}

    def text(self) -> str:
        """Return both figures as words."""
        return f"arena {self.declared_bytes:,} bytes with head-room, {self.measured_bytes:,} measured in TFLite Micro"


def measure_arena_bytes(model: Path | bytes) -> int:
    """Return the smallest arena in which TFLite Micro, on this machine, allocates and runs ``model``.

    The recording allocator's own total. Pointers of 64 bits make it more than a 32-bit microcontroller needs, so it is
    a safe figure for ``tensor_arena_size``; variables' buffers are in it.

    Raises:
        KwsError: the model does not load, or TFLite Micro's report has an unknown format.
    """
    engine = TfliteMicroEngine(model)
    engine.run(np.zeros((engine.stride, engine.bands), np.int8))
    report = _stderr_of(engine.print_allocations)
    total = _TOTAL.search(report)
    if not total or not 0 < int(total[1]) < ARENA_FLOOR_BYTES:
        raise KwsError("tflite-micro: its allocation report has an unknown format; install the pinned version")
    return int(total[1])


def _stderr_of(print_report: Callable[[], None]) -> str:
    """Return what ``print_report``, C++ code, writes to file descriptor 2."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()
    saved = os.dup(2)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 2)
            try:
                print_report()
            finally:
                os.dup2(saved, 2)
            file.seek(0)
            return file.read().decode(errors="replace")
    finally:
        os.close(saved)
