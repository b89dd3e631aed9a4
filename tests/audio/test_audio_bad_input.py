import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.audio import read_audio, read_blocks
from kws.errors import KwsError

FORMATS = [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("AIFF", "PCM_16")]


def encode(format: str, subtype: str | None, samples: int = 48000) -> bytes:
    """Return a valid file of a coloured noise, which every codec has to spend bits on."""
    generator = np.random.default_rng(1)
    sound = np.convolve(generator.standard_normal(samples), np.hanning(20), "same") * 0.05
    file = io.BytesIO()
    soundfile.write(file, sound, 48000, format=format, subtype=subtype)
    return file.getvalue()


VALID = {f"{format}-{subtype}": encode(format, subtype) for format, subtype in FORMATS}


def refusal(path: Path) -> str:
    with pytest.raises(KwsError) as caught:
        read_audio(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    assert "\n" not in sentence
    assert "; " in sentence  # what is wrong; what to do
    with pytest.raises(KwsError) as caught:
        list(read_blocks(path, 0.5))
    assert str(caught.value) == sentence
    return sentence


def test_missing(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.wav")


def test_directory(tmp_path: Path) -> None:
    assert "is a directory" in refusal(tmp_path)


def test_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert "is empty" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("format", ["WAV", "AIFF"])
def test_zero_samples(tmp_path: Path, format: str) -> None:
    soundfile.write(tmp_path / "a", np.zeros(0), 16000, format=format)
    assert "zero samples" in refusal(tmp_path / "a")


@pytest.mark.parametrize("name", ["a.txt", "a.wav", "a.mp3", "a.raw", "a.vox", "a.gsm", "a.kws"])
@pytest.mark.parametrize("content", [b"say a phrase\n" * 100, b'\x10\0\0\0\0\0\0\0{"__metadata__":{}', b"x"])
def test_not_sound_whatever_it_is_called(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "is not a sound file" in refusal(tmp_path / name)


@pytest.mark.parametrize("kind", VALID)
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_cut_short(tmp_path: Path, kind: str, kept: float) -> None:
    path = tmp_path / "cut"
    path.write_bytes(VALID[kind][: int(len(VALID[kind]) * kept)])
    assert "cut short" in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number(tmp_path: Path, value: float) -> None:
    samples = np.zeros(300_000)
    samples[-1] = value
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert "NaN or infinity" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("rate_hz", [1, 3999, 768_001, 2_000_000_000])
def test_absurd_rates(tmp_path: Path, rate_hz: int) -> None:
    content = bytearray(VALID["WAV-PCM_16"])
    content[24:28] = struct.pack("<I", rate_hz)
    (tmp_path / "a.wav").write_bytes(content)
    assert f"sample rate of {rate_hz} Hz" in refusal(tmp_path / "a.wav")


def test_a_declared_length_costs_no_memory(tmp_path: Path) -> None:
    """The header promises 2^36 - 1 frames; read_audio must not allocate for them."""
    content = bytearray(VALID["FLAC-PCM_16"])
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    (tmp_path / "a.flac").write_bytes(content)
    assert "68719476735 frames" in refusal(tmp_path / "a.flac")


def test_streamed_files_that_cannot_know_their_length_are_read(tmp_path: Path) -> None:
    wav = bytearray(VALID["WAV-PCM_16"])
    wav[4:8] = wav[40:44] = b"\xff" * 4
    flac = bytearray(VALID["FLAC-PCM_16"])
    flac[21] &= 0xF0
    flac[22:26] = b"\0" * 4
    for content in (wav, flac):
        (tmp_path / "a").write_bytes(content)
        assert len(read_audio(tmp_path / "a")) == 16000


def test_unreadable_name() -> None:
    with pytest.raises(KwsError, match=r"cannot be read|does not exist"):
        read_audio("a\0b.wav")


@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(VALID)))
def test_damage_gives_sound_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    content = bytearray(VALID[kind])
    # Headers decide most; so half of the damage goes there.
    place = st.integers(0, len(content) - 1) | st.integers(0, 200)
    for index, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)):
        content[index] = value
    end = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[:end])
    sentence = ""
    samples = np.zeros(0, np.int16)
    try:
        samples = read_audio(path)
    except KwsError as error:
        sentence = str(error)
    assert (len(samples) > 0) != (len(sentence) > 0)
    assert samples.dtype == np.int16
    assert "\n" not in sentence


@pytest.mark.parametrize("peak", [4.1, 127.0, 32768.0])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_on_another_scale(tmp_path: Path, peak: float, subtype: str) -> None:
    samples = np.zeros(300_000)
    samples[-1] = -peak
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype=subtype)
    assert f"holds floats up to {peak:.5g} where full scale is 1.0" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("rate_hz", [4000, 768_000])
def test_rates_at_the_limits_are_read(tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(rate_hz // 10, 0.5), rate_hz)
    assert len(read_audio(tmp_path / "a.wav")) == 1600


@pytest.mark.parametrize("channel", [3, 7])
def test_a_channel_that_is_not_there(tmp_path: Path, channel: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((100, 2)), 16000)
    with pytest.raises(KwsError, match=f"has 2 channels, so there is no channel {channel}; give --channel 1 to 2"):
        read_audio(tmp_path / "a.wav", channel)
