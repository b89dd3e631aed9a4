"""From transcribed recordings (here said by espeak-ng) to phones, pieces and a model that learned from both."""

import csv
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from kws.audio import read_audio, write_audio
from kws.config import load
from kws.data import manifest
from kws.data.examples.pool import UNKNOWN_PHONE
from kws.data.manifest import Clip
from kws.data.phones.config import PhonesConfig
from kws.data.synthesis.voices.espeak import EspeakVoice
from kws.data.synthesis.voices.voice import Style
from kws.data.transcripts import Transcripts, Utterance
from kws.errors import KwsError
from kws.frontend import compute
from kws.models.configs import DeepKwsConfig, ModelConfig
from kws.recipe import Recipe
from kws.recipe.train import TeacherConfig
from kws.train.phones import align as phones
from kws.train.phones.recognizer import Effort
from kws.train.recipe_data import read_data
from kws.train.run import build_models, teacher_recipe, train

pytestmark = pytest.mark.train

TEXTS = (
    "hay may make him happy again",
    "the marble was carved in the garden",
    "a marvellous vineyard stands there in may",
    "hey, they may leave in the evening",
    "our car vines are in the market",
    "stay, martin, and have it again",
    "have a garden",
    "stay in may",
)
VARIANTS = ("Alex", "f2", "m3", "f4")
SAID = "well hey marvin said the man"
SMALL = Effort(channels=32, blocks=1, kernel=7, rounds=(160, 60), batch=8, crop_frames=150)
CONFIG = PhonesConfig(pieces=4, near_pieces=8, weight=0.3, layer=0, delay_ms=40)


