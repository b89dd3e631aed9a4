import gc
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.audio import Resampler, read_audio, read_blocks, to_int16, write_audio
from kws.errors import KwsError

Samples = NDArray[np.int16]


def noise(samples: int, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).integers(-32768, 32768, samples).astype(np.int16)


def tone(hz: float, rate_hz: int, seconds: float, amplitude: float = 0.5) -> NDArray[np.float64]:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def level_db(samples: NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.mean(np.square(samples)) + 1e-20))


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_what_is_written_is_read_back_untouched(tmp_path: Path, suffix: str) -> None:
    samples = np.concatenate((np.array([-32768, 32767, 0, 1, -1], np.int16), noise(300_000)))
    path = tmp_path / f"take{suffix}"
    write_audio(path, samples)
    np.testing.assert_array_equal(read_audio(path), samples)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_written_file_says_16_khz_mono_16_bit(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.flac", noise(100))
    info = soundfile.info(tmp_path / "a.flac")
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")


@pytest.mark.parametrize(
    ("format", "subtype"), [("WAV", "PCM_16"), ("AIFF", "PCM_16"), ("FLAC", "PCM_16"), ("W64", "PCM_16")]
)
def test_16_khz_mono_pcm_passes_through_every_container(tmp_path: Path, format: str, subtype: str) -> None:
    samples = noise(5000)
    soundfile.write(tmp_path / "a", samples, 16000, format=format, subtype=subtype)
    np.testing.assert_array_equal(read_audio(tmp_path / "a"), samples)


def test_24_bit_is_rounded_to_nearest_ties_to_even(tmp_path: Path) -> None:
    low = np.array([0, 127, 128, 129, 384, -128, -384, (1 << 23) - 1, -(1 << 23)], np.int32)
    soundfile.write(tmp_path / "a.wav", low << 8, 16000, subtype="PCM_24")
    assert read_audio(tmp_path / "a.wav").tolist() == [0, 0, 0, 1, 2, 0, -2, 32767, -32768]


def test_8_bit_is_scaled_by_256(tmp_path: Path) -> None:
    values = np.array([-32768, -256, 0, 256, 32512], np.int16)
    soundfile.write(tmp_path / "a.wav", values, 16000, subtype="PCM_U8")
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), values)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_floats_are_clipped_at_full_scale(tmp_path: Path, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.0, 0.25, 1.0, 2.5, -1.0, -3.9]), 16000, subtype=subtype)
    assert read_audio(tmp_path / "a.wav").tolist() == [0, 8192, 32767, 32767, -32768, -32768]


@pytest.mark.parametrize("channels", [2, 3, 7])
def test_channels_are_averaged(tmp_path: Path, channels: int) -> None:
    data = noise(2000 * channels).reshape(2000, channels)
    soundfile.write(tmp_path / "a.wav", data, 16000)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), np.rint(data.mean(axis=1)).astype(np.int16))


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000, 96000])
def test_a_tone_keeps_level_and_frequency_at_any_rate(tmp_path: Path, rate_hz: int) -> None:
    soundfile.write(tmp_path / "a.wav", tone(1000, rate_hz, 1.0), rate_hz, subtype="FLOAT")
    heard = read_audio(tmp_path / "a.wav") / 32768
    assert len(heard) == 16000
    inside = slice(2000, 14000)
    error = heard[inside] - tone(1000, 16000, 1.0)[inside]
    assert level_db(error) < -85


def test_what_16_khz_cannot_hold_is_gone(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(10_000, 48000, 1.0), 48000, subtype="FLOAT")
    assert level_db(read_audio(tmp_path / "a.wav")[1000:-1000] / 32768) < -85


