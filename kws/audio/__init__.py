"""Any sound file to 16 kHz mono int16, in memory or in blocks; a streaming resampler; a writer that is atomic.

Arithmetic: samples are decoded to float64 in -1..1 (8-bit is ``(x - 128) / 128``, 24-bit ``x / 2^23``), channels are
averaged, the rate is converted by soxr ("HQ", 20 bits), and ``x * 32768`` is rounded to nearest, ties to even, and
clipped to -32768..32767. For int16 PCM at 16 kHz mono every step is exact, so its samples come out untouched. Rate
conversion is float32: another processor may differ in the last bit.
"""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, FileIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from kws.audio.containers import missing_bytes
from kws.errors import KwsError
from kws.system.files import replace_file

Samples = NDArray[np.int16]
"""Sound: int16 [n], mono; at 16 kHz where nothing else is said."""

SAMPLE_RATE_HZ = 16000
"""The one rate that everything behind this module works at."""

RATE_HZ_MIN, RATE_HZ_MAX = 4000, 768000
"""Rates outside carry no speech, or are a broken header."""

_BLOCK_VALUES = 1 << 18
"""Samples of all channels decoded at a time: 2 MiB of float64, however many frames a header declares."""

_UNKNOWN_FRAMES = 1 << 40
"""libsndfile's stand-in for "not declared" is near 2^63; two years of audio is not a file."""


def read_audio(path: Path | str) -> NDArray[np.int16]:
    """Return the file's sound, int16 [samples] at 16 kHz mono.

    Reads WAV, FLAC, OGG (Vorbis, Opus), MP3 and what else libsndfile knows, at any rate, any number of channels.

    Raises:
        KwsError: the file is missing, a directory, empty, cut short, not audio, holds no samples, NaN or infinity,
            or declares a sample rate outside 4 to 768 kHz.
    """
    return np.concatenate(list(_converted(Path(path))))


