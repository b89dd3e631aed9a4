"""Augmentation: what is drawn is what is heard."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.data.augment import Augmentation, AugmentConfig, Backgrounds, active_power, apply, change_speed, draw

RATE = 16000
NONE = Backgrounds()


def tone(hertz: float, amplitude: float = 8000.0, seconds: float = 1.0) -> NDArray[np.int16]:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.int16)


def decibels(power: float, reference: float) -> float:
    return float(10.0 * np.log10(power / reference))


def speech(seed: int = 0) -> NDArray[np.int16]:
    """Noise bursts in silence."""
    rng = np.random.default_rng(seed)
    signal = np.zeros(2 * RATE)
    signal[8000:20000] = rng.normal(0.0, 3000.0, 12000)
    return signal.astype(np.int16)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40000))
def test_any_draw_gives_int16_of_the_same_length_and_the_same_again(seed: int, samples: int) -> None:
    rng = np.random.default_rng(seed)
    signal = rng.integers(-32768, 32768, samples).astype(np.int16)
    backgrounds = Backgrounds(speech=[speech(1), speech(2)], noise=[speech(3)])
    drawn = draw(AugmentConfig(), rng, backgrounds)
    given = apply(signal, drawn, backgrounds)
    assert given.dtype == np.int16
    assert given.shape == signal.shape
    assert np.array_equal(given, apply(signal, drawn, backgrounds))


@pytest.mark.parametrize("level", [-50.0, -30.0, -15.0])
def test_level_is_the_drawn_one(level: float) -> None:
    given = apply(speech(), Augmentation(level_dbfs=level), NONE)
    assert decibels(active_power(given.astype(np.float32)), 32768.0**2) == pytest.approx(level, abs=0.3)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 20.0])
@pytest.mark.parametrize("name", ["white", "brown", "babble", "recorded"])
def test_snr_is_the_drawn_one(snr_db: float, name: str) -> None:
    backgrounds = Backgrounds(speech=[speech(seed)[8000:20000] for seed in range(4)], noise=[speech(9)[8000:20000]])
    clean = Augmentation(level_dbfs=-30.0, seed=5)
    noisy = dataclasses.replace(clean, noise=name, snr_db=snr_db)
    voice = apply(speech(), clean, backgrounds).astype(np.float32)
    both = apply(speech(), noisy, backgrounds).astype(np.float32)
    noise_power = float(np.mean((both - voice) ** 2))
    assert decibels(active_power(voice), noise_power) == pytest.approx(snr_db, abs=0.5)


def test_silence_becomes_noise_alone_at_its_level() -> None:
    given = apply(np.zeros(RATE, np.int16), Augmentation(noise="white", snr_db=10.0, level_dbfs=-30.0), NONE)
    assert decibels(float(np.mean(given.astype(np.float32) ** 2)), 32768.0**2) == pytest.approx(-40.0, abs=0.3)
    assert not apply(np.zeros(RATE, np.int16), Augmentation(), NONE).any()


def test_tilt_is_in_db_per_octave() -> None:
    both = (tone(500.0) // 2 + tone(2000.0) // 2).astype(np.int16)
    given = np.abs(np.fft.rfft(apply(both, Augmentation(tilt_db_per_octave=2.0, level_dbfs=-20.0), NONE).astype(float)))
    assert 20 * np.log10(given[2000] / given[500]) == pytest.approx(4.0, abs=0.2)


def test_band_limits_pass_the_middle_and_stop_the_edges() -> None:
    narrow = Augmentation(low_cut_hz=300.0, high_cut_hz=3400.0, level_dbfs=-20.0)
    three = (tone(80.0) // 3 + tone(1000.0) // 3 + tone(7500.0) // 3).astype(np.int16)
    given = np.abs(np.fft.rfft(apply(three, narrow, NONE).astype(float)))
    assert 20 * np.log10(given[80] / given[1000]) < -20.0
    assert 20 * np.log10(given[7500] / given[1000]) < -25.0


def test_a_room_rings_on_and_keeps_the_direct_sound() -> None:
    click = np.zeros(RATE, np.int16)
    click[4000] = 20000
    room = Augmentation(reverberation_s=0.4, direct_db=0.0, level_dbfs=-20.0, seed=3)
    given = apply(click, room, NONE).astype(np.float64) ** 2
    assert int(given.argmax()) == 4000
    assert not given[:3990].any() or given[:3990].max() < 1e-3 * given.max()
    early, late = given[4100:5700].sum(), given[7000:8600].sum()
    # 60 dB in 0.4 s: 2900 samples later it is 27 dB less.
    assert decibels(late, early) == pytest.approx(-27.0, abs=4.0)


def test_overdrive_flattens_the_peaks() -> None:
    given = apply(tone(300.0), Augmentation(overdrive_db=12.0, level_dbfs=-20.0), NONE).astype(int)
    assert (np.abs(given) == np.abs(given).max()).mean() > 0.5


def test_loud_levels_clip_at_full_scale_and_do_not_wrap() -> None:
    given = apply(tone(300.0), Augmentation(noise="white", snr_db=-5.0, level_dbfs=0.0), NONE)
    assert given.max() == 32767
    assert given.min() == -32768


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_speed_moves_pitch_and_length(factor: float) -> None:
    given = change_speed(tone(1000.0), factor)
    assert len(given) == round(RATE / factor)
    hertz = np.fft.rfftfreq(len(given), 1 / RATE)[int(np.abs(np.fft.rfft(given.astype(float))).argmax())]
    assert hertz == pytest.approx(1000.0 * factor, abs=2.0)
    assert factor != 1.0 or np.array_equal(given, tone(1000.0))


def test_shares_are_kept_and_missing_backgrounds_are_replaced() -> None:
    config = AugmentConfig(noise_share=0.8, babble_share=0.5, recorded_share=0.5, room_share=0.25)
    rng = np.random.default_rng(0)
    rich = Backgrounds(speech=[speech()], noise=[speech()])
    drawn = [draw(config, rng, rich) for _ in range(2000)]
    share = {name: sum(one.noise == name for one in drawn) / 2000 for name in ("", "babble", "recorded")}
    assert share[""] == pytest.approx(0.2, abs=0.04)
    assert share["babble"] == pytest.approx(0.4, abs=0.04)
    assert share["recorded"] == pytest.approx(0.2, abs=0.04)
    assert sum(one.reverberation_s > 0.0 for one in drawn) / 2000 == pytest.approx(0.25, abs=0.04)
    assert not {draw(config, rng, NONE).noise for _ in range(300)} & {"babble", "recorded"}
    assert all(0.0 <= one.snr_db <= 30.0 and -50.0 <= one.level_dbfs <= -12.0 for one in drawn)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("noise_share", 1.5), ("snr_db_min", 50.0), ("level_dbfs_max", 3.0), ("speed_percent", float("nan"))],
)
def test_bounds_are_checked(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        AugmentConfig(**{setting: value})
