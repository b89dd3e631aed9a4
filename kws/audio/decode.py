"""A sound file, opened and decoded forward: float64 frames in -1..1, or one sentence on what is wrong with it."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from kws.audio import formats
from kws.audio.containers import Extent, extent
from kws.audio.pcm import read_wav_head
from kws.audio.pcm_stream import PcmStream, Supply
from kws.audio.resample import RATE_HZ_MAX, RATE_HZ_MIN
from kws.errors import KwsError

Frames = NDArray[np.float64]
"""Decoded sound: float64 [frames, channels], -1..1 (files of floats may go beyond)."""

_BLOCK_VALUES = 1 << 18
"""Samples of all channels decoded at a time: 2 MiB of float64, however many frames a header declares."""

_UNKNOWN_FRAMES = 1 << 40
"""libsndfile's stand-in for "not declared" is near 2^63; two years of audio is not a file."""

_AGAIN = "make or copy it again"


class Sound(Protocol):
    """Sound that can be read once, forward."""

    @property
    def name(self) -> str:
        """What sentences call it."""

    @property
    def rate_hz(self) -> int:
        """Samples of one channel a second."""

    @property
    def channels(self) -> int:
        """How many channels there are."""

    @property
    def frame_count(self) -> int | None:
        """How many frames are declared; None where nothing is."""

    @property
    def is_float(self) -> bool:
        """Whether samples may lie outside of -1..1."""

    def frames(self) -> Iterator[Frames]:
        """Yield the sound in blocks, which hold until the next; ``KwsError`` where it is damaged or not all there."""


@contextmanager
def open_file(path: Path) -> Iterator[Sound]:
    """Open a regular file; whatever the decoder raises inside the block becomes one sentence.

    Raises:
        KwsError: see ``kws.audio.read_audio``.
    """
    with open_regular(path) as handle, open_handle(handle, str(path)) as sound:
        yield sound


@contextmanager
def open_handle(handle: FileIO, name: str) -> Iterator[Sound]:
    """Open what lies in an open regular file, which sentences call ``name``."""
    found = extent(handle)
    _check(found, name)
    handle.seek(0)
    if found is not None and found.surplus:
        yield _behind_its_header(handle, found, name)
        return
    declared = _flac_frames(handle)
    file: int | _View = handle.fileno()  # by descriptor, not by name: its ending (.raw, .vox) would choose the decoder
    if declared is not None:
        file = _View(handle, blot=range(_FLAC_TOTAL, _FLAC_TOTAL + 5))
    elif found is not None and found.end is not None and _reads_on(handle):
        file = _View(handle, found.end)
    try:
        with _Forward(file, closefd=False) as decoder:
            if refused := formats.refusal(decoder.format):
                raise KwsError(f"{name}: {refused}")
            yield checked_rate(_Decoded(name, decoder, declared))
    except soundfile.LibsndfileError as error:
        # Status 1 is "format not recognised"; every other is damage inside a known format.
        if error.code == 1:
            raise KwsError(f"{name}: is not a sound file; give WAV, FLAC, OGG, Opus or MP3") from error
        reason = error.error_string.removeprefix("Error : ").strip().rstrip(".")
        raise KwsError(f"{name}: cannot be decoded ({reason}); it is damaged or cut short: {_AGAIN}") from error


