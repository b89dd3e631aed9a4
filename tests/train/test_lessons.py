"""The second task and the teacher: what is asked when, what it costs, and that training with both resumes exactly."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kws.data.dataset import Batch, Dataset
from kws.data.examples.pool import UNKNOWN_PHONE, read_pool
from kws.data.phones.config import PhonesConfig
from kws.errors import KwsError
from kws.frontend import FrontendConfig
from kws.models.configs import ModelConfig
from kws.models.layers import BatchNorm, Dense, DepthwiseConv2d, FeatureNorm, Relu, Sequential, TimeConv
from kws.models.registry import BUILDERS, build
from kws.recipe import Recipe
from kws.recipe.train import TrainConfig
from kws.train.distributed import Ranks
from kws.train.fit.loop import Fit, Task, Trainer
from kws.train.fit.update import Updater
from kws.train.lessons import PhoneLesson, Phones, find_tap, phone_terms, run_to
from kws.train.recipe_data import read_data
from kws.train.run import TRAIN, make_labeller

MakeTask = Callable[..., Task]
CONFIG = PhonesConfig(weight=0.5, layer=1, delay_ms=40, pretrain_steps=3)
LESSON = PhoneLesson(5, 16, CONFIG, 10, 7)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def small_model(seed: int = 3, width: int = 12, stride: int = 2, norm: bool = True) -> Sequential:
    """Two layers with a ReLU each, a stride in the second, three outputs."""
    generator = torch.Generator().manual_seed(seed)
    first = TimeConv(16, width, 6, norm=FeatureNorm(16), generator=generator)
    second = DepthwiseConv2d(1, width, 5, 1, stride_time=stride, generator=generator)
    between = [BatchNorm(width)] if norm else []
    return Sequential([first, *between, Relu(), second, Relu(), Dense(width, 3, generator=generator)])


def random_batch(clips: int, seed: int = 0, frames: int = 60) -> Batch:
    rng = np.random.default_rng(seed)
    features = torch.from_numpy(rng.integers(0, 15000, (clips, frames, 16)).astype(np.int16))
    spans = torch.tensor([[[0, 0, 0.1, 0.25], [0, 1, 0.25, 0.45]]] * clips)
    phones = torch.from_numpy(rng.integers(-1, 5, (clips, frames)).astype(np.int8))
    return Batch(features, spans, ("positive",) * clips, phones)


@pytest.mark.parametrize("family", sorted(BUILDERS))
def test_the_model_says_the_same_with_a_tap(family: str) -> None:
    model = build(ModelConfig(name=family), 40, 3, torch.Generator().manual_seed(0)).eval()  # type: ignore[arg-type]
    x = torch.rand(2, 24 * model.stride, 40) * 20
    tap = find_tap(model, 0)
    with torch.no_grad():
        logits, seen = run_to(model, x, tap)
        assert torch.equal(logits, model(x))
        again = x
        for layer in model.children_in_order()[: tap + 1]:
            again = layer(again)
    assert torch.equal(seen, again)
    assert float(seen.min()) == 0.0


def test_a_layer_that_is_not_there_is_said() -> None:
    assert find_tap(small_model(), 0) == 2
    assert find_tap(small_model(), 1) == 4
    with pytest.raises(KwsError, match=r"phones\.layer is 2, but Sequential has 2 ReLUs in its chain; lower it"):
        find_tap(small_model(), 2)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("delay_ms", [0, 40, 300])
def test_an_output_is_asked_for_the_phone_of_a_while_ago(stride: int, delay_ms: int) -> None:
    lesson = dataclasses.replace(LESSON, config=dataclasses.replace(CONFIG, delay_ms=delay_ms))
    head = Phones(lesson, small_model(stride=stride))
    assert head.stride_at_tap == stride
    phones = random_batch(4).phones
    assert phones is not None
    frames = 60 // stride * stride
    found = head.targets(phones, frames, frames // stride)
    for output in range(frames // stride):
        newest = (output + 1) * stride - 1
        about = newest - delay_ms // 10
        wanted = phones[:, about].long() if about >= 0 else torch.full((4,), UNKNOWN_PHONE)
        assert torch.equal(found[:, output], wanted)


def test_phones_are_a_mean_over_those_that_are_known() -> None:
    logits = torch.randn(2, 3, 4)
    wanted = torch.tensor([[0, -1, 3], [-1, -1, 2]])
    total, count = phone_terms(logits, wanted)
    logs = torch.log_softmax(logits, -1)
    assert count == 3
    assert float(total) == pytest.approx(float(-(logs[0, 0, 0] + logs[0, 2, 3] + logs[1, 2, 2])), rel=1e-5)
    nothing, none = phone_terms(logits, torch.full((2, 3), -1))
    assert (float(nothing), int(none)) == (0.0, 0)


def make_updater(task: Task, config: TrainConfig, norm: bool = True, lesson: PhoneLesson | None = LESSON) -> Updater:
    teacher = small_model(9, 20, norm=norm).requires_grad_(False)
    return Updater(small_model(norm=norm), task.labeller, config, Ranks(), lesson, teacher)


@pytest.fixture(scope="module")
def task(make_task: MakeTask, tiny: Recipe, tmp_path_factory: pytest.TempPathFactory, clips_manifest: Path) -> Task:
    """The tiny task with random phones for its speech, as an alignment would give them."""
    pool = read_pool(read_data(tiny, [clips_manifest]).clips, tiny.phrase, "train")
    rng = np.random.default_rng(1)
    phones = {item.clip.path: rng.integers(0, 5, 100).astype(np.int8) for item in pool.speech}
    drawn = Dataset(
        dataclasses.replace(pool, phones=phones), tiny.frontend, tiny.examples, tiny.augment, (tiny.seed, TRAIN)
    )
    made = make_task(tmp_path_factory.mktemp("task"))
    labeller = make_labeller(tiny, small_model())
    assert made.held_out is not None
    held_out = dataclasses.replace(made.held_out, labeller=labeller)
    return dataclasses.replace(made, examples=drawn, labeller=labeller, held_out=held_out)


@pytest.fixture(scope="module")
def short(tiny: Recipe) -> TrainConfig:
    return dataclasses.replace(tiny.train, steps=8, trials=4, average_decay=0.9, frame_step=1, batch_clips=8)


def test_parts_of_a_batch_have_the_loss_and_the_gradients_of_the_whole(task: Task, short: TrainConfig) -> None:
    """As processes do it: counts are added up first, gradients afterwards. The second part knows no phones."""
    whole = random_batch(6)
    assert whole.phones is not None
    phones = whole.phones.clone()
    phones[2:] = UNKNOWN_PHONE
    whole = dataclasses.replace(whole, phones=phones)
    parts = [
        Batch(whole.features[:2], whole.spans[:2], whole.kinds[:2], phones[:2]),
        Batch(whole.features[2:], whole.spans[2:], whole.kinds[2:], None),
    ]
    alone = make_updater(task, short, norm=False)
    alone.step = 5  # past the pretraining
    loss = alone._terms(whole).loss()
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    ranks = [make_updater(task, short, norm=False) for _ in parts]
    for rank in ranks:
        rank.step = 5
    found = [rank._terms(part) for rank, part in zip(ranks, parts, strict=True)]
    counts = sum(one.counts for one in found)
    assert isinstance(counts, Tensor)
    losses = [one.loss(counts) for one in found]
    assert sum(one.item() for one in losses) == pytest.approx(loss.item(), rel=1e-5)
    for one in losses:
        one.backward()  # type: ignore[no-untyped-call]
    for parameter, *shares in zip(*(one.learning.parameters() for one in (alone, *ranks)), strict=True):
        assert parameter.grad is not None
        grads = [share.grad for share in shares]
        assert all(grad is not None for grad in grads), "a message of another length than the other process's"
        assert torch.allclose(sum(grads), parameter.grad, rtol=1e-3, atol=1e-6)


def test_phones_alone_are_learned_at_first(task: Task, short: TrainConfig) -> None:
    updater = make_updater(task, dataclasses.replace(short, weight_decay=0.0))
    names = [name for name, _ in updater.model.named_parameters() if name.startswith("layers.5")]
    assert len(names) == 2
    for step in range(5):
        before = {name: value.clone() for name, value in updater.model.state_dict().items()}
        head = updater.phones.head.weight.clone()  # type: ignore[union-attr]
        updater.update(random_batch(4, step))
        after = updater.model.state_dict()
        assert not torch.equal(head, updater.phones.head.weight)  # type: ignore[union-attr]
        assert not torch.equal(before["layers.0.weight"], after["layers.0.weight"])
        assert all(torch.equal(before[name], after[name]) == (step < CONFIG.pretrain_steps) for name in names)


def test_the_second_task_and_the_teacher_are_learned(task: Task, short: TrainConfig) -> None:
    config = dataclasses.replace(short, steps=60, learning_rate=2e-2, weight_decay=0.0)
    updater = make_updater(task, config)
    batch = random_batch(4)
    taught = {name: value.clone() for name, value in updater.teacher.state_dict().items()}  # type: ignore[union-attr]

    def losses() -> list[float]:
        updater.step, step = 5, updater.step
        with torch.no_grad():
            found = updater._terms(batch)
        updater.step = step
        return (found.sums / found.counts)[-3:].tolist()

    before = losses()
    for _ in range(60):
        updater.update(batch)
    assert all(now < 0.8 * then for now, then in zip(losses(), before, strict=True))
    for name, value in updater.teacher.state_dict().items():  # type: ignore[union-attr]
        assert torch.equal(value, taught[name]), f"{name} of the teacher has moved"


def everything(part: Any) -> list[Tensor]:
    if isinstance(part, Tensor):
        return [part.clone()]
    parts = [part[key] for key in sorted(part, key=str)] if isinstance(part, dict) else part
    return [one for each in parts for one in everything(each)] if isinstance(parts, list) else []


def run(task: Task, config: TrainConfig, directory: Path, until: int | None = None) -> tuple[Trainer, Fit]:
    directory.mkdir(exist_ok=True)
    own = dataclasses.replace(
        task,
        checkpoint=directory / "checkpoint.pt",
        phones=LESSON,
        teacher=small_model(9, 20).requires_grad_(False).eval(),
    )
    trainer = Trainer(small_model(), config, own)
    return trainer, trainer.fit(until)


@pytest.mark.train
def test_training_with_both_resumes_bit_for_bit(
    task: Task, short: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off in the pretraining (a checkpoint after every step) and after it."""
    whole, fit = run(task, short, tmp_path / "whole")
    wanted = everything([whole.updater.state(), whole.best_state])
    assert len(wanted) > 40
    monkeypatch.setattr("kws.train.fit.loop.time.monotonic", iter(range(0, 1_000_000, 200)).__next__)
    for until in (2, 5):
        run(task, short, tmp_path / "broken", until)
    again, fit_again = run(task, short, tmp_path / "broken")
    assert fit_again.trials == fit.trials
    found = everything([again.updater.state(), again.best_state])
    assert len(found) == len(wanted)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_the_head_is_neither_tried_nor_kept(task: Task, short: TrainConfig, tmp_path: Path) -> None:
    trainer, _ = run(task, short, tmp_path)
    assert set(trainer.best_state) == set(small_model().state_dict())
    assert set(trainer.updater.kept()) == set(small_model().state_dict())
    assert not hasattr(trainer.updater.tried(), "head")


def test_no_weight_no_lesson() -> None:
    frontend = FrontendConfig()
    assert PhoneLesson.of(("", "a"), PhonesConfig(pieces=10), frontend, 1) is None
    assert PhoneLesson.of(("", "a"), CONFIG, frontend, 1) == PhoneLesson(2, 40, CONFIG, 10, 1)
