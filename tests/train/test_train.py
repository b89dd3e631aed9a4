"""From clips to a detector: that a tiny task is learned with either loss, and what a run leaves behind."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kws.config import config_hash, to_data
from kws.data.examples.batches import DrawnBatches
from kws.data.examples.pool import read_pool
from kws.data.manifest import Clip, Word
from kws.data.shards import write as shards
from kws.data.transcripts import Utterance
from kws.detector import pipeline
from kws.detector.decision import SCORE_ONE
from kws.detector.model_file import KwsModel, load, save
from kws.errors import KwsError
from kws.frontend import FrontendConfig
from kws.graph.check import check
from kws.models.configs import ModelConfig
from kws.recipe import DataConfig, Recipe
from kws.recipe.train import TrainConfig
from kws.train.clips import identity, ledger, pool_of
from kws.train.fit.logs import Logs, Meter
from kws.train.fit.loop import Task, Trainer
from kws.train.fit.update import schedule
from kws.train.recipe_data import Domain, RecipeData, read_data
from kws.train.run import build_model, draw, train
from kws.train.selection import HeldOut, Trial

pytestmark = pytest.mark.train

RATE = 16000
Say = Callable[[str, np.random.Generator], tuple[NDArray[np.int16], tuple[Word, ...]]]
MakeTask = Callable[..., Task]


@pytest.fixture(scope="module")
def trained(
    clips_manifest: Path, tiny: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[KwsModel, Path, Recipe]:
    recipe = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, tensorboard=True))
    directory = tmp_path_factory.mktemp("run") / "training"
    return train(recipe, read_data(recipe, [clips_manifest]), directory), directory, recipe


def best_scores(model: KwsModel, say: Say) -> dict[str, float]:
    """The median of the highest confidences in clips of each kind."""
    rng = np.random.default_rng(5)
    gap = np.zeros(RATE, np.int16)

    def score(kind: str) -> int:
        return int(pipeline.scores(model, np.concatenate([gap, say(kind, rng)[0], gap])).max())

    kinds = ("hey_marvin", "neg_phrase", "neg_speech")
    return {kind: float(np.median([score(kind) for _ in range(8)])) for kind in kinds}


def test_a_tiny_task_is_learned_and_comes_out_as_a_detector(trained: tuple[KwsModel, Path, Recipe], say: Say) -> None:
    model, directory, _ = trained
    check(model.graph)
    report = json.loads((directory / "training.json").read_text())
    assert report["best"]["false_reject_rate"] < 0.35
    assert report["trials"][-1]["loss"] < 0.8 * report["trials"][0]["loss"]
    assert 0.0 <= report["waited_share"] <= 1.0
    assert report["examples_per_s"] > 0.0
    assert report["quantization"]["posterior_mean"] < 0.02
    assert list(model.thresholds) == report["best"]["thresholds"]
    assert 0 < model.thresholds[0] <= SCORE_ONE
    scores = best_scores(model, say)
    assert scores["hey_marvin"] > max(scores["neg_phrase"], scores["neg_speech"])


@pytest.mark.parametrize("unit", ["words", "phrase"])
def test_max_pooling_learns_it_too(unit: str, tiny: Recipe, clips_manifest: Path, tmp_path: Path, say: Say) -> None:
    config = dataclasses.replace(tiny.train, loss="max_pool", steps=80, trials=1, average_decay=0.9)
    recipe = dataclasses.replace(tiny, label_unit=unit, train=config)  # type: ignore[arg-type]
    scores = best_scores(train(recipe, read_data(recipe, [clips_manifest]), tmp_path), say)
    assert scores["hey_marvin"] > max(scores["neg_phrase"], scores["neg_speech"])


def test_the_product_says_what_it_was_made_of(trained: tuple[KwsModel, Path, Recipe], tmp_path: Path) -> None:
    model, _, recipe = trained
    assert model.recipe == to_data(recipe)
    assert model.recipe_hash == config_hash(recipe)
    assert model.detector.labels == ("filler", "hey", "marvin")
    assert model.graph.latency_frames == 4
    assert [(source.name, source.licence, source.clips) for source in model.licences] == [
        ("voice hey_marvin", "CC0", 12),
        ("voice neg_phrase", "CC0", 12),
        ("voice neg_speech", "CC0", 12),
    ]
    save(model, tmp_path / "model.kws")
    assert load(tmp_path / "model.kws").recipe_hash == model.recipe_hash


def test_a_finished_run_is_taken_up_and_gives_the_same_model(
    trained: tuple[KwsModel, Path, Recipe], clips_manifest: Path, tmp_path: Path
) -> None:
    model, directory, recipe = trained
    again = train(recipe, read_data(recipe, [clips_manifest]), directory)
    save(model, tmp_path / "one.kws")
    save(again, tmp_path / "two.kws")
    assert (tmp_path / "one.kws").read_bytes() == (tmp_path / "two.kws").read_bytes()


def test_curves_are_logged_for_tensorboard(trained: tuple[KwsModel, Path, Recipe]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = EventAccumulator(str(trained[1] / "tensorboard"))
    curves.Reload()
    names = curves.Tags()["scalars"]
    for name in ("loss", "learning_rate", "gradient_norm", "waited_share", "examples_per_s"):
        assert f"train/{name}" in names
    losses = curves.Scalars("train/loss")
    assert [point.step for point in losses] == list(range(20, 150, 20))
    assert losses[-1].value < losses[0].value
    report = json.loads((trained[1] / "training.json").read_text())
    rates = [point.value for point in curves.Scalars("held_out/false_reject_rate")]
    assert rates == pytest.approx([trial["false_reject_rate"] for trial in report["trials"]])
    assert any(name.startswith("held_out_false_reject_rate/corpus") for name in names)


def test_curves_of_a_run_taken_up_again_have_every_point_once(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first, last in ((0, 90), (60, 120)):  # broken off after step 90; its last checkpoint is of step 60
        logs, meter = Logs(tmp_path, first), Meter()
        for step in range(first + 1, last + 1):
            logs.step(step, float(first), 1.0, 0.1, meter)
            if step % 30 == 0:
                logs.trial(Trial(step, 0.5, 0.5, 0.5, 1.0, (1,)))
        logs.close()
    curves = EventAccumulator(str(tmp_path))
    curves.Reload()
    assert [(point.step, point.value) for point in curves.Scalars("train/loss")] == [
        *((20, 0.0), (40, 0.0), (60, 0.0)),
        *((80, 60.0), (100, 60.0), (120, 60.0)),
    ]
    assert [point.step for point in curves.Scalars("held_out/loss")] == [30, 60, 90, 120]


def test_tensorboard_is_not_imported_where_it_is_switched_off() -> None:
    code = "import sys; from kws.train.fit.logs import Logs; Logs(None, 0); print('tensorboard' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_best_state_is_kept_not_the_last(
    make_task: MakeTask, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks that find step 4 best: its weights are what remains, although training went on."""
    rates = {2: 0.9, 4: 0.2, 6: 0.5}
    monkeypatch.setattr(HeldOut, "trial", lambda _, model, step: Trial(step, rates[step], rates[step], 0.0, 1.0, (1,)))
    config = dataclasses.replace(tiny.train, steps=6, trials=3)
    until_4 = Trainer(build_model(tiny), dataclasses.replace(config), make_task(tmp_path), resume=False)
    until_4.fit(until=4)
    trainer = Trainer(build_model(tiny), config, make_task(tmp_path), resume=False)
    fit = trainer.fit()
    assert (fit.best.step, trainer.step) == (4, 6)
    kept, wanted = trainer.updater.model.state_dict(), until_4.best_state
    assert all(torch.equal(kept[name], wanted[name]) for name in wanted)


