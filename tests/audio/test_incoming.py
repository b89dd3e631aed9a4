"""Sound through pipes equals the same sound in a file, whatever pieces it comes in; what cannot be is refused."""

import os
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from kws.audio import Pcm, mono_16k, open_sound, raw, read_audio
from kws.errors import KwsError

SOUND = np.convolve(np.random.default_rng(1).standard_normal(30000), np.hanning(20), "same") * 0.05


@contextmanager
def pipe(content: bytes, piece: int = 1 << 16) -> Iterator[Path]:
    """Give a pipe's name, into which a thread writes."""
    ours, theirs = os.pipe()

    def write() -> None:
        try:
            for start in range(0, len(content), piece):
                os.write(theirs, content[start : start + piece])
        except BrokenPipeError:
            pass  # it was refused
        finally:
            os.close(theirs)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield Path(f"/dev/fd/{ours}")
    finally:
        os.close(ours)
        writer.join()


def listen(
    content: bytes, samples: Pcm | None = None, piece: int = 1 << 16, channel: int | None = None
) -> NDArray[np.int16]:
    with pipe(content, piece) as place, open_sound(place, samples) as sound:
        return np.concatenate(list(mono_16k(sound, channel)))


def refusal(content: bytes, samples: Pcm | None = None) -> str:
    with pytest.raises(KwsError) as caught:
        listen(content, samples)
    assert str(caught.value).startswith("/dev/fd/")
    assert "; " in str(caught.value)
    return str(caught.value)


def encode(path: Path, format: str, subtype: str | None, channels: int = 1) -> bytes:
    sound = np.stack([SOUND * (place + 1) for place in range(channels)], axis=1)
    soundfile.write(path, sound, 48000 if subtype == "OPUS" else 16000, format=format, subtype=subtype)
    return path.read_bytes()


WAV = [
    *((name, subtype) for name in ("WAV", "WAVEX", "RF64") for subtype in ("PCM_16", "PCM_24", "FLOAT", "ULAW")),
    *(("WAV", subtype) for subtype in ("PCM_U8", "PCM_32", "DOUBLE", "ALAW")),
]
KEPT = [
    *[("WAV", "IMA_ADPCM"), ("WAV", "GSM610"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)],
    *[("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"), ("W64", "PCM_16"), ("NIST", "PCM_16")],
]


@pytest.mark.parametrize("piece", [999, 1 << 16])
@pytest.mark.parametrize(("format", "subtype"), [*WAV, *KEPT])
def test_a_pipe_gives_what_a_file_gives(tmp_path: Path, format: str, subtype: str | None, piece: int) -> None:
    channels = 1 if subtype == "GSM610" else 2
    content = encode(tmp_path / "a", format, subtype, channels)
    np.testing.assert_array_equal(listen(content, piece=piece), read_audio(tmp_path / "a"))
    if channels == 2:
        np.testing.assert_array_equal(listen(content, channel=2), read_audio(tmp_path / "a", 2))
    assert "cut short" in refusal(content[: len(content) // 2])


@pytest.mark.parametrize(("format", "subtype"), WAV)
def test_wav_is_heard_while_it_comes(tmp_path: Path, format: str, subtype: str) -> None:
    soundfile.write(tmp_path / "a", SOUND[:4000], 16000, format=format, subtype=subtype)  # less than a pipe holds
    content = (tmp_path / "a").read_bytes()
    ours, theirs = os.pipe()
    half = len(content) // 2
    os.write(theirs, content[:half])
    with open_sound(Path(f"/dev/fd/{ours}")) as sound:
        pieces = mono_16k(sound)
        first = next(pieces)
        assert 1900 < len(first) <= 2000
        os.write(theirs, content[half:])
        os.close(theirs)
        rest = np.concatenate(list(pieces))
    os.close(ours)
    np.testing.assert_array_equal(np.concatenate((first, rest)), read_audio(tmp_path / "a"))


LAYOUTS = {"s16le": "<i2", "s16be": ">i2", "s32le": "<i4", "f32le": "<f4", "s24le": "<i4"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3])
def test_samples_without_a_header(layout: str, channels: int) -> None:
    sound = (np.stack([SOUND] * channels, axis=1) * 32768).astype(np.int16)
    scale = {"s32le": 65536, "s24le": 65536, "f32le": 1 / 32768}.get(layout, 1)
    content = (sound.astype(np.float64) * scale).astype(LAYOUTS[layout]).tobytes()
    if layout == "s24le":
        content = np.frombuffer(content, np.uint8).reshape(-1, 4)[:, 1:].tobytes()
    np.testing.assert_array_equal(listen(content, raw(layout, 16000, channels), 777, channel=1), sound[:, 0])
    missing = refusal(content[:-1], raw(layout, 16000, channels))
    assert "ends in the middle of a sample" in missing


def test_floats_without_a_header_are_held_to_full_scale() -> None:
    assert "holds floats up to 32768" in refusal(np.full(99, 32768.0, "<f4").tobytes(), raw("f32le", 16000))
    assert "NaN" in refusal(np.full(99, np.nan, "<f4").tobytes(), raw("f32le", 16000))


@pytest.mark.parametrize("length", [0, 3200, 3201, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_header_that_declares_too_little_hides_no_sound(tmp_path: Path, length: int) -> None:
    content = bytearray(encode(tmp_path / "a", "WAV", "PCM_16"))
    content[40:44] = struct.pack("<I", length)
    np.testing.assert_array_equal(listen(bytes(content)), read_audio(tmp_path / "a"))


LIST = b"LIST\x04\0\0\0INFO"


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8"])
@pytest.mark.parametrize("ending", [LIST, b"kwsx\x04\0\0\0abcd" + LIST, b"TAG" + b"x" * 125, b"\0\0\0"])
def test_what_follows_the_sound_is_none(tmp_path: Path, ending: bytes, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", SOUND[:-1], 16000, subtype=subtype)
    content = (tmp_path / "a.wav").read_bytes()
    np.testing.assert_array_equal(listen(content + ending), read_audio(tmp_path / "a.wav"))


def test_a_second_recording_is_refused(tmp_path: Path) -> None:
    content = encode(tmp_path / "a", "WAV", "PCM_16")
    assert "another recording follows" in refusal(content + content)
    assert "another recording follows" in refusal(content + LIST + content)


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    content = encode(tmp_path / "a", "WAV", "PCM_16")
    layout = raw("s16le", 16000)
    assert "ended before any sound arrived" in refusal(b"")
    assert "ended before any sound arrived" in refusal(b"", layout)
    assert "zero samples" in refusal(content[:40] + b"\0" * 4)
    assert "ends before its sound begins" in refusal(content[:30])
    assert "is not a sound file" in refusal(b"hello world\n" * 9999)
    assert "is not a sound file" in refusal(b"\0" * 99999)
    assert "begins with the header of a sound file" in refusal(content, layout)
    assert "sample rate of 1 Hz" in refusal(content[:24] + struct.pack("<I", 1) + content[28:])
    assert "declares 4294967295 bytes" in refusal(content[:16] + b"\xff" * 4 + content[20:])


def test_sound_through_a_pipe_needs_little_memory() -> None:
    second = np.random.default_rng(0).integers(-99, 99, 4 * 192000).astype("<i2").tobytes()
    tracemalloc.start()
    try:
        with pipe(second * 20) as place, open_sound(place, raw("s16le", 192000, 4)) as sound:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            assert sum(map(len, mono_16k(sound, 1))) == 20 * 16000
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 3e6 < 20 * len(second)
