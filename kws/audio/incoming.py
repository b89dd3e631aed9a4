"""Sound as named on the command line: a file or a pipe, with or without a header.

WAV and samples without a header are decoded as they arrive. Other formats need their end, or all of the file, to be
decoded or checked; they are saved to a temporary file until the pipe ends.
"""

import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from kws.audio.decode import Sound, checked_rate, open_handle, open_regular
from kws.audio.pcm import Pcm, read_wav_head
from kws.audio.pcm_stream import PcmStream, Supply
from kws.errors import KwsError

STANDARD_INPUT = "-"
_KEPT = re.compile(rb"fLaC|OggS|ID3|FORM|caff|\.snd|dns\.|riff|NIST|\xff[\xe2-\xff]")
"""First bytes of the formats that are saved until the pipe ends."""


@contextmanager
def open_sound(place: Path | str, samples: Pcm | None = None) -> Iterator[Sound]:
    """Open a file, a FIFO, or standard input (``-``); ``samples``: their layout, if there is no header.

    Raises:
        KwsError: it cannot be read, is a terminal, is empty, or is not sound; see ``kws.audio.read_audio``.
    """
    is_input = str(place) == STANDARD_INPUT
    name = "standard input" if is_input else str(place)
    with _open_input() if is_input else _open(Path(place)) as handle:
        mode = os.fstat(handle.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise KwsError(f"{name}: is a directory; give a sound file")
        if os.isatty(handle.fileno()):
            raise KwsError(
                f"{name}: is a terminal; pipe sound into it, such as: arecord -f S16_LE -r 16000 | kws detect MODEL -"
            )
        if samples is not None:
            yield _samples(handle, name, samples)
        elif stat.S_ISREG(mode) and not is_input:
            with open_handle(handle, name) as sound:
                yield sound
        else:
            with _piped(Supply(handle, name), name) as sound:
                yield sound


def is_pipe(place: Path | str) -> bool:
    """Whether it is standard input or anything else that is not a regular file."""
    return str(place) == STANDARD_INPUT or not Path(place).is_file()


def _open_input() -> FileIO:
    try:
        return FileIO(os.dup(0), "rb")
    except OSError as error:
        raise KwsError("standard input: is closed; pipe sound into it, or name a file") from error


def _open(path: Path) -> FileIO:
    """Open a file, or wait for the writer of a FIFO."""
    try:
        special = not stat.S_ISREG(path.stat().st_mode) and not path.is_dir()
    except (OSError, ValueError):
        special = False  # open_regular reports it
    if not special:
        return open_regular(path)
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise KwsError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def _samples(handle: FileIO, name: str, samples: Pcm) -> Sound:
    supply = Supply(handle, name)
    first = supply.exactly(4)
    if not first:
        raise _nothing(name)
    if first in (b"RIFF", b"fLaC", b"OggS"):
        raise KwsError(f"{name}: begins with the header of a sound file; leave out --raw")
    supply.put_back(first)
    return checked_rate(PcmStream(name, samples, supply))


@contextmanager
def _piped(supply: Supply, name: str) -> Iterator[Sound]:
    start = supply.exactly(12)
    if not start:
        raise _nothing(name)
    supply.put_back(start)
    kept = b""
    if start[:4] in (b"RIFF", b"RIFX", b"RF64") and start[8:] == b"WAVE":
        head = read_wav_head(supply.exactly, name)
        if head.pcm is not None:
            yield checked_rate(PcmStream(name, head.pcm, supply, head.length))
            return
        kept = head.data
    elif not _KEPT.match(start):
        raise KwsError(f"{name}: is not a sound file; give WAV, or the layout of its samples: --raw s16le --rate 16000")
    with _kept(kept, supply, name) as handle, open_handle(handle, name) as sound:
        yield sound


@contextmanager
def _kept(first: bytes, supply: Supply, name: str) -> Iterator[FileIO]:
    """Yield a temporary file with these bytes and the rest of the pipe."""
    try:
        with tempfile.NamedTemporaryFile(prefix="kws-") as file:
            file.write(first)
            for data in iter(supply.some, b""):
                file.write(data)
            file.flush()
            with FileIO(os.dup(file.fileno()), "rb") as handle:
                yield handle
    except OSError as error:
        place = tempfile.gettempdir()
        raise KwsError(
            f"{name}: cannot be saved in {place} ({error.strerror}); pipe WAV, which needs no temporary file"
        ) from error


def _nothing(name: str) -> KwsError:
    return KwsError(f"{name}: ended before any sound arrived; check the program that writes to it")
