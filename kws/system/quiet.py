"""Native libraries (sound, LiteRT) write straight to descriptor 2; users get one sentence, from kws."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Drop what C libraries print to standard error inside the block; Python's ``sys.stderr`` still comes through."""
    if sys.__stderr__ is None:  # a service started without standard error: descriptor 2 is some other file
        yield
        return
    original = os.dup(2)
    python_stderr = sys.stderr
    sys.stderr = _moved(python_stderr, original)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        if sys.stderr is not python_stderr:
            sys.stderr.close()
            sys.stderr = python_stderr
        os.dup2(original, 2)
        os.close(original)


def _moved(stream: TextIO, descriptor: int) -> TextIO:
    """Return a stream like this one that writes to ``descriptor``; itself where it does not write to descriptor 2."""
    try:
        if stream.fileno() != 2:
            return stream
    except (AttributeError, ValueError, io.UnsupportedOperation):
        return stream
    stream.flush()
    return os.fdopen(os.dup(descriptor), "w", buffering=1, encoding=stream.encoding, errors=stream.errors)
