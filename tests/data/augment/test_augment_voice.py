"""Speed, pitch, tempo and vocal tract move what they name and leave the rest."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.data.augment import AugmentConfig, VoiceChange, change_voice, draw_voice

RATE = 16000
FORMANTS = ((700.0, 80.0), (2000.0, 110.0), (3200.0, 200.0))


def vowel(pitch_hz: float = 130.0, ratio: float = 1.0, seconds: float = 1.0) -> NDArray[np.int16]:
    """A buzz through three resonators (centre, bandwidth), all formants at ``ratio`` times their frequency."""
    time_s = np.arange(int(seconds * RATE)) / RATE
    total = np.zeros_like(time_s)
    for harmonic in range(1, int(7500 / pitch_hz)):
        hertz, size = harmonic * pitch_hz, 1.0 / np.sqrt(harmonic)
        for centre, width in FORMANTS:
            at = centre * ratio
            size *= at**2 / np.hypot(at**2 - hertz**2, hertz * width * ratio)
        total += size * np.sin(2 * np.pi * hertz * time_s + harmonic**2)
    return np.asarray(total / np.abs(total).max() * 12000).astype(np.int16)


def pitch_hz(samples: NDArray[np.int16]) -> float:
    """Return the fundamental: the strongest autocorrelation of 100 to 200 Hz, read off between samples."""
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4].astype(float)
    power = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 32768)) ** 2
    correlation = np.fft.irfft(power)[RATE // 200 : RATE // 100]
    at = int(correlation[1:-1].argmax()) + 1
    below, here, above = correlation[at - 1 : at + 2]
    return RATE / float(RATE // 200 + at + 0.5 * (below - above) / (below - 2 * here + above))


def harmonics_db(samples: NDArray[np.int16], hertz: float) -> NDArray[np.float64]:
    """Return the levels of the harmonics up to 4.5 kHz, their mean at 0."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 16)) ** 2
    at = np.arange(len(power)) * RATE / (1 << 16)
    peaks = [power[np.abs(at - hertz * number) < 15].max() for number in range(1, int(4500 / hertz))]
    levels = 10.0 * np.log10(np.array(peaks) + 1.0)
    return np.asarray(levels - levels.mean())


def distance_db(one: NDArray[np.int16], other: NDArray[np.int16], hertz: float) -> float:
    """Return how far apart the envelopes of two sounds of the same pitch are, RMS over harmonics."""
    return float(np.sqrt(np.mean((harmonics_db(one, hertz) - harmonics_db(other, hertz)) ** 2)))


@pytest.mark.parametrize("semitones", [-2.5, -1.0, 2.0, 3.0])
def test_pitch_moves_by_the_semitones_and_nothing_else_does(semitones: float) -> None:
    sound, factor = change_voice(vowel(), VoiceChange(pitch_semitones=semitones))
    assert 12 * np.log2(pitch_hz(sound) / pitch_hz(vowel())) == pytest.approx(semitones, abs=0.05)
    assert factor == pytest.approx(1.0, abs=3e-3)
    assert abs(len(sound) - RATE) < 50
    hertz = 130.0 * 2 ** (semitones / 12)
    resampled, _ = change_voice(vowel(), VoiceChange(speed=2 ** (semitones / 12)))
    spoken = vowel(hertz)
    assert distance_db(sound, spoken, hertz) < 0.5 * distance_db(resampled, spoken, hertz) + 1.0


@pytest.mark.parametrize("hertz", [105.0, 130.0, 190.0])
@pytest.mark.parametrize("ratio", [0.88, 1.12])
def test_a_vocal_tract_moves_formants_and_leaves_the_pitch(ratio: float, hertz: float) -> None:
    """The voice is compared with one whose resonators really stand there."""
    sound, factor = change_voice(vowel(hertz), VoiceChange(formant=ratio))
    assert (len(sound), factor) == (RATE, 1.0)
    assert pitch_hz(sound) == pytest.approx(pitch_hz(vowel(hertz)), rel=1e-3)
    moved = vowel(hertz, ratio)
    assert distance_db(sound, moved, hertz) < 0.5 * distance_db(vowel(hertz), moved, hertz)


