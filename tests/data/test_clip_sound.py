"""A manifest's column channel: kept, checked, and honoured wherever a clip's sound is read."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws import audio
from kws.cli import command
from kws.data import manifest
from kws.data.clip_sound import clip_seconds, read_clip
from kws.data.examples.clip_file import shared
from kws.data.examples.pool import ClipPool, Item
from kws.data.manifest import MIX, Clip
from kws.data.sounds.rooms import read_rooms
from kws.errors import KwsError
from kws.streams.conditions import Condition
from kws.streams.layout import build
from kws.streams.plan import plans


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six recordings of four channels; channel n is noise of the level n * 1000."""
    for who in ("ann", "bob", "carl"):
        for label in ("hey", "noise"):
            place = tmp_path / "mine" / label / who
            place.mkdir(parents=True)
            noise = np.random.default_rng(len(who)).integers(-1000, 1001, (16000, 4)) * np.arange(1, 5)
            soundfile.write(place / "1.wav", noise.astype(np.int16), 16000)
    return tmp_path / "mine"


def corpus(folder: Path, *options: str) -> str:
    done = CliRunner().invoke(command, ["corpus", "folder", str(folder), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def channel(path: str, number: int) -> list[int]:
    sound: list[int] = soundfile.read(path, dtype="int16")[0][:, number - 1].tolist()
    return sound


def test_mix_is_the_same_number_everywhere() -> None:
    assert manifest.MIX == audio.MIX


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_kws_corpus_keeps_the_channel(folder: Path, options: tuple[str, ...]) -> None:
    corpus(folder, "--channel", "3", *options)
    clips = manifest.read(folder / "manifest.csv")
    assert (folder / "manifest.csv").read_text().splitlines()[0].endswith(",text,words,channel")
    assert {clip.channel for clip in clips} == {3}
    for clip in clips:
        assert read_clip(clip).tolist() == channel(clip.path, 3)
        assert clip_seconds(replace(clip, duration_s=0.0)) == 1.0
    corpus(folder, "--channel", "mix")
    assert {clip.channel for clip in manifest.read(folder / "manifest.csv")} == {MIX}
    corpus(folder)
    assert "channel" not in (folder / "manifest.csv").read_text()


def test_a_channel_that_is_not_there_leaves_the_clip_out(folder: Path) -> None:
    soundfile.write(folder / "hey/ann/2.wav", np.ones((160, 5), np.int16), 16000)
    assert "left out: 6 (has 4 channels, so there is no channel 5): " in corpus(folder, "--channel", "5")


def test_a_silent_clip_is_left_out_where_all_are_decoded(folder: Path) -> None:
    soundfile.write(folder / "hey/ann/2.wav", np.zeros((160, 2)), 16000)
    assert "left out: 1 (is digital silence throughout: every sample is 0): hey/ann/2.wav" in corpus(folder, "--check")
    assert "digital silence" not in corpus(folder)


def test_examples_and_streams_hear_the_channel(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus(folder, "--channel", "2", "--split", "test")
    clips = manifest.read(folder / "manifest.csv")
    items = tuple(Item(key, clip) for key, clip in enumerate(clips))
    pool = ClipPool((("hey",),), items, (), (), ())
    with shared(pool, tmp_path, 1) as mapped:
        for item in items:
            assert mapped.audio(item).tolist() == pool.audio(item).tolist() == channel(item.clip.path, 2)
    assert "kws:" not in capsys.readouterr().err
    (plan,) = plans([replace(clips[0], label="hey", kw_start_s=0.1, kw_end_s=0.9)], Condition("test"), "hey")
    middle = build(plan).samples[24000 + 4000 : 24000 + 8000]
    assert np.abs(middle - np.array(channel(clips[0].path, 2)[4000:8000])).max() < 60  # the noise under all streams
    noisy = plans(clips, Condition("test", noise_snr_db=0.0), "hey")
    assert {clip.channel for plan in noisy for clip in plan.noises} == {2}


def test_a_room_is_one_channel_or_all(tmp_path: Path) -> None:
    response = np.zeros((800, 3), np.float32)
    response[[10, 20, 30], [0, 1, 2]] = 0.5
    soundfile.write(tmp_path / "room.wav", response, 16000, subtype="FLOAT")
    assert read_rooms(tmp_path / "room.wav").shape[0] == 3
    (second,) = read_rooms(tmp_path / "room.wav", 2)
    np.testing.assert_array_equal(second, read_rooms(tmp_path / "room.wav")[1, : len(second)])
    with pytest.raises(KwsError, match="has 3 channels, so there is no channel 4"):
        read_rooms(tmp_path / "room.wav", 4)


def test_a_clip_that_is_silent_is_told_to_who_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (("a", 0), ("b", 1)):
        soundfile.write(tmp_path / f"{name}.wav", np.full(1600, value, np.int16), 16000)
    clips = [Clip(str(tmp_path / f"{name}.wav"), "train", "hey", "", "", "", 0.1) for name in ("a", "b")]
    pool = ClipPool((("hey",),), tuple(Item(key, clip) for key, clip in enumerate(clips)), (), (), ())
    with shared(pool, tmp_path, 1):
        told = capsys.readouterr().err
    assert f"1 of 2 clips are digital silence throughout, such as {tmp_path / 'a.wav'}; remove them" in told


@pytest.mark.parametrize("text", ["0", "-1", "left", "1.5", "99999", " "])
def test_a_channel_that_is_none(tmp_path: Path, text: str) -> None:
    row = f"a.wav,dev,hey,ann,mine,own,1,,,1,{text}"
    path = tmp_path / "manifest.csv"
    path.write_text(",".join([*manifest.REQUIRED, "channel"]) + "\n" + row + "\n")
    with pytest.raises(KwsError, match=r"manifest\.csv, line 2: channel is .*; it must be a number, counted from 1"):
        manifest.read(path)
