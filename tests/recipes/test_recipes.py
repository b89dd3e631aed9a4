"""Every recipe loads, says what it is, and trains; a recipe with a mistake is refused with the remedy."""

import dataclasses
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kws.config import config_hash, load, to_data
from kws.data import manifest
from kws.data.manifest import slug
from kws.detector import model_file
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.frontend import FrontendConfig
from kws.graph.cost import cost
from kws.models.configs import DeepKwsConfig
from kws.models.figures import figures
from kws.recipe import DetectorSettings, Recipe, load_recipe
from kws.recipe.overrides import Overrides
from kws.train.recipe_data import read_data
from kws.train.run import build_model, train
from kws.workflow.train import train_recipe

MakeClips = Callable[..., Path]
RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.fixture(params=RECIPES, ids=lambda path: str(path.stem))
def recipe_path(request: pytest.FixtureRequest) -> Path:
    assert isinstance(request.param, Path)
    return request.param


def test_there_are_recipes() -> None:
    named = {"deepkws_2014", "cnn_2015", "custom_word", "custom_word_with_recordings", "wake_word"}
    named |= {"wake_word_with_recordings", "speech_commands_12", "speech_commands_35"}
    assert {path.stem for path in RECIPES} >= named


def test_the_head_says_what_how_long_and_how(recipe_path: Path) -> None:
    head = "\n".join(
        itertools.takewhile(lambda line: line.startswith("#"), recipe_path.read_text(encoding="utf-8").splitlines())
    )
    for wanted in ("# What: ", "# How long: ", "# Run: ", "kws train "):
        assert wanted in head
    assert re.search(r"# How long: .*\d.* (minutes|hours)", head), "a time, measured or estimated from a measured rate"
    named = set(re.findall(r"recipes/\w+\.toml", head))
    assert named <= {f"recipes/{path.name}" for path in RECIPES}, "a recipe that is named must be there"


Material = tuple[list[Path], list[Path]]
"""Manifests of what is synthesized, and of what ``[[data]]`` names."""


@pytest.fixture
def material(
    recipe_path: Path,
    tmp_path: Path,
    clips: MakeClips,
    transcribed: MakeClips,
    speech_commands: MakeClips,
) -> Material:
    """What the recipe is to learn from, in its smallest form."""
    recipe = load_recipe(recipe_path)
    phrases = [slug(phrase) for phrase in recipe.wake_phrases]
    spoken = [clips(tmp_path / "spoken", [*phrases, "neg_phrase", "neg_speech"], "synthetic")]
    if recipe_path.stem.startswith("speech_commands"):
        others = () if len(phrases) == 35 else ("bed", "cat")
        filler = [clips(tmp_path / "filler", ["neg_speech"], "synthetic")] if recipe.synthesis.negatives else []
        return filler, [speech_commands(tmp_path / "words", [*phrases, *others])]
    if not recipe.data:
        return spoken, []
    make = transcribed if recipe.phones.is_used else clips
    return spoken, [make(tmp_path / "recorded", [*phrases, "neg_speech", "noise"], "recorded")]


def short(recipe: Recipe) -> Recipe:
    """Return the recipe with so few steps and clips that a test can run it."""
    replace = dataclasses.replace
    return replace(
        recipe,
        train=replace(recipe.train, steps=3, batch_clips=8, dev_clips=16, trials=1, workers=1, tensorboard=False),
        teacher=replace(recipe.teacher, steps=min(recipe.teacher.steps, 2)),
        phones=replace(
            recipe.phones,
            pieces=min(recipe.phones.pieces, 6),
            near_pieces=min(recipe.phones.near_pieces, 6),
            pretrain_steps=min(recipe.phones.pretrain_steps, 1),
        ),
        examples=replace(recipe.examples, window_ms=1000),
        augment=replace(recipe.augment, simulated_rooms=2),
        quantize=replace(recipe.quantize, calibration_clips=8),
    )


@pytest.mark.train
def test_it_trains_for_a_few_steps(recipe_path: Path, material: Material, tmp_path: Path) -> None:
    spoken, recorded = material
    recipe = short(Overrides(manifests=tuple(recorded)).load(recipe_path))
    model = train(recipe, read_data(recipe, spoken), tmp_path / "run")
    assert model.detector == recipe.detector_config()
    assert (model.graph.outputs, model.recipe) == (len(recipe.labels()), to_data(recipe))
    wanted = figures(recipe.model, recipe.frontend.bands, len(recipe.labels()), recipe.frontend.hop_ms)
    assert model.graph.latency_frames * recipe.frontend.hop_ms == wanted.latency_ms
    assert cost(model.graph).macs_per_step * 1000 / wanted.step_ms == pytest.approx(wanted.macs_per_second, rel=0.01)
    sources = {source.name: source.clips for source in model.licences}
    assert bool(spoken) == ("synthetic" in sources)
    assert bool(recorded) == bool(set(sources) - {"synthetic"})


