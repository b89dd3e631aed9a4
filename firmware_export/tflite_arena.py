"""How many bytes of arena a .tflite takes in TFLite Micro, measured by running it there."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from firmware_export.engines import ARENA_FLOOR_BYTES, TfliteMicroEngine
from kws.errors import KwsError

_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")


def measure_arena_bytes(model: Path | bytes) -> int:
    """Return the smallest arena in which TFLite Micro, on this machine, allocates and runs ``model``.

    The recording allocator's own total. Pointers of 64 bits make it more than a 32-bit microcontroller needs, so it is
    a safe figure for ``tensor_arena_size``; variables' buffers are in it.

    Raises:
        KwsError: the model does not load, or TFLite Micro's report is not as known.
    """
    engine = TfliteMicroEngine(model)
    engine.run(np.zeros((engine.stride, engine.bands), np.int8))
    report = _stderr_of(engine.print_allocations)
    found = _TOTAL.search(report)
    if not found or not 0 < int(found[1]) < ARENA_FLOOR_BYTES:
        raise KwsError("tflite-micro: its allocation report has another form than known; install the pinned version")
    return int(found[1])


def _stderr_of(print_report: Callable[[], None]) -> str:
    """Return what C++ code writes to file descriptor 2 meanwhile."""
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
