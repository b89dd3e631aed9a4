"""Rooms: the physics of simulated ones, recorded ones made ready, words that stay where they are."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.data.augment import Augmentation, Backgrounds, apply
from kws.data.augment.draw import RoomDraw
from kws.data.sounds import rooms
from kws.data.sounds.rooms import DIRECT
from kws.data.sounds.simulated_rooms import Room, bank, draw_room, image_sources, simulate, wall_nepers
from kws.errors import KwsError

RATE = 16000
LIVING = Room((5.0, 4.0, 2.7), (1.2, 1.5, 1.4), (3.1, 2.6, 1.0), 0.4)


def middle(response: NDArray[np.float32]) -> NDArray[np.float32]:
    """The response between 500 Hz and 2 kHz, where a reverberation time is stated."""
    transform = np.fft.rfft(response, 1 << 16)
    hertz = np.fft.rfftfreq(1 << 16, 1 / RATE)
    transform[(hertz < 500) | (hertz > 2000)] = 0.0
    return np.fft.irfft(transform)[: len(response)].astype(np.float32)


@pytest.mark.parametrize("wanted_s", [0.25, 0.5, 0.9])
def test_simulated_rooms_have_their_reverberation_time(wanted_s: float) -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(12):
        room = draw_room((wanted_s, wanted_s), (0.5, 3.0), rng)
        found.append(rooms.reverberation_s(middle(simulate(room, rng))))
    assert np.mean(found) == pytest.approx(wanted_s, rel=0.15)
    assert np.std(found) < 0.2 * wanted_s


def test_absorption_is_what_millington_asks_for() -> None:
    nepers = wall_nepers(Room(LIVING.size_m, LIVING.source_m, LIVING.microphone_m, 0.4, (1.0, 2.0, 0.5, 1.0, 3.0, 0.2)))
    areas = np.array([4 * 2.7] * 2 + [5 * 2.7] * 2 + [5 * 4] * 2)
    absorbed = -np.log(1.0 - (1.0 - np.exp(-2.0 * nepers)))
    assert 24 * np.log(10) * 54.0 / (343.0 * (areas * absorbed).sum()) == pytest.approx(0.4)
    assert nepers[4] == pytest.approx(15 * nepers[5])


def test_the_first_images_stand_where_mirrors_put_them() -> None:
    delay, loss, spread = image_sources(LIVING)
    nepers = wall_nepers(LIVING)
    for axis, wall_at, number in ((0, 0.0, 0), (0, 5.0, 1), (1, 4.0, 3), (2, 0.0, 4)):
        source = list(LIVING.source_m)
        source[axis] = 2 * wall_at - source[axis]
        distance = float(np.linalg.norm(np.subtract(source, LIVING.microphone_m)))
        nearest = int(np.abs(delay - (distance - LIVING.distance_m) / 343.0 * RATE).argmin())
        assert delay[nearest] == pytest.approx((distance - LIVING.distance_m) / 343.0 * RATE, abs=1e-6)
        assert spread[nearest] == pytest.approx(LIVING.distance_m / distance)
        assert loss[nearest] == pytest.approx(nepers[number])
    assert delay.min() == pytest.approx(0.0, abs=1e-9)
    assert loss[int(delay.argmin())] == 0.0


def test_the_tail_goes_on_where_the_images_end() -> None:
    """Between 500 Hz and 2 kHz, 20 ms before and after the seam at 50 ms, without the decay in between."""
    steps = []
    rng = np.random.default_rng(0)
    for _ in range(20):
        room = draw_room((0.3, 0.8), (0.5, 3.0), rng)
        power = middle(simulate(room, rng)).astype(float) ** 2
        seam = DIRECT + int(0.05 * RATE)
        before, after = power[seam - 320 : seam].mean(), power[seam : seam + 320].mean()
        steps.append(10 * np.log10(before / after) - 60.0 * 0.02 / room.reverberation_s)
    assert np.mean(steps) == pytest.approx(0.0, abs=2.0)


def test_near_is_drier_than_far() -> None:
    rng = np.random.default_rng(0)
    near, far = (
        np.mean([rooms.direct_db(simulate(draw_room((0.5, 0.5), span, rng), rng)) for _ in range(8)])
        for span in ((0.3, 0.4), (2.5, 3.5))
    )
    assert near > far + 6.0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_drawn_room_is_possible_and_aligned(seed: int) -> None:
    rng = np.random.default_rng(seed)
    room = draw_room((0.1, 1.0), (0.2, 6.0), rng)
    for inside, size in zip((*room.source_m, *room.microphone_m), room.size_m * 2, strict=True):
        assert 0.0 < inside < size
    response = simulate(room, rng)
    assert np.isfinite(response).all()
    early = response[: DIRECT + 16].astype(float)
    assert np.sqrt((early**2).sum()) == pytest.approx(1.0, abs=1e-3)
    # Nothing before the direct path but what a band-limited pulse rings.
    assert np.abs(early[: DIRECT - 2]).max() < 0.25
    assert int(np.abs(early[: DIRECT + 3]).argmax()) in (DIRECT - 1, DIRECT, DIRECT + 1, DIRECT + 2)


def test_a_bank_is_drawn_once_and_by_its_seed() -> None:
    asked = (5, 3, (0.2, 0.4), (0.5, 2.0))
    assert bank(*asked) is bank(*asked)
    bank.cache_clear()
    again = bank(*asked)
    assert all(np.array_equal(one, other) for one, other in zip(bank(*asked), again, strict=True))
    assert not np.array_equal(bank(5, 4, (0.2, 0.4), (0.5, 2.0))[0][:100], again[0][:100])
    assert bank(0, 0, (0.2, 0.4), (0.5, 2.0)) == ()


def decaying(delay: int, seed: int = 0) -> NDArray[np.float64]:
    """A made-up measurement: silence of a sound's way, the direct path, reverberation of 0.4 s."""
    tail = np.random.default_rng(seed).normal(0.0, 0.05, 6400) * 10.0 ** (-3.0 * np.arange(6400) / 6400)
    tail[0] = 1.0
    return np.concatenate([np.zeros(delay), tail])


