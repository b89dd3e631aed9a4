"""The training loop: batches in, updates, looks at held-out streams, checkpoints; the best state is kept.

Nothing depends on the clock but when a checkpoint is written: step n takes batch n and the learning rate of step n, so
that a run taken up again gives the weights of an uninterrupted one, bit for bit on the same machine and number of
threads.
"""

import contextlib
import os
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kws.compress.quantize.calibrate import quantized_input
from kws.data.augment import AugmentConfig
from kws.data.dataset import Batch, BatchDataset, Prefetch
from kws.errors import KwsError
from kws.frontend import FrontendConfig
from kws.graph.arithmetic import input_quant
from kws.models.layers import FeatureNorm, Sequential
from kws.recipe.train import TrainConfig
from kws.system.processes import processors
from kws.system.progress import Advance
from kws.train.distributed import Ranks
from kws.train.fit import checkpoint, reuse
from kws.train.fit.ahead import Ahead
from kws.train.fit.logs import Logs, Meter
from kws.train.fit.stopping import StopRequest
from kws.train.fit.update import Update, Updater
from kws.train.labels import Labeller
from kws.train.lessons import PhoneLesson
from kws.train.selection import HeldOut, Trial

NORM_BATCHES = 8


@dataclass(frozen=True)
class Fit:
    """How a run went: every look at the held-out streams, the best of them, and how fast it was in its last part."""

    trials: tuple[Trial, ...]
    best: Trial
    seconds: float
    waited_share: float
    examples_per_s: float


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained on what: the examples, how they are labelled, and how states are judged.

    ``held_out`` is None in all processes but the first. ``logs`` is TensorBoard's directory, or None for no logs. The
    model also learns ``phones``, and from ``teacher``, where there is one.
    """

    examples: BatchDataset
    labeller: Labeller
    held_out: HeldOut | None
    identity: str
    checkpoint: Path
    logs: Path | None = None
    phones: PhoneLesson | None = None
    teacher: Sequential | None = None
    seed: int = 0
    frontend: FrontendConfig = field(default_factory=FrontendConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)


class Trainer:
    """One training run that can be stopped after any step and taken up again from its last checkpoint."""

    def __init__(
        self, model: Sequential, config: TrainConfig, task: Task, resume: bool = True, ranks: Ranks | None = None
    ) -> None:
        self.config, self.task, self.ranks = config, task, ranks or Ranks()
        self.part = self.ranks.part(config.batch_clips)
        _check_frame_step(config, task.examples.frames // model.stride)
        self.workers, threads = shares(config)
        torch.set_num_threads(threads)
        self.quant = input_quant(task.frontend)
        self.updater = Updater(model, task.labeller, config, self.ranks, task.phones, task.teacher, self.quant)
        self.trials: list[Trial] = []
        self.best_state: dict[str, Tensor] = {}
        self._written_s = time.monotonic()
        self._resume(resume)

    @property
    def step(self) -> int:
        """How many steps have been taken."""
        return self.updater.step

    def fit(self, until: int | None = None) -> Fit:
        """Train up to step ``until`` (default: all), then put the best state into the model.

        On SIGINT or SIGTERM the step is finished and a checkpoint written before the signal takes effect.

        Raises:
            KwsError: the loss is no longer a number, or a checkpoint cannot be written.
        """
        last = min(until or self.config.steps, self.config.steps)
        began, meter = time.perf_counter(), Meter()
        if self.step < last:
            with StopRequest() as stop, self._logs() as logs, self.ranks.bar("Training", last) as advance:
                meter.skip()  # what the logs import
                self._run(last, meter, stop, logs, advance)
        seconds = time.perf_counter() - began
        if self.ranks.first and not self.trials:  # stopped before the first look
            self._try_out()
        self.trials, self.best_state = self.ranks.share((self.trials, self.best_state))
        self.updater.model.load_state_dict(self.best_state)
        if self.ranks.first and meter.examples:
            print(f"Training: {meter.text()}", file=sys.stderr)
        return Fit(tuple(self.trials), self.best(), seconds, meter.waited_share, meter.examples_per_s)

    def best(self) -> Trial:
        """Return the best look so far: fewest mean false rejects, then the least loss."""
        return min(self.trials, key=Trial.key)

    def _run(self, last: int, meter: Meter, stop: StopRequest, logs: Logs, advance: Advance) -> None:
        ranks = self.ranks
        if self.step:  # taken up again from a checkpoint
            advance(self.step, note=f"resumed at step {self.step}", before=True)
        batches = Ahead(self._batches(self.step, last))
        with closing(iter(batches)) as coming:
            for batch in coming:
                done = self.updater.update(batch, stop.requested)
                meter.add(self.part * ranks.world, batches.waited_since())
                if ranks.first:
                    logs.step(self.step, done.loss, done.gradient_norm, done.learning_rate, meter)
                    advance(note=self._note(done, meter))
                    self._look_and_save(logs)
                if done.stop:
                    break
                meter.skip()
        # A signal during the last look came too late for an update to tell the other processes of it.
        if done.stop or bool(ranks.add(torch.tensor([float(stop.requested)], device=ranks.device))):
            if ranks.first:
                self.save()
            logs.close()  # what the signal does may end the process
            stop.obey()

    def _batches(self, first: int, last: int) -> Generator[Batch, None, None]:
        """Yield the batch of each step: drawn, or drawn before and changed now."""
        task, seed, ranks = self.task, self.task.seed, self.ranks

        def draw(begin: int, end: int) -> Iterator[Batch]:
            clips = self.config.batch_clips
            return iter(Prefetch(task.examples, clips, begin, end, self.workers, rank=ranks.rank, world=ranks.world))

        with closing(reuse.batches(draw, first, last, self.config.reuse, seed)) as drawn:
            for step, (batch, use) in enumerate(drawn, first):
                if use:
                    changed = reuse.varied(batch, (seed, 29, step, ranks.rank), task.frontend, task.augment)
                    batch = replace(batch, features=changed)
                yield batch

    def _look_and_save(self, logs: Logs) -> None:
        if self.step % self._trial_every() == 0 or self.step == self.config.steps:
            self._try_out()
            logs.trial(self.trials[-1])
        elif time.monotonic() - self._written_s > self.config.checkpoint_every_s:
            self.save()

    def _try_out(self) -> None:
        """Look at the held-out streams, keep the state if it is the best, write a checkpoint."""
        assert self.task.held_out is not None  # the first process has them
        seen = self.task.held_out.trial(self.updater.tried(), self.step)
        self.trials.append(seen)
        if self.best() is seen:
            self.best_state = self.updater.kept()
        self.save()

    def save(self) -> None:
        """Write a checkpoint now."""
        state = {
            **self.updater.state(),
            "best_state": self.best_state,
            "trials": [{**asdict(seen), "groups": dict(seen.groups)} for seen in self.trials],
        }
        checkpoint.save(state, self.task.identity, self.task.checkpoint)
        self._written_s = time.monotonic()

    def _resume(self, resume: bool) -> None:
        saved = checkpoint.load(self.task.checkpoint, self.task.identity) if resume and self.ranks.first else None
        state: dict[str, Any] | None = self.ranks.share(saved)
        if state is None:
            self._set_norm()
            return
        self.updater.restore(state)
        self.best_state = state["best_state"]
        self.trials = [Trial(**{**seen, "thresholds": tuple(seen["thresholds"])}) for seen in state["trials"]]

    def _set_norm(self) -> None:
        """Set the feature norm from the first batches: mean and deviation of each band."""
        ranks, clips = self.ranks, self.config.batch_clips
        norms = [module for module in self.updater.model.modules() if isinstance(module, FeatureNorm)]
        if not norms:
            return
        bands = self.task.examples.source.bands
        sums = torch.zeros(3, bands, dtype=torch.float64)
        drawn = Prefetch(self.task.examples, clips, 0, NORM_BATCHES, self.workers, rank=ranks.rank, world=ranks.world)
        with ranks.bar("Measuring features", NORM_BATCHES) as advance:
            for batch in drawn:
                values = quantized_input(batch.features, self.quant).flatten(0, 1).double()
                sums += torch.stack([torch.full((bands,), len(values)), values.sum(0), values.square().sum(0)])
                advance()
        count, total, squares = ranks.add(sums.to(ranks.device)).cpu()
        mean = total / count
        deviation = (squares / count - mean.square()).clamp(min=0.0).sqrt()
        for norm in norms:
            norm.set(mean.float().to(ranks.device), deviation.float().to(ranks.device))

    @contextlib.contextmanager
    def _logs(self) -> Iterator[Logs]:
        logs = Logs(self.task.logs if self.ranks.first else None, self.step)
        try:
            yield logs
        finally:
            logs.close()

    def _trial_every(self) -> int:
        return -(-self.config.steps // self.config.trials)

    def _note(self, done: Update, meter: Meter) -> str:
        held_out = f", held-out FRR {self.trials[-1].false_reject_rate:.1%}" if self.trials else ""
        return f"loss {done.loss:.3f}{held_out}, {meter.text()}"


def _check_frame_step(config: TrainConfig, outputs: int) -> None:
    if config.frame_step > outputs:
        raise KwsError(
            f"train.frame_step is {config.frame_step}, but the model gives {outputs} outputs for an example; lower it"
        )


def shares(config: TrainConfig) -> tuple[int, int]:
    """Return how many workers draw examples and how many threads torch computes with, where the config says 0.

    Drawing costs more than computing: all processors may draw, and torch has half of them. Processes on one machine
    (torchrun's LOCAL_WORLD_SIZE) share them.
    """
    mine = max(1, processors() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return config.workers or min(mine, 64), config.threads or max(1, mine // 2)
