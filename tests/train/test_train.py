"""Training: the loss's targets, exact resumption, and that a tiny task is learned."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from kws import pipeline
from kws.audio import write_audio
from kws.config import config_hash, to_data
from kws.data import manifest
from kws.data.augment import AugmentConfig
from kws.data.examples import ExampleConfig
from kws.data.manifest import Clip, Word
from kws.data.pool import read_pool
from kws.detect import SCORE_ONE
from kws.errors import KwsError
from kws.frontend import FrontendConfig
from kws.graph.check import check
from kws.model_file import KwsModel, load, save
from kws.models.configs import DeepKwsConfig, ModelConfig
from kws.models.layers import Sequential
from kws.recipe import DataConfig, DetectorSettings, QuantizeConfig, Recipe, TrainConfig
from kws.train import checkpoint
from kws.train.held_out import threshold_at
from kws.train.loop import Task, Trainer, schedule
from kws.train.loss import UNKNOWN, frame_loss, targets
from kws.train.run import TRAIN, _dataset, _draw, build_model, ledger, read_clips, train

RATE = 16000
EASY = AugmentConfig(snr_db_min=10.0, snr_db_max=30.0, room_share=0.1, equalizer_db=2.0, level_dbfs_min=-35.0)
TINY = Recipe(
    phrase="hey marvin",
    frontend=FrontendConfig(bands=16),
    examples=ExampleConfig(window_ms=1500, cut_weight=0.0),
    augment=EASY,
    model=ModelConfig(deepkws=DeepKwsConfig(layers=2, width=24, past_frames=12, future_frames=4)),
    train=TrainConfig(
        steps=150, batch_clips=16, learning_rate=1e-2, trials=3, dev_clips=96, frame_step=2, workers=1, threads=1
    ),
    quantize=QuantizeConfig(calibration_clips=32),
    detector=DetectorSettings(smooth_frames=10, max_frames=60),
)


def sweep(start_hz: float, end_hz: float, seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """A gliding tone with overtones: this test's speech."""
    hertz = np.linspace(start_hz, end_hz, int(seconds * RATE)) * rng.uniform(0.9, 1.1)
    turn = 2 * np.pi * np.cumsum(hertz) / RATE
    return np.asarray(3000.0 * (np.sin(turn) + np.sin(2 * turn) / 2 + np.sin(3 * turn) / 3))