@dataclass(frozen=True)
class _Decoded:
    """What libsndfile decodes. ``declared``: frames by the head of a FLAC file, which the decoder was not shown."""

    name: str
    decoder: Any
    declared: int | None

    @property
    def rate_hz(self) -> int:
        return int(self.decoder.samplerate)

    @property
    def channels(self) -> int:
        return int(self.decoder.channels)

    @property
    def frame_count(self) -> int | None:
        frames = int(self.decoder.frames)
        return self.declared if frames >= _UNKNOWN_FRAMES else frames

    @property
    def is_float(self) -> bool:
        return self.decoder.subtype in ("FLOAT", "DOUBLE")

    def frames(self) -> Iterator[Frames]:
        buffer = np.empty((max(1, _BLOCK_VALUES // self.channels), self.channels))
        frames = 0
        while count := self.decoder.buffer_read_into(buffer, "float64"):
            frames += count
            yield buffer[:count]
        declared = self.frame_count
        if declared is not None and frames < declared:
            raise _cut_short(self.name, f"only {frames} of the declared {declared} frames are there")
        if declared is not None and frames > declared:
            raise KwsError(f"{self.name}: declares {declared} frames and holds {frames}; it is damaged: {_AGAIN}")


class _Forward(soundfile.SoundFile):  # type: ignore[misc]  # soundfile is untyped for mypy
    """A file that is only read forward: soundfile else seeks after every read, which streamed FLAC cannot do."""

    def seekable(self) -> bool:
        """Say no, so that ``buffer_read_into`` does not seek to where it already is."""
        return False


_FLAC_TOTAL = 21
"""Where STREAMINFO holds the number of samples: the low half of this byte and the next four (RFC 9639, 8.2)."""


class _View(io.RawIOBase):
    """What the decoder is shown of a file: its bytes up to ``end``, without the numbers in ``blot``."""

    def __init__(self, handle: FileIO, end: int | None = None, blot: range = range(0)) -> None:
        self._handle, self._blot = handle, blot
        self._end = os.fstat(handle.fileno()).st_size if end is None else end

    def readinto(self, buffer: Any) -> int:
        """Read on; of the first byte to be blotted the high half stays, where FLAC keeps another number."""
        first = self._handle.tell()
        view = memoryview(buffer).cast("B")[: max(0, self._end - first)]
        count = self._handle.readinto(view) or 0
        for place in range(max(first, self._blot.start), min(first + count, self._blot.stop)):
            view[place - first] &= 0xF0 if place == self._blot.start else 0
        return count

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a byte."""
        return self._handle.seek(*((self._end + offset, 0) if whence == io.SEEK_END else (offset, whence)))

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._handle.tell()


def _flac_frames(handle: FileIO) -> int | None:
    """Return how many frames the head of a FLAC file declares; None if it is another file or declares none."""
    head = handle.read(_FLAC_TOTAL + 5)
    handle.seek(0)
    if len(head) < _FLAC_TOTAL + 5 or head[:4] != b"fLaC" or head[4] & 0x7F:
        return None
    return int.from_bytes(head[_FLAC_TOTAL:], "big") & ((1 << 36) - 1) or None


def _reads_on(handle: FileIO) -> bool:
    """Return whether it is W64 or NIST, of which libsndfile takes all behind the sound for sound, chunks as well."""
    start = handle.read(7)
    handle.seek(0)
    return start[:4] == b"riff" or start == b"NIST_1A"


def checked_rate(sound: Sound) -> Sound:
    """Return the sound; ``KwsError`` where its rate is none that speech has."""
    if not RATE_HZ_MIN <= sound.rate_hz <= RATE_HZ_MAX:
        raise KwsError(
            f"{sound.name}: declares a sample rate of {sound.rate_hz} Hz, which no speech has; convert it to 16000 Hz"
        )
    return sound


def _check(found: Extent | None, name: str) -> None:
    """Refuse what is cut short, and what holds several recordings, of which one alone would be heard."""
    if found is None:
        return
    if found.missing:
        raise _cut_short(name, f"{found.missing} bytes that its header declares are missing")
    if found.second:
        raise KwsError(
            f"{name}: another recording of {found.surplus} bytes follows behind the first; make a file of each"
        )


def _behind_its_header(handle: FileIO, found: Extent, name: str) -> Sound:
    """Return all the sound that a WAV file holds whose head was written for a pipe, and declares too little."""
    supply = Supply(handle, name)
    start = supply.exactly(4)
    supply.put_back(start)
    head = read_wav_head(supply.exactly, name) if start in (b"RIFF", b"RIFX", b"RF64") else None
    if head is None or head.pcm is None:
        declared = 0 if found.end is None else found.end - found.start
        raise KwsError(
            f"{name}: its header declares {declared} bytes of sound, and {found.surplus} more follow; "
            "it was written for a pipe or is damaged: make it again as a WAV file of PCM"
        )
    size = handle.seek(0, io.SEEK_END)
    handle.seek(found.start)
    frames = (size - found.start) // head.pcm.frame_bytes
    return checked_rate(PcmStream(name, head.pcm, supply, None, frames))


def open_regular(path: Path) -> FileIO:
    """Open a regular file that is not empty; everything else is refused in a sentence."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise KwsError(f"{path}: is a directory; give a sound file")
        if not stat.S_ISREG(status.st_mode):
            raise KwsError(f"{path}: is not a regular file; save the sound to a file first")
        if not status.st_size:
            raise KwsError(f"{path}: the file is empty; record it again")
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise KwsError(f"{path}: does not exist; check the path") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise KwsError(f"{path}: cannot be read ({reason}); check the path and its permissions") from error


def _cut_short(name: str, what: str) -> KwsError:
    return KwsError(f"{name}: is cut short ({what}); copy or record it again")