def test_divergence_is_one_sentence(make_task: MakeTask, tiny: Recipe, tmp_path: Path) -> None:
    model = build_model(tiny)
    trainer = Trainer(model, tiny.train, make_task(tmp_path))
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(KwsError, match=r"not a number at step 0; lower train\.learning_rate"):
        trainer.fit()


def test_the_gradient_is_cut_down(make_task: MakeTask, tiny: Recipe, tmp_path: Path) -> None:
    """The norm that is told is the one before the cut; the update itself is bounded."""
    config = dataclasses.replace(tiny.train, gradient_norm=1e-4)
    trainer = Trainer(build_model(tiny), config, make_task(tmp_path), resume=False)
    done = trainer.updater.update(trainer.task.examples.batch(0, 16))
    gradients = [parameter.grad for parameter in trainer.updater.model.parameters()]
    assert done.gradient_norm > 1e-3
    norm = torch.linalg.vector_norm(torch.cat([gradient.flatten() for gradient in gradients if gradient is not None]))
    assert norm.item() == pytest.approx(1e-4, rel=0.05)


def test_schedule_warms_up_and_ends_at_nothing() -> None:
    config = TrainConfig(steps=100, warmup_share=0.1)
    rates = [schedule(step, config) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert max(rates) == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3


def test_shards_are_trained_from(tiny: Recipe, clips_manifest: Path, tmp_path: Path) -> None:
    pool = read_pool(read_data(tiny, [clips_manifest]).clips, tiny.phrase, "train")
    drawn = DrawnBatches(pool, tiny.frontend, tiny.examples, tiny.augment, (0, 0))
    shards.write_shards(drawn, tiny.wake_phrases, tmp_path / "shards", 48, 2, processes=1)
    config = dataclasses.replace(tiny.train, steps=4, trials=1, shards=str(tmp_path / "shards" / "*.tar"))
    recipe = dataclasses.replace(tiny, train=config)
    model = train(recipe, read_data(recipe, [clips_manifest]), tmp_path / "run")
    assert [source.name for source in model.licences] == ["voice hey_marvin", "voice neg_phrase", "voice neg_speech"]
    other = dataclasses.replace(recipe, frontend=FrontendConfig(bands=20))
    with pytest.raises(KwsError, match="written for another frontend than the recipe's"):
        train(other, read_data(other, [clips_manifest]), tmp_path / "other")


def test_a_run_that_cannot_be_written_is_refused(tiny: Recipe, clips_manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KwsError, match="cannot be made a folder"):
        train(tiny, read_data(tiny, [clips_manifest]), tmp_path / "file")


def test_recipe_data_adds_clips_by_label(tiny: Recipe, clips_manifest: Path) -> None:
    recipe = dataclasses.replace(tiny, data=(DataConfig(str(clips_manifest), ("neg_speech",)),))
    assert {clip.label for clip in read_data(recipe, []).clips} == {"neg_speech"}
    wrong = dataclasses.replace(tiny, data=(DataConfig(str(clips_manifest), ("speech",)),))
    with pytest.raises(KwsError, match="no clip with label 'speech'"):
        read_data(wrong)


def test_what_the_recipes_data_names_is_recorded_and_what_was_synthesized_is_not(
    tiny: Recipe, clips_manifest: Path
) -> None:
    """Each clip of the manifest is a recording where the recipe's data names it, none where it was handed over."""
    recipe = dataclasses.replace(tiny, data=(DataConfig(str(clips_manifest)),))
    for named, manifests, is_recorded in ((recipe, [], True), (tiny, [clips_manifest], False)):
        pool = pool_of(named, read_data(named, manifests), "train")
        assert pool.positives
        assert {item.recorded for group in pool.groups() for item in group} == {is_recorded}


def test_speech_that_says_the_phrase_by_its_transcript_is_no_negative(tiny: Recipe, clips_manifest: Path) -> None:
    data = read_data(tiny, [clips_manifest])
    plain = pool_of(tiny, data, "train")
    said = {
        plain.speech[0].clip.path: (Utterance(0.0, 0.3, "GOOD MORNING"), Utterance(0.3, 0.5, "OH, HEY MARVIN!")),
        plain.speech[1].clip.path: (Utterance(0.0, 0.5, "HEY MARTIN"),),
        plain.positives[0].clip.path: (Utterance(0.0, 0.5, "HEY MARVIN"),),
    }
    told = dataclasses.replace(data, corpora=(dataclasses.replace(data.corpora[0], transcripts=said),))
    pool = pool_of(tiny, told, "train")
    assert [item.clip for item in pool.speech] == [item.clip for item in plain.speech[1:]]
    assert [item.clip for item in pool.positives] == [item.clip for item in plain.positives]


def test_a_length_that_the_manifest_leaves_empty_is_the_file_s(
    tiny: Recipe, clips_manifest: Path, tmp_path: Path
) -> None:
    text = clips_manifest.read_text().splitlines()
    place = text[0].split(",").index("duration_s")
    bare = [",".join("" if i == place else cell for i, cell in enumerate(row.split(",", 10))) for row in text[1:]]
    for path in clips_manifest.parent.glob("*.wav"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "manifest.csv").write_text("\n".join([text[0], *bare]) + "\n")
    full = dataclasses.replace(tiny, data=(DataConfig(str(clips_manifest)),))
    empty = dataclasses.replace(tiny, data=(DataConfig(str(tmp_path / "manifest.csv")),))
    for one, other in zip(read_data(full, []).clips, read_data(empty, []).clips, strict=True):
        assert other.duration_s == pytest.approx(one.duration_s, abs=1e-3) != 0.0


def test_a_run_goes_on_after_what_changes_no_weight_and_not_after_what_does(
    tiny: Recipe, clips_manifest: Path, tmp_path: Path
) -> None:
    data = read_data(tiny, [clips_manifest])
    clips = data.clips
    name = identity(tiny, data)
    for change in ({"workers": 2}, {"checkpoint_every_s": 9.0}, {"tensorboard": False}):
        train_config = TrainConfig(**{**vars(tiny.train), **change})
        assert identity(dataclasses.replace(tiny, train=train_config), data) == name
    here, there = (
        dataclasses.replace(tiny, data=(DataConfig(str(path)),)) for path in (clips_manifest, tmp_path / "x.csv")
    )
    assert identity(here, data) == identity(there, data) != name
    longer = dataclasses.replace(tiny, train=dataclasses.replace(tiny.train, steps=151))
    moved = (dataclasses.replace(clips[0], kw_start_s=0.1, kw_end_s=0.2), *clips[1:])
    fewer, other = (RecipeData((Domain("corpus", some),)) for some in (clips[1:], moved))
    said = {clips[0].path: (Utterance(0.0, 1.0, "hey marvin"),)}
    told = dataclasses.replace(data, corpora=(dataclasses.replace(data.corpora[0], transcripts=said),))
    others = [identity(longer, data), identity(tiny, other), identity(tiny, fewer), identity(tiny, told)]
    assert len({name, *others}) == 5


def test_a_run_from_shards_goes_on_with_the_same_shards_wherever_they_lie(tiny: Recipe, tmp_path: Path) -> None:
    def found(folder: str, examples: int) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "shard_000000.tar").touch()
        (tmp_path / folder / "shards.json").write_text(json.dumps({"format": 1, "examples": examples}))
        config = dataclasses.replace(tiny.train, shards=str(tmp_path / folder / "*.tar"))
        return identity(dataclasses.replace(tiny, train=config), RecipeData())

    assert found("here", 5) == found("there", 5) != found("there", 6)
    assert found("here", 5) != identity(tiny, RecipeData())


