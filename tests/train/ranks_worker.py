"""What each process of ``test_distributed`` does: torchrun starts this file; one process alone may call ``run``.

    python ranks_worker.py MANIFEST DIRECTORY [STEP | SHARDS]

Trains a small model with a batch norm and writes the loss of every step and, from the first process, the weights.
Each also writes which threads are left when the processes have parted, where the system tells (Linux).
With STEP, the last process kills itself at that step, in the first attempt only. With a pattern of SHARDS, examples are
read from them, and it is noted how many each process has opened.
"""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import torch

from kws.data.augment import AugmentConfig
from kws.data.dataset import ShardDataset
from kws.data.examples.draw import ExampleConfig
from kws.data.examples.pool import read_pool
from kws.frontend import FrontendConfig
from kws.models.layers import BatchNorm, Dense, FeatureNorm, Relu, Sequential, TimeConv
from kws.recipe import DetectorSettings, Recipe
from kws.recipe.train import TrainConfig
from kws.train.distributed import Ranks, joined
from kws.train.fit.loop import Task, Trainer
from kws.train.recipe_data import read_data
from kws.train.run import TRAIN, _drawn, make_held_out, make_labeller

RECIPE = Recipe(
    phrase="hey marvin",
    label_unit="words",
    frontend=FrontendConfig(bands=16),
    examples=ExampleConfig(window_ms=1500),
    augment=AugmentConfig(simulated_room_share=0.0),
    train=TrainConfig(
        reuse=1,
        steps=9,
        batch_clips=8,
        learning_rate=1e-2,
        trials=3,
        dev_clips=16,
        average_decay=0.9,
        workers=1,
        threads=1,
    ),
    detector=DetectorSettings(smooth_frames=10, max_frames=60),
)


def make_model() -> Sequential:
    generator = torch.Generator().manual_seed(3)
    first = TimeConv(16, 12, 8, 2, norm=FeatureNorm(16), generator=generator)
    assert first.bias is not None
    first.bias.requires_grad_(False)  # the batch norm takes it off again: its gradient is nothing but rounding
    hidden, last = Dense(12, 12, generator=generator), Dense(12, 3, generator=generator)  # hidden: Muon's
    return Sequential([first, BatchNorm(12), Relu(), hidden, Relu(), last])


def run(
    manifest: Path, directory: Path, ranks: Ranks, kill_at: int | None = None, shards: str | None = None
) -> list[float]:
    """Train and return the losses of the steps that this process took."""
    data = read_data(RECIPE, [manifest])
    pool = read_pool(data.clips, RECIPE.phrase, "train")
    model = make_model()
    labeller = make_labeller(RECIPE, model)
    held_out = make_held_out(RECIPE, data, labeller) if ranks.first else None
    examples = _drawn(RECIPE, pool, TRAIN) if shards is None else ShardDataset([shards], (0,))
    task = Task(examples, labeller, held_out, "0123", directory / "checkpoint.pt")
    trainer = Trainer(model, RECIPE.train, task, ranks=ranks)
    losses = []
    update = trainer.updater.update

    def noted(batch: object, stop: bool = False) -> object:
        if trainer.step == kill_at and ranks.rank == ranks.world - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        done = update(batch, stop)  # type: ignore[arg-type]  # it is a batch
        losses.append(done.loss)
        return done

    trainer.updater.update = noted  # type: ignore[assignment,method-assign]
    fit = trainer.fit()
    state = dataclasses.asdict(fit.best)
    opened = examples.shards._opened.cache_info().currsize if isinstance(examples, ShardDataset) else 0
    report = {"losses": losses, "step": state["step"], "opened": opened}
    (directory / f"rank_{ranks.rank}.json").write_text(json.dumps(report))
    torch.save(model.state_dict(), directory / f"rank_{ranks.rank}.pt")
    return losses


if __name__ == "__main__":
    torch.set_num_threads(1)
    first_attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    option = sys.argv[3] if len(sys.argv) > 3 else ""
    kill_at = int(option) if option.isdigit() and first_attempt else None
    with joined("cpu") as ranks:
        run(Path(sys.argv[1]), Path(sys.argv[2]), ranks, kill_at, option if option.endswith(".tar") else None)
    threads = [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]
    (Path(sys.argv[2]) / f"threads_{ranks.rank}.json").write_text(json.dumps(threads))