def say(kind: str, rng: np.random.Generator) -> tuple[NDArray[np.int16], tuple[Word, ...]]:
    """ "hey" rises, "marvin" falls; near: one of them alone; speech: level tones."""
    silence = np.zeros(RATE // 10)
    up, down = sweep(300, 900, 0.2, rng), sweep(2000, 800, 0.25, rng)
    parts = {"hey_marvin": [up, down], "neg_phrase": [up if rng.random() < 0.5 else down]}
    parts["neg_speech"] = [sweep(hertz, hertz, 0.2, rng) for hertz in rng.uniform(200, 2000, 4)]
    samples = np.concatenate([silence, *parts[kind], silence]).astype(np.int16)
    return samples, (Word("hey", 0.1, 0.3), Word("marvin", 0.3, 0.55)) if kind == "hey_marvin" else ()


@pytest.fixture(scope="module")
def clips_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    clips = []
    for split, count in (("train", 12), ("dev", 6)):
        for kind in ("hey_marvin", "neg_phrase", "neg_speech"):
            for number in range(count):
                samples, words = say(kind, rng)
                path = folder / f"{split}_{kind}_{number}.wav"
                write_audio(path, samples)
                source, seconds = f"voice {kind}", len(samples) / RATE
                clips.append(Clip(str(path), split, kind, f"{split} ann", source, "CC0", seconds, words=words))
    manifest.write(clips, folder / "manifest.csv")
    return folder / "manifest.csv"


def task(manifest_path: Path, directory: Path, recipe: Recipe = TINY) -> Task:
    clips = read_clips(recipe, [manifest_path])
    return Task(
        examples=_dataset(recipe, read_pool(clips, recipe.phrase, "train"), TRAIN),
        held_out=_draw(recipe, read_pool(clips, recipe.phrase, "dev"), 1, recipe.train.dev_clips, "Held-out clips"),
        detector=recipe.detector_config(),
        step_ms=10,
        edge_frames=2,
        identity="0123",
        checkpoint=directory / "checkpoint.pt",
    )


def weights(model: Sequential) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


@pytest.fixture(scope="module")
def trained(clips_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[KwsModel, Path]:
    directory = tmp_path_factory.mktemp("run") / "training"
    return train(TINY, [clips_manifest], directory), directory


def test_a_tiny_task_is_learned_and_comes_out_as_a_detector(trained: tuple[KwsModel, Path]) -> None:
    model, directory = trained
    check(model.graph)
    report = json.loads((directory / "training.json").read_text())
    assert report["best"]["false_reject_rate"] < 0.35
    assert report["trials"][-1]["loss"] < 0.8 * report["trials"][0]["loss"]
    assert 0.0 <= report["waited_share"] <= 1.0
    assert report["quantization"]["posterior_mean"] < 0.02
    assert 0 < model.threshold <= SCORE_ONE
    rng = np.random.default_rng(5)
    gap = np.zeros(RATE, np.int16)
    scores = {
        kind: [int(pipeline.scores(model, np.concatenate([gap, say(kind, rng)[0], gap])).max()) for _ in range(8)]
        for kind in ("hey_marvin", "neg_phrase", "neg_speech")
    }
    assert np.median(scores["hey_marvin"]) > max(np.median(scores["neg_phrase"]), np.median(scores["neg_speech"]))


def test_the_product_says_what_it_was_made_of(trained: tuple[KwsModel, Path], tmp_path: Path) -> None:
    model, _ = trained
    assert model.recipe == to_data(TINY)
    assert model.recipe_hash == config_hash(TINY)
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
    trained: tuple[KwsModel, Path], clips_manifest: Path, tmp_path: Path
) -> None:
    model, directory = trained
    again = train(TINY, [clips_manifest], directory)
    save(model, tmp_path / "one.kws")
    save(again, tmp_path / "two.kws")
    assert (tmp_path / "one.kws").read_bytes() == (tmp_path / "two.kws").read_bytes()


def test_resumed_equals_uninterrupted(clips_manifest: Path, tmp_path: Path) -> None:
    short = dataclasses.replace(TINY.train, steps=12, trials=4)
    whole, broken, resumed = (build_model(TINY) for _ in range(3))
    (tmp_path / "whole").mkdir()
    one = Trainer(whole, short, task(clips_manifest, tmp_path / "whole")).fit()
    # Stopped after step 8, where the last checkpoint is from step 6; other objects go on from there.
    Trainer(broken, short, task(clips_manifest, tmp_path)).fit(until=8)
    second = Trainer(resumed, short, task(clips_manifest, tmp_path))
    assert second.step == 6
    two = second.fit()
    assert one.trials == two.trials
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(a, b)


def test_another_seed_gives_another_model(clips_manifest: Path, tmp_path: Path) -> None:
    short = dataclasses.replace(TINY.train, steps=2, trials=1)
    found = []
    for seed in (0, 0, 1):
        recipe = dataclasses.replace(TINY, seed=seed)
        model = build_model(recipe)
        Trainer(model, short, task(clips_manifest, tmp_path, recipe), resume=False).fit()
        found.append(weights(model))
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(found[0], found[2], strict=True))


