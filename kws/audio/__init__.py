"""Read any sound file as 16 kHz mono int16, whole or in blocks; a streaming resampler; an atomic writer.

Arithmetic: samples are decoded to float64 in -1..1 (8-bit is ``(x - 128) / 128``, 24-bit ``x / 2^23``), channels are
averaged or one is taken, the rate is converted by soxr ("HQ", 20 bits), and ``x * 32768`` is rounded to nearest, ties
to even, and clipped to -32768..32767. For int16 PCM at 16 kHz mono every step is exact, so its samples come out
untouched. Rate conversion is float32: another processor may differ in the last bit.
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from kws.audio.decode import Frames, Sound, open_file
from kws.audio.incoming import is_pipe, open_sound
from kws.audio.pcm import RAW, Pcm, raw
from kws.audio.resample import RATE_HZ_MAX, RATE_HZ_MIN, SAMPLE_RATE_HZ, Resampler, to_int16
from kws.audio.steady import Steady
from kws.errors import KwsError
from kws.system import notice
from kws.system.files import replace_file

__all__ = [
    "LOUDEST",
    "MIX",
    "RATE_HZ_MAX",
    "RATE_HZ_MIN",
    "RAW",
    "SAMPLE_RATE_HZ",
    "Pcm",
    "Resampler",
    "Samples",
    "Steady",
    "declared_seconds",
    "is_pipe",
    "mono_16k",
    "open_sound",
    "raw",
    "read_audio",
    "read_blocks",
    "read_channels",
    "tell_mixed",
    "to_int16",
    "write_audio",
]

Samples = NDArray[np.int16]
"""Sound: int16 [n], mono; at 16 kHz unless stated otherwise."""

MIX = 0
"""The channel that stands for the mean of all; others count from 1."""

LOUDEST = 4.0
"""Floats up to 12 dB over full scale are overshoot, which is clipped; beyond, the file is on another scale."""


def read_audio(path: Path | str, channel: int | None = None) -> NDArray[np.int16]:
    """Return the file's sound, int16 [samples] at 16 kHz mono.

    Reads WAV, FLAC, OGG (Vorbis, Opus), MP3 and the other formats in ``kws.audio.formats``, at any rate, with any
    number of channels. ``channel`` N takes the N-th, counted from 1; ``MIX`` takes their mean, and so does None, with a
    notice on standard error if there are more than two.

    Raises:
        KwsError: the file is missing, a directory, empty, cut short, not audio, or in a format that cannot be
            checked; it holds no samples, a second recording, NaN, infinity or floats on another scale than -1..1;
            it declares a sample rate outside 4 to 768 kHz, or has no such channel.
    """
    with open_file(Path(path)) as sound:
        return np.concatenate(list(mono_16k(sound, channel)))


def read_blocks(
    path: Path | str, seconds: float = 10.0, channel: int | None = None, steady: Steady | None = None
) -> Iterator[NDArray[np.int16]]:
    """Yield the file's sound in blocks of ``seconds`` (the last may be shorter); together they equal ``read_audio``.

    Memory stays bounded for files of any length. Errors are those of ``read_audio``, raised while iterating.
    """
    size = max(1, round(seconds * SAMPLE_RATE_HZ))
    waiting = np.empty(0, np.int16)
    with open_file(Path(path)) as sound:
        for piece in mono_16k(sound, channel, steady):
            waiting = np.concatenate((waiting, piece))
            whole = len(waiting) - len(waiting) % size
            yield from np.split(waiting[:whole], whole // size) if whole else ()
            waiting = waiting[whole:]
    if len(waiting):
        yield waiting


def declared_seconds(path: Path | str, channel: int | None = None) -> float:
    """Return the length in seconds that the file's header declares; decode the file only if the header has none.

    Raises:
        KwsError: as ``read_audio``, except for faults that only decoding shows: NaN, infinity, floats on another scale,
            a FLAC or MP3 that is cut short, a FLAC that holds more than it declares.
    """
    with open_file(Path(path)) as sound:
        _check_channel(sound, channel)
        if sound.frame_count is not None:
            if sound.frame_count <= 0:
                raise _no_sound(sound.name)
            return sound.frame_count / sound.rate_hz
        return sum(map(len, mono_16k(sound, channel))) / SAMPLE_RATE_HZ


def mono_16k(sound: Sound, channel: int | None = None, steady: Steady | None = None) -> Iterator[NDArray[np.int16]]:
    """Yield an open sound at 16 kHz mono, block by block as it is decoded; ``steady`` sees it before the conversion.

    Raises:
        KwsError: as ``read_audio``.
    """
    _check_channel(sound, channel)
    resampler = Resampler(sound.rate_hz)
    total = 0
    for frames in sound.frames():
        _check_values(sound, frames)
        mono = _mono(frames, channel)
        if steady is not None:
            steady.push(mono)
        piece = resampler.push(mono)
        total += len(piece)
        yield piece
    rest = resampler.flush()
    if not total + len(rest):
        raise _no_sound(sound.name)
    yield rest


def read_channels(path: Path | str, channel: int | None = None) -> tuple[NDArray[np.float32], int]:
    """Return every channel of a file, or the chosen one, unconverted: float32 [n, channels], and the rate in Hz.

    Raises:
        KwsError: as ``read_audio``; floats may be on any scale.
    """
    with open_file(Path(path)) as sound:
        _check_channel(sound, channel or MIX)
        first, last = (channel - 1, channel) if channel else (0, sound.channels)
        blocks = [frames[:, first:last].astype(np.float32) for frames in sound.frames()]
        if not blocks:
            raise _no_sound(sound.name)
        return np.concatenate(blocks), sound.rate_hz


def write_audio(path: Path | str, samples: NDArray[np.int16]) -> None:
    """Write int16 [n] at 16 kHz mono as 16-bit FLAC or WAV, by the extension; replaces an existing file.

    The sound is written beside ``path`` and renamed, so a failure leaves nothing half-written.

    Raises:
        KwsError: the extension is neither .wav nor .flac, or the file cannot be written (no such directory, full disk).
        ValueError: the samples are not int16 [n], or there is none.
    """
    path = Path(path)
    formats = {".wav": "WAV", ".flac": "FLAC"}
    if path.suffix.lower() not in formats:
        raise KwsError(f"{path}: can only write .wav and .flac; use one of these extensions")
    if samples.dtype != np.int16 or samples.ndim != 1 or not len(samples):
        raise ValueError(f"samples must be int16 [n], at least one, not {samples.dtype} {list(samples.shape)}")
    encoded = BytesIO()
    soundfile.write(encoded, samples, SAMPLE_RATE_HZ, format=formats[path.suffix.lower()], subtype="PCM_16")
    replace_file(path, encoded.getvalue())


def tell_mixed(name: str, count: int) -> None:
    """Give one notice that more than two channels are mixed: the voice may be in only one of them."""
    if count > 2:
        notice.once(
            "channels",
            f"{name}: its {count} channels are mixed to one; choose one with --channel 1 to {count} "
            "or keep this with --channel mix (in Python channel=, in a manifest the column channel)",
        )


def _check_channel(sound: Sound, channel: int | None) -> None:
    """Refuse a channel that does not exist; give a notice if more than two are mixed."""
    count = sound.channels
    if channel is None:
        tell_mixed(sound.name, count)
    if channel is not None and channel > count:
        has = "has one channel" if count == 1 else f"has {count} channels"
        raise KwsError(f"{sound.name}: {has}, so there is no channel {channel}; give --channel 1 to {count}, or mix")


def _check_values(sound: Sound, frames: Frames) -> None:
    if not np.isfinite(frames).all():
        raise KwsError(f"{sound.name}: holds samples that are not finite (NaN or infinity); export it again")
    if sound.is_float and frames.size and (peak := float(np.abs(frames).max())) > LOUDEST:
        raise KwsError(
            f"{sound.name}: holds floats up to {peak:.5g} where full scale is 1.0; divide them (int16 values by 32768) "
            "and save it again"
        )


def _mono(frames: Frames, channel: int | None) -> NDArray[np.float64]:
    """Return one channel, or their mean: float64 [n, channels] -> float64 [n]."""
    if channel or frames.shape[1] == 1:
        return frames[:, (channel or 1) - 1].copy()
    mean: NDArray[np.float64] = frames.mean(axis=1)
    return mean


def _no_sound(name: str) -> KwsError:
    return KwsError(f"{name}: holds no sound (zero samples); record it again")