@pytest.mark.parametrize(
    ("format", "subtype", "rate_hz"), [("OGG", "VORBIS", 44100), ("OGG", "OPUS", 48000), ("MP3", None, 44100)]
)
def test_lossy_formats_keep_a_tone(tmp_path: Path, format: str, subtype: str | None, rate_hz: int) -> None:
    stereo = np.repeat(tone(440, rate_hz, 2.0)[:, None], 2, axis=1)
    soundfile.write(tmp_path / "a", stereo, rate_hz, format=format, subtype=subtype)
    heard = read_audio(tmp_path / "a") / 32768
    assert abs(len(heard) - 32000) <= 1
    spectrum = np.abs(np.fft.rfft(heard[4000:20000] * np.hanning(16000)))
    assert spectrum.argmax() == 440
    assert np.sqrt(2 * np.mean(np.square(heard[4000:28000]))) == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("rate_hz", [16000, 44100])
@pytest.mark.parametrize("seconds", [0.001, 0.77, 1000.0])
def test_blocks_together_equal_the_whole(tmp_path: Path, rate_hz: int, seconds: float) -> None:
    soundfile.write(tmp_path / "a.wav", noise(300_001), rate_hz)
    blocks = list(read_blocks(tmp_path / "a.wav", seconds))
    assert {len(block) for block in blocks[:-1]} <= {round(seconds * 16000)}
    assert 0 < len(blocks[-1]) <= round(seconds * 16000)
    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(tmp_path / "a.wav"))


def test_blocks_of_a_long_file_need_little_memory(tmp_path: Path) -> None:
    frames = 20 * 60 * 16000
    soundfile.write(tmp_path / "long.flac", np.zeros(frames, np.int16), 16000)
    gc.collect()
    tracemalloc.start()
    assert sum(len(block) for block in read_blocks(tmp_path / "long.flac", 10.0)) == frames
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16e6 < frames * 2


@settings(max_examples=30, deadline=None)
@given(
    rate_hz=st.sampled_from([8000, 16000, 22050, 44100, 48000]),
    cuts=st.lists(st.integers(0, 6000), max_size=12),
    as_float=st.booleans(),
)
def test_resampling_is_the_same_in_any_chunks(rate_hz: int, cuts: list[int], as_float: bool) -> None:
    samples: NDArray[np.int16] | NDArray[np.float32] = noise(6000)
    if as_float:
        samples = (samples / np.float32(32768)).astype(np.float32)
    whole, pieces = Resampler(rate_hz), Resampler(rate_hz)
    expected = np.concatenate((whole.push(samples), whole.flush()))
    got = [pieces.push(samples[a:b]) for a, b in pairwise([0, *sorted(cuts), len(samples)])]
    np.testing.assert_array_equal(np.concatenate((*got, pieces.flush())), expected)
    assert len(expected) == round(6000 * 16000 / rate_hz)


def test_int16_and_float_of_the_same_sound_resample_alike() -> None:
    samples = noise(5000)
    first, second = Resampler(48000), Resampler(48000)
    np.testing.assert_array_equal(first.push(samples), second.push(samples / np.float64(32768)))


def test_a_flushed_resampler_starts_anew() -> None:
    resampler = Resampler(48000)
    first = np.concatenate((resampler.push(noise(4800)), resampler.flush()))
    second = np.concatenate((resampler.push(noise(4800)), resampler.flush()))
    np.testing.assert_array_equal(first, second)


def test_to_int16_is_the_inverse_of_scaling_for_every_value() -> None:
    every = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(to_int16(every / 32768), every)


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, 100.0, 1e9, float("nan")])
def test_a_resampler_refuses_absurd_rates(rate_hz: float) -> None:
    with pytest.raises(KwsError, match="must be 4000 to 768000"):
        Resampler(rate_hz)


def test_writing_refuses_other_endings_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KwsError, match=r"can only write \.wav and \.flac"):
        write_audio(tmp_path / "a.mp3", noise(10))
    with pytest.raises(KwsError, match="cannot be written"):
        write_audio(tmp_path / "nowhere" / "a.wav", noise(10))
    with pytest.raises(ValueError, match="int16"):
        write_audio(tmp_path / "a.wav", noise(10).astype(np.int32))
    with pytest.raises(ValueError, match="at least one"):
        write_audio(tmp_path / "a.flac", noise(0))
    assert list(tmp_path.iterdir()) == []