def test_the_best_state_is_kept_not_the_last(
    clips_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks that find step 4 best: its weights are what remains, although training went on."""
    rate = 1.0
    monkeypatch.setattr("kws.train.held_out.false_rejects", lambda *_: rate)
    trainer = Trainer(
        build_model(TINY), dataclasses.replace(TINY.train, steps=6, trials=3), task(clips_manifest, tmp_path)
    )
    states = []
    for step, rate in ((2, 0.9), (4, 0.2), (6, 0.5)):  # noqa: B007 (the patched function reads it)
        while trainer.step < step:
            trainer._train_step(trainer.task.examples.batch(trainer.step, 16))
        states.append(weights(trainer.model))
        trainer._try_out()
    assert trainer.fit().best.step == 4
    kept = weights(trainer.model)
    assert all(torch.equal(a, b) for a, b in zip(states[1], kept, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(states[2], kept, strict=True))


def test_divergence_is_one_sentence(clips_manifest: Path, tmp_path: Path) -> None:
    model = build_model(TINY)
    trainer = Trainer(model, TINY.train, task(clips_manifest, tmp_path))
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(KwsError, match=r"not a number at step 0; lower train\.learning_rate"):
        trainer.fit()


def test_targets_come_late_and_edges_are_unknown() -> None:
    labels = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 0, 0]])
    assert targets(labels, 0, 0).tolist() == labels.tolist()
    late = targets(labels, 3, 0)
    assert late[0, :3].tolist() == [UNKNOWN] * 3
    assert late[0, 3:].tolist() == labels[0, :-3].tolist()
    known = targets(labels, 0, 2)
    assert known.tolist() == [[0, 0, *[UNKNOWN] * 10]]
    assert targets(labels, 0, 1).tolist() == [[0, 0, 0, UNKNOWN, UNKNOWN, 1, 1, *[UNKNOWN] * 4, 0]]


def test_loss_is_the_weighted_cross_entropy() -> None:
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]]])
    losses = -torch.log_softmax(logits, dim=-1)
    wanted = (losses[0, 0, 0] + 3.0 * losses[0, 1, 1]) / 4.0
    assert torch.allclose(frame_loss(logits, torch.tensor([[0, 1, UNKNOWN]]), 3.0), wanted)


def test_schedule_warms_up_and_ends_at_nothing() -> None:
    config = TrainConfig(steps=100, warmup_share=0.1)
    rates = [schedule(step, config) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert max(rates) == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3


def test_threshold_lets_the_share_fire() -> None:
    scores = list(np.random.default_rng(0).permutation(1000))
    threshold = threshold_at(scores, 0.01)
    assert sum(score >= threshold for score in scores) == 10
    assert threshold_at([], 0.01) == 0
    assert threshold_at([SCORE_ONE] * 10, 0.01) == SCORE_ONE


def test_checkpoints_of_others_and_broken_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    assert checkpoint.load(path, "a") is None
    checkpoint.save({"step": 3}, "a", path)
    assert checkpoint.load(path, "a") == {"step": 3}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
    with pytest.raises(KwsError, match="another recipe"):
        checkpoint.load(path, "b")
    whole = path.read_bytes()
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(KwsError, match=r"checkpoint\.pt: is not a checkpoint"):
            checkpoint.load(path, "a")


def test_a_run_that_cannot_be_written_is_refused(clips_manifest: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KwsError, match="cannot be made a folder"):
        train(TINY, [clips_manifest], tmp_path / "file")


def test_recipe_data_adds_clips_by_label(clips_manifest: Path) -> None:
    recipe = dataclasses.replace(TINY, data=(DataConfig(str(clips_manifest), ("neg_speech",)),))
    assert {clip.label for clip in read_clips(recipe, [])} == {"neg_speech"}
    wrong = dataclasses.replace(TINY, data=(DataConfig(str(clips_manifest), ("speech",)),))
    with pytest.raises(KwsError, match="no clip with label 'speech'"):
        read_clips(wrong, [])


def test_ledger_sums_by_source_and_licence() -> None:
    clips = [Clip("", "train", "x", "", "b", "CC0", 1800.0), Clip("", "train", "x", "", "a", "CC-BY", 360.0)]
    found = ledger([*clips, clips[0]])
    assert [(one.name, one.licence, one.clips, one.hours) for one in found] == [
        ("a", "CC-BY", 1, 0.1),
        ("b", "CC0", 2, 1.0),
    ]