@pytest.mark.parametrize("delay", [0, 5, 300, 4000])
def test_a_recorded_room_does_not_shift_a_word(delay: int, tmp_path: Path) -> None:
    path = tmp_path / "room.wav"
    soundfile.write(path, decaying(delay), RATE, subtype="FLOAT")
    around = Backgrounds(rooms=[rooms.read_rooms(path)])
    word = np.zeros(RATE, np.int16)
    word[6000:9000] = np.random.default_rng(1).normal(0.0, 4000.0, 3000)
    given = apply(word, Augmentation(room=RoomDraw("recorded")), around).astype(float)
    size = np.abs(given)
    assert int(np.argmax(size > 1500)) == pytest.approx(6000, abs=5)
    assert (given**2)[:5990].sum() < 1e-4 * (given**2).sum()
    assert float(np.corrcoef(given[6000:9000], word[6000:9000])[0, 1]) > 0.5


def test_a_click_keeps_its_place_in_every_kind_of_room() -> None:
    click = np.zeros(RATE, np.int16)
    click[4000] = 20000
    around = Backgrounds(simulated=[simulate(LIVING, np.random.default_rng(0))])
    for room in (RoomDraw("noise", reverberation_s=0.4, direct_db=3.0), RoomDraw("simulated")):
        given = apply(click, Augmentation(room=room, level_dbfs=-30.0, seed=3), around).astype(float) ** 2
        assert int(given.argmax()) == pytest.approx(4000, abs=1)
        assert given[:3980].max() < 1e-3 * given.max()


def test_decaying_noise_has_its_decay_and_its_ratio() -> None:
    response = rooms.decaying_noise(0.4, 0.0, np.random.default_rng(3))
    power = response.astype(float) ** 2
    assert 10 * np.log10(power[DIRECT] / np.delete(power, DIRECT).sum()) == pytest.approx(0.0, abs=0.1)
    # 60 dB in 0.4 s: 2900 samples later it is 27 dB less.
    assert 10 * np.log10(power[3000:4600].sum() / power[100:1700].sum()) == pytest.approx(-27.0, abs=4.0)


def test_nearer_lowers_what_follows_the_direct_sound() -> None:
    response = rooms.aligned(decaying(100).astype(np.float32))
    assert rooms.direct_db(rooms.nearer(response, 8.0)) == pytest.approx(rooms.direct_db(response) + 8.0, abs=0.01)
    assert np.array_equal(rooms.nearer(response, 0.0), response)


def test_channels_are_kept_apart_and_other_rates_are_converted(tmp_path: Path) -> None:
    two = np.stack([decaying(100, 1), 0.5 * decaying(900, 2)[: 100 + 6400]], axis=1)
    soundfile.write(tmp_path / "two.wav", two, RATE, subtype="FLOAT")
    left, right = rooms.read_rooms(tmp_path / "two.wav")
    for channel, source in ((left, decaying(100, 1)[100:]), (right, decaying(900, 2)[900:])):
        length = min(len(source), 5000)
        assert np.corrcoef(channel[DIRECT : DIRECT + length], source[:length])[0, 1] > 0.999
    around = Backgrounds(rooms=[np.stack([left, right])])
    click = np.zeros(8000, np.int16)
    click[100] = 20000
    first, second, third = (
        apply(click, Augmentation(room=RoomDraw("recorded", channel=channel)), around) for channel in (0, 1, 2)
    )
    assert np.array_equal(first, third)
    assert not np.array_equal(first, second)
    soundfile.write(tmp_path / "fast.wav", np.repeat(decaying(0), 3), 3 * RATE, subtype="FLOAT")
    assert rooms.read_rooms(tmp_path / "fast.wav").shape[1] == pytest.approx(6400, abs=2 * DIRECT)


@pytest.mark.parametrize("content", ["missing", "text", "silence"])
def test_a_file_that_is_no_room_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / f"{content}.wav"
    if content == "text":
        path.write_text("no sound")
    if content == "silence":
        soundfile.write(path, np.zeros((100, 2)), RATE)
    with pytest.raises(KwsError, match=rf"{content}\.wav: "):
        rooms.read_rooms(path)