@pytest.mark.train
def test_the_wake_word_recipe_learns_from_pieces_and_from_no_recording_of_the_phrase(
    tmp_path: Path, clips: MakeClips, transcribed: MakeClips
) -> None:
    spoken = clips(tmp_path / "spoken", ["computer", "neg_speech"], "synthetic")
    recorded = transcribed(tmp_path / "recorded", ["computer", "alexa", "neg_word", "noise"], "recorded")
    recipe = short(Overrides(manifests=(recorded,)).load(recipe_named("wake_word")))
    assert recipe.phones.is_used
    data = read_data(recipe, [spoken])
    assert {clip.label for clip in data.domains[1].clips} == {"neg_speech", "noise"}
    model = train(recipe, data, tmp_path / "run")
    used = {source.name: source.clips for source in model.licences}
    pieces = list((tmp_path / "run").glob("pieces_*/manifest.csv"))
    said = [clip for path in pieces for clip in manifest.read(path)]
    assert {"computer"} <= {clip.label for clip in said} <= {"computer", "neg_phrase"}
    assert used["recorded"] == 3 + 4, "noise, sentences; the one that says the phrase is left out"
    assert used["pieces of recorded"] == len(said)
    whole = dataclasses.replace(recipe, data=tuple(dataclasses.replace(entry, positives=True) for entry in recipe.data))
    assert {clip.label for clip in read_data(whole, [spoken]).domains[1].clips} == {"computer", "neg_speech", "noise"}
    others = tuple(dataclasses.replace(entry, other_words=True) for entry in recipe.data)
    found = {clip.label for clip in read_data(dataclasses.replace(recipe, data=others), [spoken]).domains[1].clips}
    assert found == {"alexa", "neg_word", "neg_speech", "noise"}


@pytest.mark.train
@pytest.mark.parametrize(
    ("label_unit", "labels", "keywords"),
    [
        ("words", ("filler", "hey", "marvin", "alexa", "stop"), ((1, 2), (1, 3), (4,))),
        ("phrase", ("filler", "hey_marvin", "hey_alexa", "stop"), ((1,), (2,), (3,))),
    ],
)
def test_several_phrases_train_into_one_model(
    tmp_path: Path, clips: MakeClips, label_unit: str, labels: tuple[str, ...], keywords: tuple[tuple[int, ...], ...]
) -> None:
    phrases = ("hey marvin", "hey alexa", "stop")
    manifest_path = clips(tmp_path, [*map(slug, phrases), "neg_phrase", "neg_speech"])
    text = f'''phrases = ["hey marvin", "hey alexa", "stop"]
label_unit = "{label_unit}"
[detector]
max_frames = 100
[model.wren]
first_channels = 8
channels = 8
blocks = [3]
[train]
steps = 3
batch_clips = 6
dev_clips = 16
trials = 1
[quantize]
calibration_clips = 8
'''
    recipe = load_recipe(write(tmp_path, text))
    model = train(recipe, read_data(recipe, [manifest_path]), tmp_path / "run")
    assert (model.detector.phrases, model.detector.labels, model.detector.keywords) == (phrases, labels, keywords)
    assert model.graph.outputs == len(labels)
    assert len(model.thresholds) == 3
    assert load_model_again(model, tmp_path).detector == model.detector


def load_model_again(model: KwsModel, folder: Path) -> KwsModel:
    model_file.save(model, folder / "x.kws")
    return model_file.load(folder / "x.kws")


