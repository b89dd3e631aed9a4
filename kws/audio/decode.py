"""Open a sound file and decode it forward: float64 frames in -1..1, or a ``KwsError`` that says what is wrong."""

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
        """Its name in error messages."""

    @property
    def rate_hz(self) -> int:
        """Samples of one channel a second."""

    @property
    def channels(self) -> int:
        """How many channels there are."""

    @property
    def frame_count(self) -> int | None:
        """How many frames the header declares; None if it declares none."""

    @property
    def is_float(self) -> bool:
        """Whether samples may lie outside of -1..1."""

    def frames(self) -> Iterator[Frames]:
        """Yield the sound in blocks, each valid until the next; ``KwsError`` if it is damaged or cut short."""


@contextmanager
def open_file(path: Path) -> Iterator[Sound]:
    """Open a regular file; what the decoder raises inside the block becomes a ``KwsError``.

    Raises:
        KwsError: see ``kws.audio.read_audio``.
    """
    with open_regular(path) as handle, open_handle(handle, str(path)) as sound:
        yield sound


@contextmanager
def open_handle(handle: FileIO, name: str) -> Iterator[Sound]:
    """Read the sound of an open regular file, which error messages call ``name``."""
    declared_extent = extent(handle)
    _check(declared_extent, name)
    handle.seek(0)
    if declared_extent is not None and declared_extent.surplus:
        yield _beyond_its_header(handle, declared_extent, name)
        return
    declared = _flac_frames(handle)
    file: int | _View = (
        handle.fileno()
    )  # by descriptor, not by name: its extension (.raw, .vox) would choose the decoder
    if declared is not None:
        file = _View(handle, blot=range(_FLAC_TOTAL, _FLAC_TOTAL + 5))
    elif declared_extent is not None and declared_extent.end is not None and _reads_on(handle):
        file = _View(handle, declared_extent.end)
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
    """A file that is only read forward: otherwise soundfile seeks after every read, which streamed FLAC cannot do."""

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
    """Return whether it is W64 or NIST, where libsndfile decodes the chunks after the sound as sound."""
    start = handle.read(7)
    handle.seek(0)
    return start[:4] == b"riff" or start == b"NIST_1A"


def checked_rate(sound: Sound) -> Sound:
    """Return the sound; ``KwsError`` if its sample rate is out of range."""
    if not RATE_HZ_MIN <= sound.rate_hz <= RATE_HZ_MAX:
        raise KwsError(
            f"{sound.name}: declares a sample rate of {sound.rate_hz} Hz, "
            f"outside {RATE_HZ_MIN} to {RATE_HZ_MAX} Hz; convert it to 16000 Hz"
        )
    return sound


def _check(declared: Extent | None, name: str) -> None:
    """Refuse a file that is cut short, and one that holds several recordings: only the first would be decoded."""
    if declared is None:
        return
    if declared.missing:
        raise _cut_short(name, f"{declared.missing} bytes that its header declares are missing")
    if declared.second:
        raise KwsError(
            f"{name}: another recording of {declared.surplus} bytes follows the first; save each as a file of its own"
        )


def _beyond_its_header(handle: FileIO, declared: Extent, name: str) -> Sound:
    """Return all the sound of a WAV file whose header was written for a pipe and declares too little."""
    supply = Supply(handle, name)
    start = supply.exactly(4)
    supply.put_back(start)
    head = read_wav_head(supply.exactly, name) if start in (b"RIFF", b"RIFX", b"RF64") else None
    if head is None or head.pcm is None:
        length = 0 if declared.end is None else declared.end - declared.start
        raise KwsError(
            f"{name}: its header declares {length} bytes of sound, and {declared.surplus} more follow; "
            "it was written for a pipe or is damaged: save it again as a WAV file of PCM"
        )
    size = handle.seek(0, io.SEEK_END)
    handle.seek(declared.start)
    frames = (size - declared.start) // head.pcm.frame_bytes
    return checked_rate(PcmStream(name, head.pcm, supply, None, frames))


def open_regular(path: Path) -> FileIO:
    """Open a regular file that is not empty; refuse anything else with ``KwsError``."""
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
