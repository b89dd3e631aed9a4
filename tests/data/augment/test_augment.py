"""Augmentation of a scene: what is drawn is what is heard."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.data.augment import Augmentation, AugmentConfig, Backgrounds, active_power, apply, draw
from kws.data.augment.codec import Codec
from kws.data.augment.config import EXTENTS, SHARES
from kws.data.augment.draw import RoomDraw
from kws.data.augment.filters import Channel, Microphone, Resonance

RATE = 16000
NONE = Backgrounds()
CLICK = np.concatenate([np.zeros(16, np.float32), np.ones(1, np.float32), np.full(800, 0.01, np.float32)])


def tone(hertz: float, amplitude: float = 8000.0, seconds: float = 1.0) -> NDArray[np.int16]:
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.int16)


def tones(*hertz: float) -> NDArray[np.int16]:
    return sum((tone(one) // len(hertz) for one in hertz), np.zeros(RATE, np.int16))


def decibels(power: float, reference: float) -> float:
    return float(10.0 * np.log10(power / reference))


def spectrum_db(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """Return the level of every Hz of one second."""
    return np.asarray(20 * np.log10(np.abs(np.fft.rfft(samples.astype(float))) + 1e-9))


def speech(seed: int = 0) -> NDArray[np.int16]:
    """Noise bursts in silence."""
    rng = np.random.default_rng(seed)
    signal = np.zeros(2 * RATE)
    signal[8000:20000] = rng.normal(0.0, 3000.0, 12000)
    return signal.astype(np.int16)


RICH = Backgrounds(
    speech=[speech(seed)[8000:20000] for seed in range(4)],
    noise=[speech(9)[8000:20000]],
    music=[tone(440.0)],
    rooms=[np.stack([CLICK, CLICK])],
    simulated=[CLICK, CLICK],
)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40000))
def test_any_draw_gives_int16_of_the_same_length_and_the_same_again(seed: int, samples: int) -> None:
    rng = np.random.default_rng(seed)
    signal = rng.integers(-32768, 32768, samples).astype(np.int16)
    kept = signal.copy()
    drawn = draw(dataclasses.replace(AugmentConfig(), codec_share=0.5, gain_step_share=0.5), rng, RICH)
    given = apply(signal, drawn, RICH)
    assert given.dtype == np.int16
    assert given.shape == signal.shape
    assert np.array_equal(given, apply(signal, drawn, RICH))
    assert np.array_equal(signal, kept)


def test_the_same_seed_draws_the_same_and_another_another() -> None:
    one, same, other = (draw(AugmentConfig(), np.random.default_rng(seed), RICH) for seed in (1, 1, 2))
    assert one == same != other


def test_what_is_drawn_is_plain_data() -> None:
    config = dataclasses.replace(AugmentConfig(), microphone_share=1.0, codec_share=1.0, room_share=1.0)
    drawn = draw(config, np.random.default_rng(0), RICH)
    data = json.loads(json.dumps(dataclasses.asdict(drawn)))
    assert data["microphone"]["low_cut_hz"] == drawn.microphone.low_cut_hz  # type: ignore[union-attr]
    assert eval(repr(drawn), {**globals(), "Codec": Codec}) == drawn  # its text says everything


def test_all_off_leaves_the_samples_as_they_are() -> None:
    for seed in range(20):
        drawn = draw(AugmentConfig.off(), np.random.default_rng(seed), RICH)
        assert np.array_equal(apply(speech(seed), drawn, RICH), speech(seed))


ALONE: dict[str, dict[str, Any]] = {
    "noise_share": {}, "microphone_share": {}, "level_share": {}, "gain_step_share": {}, "clip_share": {},
    "codec_share": {}, "band_limit_share": {}, "room_share": {}, "tilt_db_per_octave": {}, "equalizer_db": {},
    "babble_share": {"noise_share": 1.0}, "recorded_share": {"noise_share": 1.0}, "music_share": {"noise_share": 1.0},
    "recorded_room_share": {"room_share": 1.0}, "simulated_room_share": {"room_share": 1.0},
    "nearer_db": {"room_share": 1.0, "recorded_room_share": 1.0},
}  # fmt: skip
"""What works on a whole scene, and what it needs beside it."""
VOICE = {"voice_share", "speed_percent", "pitch_semitones", "tempo_percent", "formant_percent", "gain_db"}
ELSEWHERE = VOICE | {"shift_share", "mask_share"}


@pytest.mark.parametrize("name", sorted(ALONE))
def test_each_switch_alone_changes_something_and_off_it_is_as_if_it_were_not_there(name: str) -> None:
    off = dataclasses.replace(AugmentConfig.off(), **ALONE[name])
    full: dict[str, Any] = {name: 1.0 if name in SHARES else EXTENTS[name]}
    on = dataclasses.replace(off, **full)
    changed = 0
    for seed in range(8):
        without, with_it, again = (draw(one, np.random.default_rng(seed), RICH, 0.9) for one in (off, on, off))
        assert without == again
        changed += not np.array_equal(apply(speech(), with_it, RICH), apply(speech(), without, RICH))
    assert changed >= 7


def test_every_switch_is_tested_here_or_where_it_works() -> None:
    assert set(ALONE) | ELSEWHERE == set(SHARES) | set(EXTENTS)


@pytest.mark.parametrize("level", [-50.0, -30.0, -15.0])
def test_level_is_the_drawn_one(level: float) -> None:
    given = apply(speech(), Augmentation(level_dbfs=level), NONE)
    assert decibels(active_power(given.astype(np.float32)), 32768.0**2) == pytest.approx(level, abs=0.3)


@settings(max_examples=30, deadline=None)
@given(
    st.floats(-5.0, 20.0),
    st.sampled_from(["white", "brown", "fan", "motor", "dishwasher", "tune", "babble", "recorded", "music"]),
    st.booleans(),
)
def test_snr_is_the_drawn_one(snr_db: float, name: str, room: bool) -> None:
    clean = Augmentation(level_dbfs=-30.0, seed=5, room=RoomDraw("simulated", 1) if room else None)
    noisy = dataclasses.replace(clean, noise=name, snr_db=snr_db)
    voice = apply(speech(), clean, RICH).astype(np.float32)
    both = apply(speech(), noisy, RICH).astype(np.float32)
    noise_power = float(np.mean((both - voice) ** 2))
    assert decibels(active_power(voice), noise_power) == pytest.approx(snr_db, abs=0.5)


def test_silence_becomes_noise_alone_at_its_level() -> None:
    given = apply(np.zeros(RATE, np.int16), Augmentation(noise="white", snr_db=10.0, level_dbfs=-30.0), NONE)
    assert decibels(float(np.mean(given.astype(np.float32) ** 2)), 32768.0**2) == pytest.approx(-40.0, abs=0.3)
    assert not apply(np.zeros(RATE, np.int16), Augmentation(level_dbfs=-20.0), NONE).any()


def test_tilt_is_in_db_per_octave() -> None:
    level = spectrum_db(apply(tones(500.0, 2000.0), Augmentation(channel=Channel(tilt_db_per_octave=2.0)), NONE))
    assert level[2000] - level[500] == pytest.approx(4.0, abs=0.2)


def test_band_limits_pass_the_middle_and_stop_the_edges() -> None:
    narrow = Augmentation(channel=Channel(low_cut_hz=300.0, high_cut_hz=3400.0))
    level = spectrum_db(apply(tones(80.0, 1000.0, 7500.0), narrow, NONE))
    assert level[80] - level[1000] < -20.0
    assert level[7500] - level[1000] < -25.0


def test_a_microphone_colours_as_its_numbers_say_and_the_noise_too() -> None:
    case = Microphone(low_cut_hz=200.0, resonances=(Resonance(2000.0, 8.0, 0.3),))
    three = tones(50.0, 1000.0, 2000.0)
    plain = spectrum_db(apply(three, Augmentation(), NONE))
    level = spectrum_db(apply(three, Augmentation(microphone=case), NONE)) - plain
    assert level[2000] == pytest.approx(8.0, abs=0.3)
    assert level[1000] == pytest.approx(0.0, abs=0.5)
    assert level[50] == pytest.approx(-24.0, abs=1.5)
    hiss = Augmentation(noise="white", snr_db=0.0, level_dbfs=-30.0)
    quiet = np.zeros(RATE, np.int16)
    heard, bare = (spectrum_db(apply(quiet, one, NONE)) for one in (dataclasses.replace(hiss, microphone=case), hiss))
    assert float((heard - bare)[20:60].mean()) < -20.0


def test_gain_steps_hold_from_their_second_on() -> None:
    given = apply(tone(300.0), Augmentation(gain_steps=((0.3, -6.0), (0.7, 3.0))), NONE).astype(float)
    before, between, after = (
        np.abs(given[int(first * RATE) : int(last * RATE)]).max() / 8000.0
        for first, last in ((0.0, 0.3), (0.35, 0.7), (0.75, 1.0))
    )
    assert 20 * np.log10([before, between, after]) == pytest.approx([0.0, -6.0, 3.0], abs=0.1)


@pytest.mark.parametrize("soft", [False, True])
def test_overdrive_flattens_the_peaks(soft: bool) -> None:
    given = apply(tone(300.0), Augmentation(overdrive_db=12.0, overdrive_soft=soft), NONE).astype(int)
    flat = np.abs(given) > 0.95 * np.abs(given).max()
    assert flat.mean() > 0.5
    assert np.abs(given).max() <= 8000.0 * 10 ** (-12 / 20) + 1.0
    assert (len(np.unique(np.abs(given)[flat])) == 1) == (not soft)


def test_loud_levels_clip_at_full_scale_and_do_not_wrap() -> None:
    given = apply(tone(300.0), Augmentation(noise="white", snr_db=-5.0, level_dbfs=0.0), NONE)
    assert given.max() == 32767
    assert given.min() == -32768


def test_shares_are_kept() -> None:
    config = AugmentConfig(
        noise_share=0.8, babble_share=0.5, recorded_share=0.5, music_share=0.25, room_share=0.5,
        recorded_room_share=0.5, simulated_room_share=0.25,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    drawn = [draw(config, rng, RICH) for _ in range(2000)]
    names = [one.noise for one in drawn]
    for name, share in (("", 0.2), ("babble", 0.4), ("recorded", 0.2), ("music", 0.1)):
        assert names.count(name) / 2000 == pytest.approx(share, abs=0.04)
    kinds = ["" if one.room is None else one.room.kind for one in drawn]
    for name, share in (("", 0.5), ("recorded", 0.25), ("simulated", 0.125), ("noise", 0.125)):
        assert kinds.count(name) / 2000 == pytest.approx(share, abs=0.04)
    assert all(0.0 <= one.snr_db <= 30.0 for one in drawn)
    assert all(one.level_dbfs is not None and -50.0 <= one.level_dbfs <= -12.0 for one in drawn)


def test_missing_backgrounds_are_replaced_by_what_is_made() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw(AugmentConfig(room_share=1.0), rng, NONE) for _ in range(500)]
    assert not {one.noise for one in drawn} & {"babble", "recorded", "music"}
    assert {one.room.kind for one in drawn if one.room} == {"noise"}
    everything = AugmentConfig(room_share=1.0, recorded_room_share=1.0, simulated_room_share=0.0)
    assert draw(everything, rng, NONE).room is not None


def test_only_the_named_generators_are_used() -> None:
    config = AugmentConfig(generators=("hum", "fan"), noise_share=1.0)
    drawn = {draw(config, np.random.default_rng(seed), NONE).noise for seed in range(50)}
    assert drawn == {"hum", "fan"}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("noise_share", 1.5),
        ("snr_db_min", 50.0),
        ("level_dbfs_max", 3.0),
        ("speed_percent", float("nan")),
        ("recorded_share", 0.95),
        ("generators", ("hiss",)),
        ("generators", ()),
        ("time_masks", -1),
        ("distance_m_min", 5.0),
    ],
)
def test_bounds_are_checked(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=setting.rsplit("_m", 1)[0]):
        AugmentConfig(**{setting: value})  # type: ignore[arg-type]  # of several types