def test_recordings_alone_train_without_a_synthesizer(tmp_path: Path, clips: MakeClips) -> None:
    """A plain data set of words, such as Speech Commands: two of them are phrases, the others are filler."""
    clips(tmp_path, ["yes", "no", "maybe"], times=False)
    text = """phrases = ["yes", "no"]
[synthesis]
positives = 0
negatives = 0
[model.wren]
first_channels = 8
channels = 8
blocks = [3]
[train]
steps = 3
batch_clips = 6
dev_clips = 16
trials = 1
[quantize]
calibration_clips = 8
[[data]]
manifest = "manifest.csv"
"""
    model_path = train_recipe(load_recipe(write(tmp_path, text)), tmp_path / "out").path
    assert sorted(path.name for path in model_path.parent.iterdir()) == ["training", "yes+no.kws"], "nothing spoken"
    model = model_file.load(model_path)
    assert model.detector.labels == ("filler", "yes", "no")
    assert {point.phrase for point in model.operating_points} == {"yes", "no"}
    assert sum(source.clips for source in model.licences) == 9


def recipe_named(name: str) -> Path:
    return next(path for path in RECIPES if path.stem == name)


def test_the_published_recipe_is_as_published() -> None:
    recipe = load_recipe(recipe_named("deepkws_2014"))
    assert (recipe.label_unit, recipe.train.loss, recipe.model.name) == ("words", "frame", "deepkws")
    assert recipe.frontend == FrontendConfig()
    assert recipe.model.deepkws == DeepKwsConfig(layers=3, width=128, past_frames=30, future_frames=10)
    assert (recipe.detector.smooth_frames, recipe.detector.max_frames) == (30, 100)
    assert sum(parameter.numel() for parameter in build_model(recipe).parameters()) == 243_072 + 129 * 2
    config = recipe.train
    assert (config.batch_clips, config.frame_step) == (64, 4)
    assert (config.optimizer, config.learning_rate) == ("adamw", 2e-3)
    assert (config.average_decay, config.hard_weight, config.teacher_weight) == (0.0, 0.0, 1.0)


def test_the_two_papers_are_trained_alike() -> None:
    deepkws, cnn = (load_recipe(recipe_named(name)) for name in ("deepkws_2014", "cnn_2015"))
    trained = dataclasses.replace(cnn.train, label_before_ms=100, label_after_ms=200, label_guard_ms=200)  # not used
    assert dataclasses.replace(cnn, model=deepkws.model, train=trained) == deepkws
    assert cnn.model.name == "cnn"


def test_the_default_is_our_own_model() -> None:
    recipe = Recipe("smart mirror")
    assert (recipe.model.name, recipe.labels(), recipe.train.loss) == ("wren", ("filler", "smart_mirror"), "frame")
    assert sum(parameter.numel() for parameter in build_model(recipe).parameters()) < 25_000


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
        ("", "phrase is missing; give phrase = "),
        ('phrase = "computer"\nphrases = ["yes", "no"]', "phrase and phrases are both given"),
        ("phrases = []", "phrase is missing"),
        ('phrases = ["yes", "!?"]', "cannot|can be spoken"),
        ('phrases = ["yes", "Yes!"]', "'Yes!' is part of 'yes'"),
        ('phrases = ["hey marvin", "marvin"]', "'marvin' is part of 'hey marvin'"),
        (
            'phrases = ["go left", "left go"]\nlabel_unit = "words"\n[detector]\nmax_frames = 100',
            "same words in another order; set label_unit",
        ),
        ('phrases = ["yes", "no"]\nlabel_unit = "syllables"', "key 'label_unit' is 'syllables'"),
        ('phrase = "hey marvin"\nlabel_unit = "words"', r"detector\.max_frames must be above 1 with label_unit"),
        (
            'phrase = "a"\n[synthesis]\npositives = 0\n[[data]]\nmanifest = "m.csv"\npositives = false',
            "change one of them",
        ),
        ('phrase = "computer"\n[synthesis]\npositives = 0', r"synthesis\.positives is 0 and no \[\[data\]\]"),
        ('phrase = "!?"', "cannot|can be spoken"),
        (
            'phrase = "'
            + " ".join(f"w{n}" for n in range(64))
            + '"\nlabel_unit = "words"\n[detector]\nmax_frames = 100',
            "phrases have 64 words in all; give at most 63",
        ),
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
    longer = DetectorSettings(max_frames=100)
    recipe = Recipe("filler, no no", label_unit="words", detector=longer)
    assert recipe.labels() == ("filler", "filler_2", "no", "no_2")
    assert re.fullmatch(r"[0-9a-f]{16}", config_hash(recipe))


def test_a_corpus_that_is_not_there_is_asked_for() -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "recipes" / "wake_word.toml")
    with pytest.raises(KwsError, match=r"corpus/manifest\.csv: is not there; name the folder .* by --data DIR"):
        read_data(recipe)