@pytest.mark.parametrize("tempo", [0.8, 1.1, 1.25])
def test_tempo_moves_the_length_and_leaves_pitch_and_formants(tempo: float) -> None:
    sound, factor = change_voice(vowel(), VoiceChange(tempo=tempo))
    assert factor == tempo
    assert len(sound) == round(RATE / tempo)
    assert pitch_hz(sound) == pytest.approx(pitch_hz(vowel()), rel=2e-3)
    assert distance_db(sound, vowel(), 130.0) < 1.0


@settings(max_examples=25, deadline=None)
@given(st.floats(0.6, 1.5), st.integers(200, 40000))
def test_speed_moves_pitch_and_length(speed: float, samples: int) -> None:
    time_s = np.arange(samples) / RATE
    sound, factor = change_voice((8000 * np.sin(2000 * np.pi * time_s)).astype(np.int16), VoiceChange(speed=speed))
    assert factor == pytest.approx(speed, rel=3e-3 if samples > 2000 else 2e-2)
    assert len(sound) == max(round(samples / factor), 1)
    if samples > 4000:
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 18))
        assert int(power.argmax()) * RATE / (1 << 18) == pytest.approx(1000.0 * factor, abs=2.0)


@settings(max_examples=25, deadline=None)
@given(
    st.builds(
        VoiceChange, st.floats(0.8, 1.25), st.floats(-3.0, 3.0), st.floats(0.8, 1.25), st.floats(0.9, 1.1), st.just(0.0)
    ),
    st.integers(4000, 30000),
)
def test_what_stood_at_a_time_stands_at_that_time_over_the_factor(change: VoiceChange, at: int) -> None:
    """Where a word starts is what training depends on."""
    samples = np.zeros(36000, np.int16)
    burst = vowel(seconds=0.2)
    samples[at : at + len(burst)] = burst
    sound, factor = change_voice(samples, change)
    loud = np.flatnonzero(np.abs(sound.astype(int)) > 1500)
    first, last = np.flatnonzero(np.abs(samples.astype(int)) > 1500)[[0, -1]]
    assert loud[0] == pytest.approx(first / factor, abs=320)  # 20 ms
    assert loud[-1] == pytest.approx(last / factor, abs=320)
    assert len(sound) == pytest.approx(36000 / factor, abs=2.0)


def test_gain_is_in_decibels_and_nothing_is_identity() -> None:
    sound, _ = change_voice(vowel(), VoiceChange(gain_db=-6.0))
    assert 20 * np.log10(np.abs(sound.astype(float)).max() / 12000.0) == pytest.approx(-6.0, abs=0.05)
    same, factor = change_voice(vowel(), VoiceChange())
    assert np.array_equal(same, vowel())
    assert factor == 1.0


@pytest.mark.parametrize("samples", [0, 1, 7, 500, 1200])
def test_short_clips_and_silence_pass(samples: int) -> None:
    sound, _ = change_voice(np.zeros(samples, np.int16), VoiceChange(1.1, 2.0, 0.9, 1.05, -3.0))
    assert not sound.any()
    assert (len(sound) > 0) == (samples > 0)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("speed_percent", "speed"), ("pitch_semitones", "pitch_semitones"), ("tempo_percent", "tempo"),
        ("formant_percent", "formant"), ("gain_db", "gain_db"),
    ],
)  # fmt: skip
def test_each_part_is_drawn_within_its_extent_and_can_be_off(name: str, part: str) -> None:
    extent: dict[str, Any] = {name: 5.0}
    config = dataclasses.replace(AugmentConfig.off(), voice_share=1.0, **extent)
    drawn = [draw_voice(config, np.random.default_rng(seed)) for seed in range(50)]
    values = np.array([getattr(one, part) for one in drawn])
    centre, unit = (1.0, 0.05) if part in ("speed", "tempo", "formant") else (0.0, 5.0)
    assert len(np.unique(values)) == 50
    assert np.abs(values - centre).max() <= unit
    rest = {dataclasses.replace(one, **{part: centre}) for one in drawn}
    assert rest == {VoiceChange()}
    assert draw_voice(AugmentConfig.off(), np.random.default_rng(0)) == VoiceChange()


def test_voices_are_changed_apart_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_voice(AugmentConfig(voice_share=0.3), rng) for _ in range(2000)]
    assert np.mean([one.pitch_semitones != 0.0 for one in drawn]) == pytest.approx(0.3, abs=0.04)