@pytest.fixture(scope="module", autouse=True)
def small_effort() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phones, "EFFORT", SMALL)
        patch.setattr(phones, "LEAST_HOURS", 0.01)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of each voice: every text after 0.3 s of silence, in all but the last the phrase in the middle."""
    folder = tmp_path_factory.mktemp("recordings")
    clips, rows = [], []
    for variant in VARIANTS:
        voice = EspeakVoice("gmw/en-US", "en-us", variant)
        parts, at = [], 0
        for text in (*TEXTS[:3], *((SAID,) if variant != VARIANTS[-1] else ()), *TEXTS[3:]):
            samples = np.concatenate([np.zeros(4800, np.int16), voice.say(text, Style()).samples])
            rows.append((f"{variant}.wav", at / 16000, (at + len(samples)) / 16000, text.upper()))
            parts.append(samples)
            at += len(samples)
        write_audio(folder / f"{variant}.wav", np.concatenate(parts))
        path = str(folder / f"{variant}.wav")
        clips.append(Clip(path, "train", "neg_speech", variant, f"book of {variant}", "CC0", at / 16000))
    manifest.write(clips, folder / "manifest.csv")
    with (folder / "utterances.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "start_s", "end_s", "transcript"), *rows])
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def recipe(tiny: Recipe) -> Recipe:
    config = dataclasses.replace(tiny.train, frame_step=1, steps=6, trials=2)
    return dataclasses.replace(tiny, phones=CONFIG, train=config)


Heard = tuple[list[Clip], Transcripts]


@pytest.fixture
def heard(recipe: Recipe, recordings: Path) -> Heard:
    data = read_data(recipe, [recordings])
    return list(data.clips), data.transcripts


@pytest.fixture(scope="module")
def found(
    small_effort: None, recipe: Recipe, recordings: Path, tmp_path_factory: pytest.TempPathFactory
) -> phones.PhoneLabels:
    data = read_data(recipe, [recordings])
    return phones.prepare(recipe, data.clips, data.transcripts, tmp_path_factory.mktemp("found"))


def test_every_frame_of_every_transcript_gets_a_phone(found: phones.PhoneLabels, heard: Heard, recipe: Recipe) -> None:
    clips, said = heard
    assert set(found.by_path) == {clip.path for clip in clips}
    known = []
    for path, labels in found.by_path.items():
        assert labels.max() < len(found.symbols)
        for utterance in said[path]:
            part = labels[int(utterance.start_s * 100) + 2 : int(utterance.end_s * 100) - 4]
            if utterance.transcript == SAID.upper():
                assert (part == UNKNOWN_PHONE).all(), "the phrase is said here"
            else:
                known.append(float((part != UNKNOWN_PHONE).mean()))
    assert set(known) <= {0.0, 1.0}
    assert np.mean(known) > 0.7  # what the small recognizer finds unlike its transcript is left out


def test_phones_are_heard_where_they_are_said(found: phones.PhoneLabels, heard: Heard) -> None:
    """Every utterance begins with 0.3 s of silence: most of it is no phone, and what follows is."""
    said = heard[1]
    quiet, spoken = [], []
    for path, labels in found.by_path.items():
        for utterance in said[path]:
            begin = int(utterance.start_s * 100)
            part = labels[begin + 3 : begin + 25]
            if (part != UNKNOWN_PHONE).all():
                quiet.append((part == 0).mean())
                spoken.append((labels[begin + 40 : begin + 100] == 0).mean())
    assert np.mean(quiet) > 0.8
    assert np.mean(spoken) < 0.3


def test_the_phrase_is_said_in_pieces_of_what_does_not_hold_it(found: phones.PhoneLabels) -> None:
    assert found.pieces is not None
    clips = manifest.read(found.pieces)
    labels = [clip.label for clip in clips]
    assert labels.count("hey_marvin") == 4
    assert 1 <= labels.count("neg_phrase") == len(clips) - 4 <= 8  # few of their sounds stand before a pause here
    assert all(clip.source.startswith("pieces of book of ") for clip in clips)
    assert all(0.2 < clip.duration_s < 3.0 for clip in clips)


def test_an_utterance_that_says_the_phrase_is_not_used(recipe: Recipe, heard: Heard) -> None:
    clips, said = heard
    texts = [one.text for one in phones._utterances(recipe, said, clips[0])]
    assert texts == list(TEXTS)
    other = dataclasses.replace(recipe, phrase="garden")
    texts = [one.text for one in phones._utterances(other, said, clips[0])]
    assert sorted(texts) == sorted(text for text in (*TEXTS, SAID) if "garden" not in text)


def test_an_utterance_s_features_are_the_recording_s(recipe: Recipe, heard: Heard) -> None:
    """So its frame n is the recording's frame first_hop + n, whatever the utterance's first second."""
    clips, said = heard
    whole = compute(read_audio(Path(clips[0].path)), recipe.frontend)
    for one in phones._utterances(recipe, said, clips[0]):
        assert np.array_equal(one.features, whole[one.first_hop : one.first_hop + len(one.features)])


def test_what_was_found_is_read_again_and_made_again_when_it_is_gone(
    found: phones.PhoneLabels, recipe: Recipe, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found.pieces is not None
    directory = found.pieces.parent.parent
    made: list[int] = []
    align = phones._align

    def noted(*args: object) -> object:
        made.append(1)
        return align(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(phones, "_align", noted)
    again = phones.prepare(recipe, *heard, directory)
    assert (again.symbols, again.pieces, again.name, made) == (found.symbols, found.pieces, found.name, [])
    assert all(np.array_equal(again.by_path[path], labels) for path, labels in found.by_path.items())
    clips = [Path(clip.path).read_bytes() for clip in manifest.read(found.pieces)]
    found.pieces.unlink()
    again = phones.prepare(recipe, *heard, directory)
    assert made == [1]
    assert [Path(clip.path).read_bytes() for clip in manifest.read(found.pieces)] == clips
    assert all(np.array_equal(again.by_path[path], labels) for path, labels in found.by_path.items())
    kept = directory / f"phones_{found.name}.npz"
    content = kept.read_bytes()
    kept.write_bytes(content[:100])
    with pytest.raises(KwsError, match=r"phones_.*\.npz: is damaged .*; remove it, and it is made again"):
        phones.prepare(recipe, *heard, directory)
    kept.write_bytes(content)


def test_other_transcripts_and_other_phrases_are_other_phones(recipe: Recipe, heard: Heard) -> None:
    clips, said = heard
    corrected = {**said, clips[0].path: (Utterance(0.0, 3.0, "something else"),)}
    names = {
        phones._identity(recipe, clips, said),
        phones._identity(recipe, clips, corrected),
        phones._identity(recipe, clips[:2], said),
        phones._identity(dataclasses.replace(recipe, phrase="hello"), clips, said),
        phones._identity(dataclasses.replace(recipe, phones=PhonesConfig(pieces=1)), clips, said),
    }
    assert len(names) == 5
    weighted = dataclasses.replace(recipe, phones=dataclasses.replace(CONFIG, weight=1.0, layer=1))
    assert phones._identity(weighted, clips, said) == phones._identity(recipe, clips, said)


def test_too_little_speech_is_said(
    recipe: Recipe, heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips, said = heard
    with pytest.raises(KwsError, match=r"has 0\.0 minutes of transcribed training speech and needs 1; add a manifest"):
        phones.prepare(recipe, clips, {}, tmp_path)
    monkeypatch.setattr("kws.train.phones.recognizer.LEAST_SCORE", 1e9)
    with pytest.raises(KwsError, match=r"as far as its transcripts fit the recordings, 0\.0 minutes"):
        phones.prepare(recipe, clips, said, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_phrase_whose_sounds_nobody_makes_is_told(
    found: phones.PhoneLabels, recipe: Recipe, heard: Heard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dataclasses.replace(recipe, phrase="joy", phones=PhonesConfig(pieces=2))
    labels = phones.prepare(other, *heard, tmp_path)
    assert "the recordings lack sounds of 'joy'; there are no pieces of it" in capsys.readouterr().err
    assert labels.pieces is not None
    assert manifest.read(labels.pieces) == []


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_main_accent_is_one_of_the_language(language: str, recipe: Recipe) -> None:
    other = dataclasses.replace(recipe, synthesis=dataclasses.replace(recipe.synthesis, language=language))
    assert phones._main_accent(other) == {"en": "gmw/en-US", "de": "gmw/de"}[language]


def small(layers: int, width: int) -> ModelConfig:
    return ModelConfig("deepkws", DeepKwsConfig(layers=layers, width=width, past_frames=12, future_frames=4))


@pytest.mark.train
def test_a_whole_training_with_pieces_phones_and_a_teacher(
    recipe: Recipe, clips_manifest: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative folders, as they are typed; run again, it ends where it ended."""
    monkeypatch.chdir(tmp_path)
    taught = dataclasses.replace(recipe, model=small(1, 8), teacher=TeacherConfig(4, 1e-2, small(2, 16)))
    model = train(taught, read_data(taught, [clips_manifest, recordings]), Path("run"))
    names = {source.name for source in model.licences}
    assert any(name.startswith("pieces of book of") for name in names)
    assert {"book of f4", "voice hey_marvin"} < names
    assert "book of Alex" not in names, "the phrase is said in it: it gives pieces alone"
    assert len(list(Path("run").glob("teacher_*.pt"))) == len(list(Path("run").glob("checkpoint_*.pt"))) == 1
    kept = {path: path.stat().st_mtime_ns for path in Path("run").glob("phones_*.npz")}
    again = train(taught, read_data(taught, [clips_manifest, recordings]), Path("run"))
    assert again.thresholds == model.thresholds
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    assert len(kept) == 1


