"""`kws augment`: examples to listen to, a picture of each, and what was drawn; rooms and music reach the examples."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from kws.audio import read_audio, write_audio
from kws.cli import command
from kws.data import manifest
from kws.data.augment import AugmentConfig, apply
from kws.data.examples.draw import ExampleConfig, backgrounds, draw_example
from kws.data.examples.pool import ClipPool, read_pool
from kws.data.examples.preview import Drawing, preview
from kws.data.manifest import Clip
from kws.frontend import FrontendConfig

RATE = 16000


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus with a clip of every label that augmentation takes from."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    clips = []
    for label, seconds in (("hey", 0.6), ("neg_speech", 3.0), ("noise", 1.0), ("music", 1.0)):
        path = folder / f"{label}.wav"
        write_audio(path, rng.normal(0.0, 2000.0, int(seconds * RATE)).astype(np.int16))
        start_s, end_s = (0.1, 0.5) if label == "hey" else (None, None)
        clips.append(Clip(str(path), "train", label, "ann", "made", "CC0", seconds, start_s, end_s, 1, label))
    room = rng.normal(0.0, 0.1, (3200, 2)) * 0.999 ** np.arange(3200)[:, None]
    room[50] = 1.0
    soundfile.write(folder / "room.flac", room, RATE)
    clips.append(Clip(str(folder / "room.flac"), "train", "rir", "", "made", "CC0", 0.2))
    manifest.write(clips, folder / "manifest.csv")
    return folder


@pytest.fixture(scope="module")
def pool(tree: Path) -> ClipPool:
    return read_pool(manifest.read(tree / "manifest.csv"), "hey", "train")


def test_rooms_noise_and_music_of_a_manifest_are_used(pool: ClipPool) -> None:
    around = backgrounds(pool, AugmentConfig(simulated_rooms=3))
    assert [len(part) for part in (around.speech, around.noise, around.music, around.rooms)] == [1, 1, 1, 1]
    assert around.rooms[0].shape[0] == 2
    assert len(around.simulated) == 3
    assert backgrounds(pool, AugmentConfig(room_share=0.0)).simulated == ()
    config = AugmentConfig(simulated_rooms=3, noise_share=1.0, room_share=1.0)
    drawn = [draw_example(pool, ExampleConfig(), config, np.random.default_rng(seed)).drawn for seed in range(60)]
    assert {"babble", "recorded", "music"} < {one.noise for one in drawn}
    assert {one.room.kind for one in drawn if one.room} == {"recorded", "simulated", "noise"}


def test_an_example_says_what_was_drawn_for_it(pool: ClipPool) -> None:
    config = AugmentConfig(simulated_rooms=3, voice_share=1.0)
    example = draw_example(pool, ExampleConfig(), config, np.random.default_rng(5))
    again = draw_example(pool, ExampleConfig(), config, np.random.default_rng(5))
    assert (example.drawn, example.voices) == (again.drawn, again.voices)
    assert np.array_equal(example.samples, again.samples)
    bare = draw_example(pool, ExampleConfig(), AugmentConfig.off(), np.random.default_rng(5))
    assert set(bare.voices) == {type(bare.voices[0])()}
    assert np.array_equal(bare.samples, apply(bare.samples, bare.drawn, backgrounds(pool, AugmentConfig.off())))


def test_without_shift_the_phrase_stands_in_the_middle(pool: ClipPool) -> None:
    only = ExampleConfig(cut_weight=0, near_weight=0, speech_weight=1e-9, noise_weight=0)
    for seed in range(5):
        example = draw_example(pool, only, AugmentConfig.off(), np.random.default_rng(seed))
        (_, _, start_s, end_s) = example.words[0]
        assert (start_s + end_s) / 2.0 == pytest.approx(1.2, abs=0.001)
    shifted = dataclasses.replace(AugmentConfig.off(), shift_share=1.0)
    starts = {draw_example(pool, only, shifted, np.random.default_rng(seed)).words[0][2] for seed in range(5)}
    assert len(starts) == 5


@pytest.mark.slow
def test_preview_writes_sounds_pictures_and_numbers(pool: ClipPool, tmp_path: Path) -> None:
    drawing = Drawing(pool, FrontendConfig(), ExampleConfig(), AugmentConfig(simulated_rooms=3, mask_share=1.0), 7)
    text = preview(drawing, tmp_path / "one", 3)
    assert "3 examples" in text
    assert "3 simulated rooms took" in text
    data = json.loads((tmp_path / "one" / "preview.json").read_text())
    assert data["config"]["mask_share"] == 1.0
    assert len(data["examples"]) == 3
    for entry in data["examples"]:
        assert len(read_audio(tmp_path / "one" / f"{entry['name']}.wav")) == 38400
        assert (tmp_path / "one" / f"{entry['name']}.png").read_bytes().startswith(b"\x89PNG")
        assert entry["drawn"]["snr_db"] >= 0.0
        assert entry["name"].endswith(entry["kind"])
        assert bool(entry["words"]) == (entry["kind"] == "positive")
    preview(drawing, tmp_path / "two", 2)
    for name in (entry["name"] for entry in data["examples"][:2]):
        assert (tmp_path / "one" / f"{name}.wav").read_bytes() == (tmp_path / "two" / f"{name}.wav").read_bytes()


def test_the_command(tree: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('phrase = "hey"\n[augment]\nsimulated_rooms = 2\n')
    arguments = ["augment", str(tmp_path / "out"), "--recipe", str(recipe), "--manifest", str(tree), "--count", "1"]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "1 examples" in result.output
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json", ".png", ".wav"]
