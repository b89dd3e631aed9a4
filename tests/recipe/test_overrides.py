"""One recipe for every phrase and corpus: what the command line puts in place of a recipe's values."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kws.audio import write_audio
from kws.cli import command
from kws.config import config_hash, to_data
from kws.data import manifest
from kws.data.manifest import Clip
from kws.detector import model_file
from kws.errors import KwsError
from kws.graph.ir import Conv2D
from kws.recipe import DataConfig, Recipe
from kws.recipe.overrides import Overrides
from kws.workflow.quickstart import Options, _recipe

TEXT = """phrases = ["computer", "alexa"]
seed = 1
[synthesis]
language = "de"
positives = 0
negatives = 0
[model.wren]
first_channels = 8
channels = 8
blocks = [3]
[train]
steps = 2
batch_clips = 4
dev_clips = 16
trials = 1
workers = 1
[augment]
simulated_rooms = 2
[quantize]
calibration_clips = 8
[[data]]
manifest = "nowhere.csv"
labels = ["yes", "noise", "maybe"]
"""


@pytest.fixture
def recipe_path(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_what_is_left_out_stays(recipe_path: Path) -> None:
    recipe = Overrides().load(recipe_path)
    assert (recipe.wake_phrases, recipe.seed, recipe.synthesis.language) == (("computer", "alexa"), 1, "de")
    assert recipe.data == (DataConfig(str(recipe_path.parent / "nowhere.csv"), ("yes", "noise", "maybe")),)


def test_every_value_can_be_replaced(recipe_path: Path, tmp_path: Path) -> None:
    one = Overrides(("yes",), (tmp_path, Path("x.csv")), 0, "en").load(recipe_path)
    assert (one.phrase, one.phrases, one.seed, one.synthesis.language) == ("yes", (), 0, "en")
    labels = ("yes", "noise", "maybe")
    assert one.data == (DataConfig(str(tmp_path / "manifest.csv"), labels), DataConfig("x.csv", labels))
    several = Overrides(("yes", "no")).apply(Recipe("computer"))
    assert (several.phrase, several.wake_phrases) == ("", ("yes", "no"))
    assert Overrides(manifests=(Path("x.csv"),)).apply(Recipe("computer")).data == (DataConfig("x.csv"),)


def test_several_entries_need_a_manifest_each() -> None:
    recipe = Recipe("computer", data=(DataConfig("a.csv", positives=False), DataConfig("b.csv", ("noise",))))
    changed = Overrides(manifests=(Path("c.csv"), Path("d.csv"))).apply(recipe)
    assert changed.data == (DataConfig("c.csv", positives=False), DataConfig("d.csv", ("noise",)))
    with pytest.raises(KwsError, match=r"r: has 2 \[\[data\]\] entries, but the number of manifests given is 1"):
        Overrides(manifests=(Path("c.csv"),)).apply(recipe, "r")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (Overrides(phrases=("!?",)), "can be spoken"),
        (Overrides(phrases=("",)), "phrase is missing"),
        (Overrides(phrases=("yes", "Yes")), "is part of"),
        (Overrides(language=" "), "language must be"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_the_recipes_name(
    recipe_path: Path, overrides: Overrides, said: str
) -> None:
    with pytest.raises(KwsError, match=said) as caught:
        overrides.load(recipe_path)
    assert str(caught.value).startswith(str(recipe_path))


def test_quickstart_takes_the_same_values(recipe_path: Path) -> None:
    data = (Path("x.csv"),)
    changed = _recipe(Options(phrase="yes", recipe=recipe_path, seed=7, data=data))
    assert changed == Overrides(("yes",), data, 7).load(recipe_path)
    assert _recipe(Options()) == Recipe("computer")
    with pytest.raises(KwsError, match="quickstart: phrase"):
        _recipe(Options(phrase=""))


def test_the_model_says_what_it_was_really_trained_for(recipe_path: Path, tmp_path: Path) -> None:
    clips: list[Clip] = []
    for split in ("train", "dev"):
        for label in ("yes", "maybe", "noise", "no"):
            for number in range(3):
                path = tmp_path / f"{split}_{label}_{number}.wav"
                write_audio(path, np.random.default_rng(len(clips)).integers(-3000, 3000, 12000).astype(np.int16))
                clips.append(Clip(str(path), split, label, split, label, "CC0", 0.75))
    manifest.write(clips, tmp_path / "manifest.csv")
    arguments = ["train", str(recipe_path), "--phrase", "yes", "--data", str(tmp_path), "--seed", "5"]
    result = CliRunner().invoke(command, [*arguments, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == str(tmp_path / "out" / "yes.kws")
    model = model_file.load(tmp_path / "out" / "yes.kws")
    wanted = Overrides(("yes",), (tmp_path,), 5).load(recipe_path)
    assert model.recipe == to_data(wanted)
    assert model.recipe_hash == config_hash(wanted)
    assert {source.name for source in model.licences} == {"yes", "noise", "maybe"}, "the entry's labels are kept"

    # The same training, quantized to four bits beside the eight.
    trained = {path.name: path.read_bytes() for path in (tmp_path / "out" / "training").glob("*.pt")}
    result = CliRunner().invoke(
        command, [*arguments, "--out", str(tmp_path / "out"), "--weight-bits", "4"], catch_exceptions=False
    )
    assert result.output.splitlines()[-1] == str(tmp_path / "out" / "yes_int4.kws")
    assert {path.name for path in (tmp_path / "out" / "training").glob("*.pt")} == set(trained)
    four = model_file.load(tmp_path / "out" / "yes_int4.kws").graph
    assert {op.weight_bits for op in four.ops if isinstance(op, Conv2D)} == {4, 8}
    assert [op.bias.shape for op in four.ops if isinstance(op, Conv2D)] == [
        op.bias.shape for op in model.graph.ops if isinstance(op, Conv2D)
    ]
