"""A run that is stopped, however, and taken up again gives the weights of an uninterrupted one, bit for bit."""

import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kws.errors import KwsError
from kws.models.layers import BatchNorm, Dense, FeatureNorm, Relu, Sequential, TimeConv
from kws.recipe import Recipe
from kws.recipe.train import TrainConfig
from kws.train.fit import checkpoint
from kws.train.fit.loop import Fit, Task, Trainer
from kws.train.fit.stopping import StopRequest
from kws.train.fit.update import Updater
from kws.train.run import build_model

pytestmark = pytest.mark.train

MakeTask = Callable[..., Task]


@pytest.fixture(scope="module", params=[1, 3], ids="reuse {}".format)
def short(tiny: Recipe, request: pytest.FixtureRequest) -> TrainConfig:
    return dataclasses.replace(
        tiny.train, steps=12, trials=4, average_decay=0.9, loss="max_pool", reuse=int(request.param)
    )


def model_with_batch_norm() -> Sequential:
    generator = torch.Generator().manual_seed(3)
    first = TimeConv(16, 12, 8, norm=FeatureNorm(16), generator=generator)
    hidden, last = Dense(12, 12, generator=generator), Dense(12, 3, generator=generator)  # hidden: Muon's
    return Sequential([first, BatchNorm(12), Relu(), hidden, Relu(), last])


def everything(trainer: Trainer) -> list[Tensor]:
    """Every tensor that training goes on from."""
    found: list[Tensor] = []

    def collect(part: Any) -> None:
        if isinstance(part, Tensor):
            found.append(part.clone())
        elif isinstance(part, dict):
            for key in sorted(part, key=str):
                collect(part[key])
        elif isinstance(part, list):
            for each in part:
                collect(each)

    collect(trainer.updater.state())
    collect(trainer.best_state)
    return found


def run(config: TrainConfig, task: Task, directory: Path, until: int | None = None) -> tuple[Trainer, Fit]:
    directory.mkdir(exist_ok=True)
    task = dataclasses.replace(task, checkpoint=directory / "checkpoint.pt")
    trainer = Trainer(model_with_batch_norm(), config, task)
    return trainer, trainer.fit(until)


@pytest.fixture(scope="module")
def whole(
    short: TrainConfig, make_task: MakeTask, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Tensor], Fit, Task]:
    directory = tmp_path_factory.mktemp("whole")
    task = make_task(directory)
    trainer, fit = run(short, task, directory)
    return everything(trainer), fit, task


def same(one: list[Tensor], two: list[Tensor]) -> bool:
    return len(one) == len(two) > 20 and all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_from_the_checkpoint_of_the_last_trial(
    whole: tuple[list[Tensor], Fit, Task], short: TrainConfig, tmp_path: Path
) -> None:
    run(short, whole[2], tmp_path, until=8)  # the last checkpoint is from step 6
    second, fit = run(short, whole[2], tmp_path)
    assert fit.trials == whole[1].trials
    assert same(everything(second), whole[0])


def test_from_a_checkpoint_between_trials(
    whole: tuple[list[Tensor], Fit, Task], short: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100_000, 70))  # every second look at it is over two minutes after the last checkpoint
    monkeypatch.setattr("kws.train.fit.loop.time.monotonic", lambda: next(clock))
    run(short, whole[2], tmp_path, until=5)
    state = checkpoint.load(tmp_path / "checkpoint.pt", whole[2].identity)
    assert state is not None
    assert state["step"] == 5
    second, fit = run(short, whole[2], tmp_path)
    assert fit.trials == whole[1].trials
    assert same(everything(second), whole[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_checkpoint_before_it_takes_effect(
    whole: tuple[list[Tensor], Fit, Task],
    short: TrainConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    """The signal comes in the middle of step 4, in the optimizer."""
    before = signal.signal(number, signal.default_int_handler)  # SIGTERM would end the tests
    updates = Updater.update

    def interrupted(updater: Updater, *args: Any) -> Any:
        if updater.step == 4:
            os.kill(os.getpid(), number)
        return updates(updater, *args)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(Updater, "update", interrupted)
            with pytest.raises(KeyboardInterrupt):
                run(short, whole[2], tmp_path)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    state = checkpoint.load(tmp_path / "checkpoint.pt", whole[2].identity)
    assert state is not None
    assert state["step"] in (5, 6)  # noted before the step or during it
    second, fit = run(short, whole[2], tmp_path)
    assert fit.trials == whole[1].trials
    assert same(everything(second), whole[0])


def test_a_signal_during_the_last_look_takes_effect(
    short: TrainConfig, whole: tuple[list[Tensor], Fit, Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    looks = Trainer._try_out

    def interrupted(trainer: Trainer) -> None:
        looks(trainer)
        if trainer.step == short.steps:
            os.kill(os.getpid(), signal.SIGINT)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_try_out", interrupted)
            with pytest.raises(KeyboardInterrupt):
                run(short, whole[2], tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    second, fit = run(short, whole[2], tmp_path)
    assert fit.trials == whole[1].trials
    assert same(everything(second), whole[0])


def test_a_second_signal_does_not_wait() -> None:
    # A shell that runs the tests in the background has SIGINT ignored, and Python then leaves it so.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        check_second_signal()
    finally:
        signal.signal(signal.SIGINT, before)


def check_second_signal() -> None:
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_mean_of_the_weights_is_what_is_tried_and_kept(
    whole: tuple[list[Tensor], Fit, Task], short: TrainConfig, tmp_path: Path
) -> None:
    trainer = run(short, whole[2], tmp_path, until=3)[0]
    assert trainer.updater.average is not None
    mean = trainer.updater.average.mean
    assert trainer.best().step == 3
    assert all(torch.equal(trainer.best_state[name], mean[name]) for name in mean)
    state = checkpoint.load(tmp_path / "checkpoint.pt", whole[2].identity)
    assert state is not None
    assert not torch.equal(state["model"]["layers.0.weight"], mean["layers.0.weight"])
    assert torch.equal(state["model"]["layers.0.norm.mean"], mean["layers.0.norm.mean"])


def test_another_seed_gives_another_model(make_task: MakeTask, tiny: Recipe, tmp_path: Path) -> None:
    config = dataclasses.replace(tiny.train, steps=2, trials=1)
    found = []
    for seed in (0, 0, 1):
        recipe = dataclasses.replace(tiny, seed=seed)
        task = dataclasses.replace(make_task(tmp_path), examples=make_task(tmp_path, recipe).examples)
        trainer = Trainer(build_model(recipe), config, task, resume=False)
        trainer.fit()
        found.append(everything(trainer))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_checkpoints_of_others_and_broken_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    assert checkpoint.load(path, "a") is None
    checkpoint.save({"step": 3}, "a", path)
    assert checkpoint.load(path, "a") == {"step": 3}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]
    with pytest.raises(KwsError, match="another recipe"):
        checkpoint.load(path, "b")
    content = path.read_bytes()
    for damaged in (b"", b"nonsense", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(KwsError, match=r"checkpoint\.pt: is not a checkpoint"):
            checkpoint.load(path, "a")
