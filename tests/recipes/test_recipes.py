"""Every recipe loads, says what it is, and trains; a recipe with a mistake is refused with the remedy."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from kws.audio import write_audio
from kws.config import config_hash, load, to_data
from kws.data import manifest
from kws.data.manifest import Clip, slug
from kws.errors import KwsError
from kws.frontend import FrontendConfig
from kws.graph.cost import cost
from kws.models.configs import DeepKwsConfig
from kws.recipe import Recipe, load_recipe
from kws.train.run import build_model, train

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.fixture(params=RECIPES, ids=lambda path: str(path.stem))
def recipe_path(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_there_are_recipes() -> None:
    assert {path.stem for path in RECIPES} >= {"deepkws_2014", "custom_word"}


def test_the_head_says_what_how_long_and_how(recipe_path: Path) -> None:
    head = "\n".join(line for line in recipe_path.read_text(encoding="utf-8").splitlines()[:15] if line.startswith("#"))
    for wanted in ("# What:", "# How long:", "# Run:", "kws train "):
        assert wanted in head


def tiny_clips(folder: Path, phrase: str) -> Path:
    """Noise bursts under the recipe's labels."""
    rng = np.random.default_rng(0)
    clips = []
    for split in ("train", "dev"):
        for label in (slug(phrase), "neg_phrase", "neg_speech"):
            for number in range(3):
                path = folder / f"{split}_{label}_{number}.wav"
                write_audio(path, rng.integers(-3000, 3000, 12000).astype(np.int16))
                times = (0.1, 0.6) if label == slug(phrase) else (None, None)
                clips.append(Clip(str(path), split, label, "ann", "made", "CC0", 0.75, *times))
    manifest.write(clips, folder / "manifest.csv")
    return folder / "manifest.csv"


def test_it_trains_for_a_few_steps(recipe_path: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_path)
    assert sum(parameter.numel() for parameter in build_model(recipe).parameters()) == 243_072 + 129 * len(
        recipe.labels()
    )
    few = dataclasses.replace(
        recipe,
        train=dataclasses.replace(recipe.train, steps=3, batch_clips=4, dev_clips=16, trials=1, workers=1),
        quantize=dataclasses.replace(recipe.quantize, calibration_clips=8),
    )
    model = train(few, [tiny_clips(tmp_path, recipe.phrase)], tmp_path / "run")
    assert model.detector.labels == recipe.labels()
    assert (model.graph.outputs, model.graph.latency_frames) == (len(recipe.labels()), 10)
    assert cost(model.graph).parameters >= 243_072


def test_the_published_recipe_is_as_published() -> None:
    recipe = load_recipe(next(path for path in RECIPES if path.stem == "deepkws_2014"))
    assert recipe.frontend == FrontendConfig()
    assert recipe.model.deepkws == DeepKwsConfig(layers=3, width=128, past_frames=30, future_frames=10)
    assert (recipe.detector.smooth_frames, recipe.detector.max_frames) == (30, 100)


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_phrase_alone_is_a_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, 'phrase = "computer"'))
    assert recipe == Recipe("computer")
    assert recipe.labels() == ("filler", "computer")
    assert config_hash(recipe) == config_hash(load(Recipe, to_data(recipe)))


def test_paths_are_relative_to_the_recipe(tmp_path: Path) -> None:
    text = 'phrase = "computer"\n[synthesis]\nsentences_path = "said.txt"\n[[data]]\nmanifest = "mine/manifest.csv"\n'
    recipe = load_recipe(write(tmp_path, text))
    assert Path(recipe.data[0].manifest) == tmp_path / "mine" / "manifest.csv"
    assert Path(recipe.synthesis.sentences_path) == tmp_path / "said.txt"
    assert load_recipe(write(tmp_path, 'phrase = "computer"')).synthesis.sentences_path == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "key 'phrase' is missing"),
        ('phrase = "!?"', "cannot|can be spoken"),
        ('phrase = "a b c d e f g h i j k l m n o p"', "phrase has 16 words; at most 15"),
        ('phrase = "computer"\nseed = -1', "seed must be 0 to"),
        ('phrase = "computer"\nsteps = 5', "unknown key 'steps'"),
        ('phrase = "computer"\n[train]\nstep = 5', r"unknown key 'train\.step'; did you mean"),
        ('phrase = "computer"\n[train]\nsteps = "many"', r"key 'train\.steps' is 'many'"),
        ('phrase = "computer"\n[train]\nsteps = 0', r"train\.steps must be 1 to"),
        (
            'phrase = "computer"\n[model]\nname = "resnet"',
            r"key 'model\.name' is 'resnet'; it must be one of 'deepkws'",
        ),
        ('phrase = "computer"\n[model.deepkws]\nwidth = 0', r"model\.deepkws\.width must be"),
        ('phrase = "computer"\n[detector]\nsmooth_frames = 0', r"detector\.smooth_frames must be"),
        ('phrase = "computer"\n[augment]\nsnr_db_max = -9', r"augment\.snr_db_max must be"),
        ('phrase = "computer"\n[examples]\nwindow_ms = 3', r"examples\.window_ms must be"),
        ('phrase = "computer"\n[[data]]\nlabels = ["x"]', "manifest"),
        ("phrase = ", "is not valid TOML"),
    ],
)
def test_mistakes_are_named_with_the_remedy(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(KwsError, match=said) as caught:
        load_recipe(write(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "recipe.toml"))
    assert "\n" not in str(caught.value)


def test_repeated_words_get_labels_of_their_own() -> None:
    assert Recipe("filler, no no").labels() == ("filler", "filler_2", "no", "no_2")
    assert re.fullmatch(r"[0-9a-f]{16}", config_hash(Recipe("no no")))