def test_the_teacher_is_known_by_what_it_learned_from_alone(recipe: Recipe) -> None:
    one = dataclasses.replace(recipe, teacher=TeacherConfig(4, 1e-2, small(2, 16)))
    slower = dataclasses.replace(one.train, steps=9, learning_rate=1e-4, teacher_weight=0.3)
    other = dataclasses.replace(one, model=small(1, 8), train=slower)
    assert teacher_recipe(one) == teacher_recipe(other)
    assert teacher_recipe(one).train.steps == 4
    assert teacher_recipe(one).model == small(2, 16)
    longer = dataclasses.replace(one, teacher=dataclasses.replace(one.teacher, steps=5))
    assert teacher_recipe(longer) != teacher_recipe(one)


def test_models_that_do_not_fit_are_refused_before_anything_is_made(
    recipe: Recipe, recordings: Path, tmp_path: Path
) -> None:
    late = ModelConfig("deepkws", DeepKwsConfig(layers=2, width=8, past_frames=12, future_frames=6))
    taught = dataclasses.replace(recipe, teacher=TeacherConfig(4, 1e-2, late))
    with pytest.raises(KwsError, match=r"teacher\.model decides at other times than the model"):
        train(taught, read_data(taught, [recordings]), tmp_path / "run")
    deep = dataclasses.replace(recipe, phones=dataclasses.replace(CONFIG, layer=5))
    with pytest.raises(KwsError, match=r"phones\.layer is 5, but DeepKws has 2 ReLUs"):
        train(deep, read_data(deep, [recordings]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert build_models(recipe)[1] is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train": {"frame_step": 2}, "phones": {"weight": 1.0}}, "train.frame_step must be 1"),
        ({"train": {"frame_step": 2}, "teacher": {"steps": 5}}, "train.frame_step must be 1"),
        (
            {"train": {"shards": "x/*.tar"}, "phones": {"pieces": 5}},
            "train.shards cannot be used with phones or pieces",
        ),
        ({"phones": {"pretrain_steps": 5}}, "phones.pretrain_steps needs phones.weight above 0"),
        ({"train": {"steps": 10}, "phones": {"weight": 1.0, "pretrain_steps": 10}}, "must be less than train.steps"),
        ({"teacher": {"steps": 5}, "phones": {"weight": 1.0, "pretrain_steps": 5}}, "and teacher.steps"),
        ({"phones": {"kept_share": 0.0}}, "kept_share"),
        ({"phones": {"slowest": 0.5}}, "slowest"),
        ({"teacher": {"learning_rate": 0.0}}, "learning_rate"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(changes: dict[str, dict[str, object]], sentence: str) -> None:
    with pytest.raises(KwsError, match=sentence):
        load(Recipe, {"phrase": "computer", **changes}, "recipe")


def test_transcripts_are_found_whatever_way_the_manifest_is_named(
    recipe: Recipe, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recipes name manifests relative to their own file: ../corpus/manifest.csv."""
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path / "recipes")
    way = Path("..", "..", *_from_common(recordings, tmp_path.parent))
    data = read_data(recipe, [way])
    assert {clip.path for clip in data.clips} == set(data.transcripts)


def _from_common(path: Path, folder: Path) -> Sequence[str]:
    return path.relative_to(folder).parts