def test_a_frame_step_beyond_the_outputs_of_an_example_is_refused(
    tiny: Recipe, make_task: MakeTask, tmp_path: Path
) -> None:
    model = build_model(dataclasses.replace(tiny, model=ModelConfig("wren")))  # a third of an example's 148 frames
    config = dataclasses.replace(tiny.train, frame_step=50)
    with pytest.raises(KwsError, match=r"train\.frame_step is 50, but the model gives 49 outputs"):
        Trainer(model, config, make_task(tmp_path))


@pytest.mark.parametrize(("clips", "drawn"), [(16, 16), (32, 32), (50, 64)])
def test_no_fewer_examples_are_drawn_than_asked_for(
    make_task: MakeTask, tmp_path: Path, clips: int, drawn: int
) -> None:
    assert sum(len(batch.kinds) for batch in draw(make_task(tmp_path).examples, clips)) == drawn


def test_ledger_sums_by_source_and_licence() -> None:
    clips = [Clip("", "train", "x", "", "b", "CC0", 1800.0), Clip("", "train", "x", "", "a", "CC-BY", 360.0)]
    found = ledger([*clips, clips[0]])
    assert [(one.name, one.licence, one.clips, one.hours) for one in found] == [
        ("a", "CC-BY", 1, 0.1),
        ("b", "CC0", 2, 1.0),
    ]