def read_blocks(path: Path | str, seconds: float = 10.0) -> Iterator[NDArray[np.int16]]:
    """Yield the file's sound in blocks of ``seconds`` (the last may be shorter); together they equal ``read_audio``.

    Memory stays bounded for files of any length. Errors are those of ``read_audio``, raised while iterating.
    """
    size = max(1, round(seconds * SAMPLE_RATE_HZ))
    waiting = np.empty(0, np.int16)
    for piece in _converted(Path(path)):
        waiting = np.concatenate((waiting, piece))
        whole = len(waiting) - len(waiting) % size
        yield from np.split(waiting[:whole], whole // size) if whole else ()
        waiting = waiting[whole:]
    if len(waiting):
        yield waiting


def declared_seconds(path: Path | str) -> float:
    """Return the length that the file's header declares; nothing is decoded unless the header does not say.

    Raises:
        KwsError: as ``read_audio``, but for what only decoding finds: NaN, infinity, a FLAC or MP3 that is cut short.
    """
    path = Path(path)
    with _opened(path) as file:
        rate_hz, frames = file.samplerate, file.frames
    if frames >= _UNKNOWN_FRAMES:
        return sum(map(len, read_blocks(path))) / SAMPLE_RATE_HZ
    _check_rate(path, rate_hz)
    if frames <= 0:
        raise _no_sound(path)
    return float(frames / rate_hz)


class Resampler:
    """Streaming rate conversion of mono sound to 16 kHz int16; any chunking gives the same samples.

    soxr holds 20 to 40 ms back (48 kHz); ``flush`` gives the rest. At 16 kHz int16 passes through untouched.

    >>> resampler = Resampler(48000)
    >>> len(resampler.push(np.zeros(48000, np.int16))) + len(resampler.flush())
    16000
    """

    def __init__(self, rate_hz: float) -> None:
        if not RATE_HZ_MIN <= rate_hz <= RATE_HZ_MAX:
            raise KwsError(f"sample rate {rate_hz:g} Hz: must be {RATE_HZ_MIN} to {RATE_HZ_MAX} Hz; choose another")
        self.rate_hz = rate_hz
        self._stream: Any = self._make()

    def push(self, samples: NDArray[np.int16] | NDArray[np.floating[Any]]) -> NDArray[np.int16]:
        """Take mono samples [n] (int16, or float in -1..1) and return the int16 samples that are ready."""
        if samples.dtype == np.int16:
            if self._stream is None:
                return samples.astype(np.int16, copy=False)
            samples = samples / np.float32(32768)
        if self._stream is None:
            return to_int16(samples)
        return to_int16(self._stream.resample_chunk(np.ascontiguousarray(samples, np.float32)))

    def flush(self) -> NDArray[np.int16]:
        """Return what is held back and start anew."""
        if self._stream is None:
            return np.empty(0, np.int16)
        rest = to_int16(self._stream.resample_chunk(np.empty(0, np.float32), last=True))
        self._stream = self._make()
        return rest

    def _make(self) -> Any:
        if self.rate_hz == SAMPLE_RATE_HZ:
            return None
        return soxr.ResampleStream(self.rate_hz, SAMPLE_RATE_HZ, 1, "float32", "HQ")


def to_int16(samples: NDArray[Any]) -> NDArray[np.int16]:
    """Scale floats in -1..1 by 32768, round to nearest (ties to even), clip.

    >>> to_int16(np.array([-1.0, 0.5, 1.0, 7.0]))
    array([-32768,  16384,  32767,  32767], dtype=int16)
    """
    rounded: NDArray[Any] = np.rint(samples * 32768)
    return rounded.clip(-32768, 32767).astype(np.int16)


def write_audio(path: Path | str, samples: NDArray[np.int16]) -> None:
    """Write int16 [n] at 16 kHz mono as 16-bit FLAC or WAV, by the name's ending; replaces a file that is there.

    The sound is written beside ``path`` and renamed, so a failure leaves nothing half-written.

    Raises:
        KwsError: the ending is neither .wav nor .flac, or the file cannot be written (no such directory, full disk).
        ValueError: the samples are not int16 [n], or there is none.
    """
    path = Path(path)
    formats = {".wav": "WAV", ".flac": "FLAC"}
    if path.suffix.lower() not in formats:
        raise KwsError(f"{path}: can only write .wav and .flac; choose one of these endings")
    if samples.dtype != np.int16 or samples.ndim != 1 or not len(samples):
        raise ValueError(f"samples must be int16 [n], at least one, not {samples.dtype} {list(samples.shape)}")
    encoded = BytesIO()
    soundfile.write(encoded, samples, SAMPLE_RATE_HZ, format=formats[path.suffix.lower()], subtype="PCM_16")
    replace_file(path, encoded.getvalue())


def _converted(path: Path) -> Iterator[NDArray[np.int16]]:
    """Yield the file at 16 kHz mono in pieces whose sizes depend on the file alone, so every reader sees the same."""
    total = 0
    with _opened(path) as file:
        rate_hz = file.samplerate
        _check_rate(path, rate_hz)
        resampler = Resampler(rate_hz)
        for block in _mono_blocks(path, file):
            piece = resampler.push(block)
            total += len(piece)
            yield piece
    rest = resampler.flush()
    if not total + len(rest):
        raise _no_sound(path)
    yield rest


def _check_rate(path: Path, rate_hz: int) -> None:
    if not RATE_HZ_MIN <= rate_hz <= RATE_HZ_MAX:
        raise KwsError(f"{path}: declares a sample rate of {rate_hz} Hz, which no speech has; convert it to 16000 Hz")


def _no_sound(path: Path) -> KwsError:
    return KwsError(f"{path}: holds no sound (zero samples); record it again")


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open for decoding; whatever the decoder raises inside the block becomes one sentence."""
    with _open_regular(path) as handle:
        cut = missing_bytes(handle)
        if cut:
            raise _cut_short(path, f"{cut} bytes that its header declares are missing")
        handle.seek(0)
        try:
            # By descriptor, not by name: a name's ending (.raw, .vox) would choose the decoder.
            with _Forward(handle.fileno(), closefd=False) as file:
                yield file
        except soundfile.LibsndfileError as error:
            # Status 1 is "format not recognised"; every other is damage inside a known format.
            if error.code == 1:
                raise KwsError(f"{path}: is not a sound file; give WAV, FLAC, OGG, Opus or MP3") from error
            reason = error.error_string.removeprefix("Error : ").strip().rstrip(".")
            raise KwsError(
                f"{path}: cannot be decoded ({reason}); it is damaged or cut short: make or copy it again"
            ) from error


def _open_regular(path: Path) -> FileIO:
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


class _Forward(soundfile.SoundFile):  # type: ignore[misc]  # soundfile is untyped for mypy
    """A file that is only read forward: soundfile else seeks after every read, which streamed FLAC cannot do."""

    def seekable(self) -> bool:
        """Say no, so that ``buffer_read_into`` does not seek to where it already is."""
        return False


def _mono_blocks(path: Path, file: Any) -> Iterator[NDArray[np.float64]]:
    """Decode to the mean of the channels, float64 [frames] in -1..1; refuse NaN, infinity and missing frames."""
    buffer = np.empty((max(1, _BLOCK_VALUES // file.channels), file.channels))
    frames = 0
    while count := file.buffer_read_into(buffer, "float64"):
        block = buffer[:count]
        if not np.isfinite(block).all():
            raise KwsError(f"{path}: holds samples that are not numbers (NaN or infinity); export it again")
        frames += count
        yield block[:, 0].copy() if file.channels == 1 else block.mean(axis=1)
    if frames < file.frames < _UNKNOWN_FRAMES:
        raise _cut_short(path, f"only {frames} of the declared {file.frames} frames are there")


def _cut_short(path: Path, what: str) -> KwsError:
    return KwsError(f"{path}: is cut short ({what}); copy or record it again")
