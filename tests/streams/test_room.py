"""Streams in a room: echoes after every clip, words where they were, levels as they were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kws.audio import write_audio
from kws.data.manifest import Clip
from kws.data.sounds import rooms
from kws.errors import KwsError
from kws.streams.conditions import Condition
from kws.streams.layout import build
from kws.streams.noise import active_power
from kws.streams.plan import Plan, plans
from kws.streams.room import Rooms

RATE = 16000


def clip(path: Path, label: str, samples: np.ndarray, split: str = "test") -> Clip:
    write_audio(path, samples.astype(np.int16))
    return Clip(str(path), split, label, "ann", "made", "CC0", len(samples) / RATE, 0.1, 0.3)


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    click, word = np.zeros(8000), np.zeros(8000)
    click[[800, 800 + 4000]] = 20000, 10000  # a direct path, and 0.25 s later an echo of half of it
    word[1600:4800] = np.random.default_rng(0).normal(0.0, 3000.0, 3200)
    return [
        clip(tmp_path / "hall.wav", "rir", click),
        clip(tmp_path / "word.wav", "computer", word),
        clip(tmp_path / "speech.wav", "neg_speech", word),
        clip(tmp_path / "fan.wav", "noise", word),
    ]


def plan_of(clips: list[Clip], label: str, room: bool) -> Plan:
    return next(plan for plan in plans(clips, Condition("test", room=room), "computer") if plan.label == label)


@pytest.mark.parametrize("label", ["computer", "neg_speech"])
def test_every_clip_has_its_echo(clips: list[Clip], label: str) -> None:
    dry, wet = (build(plan_of(clips, label, room)) for room in (False, True))
    assert dry.layout == wet.layout
    word = slice(round(1.6 * RATE), round(1.8 * RATE))
    direct, echoed = dry.samples[word].astype(float), wet.samples[word].astype(float)
    echo = wet.samples[word.start + 4000 : word.stop + 4000].astype(float)
    assert np.corrcoef(direct, echoed)[0, 1] > 0.99, "the direct sound is where it was"
    assert np.corrcoef(direct, echo)[0, 1] > 0.99
    assert np.std(echo) / np.std(echoed) == pytest.approx(0.5, abs=0.01)
    assert np.std(dry.samples[word.start + 4000 : word.stop + 4000]) < 20, "dry there is nothing"


def test_the_active_speech_keeps_its_power(clips: list[Clip]) -> None:
    sound = np.random.default_rng(1).normal(0.0, 1000.0, 16000).astype(np.float32)
    heard = Rooms(clips[:1]).convolved(sound, np.random.default_rng(0))
    assert len(heard) == len(sound) + rooms.read_rooms(Path(clips[0].path)).shape[1] - rooms.DIRECT
    assert active_power(heard) == pytest.approx(active_power(sound), rel=1e-3)
    silent = Rooms(clips[:1]).convolved(np.zeros(800, np.float32), np.random.default_rng(0))
    assert not silent.any()


def test_noise_is_heard_as_it_is_and_the_plan_without_a_room_as_before(clips: list[Clip]) -> None:
    assert plan_of(clips, "noise", True).rooms == ()
    wet = plan_of(clips, "computer", True)
    assert wet.rooms == (clips[0],)
    assert replace(wet, rooms=()) == plan_of(clips, "computer", False)


def test_a_room_is_drawn_for_each_clip_by_the_seed(tmp_path: Path, clips: list[Clip]) -> None:
    far = np.zeros(8000)
    far[[800, 6000]] = 20000, 10000
    plan = plan_of([*clips, clip(tmp_path / "far.wav", "rir", far)], "neg_speech", True)
    plan = replace(plan, clips=plan.clips * 8)
    first, again, other = (build(replace(plan, seed=seed)).samples for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    starts = [1.5 + number * (0.5 + 0.5) + 0.1 for number in range(8)]
    near = [np.std(first[round((at + 0.25) * RATE) :][:1000]) > 500 for at in starts]
    assert 0 < sum(near) < 8, "both rooms occur"
    assert not np.array_equal(first, other)


def test_a_split_without_rooms_is_refused(clips: list[Clip]) -> None:
    with pytest.raises(KwsError, match="no clip labelled 'rir' in this split of the manifest"):
        plans(clips[1:], Condition("test", room=True), "computer")
