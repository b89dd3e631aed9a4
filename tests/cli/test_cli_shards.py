"""``kws shards``: a recipe and a manifest to shards."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kws.audio import write_audio
from kws.cli import command
from kws.data import manifest
from kws.data.dataset import Dataset, ShardDataset
from kws.data.examples.pool import read_pool
from kws.data.manifest import Clip, Word
from kws.errors import KwsError
from kws.recipe import load_recipe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clips = []
    for number, label in enumerate(("hey", "neg_speech")):
        path = tmp_path / f"{label}.wav"
        write_audio(path, np.random.default_rng(number).integers(-9000, 9000, 16000).astype(np.int16))
        words = (Word("hey", 0.2, 0.7),) if label == "hey" else ()
        clips.append(Clip(str(path), "train", label, "ann", "made", "CC0", 1.0, words=words))
    manifest.write(clips, tmp_path / "manifest.csv")
    (tmp_path / "hey.toml").write_text('phrase = "hey"\nseed = 4\n[augment]\nsimulated_room_share = 0.0\n')
    return tmp_path


def test_the_shards_are_what_training_would_draw(folder: Path) -> None:
    out = folder / "shards"
    arguments = ["shards", str(folder / "hey.toml"), "--manifest", str(folder), "--out", str(out)]
    arguments += ["--examples", "6", "--shards", "2", "--processes", "1"]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert str(out / "shards.json") in result.output
    recipe = load_recipe(folder / "hey.toml")
    pool = read_pool(manifest.read(folder / "manifest.csv"), "hey", "train")
    drawn = Dataset(pool, recipe.frontend, recipe.examples, recipe.augment, (4, 0))
    stored = ShardDataset([out / "*.tar"], (0,), buffer_examples=0)
    assert stored.batch(0, 6).features.equal(drawn.batch(0, 6).features)
    with pytest.raises(KwsError, match="another recipe, other clips or another number"):
        CliRunner().invoke(command, [*arguments[:-4], "--shards", "3"], catch_exceptions=False)


def test_a_recipe_with_phones_has_no_shards(folder: Path) -> None:
    (folder / "hey.toml").write_text('phrase = "hey"\n[phones]\npieces = 3\n')
    arguments = [
        "shards",
        str(folder / "hey.toml"),
        "--out",
        str(folder / "shards"),
        "--examples",
        "6",
        "--shards",
        "2",
    ]
    with pytest.raises(KwsError, match=r"hey\.toml: shards cannot hold phones or pieces; set pieces"):
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert not (folder / "shards").exists()
