"""Every container that libsndfile knows: whole, cut, longer than it declares; or refused by its name."""

import io
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from kws.audio import declared_seconds, formats, read_audio
from kws.errors import KwsError

FRAMES = 24000
SOUND = np.convolve(np.random.default_rng(1).standard_normal(FRAMES), np.hanning(20), "same") * 0.05
WRITABLE = [  # libsndfile has no writer for the others, or (SD2) one whose files it cannot read itself
    (name, subtype)
    for name in soundfile.available_formats()
    for subtype in soundfile.available_subtypes(name)
    if name not in ("RAW", "SD2") and subtype not in ("MPEG_LAYER_I", "MPEG_LAYER_II", "DWVW_12", "DWVW_24", "DPCM_16")
    if (name, subtype) != ("WAV", "MPEG_LAYER_III") and not subtype.startswith(("NMS_", "G723_24"))
]
READ = [(name, subtype) for name, subtype in WRITABLE if name in formats.READ]


def encode(path: Path, name: str, subtype: str, sound: NDArray[np.float64] = SOUND) -> bytes:
    soundfile.write(path, sound, 24000 if subtype == "OPUS" else 16000, format=name, subtype=subtype)
    return path.read_bytes()


def refusal(path: Path, reader: Callable[[Path], object] = read_audio) -> str:
    with pytest.raises(KwsError) as caught:
        reader(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    assert "; " in sentence
    assert "\n" not in sentence
    return sentence


def test_the_tables_name_every_container_that_libsndfile_knows() -> None:
    assert not set(formats.READ) & set(formats.REFUSED)
    assert set(soundfile.available_formats()) == set(formats.READ) | set(formats.REFUSED)


@pytest.mark.parametrize(("name", "subtype"), [pair for pair in WRITABLE if pair not in READ])
def test_what_cannot_be_checked_is_refused_by_its_name(tmp_path: Path, name: str, subtype: str) -> None:
    encode(tmp_path / "a.bin", name, subtype)
    for reader in (read_audio, declared_seconds):
        assert f"is in the format {name} ({formats.REFUSED[name]})" in refusal(tmp_path / "a.bin", reader)


@pytest.mark.parametrize(("name", "subtype"), READ)
def test_whole_cut_and_longer(tmp_path: Path, name: str, subtype: str) -> None:
    path = tmp_path / "a.bin"
    content = encode(path, name, subtype)
    whole = read_audio(path)
    seconds = 1.0 if subtype == "OPUS" else 1.5
    assert len(whole) == pytest.approx(seconds * 16000, abs=1000)  # codecs of blocks fill the last one
    assert declared_seconds(path) == pytest.approx(len(whole) / 16000, abs=1e-3)
    padded = name in ("CAF", "WAV") and subtype in ("ALAC_20", "GSM610")  # the last byte is no sound
    for kept in (len(content) // 2, len(content) * 97 // 100, len(content) - 1 - padded):
        path.write_bytes(content[:kept])
        assert "cut short" in refusal(path) or name == "HTK"
    if name != "MP3":  # its frames say for themselves how long they are
        path.write_bytes(content + content[len(content) // 2 :])
        try:
            longer = read_audio(path)
        except KwsError:
            return
        if name == "OGG":  # no pages, so no sound
            np.testing.assert_array_equal(longer, whole)
        else:
            assert len(longer) > len(whole)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [pair for pair in READ if pair[1] in ("PCM_16", "VORBIS", "OPUS", "MPEG_LAYER_III") and pair[0] != "FLAC"],
)
def test_one_recording_behind_another(tmp_path: Path, name: str, subtype: str) -> None:
    path = tmp_path / "a.bin"
    content = encode(path, name, subtype)
    path.write_bytes(content + content)
    for reader in (read_audio, declared_seconds):
        sentence = refusal(path, reader)
        assert "another recording" in sentence or name in ("HTK", "W64", "NIST", "AU", "CAF", "AIFF")


@pytest.mark.parametrize(
    "ending", [b"TAG" + b"x" * 125, b"\0" * 300, b"LIST\x04\0\0\0INFO", b"LIST\xff\xff\0\0INFO", b"\0"]
)
@pytest.mark.parametrize("frames", [FRAMES, FRAMES - 1])
def test_what_follows_the_sound_of_a_wav_file_and_is_none(tmp_path: Path, ending: bytes, frames: int) -> None:
    path = tmp_path / "a.wav"
    content = encode(path, "WAV", "PCM_U8", SOUND[:frames])[: 44 + frames]
    whole = read_audio(path)
    for pad in {b"", b"\0" * (frames % 2)}:
        path.write_bytes(content + pad + ending)
        np.testing.assert_array_equal(read_audio(path), whole)
        assert declared_seconds(path) == frames / 16000


@pytest.mark.parametrize("name", ["AIFF", "W64", "CAF"])
def test_chunks_behind_the_sound_are_none(tmp_path: Path, name: str) -> None:
    content = encode(tmp_path / "a", name, "PCM_16")
    whole = read_audio(tmp_path / "a")
    w64 = b"bext" + bytes.fromhex("f3acd3118cd100c04f8edb8a") + struct.pack("<q", 32) + b"\1" * 8
    chunk = {"AIFF": b"NAME\0\0\0\4kws!", "W64": w64, "CAF": b"info" + struct.pack(">q", 4) + b"kws!"}[name]
    (tmp_path / "a").write_bytes(content + chunk)
    np.testing.assert_array_equal(read_audio(tmp_path / "a"), whole)


def patched(content: bytes, place: int, value: bytes) -> bytes:
    return content[:place] + value + content[place + len(value) :]


@pytest.mark.parametrize("length", [0, 3200, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
def test_a_wav_header_that_was_written_for_a_pipe_loses_no_sound(tmp_path: Path, length: int, subtype: str) -> None:
    path = tmp_path / "a.wav"
    content = encode(path, "WAV", subtype)
    whole = read_audio(path)
    end = content.find(b"data") + 4
    content = patched(content, end, struct.pack("<I", length))[
        : end + 4 + FRAMES * {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4, "ULAW": 1}[subtype]
    ]
    for riff in (struct.pack("<I", length), content[4:8]):
        path.write_bytes(patched(content, 4, riff))
        np.testing.assert_array_equal(read_audio(path), whole)
        assert declared_seconds(path) == 1.5


def test_what_pythons_wave_writes_into_a_pipe_is_read_whole(tmp_path: Path) -> None:
    program = (
        "import os, sys, wave; w = wave.open(sys.stdout.buffer, 'wb'); w.setparams((1, 2, 16000, 0, 'NONE', ''));"
        "w.writeframesraw(b'\\1\\2' * 1600); w.writeframesraw(b'\\3\\4' * 22500); sys.stdout.flush(); os._exit(0)"
    )
    content = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert content[40:44] == struct.pack("<I", 3200)
    assert len(content) == 44 + 3200 + 45000
    (tmp_path / "a.wav").write_bytes(content)
    assert len(read_audio(tmp_path / "a.wav")) == 24100
    assert declared_seconds(tmp_path / "a.wav") == 24100 / 16000


def test_a_wav_file_of_blocks_that_declares_too_little_is_refused(tmp_path: Path) -> None:
    content = encode(tmp_path / "a.wav", "WAV", "IMA_ADPCM")
    place = content.find(b"data") + 4
    (tmp_path / "a.wav").write_bytes(patched(content, place, struct.pack("<I", 512)))
    assert "declares 512 bytes of sound" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("name", "place", "form"), [("AU", 8, ">I"), ("AIFF", 42, ">I"), ("CAF", 4084, ">q"), ("W64", 96, "<q")]
)
@pytest.mark.parametrize("share", [0, 4])
def test_other_heads_that_declare_too_little_are_refused(
    tmp_path: Path, name: str, place: int, form: str, share: int
) -> None:
    content = encode(tmp_path / "a", name, "PCM_16")
    (declared,) = struct.unpack_from(form, content, place)
    assert declared == pytest.approx(2 * FRAMES, abs=24)
    (tmp_path / "a").write_bytes(patched(content, place, struct.pack(form, declared * share // 8)))
    for reader in (read_audio, declared_seconds):
        assert "more follow" in refusal(tmp_path / "a", reader)


def test_what_follows_a_nist_file_is_no_sound(tmp_path: Path) -> None:
    content = encode(tmp_path / "a", "NIST", "PCM_16")
    whole = read_audio(tmp_path / "a")
    (tmp_path / "a").write_bytes(content + b"\0" * 512)
    np.testing.assert_array_equal(read_audio(tmp_path / "a"), whole)
    (tmp_path / "a").write_bytes(content + b"\1" * 512)
    assert "512 more follow" in refusal(tmp_path / "a")


def test_a_flac_that_declares_too_little_is_refused(tmp_path: Path) -> None:
    content = bytearray(encode(tmp_path / "a", "FLAC", "PCM_16"))
    content[22:26] = struct.pack(">I", FRAMES // 2)
    (tmp_path / "a").write_bytes(content)
    assert f"declares {FRAMES // 2} frames and holds {FRAMES}" in refusal(tmp_path / "a")


def test_an_au_file_that_leaves_its_length_open_is_read(tmp_path: Path) -> None:
    content = encode(tmp_path / "a", "AU", "PCM_16")
    whole = read_audio(tmp_path / "a")
    (tmp_path / "a").write_bytes(patched(content, 8, b"\xff" * 4))
    np.testing.assert_array_equal(read_audio(tmp_path / "a"), whole)


def test_an_ogg_file_that_ends_with_a_whole_page_is_cut_short_all_the_same(tmp_path: Path) -> None:
    content = encode(tmp_path / "a", "OGG", "VORBIS", np.tile(SOUND, 8))
    (tmp_path / "a").write_bytes(content[: content.rfind(b"OggS")])
    assert "cut short" in refusal(tmp_path / "a")


def test_an_mp3_with_a_picture_behind_it_is_one_recording(tmp_path: Path) -> None:
    """APEv2 tags hold JPEG, in which bytes look like the head of a frame."""
    content = encode(tmp_path / "a.mp3", "MP3", "MPEG_LAYER_III")
    whole = read_audio(tmp_path / "a.mp3")
    picture = b"\xff\xd8\xff\xe0\x00\x10JFIF" + np.random.default_rng(0).bytes(50_000) + b"\xff\xfb\x90\x64"
    (tmp_path / "a.mp3").write_bytes(content + b"APETAGEX" + picture)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.mp3"), whole)


def test_an_open_descriptor_is_given_back(tmp_path: Path) -> None:
    encode(tmp_path / "a.flac", "FLAC", "PCM_16")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(3):
        read_audio(tmp_path / "a.flac")
    assert not before or len(os.listdir("/proc/self/fd")) == before


def test_a_flac_in_memory_is_what_is_written(tmp_path: Path) -> None:
    samples = (SOUND * 32768).astype(np.int16)
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, 16000, format="FLAC", subtype="PCM_16")
    (tmp_path / "a.flac").write_bytes(encoded.getvalue())
    np.testing.assert_array_equal(read_audio(tmp_path / "a.flac"), samples)
