"""The training loop: AdamW, warm-up and cosine, examples drawn by threads, the best state on held-out voices kept.

Nothing depends on the clock: step n takes batch n and the learning rate of step n, so that a resumed run gives the
weights of an uninterrupted one, bit for bit on the same machine and number of threads.
"""

import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kws.compress.calibrate import quantized_input
from kws.data.dataset import Batch, Dataset, Prefetch
from kws.detect import DetectorConfig
from kws.errors import KwsError
from kws.models.layers import FeatureNorm, Sequential
from kws.progress import bar
from kws.recipe import TrainConfig
from kws.train import checkpoint
from kws.train.held_out import Trial, trial
from kws.train.loss import frame_loss, targets

NORM_BATCHES = 8
GRADIENT_NORM_AT_MOST = 5.0


@dataclass(frozen=True)
class Fit:
    """How a run went: every look at the held-out clips, which was best, and the share of time spent waiting."""

    trials: tuple[Trial, ...]
    best: Trial
    seconds: float
    waited_share: float


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained on what: the examples, held-out batches, and how they are judged."""

    examples: Dataset
    held_out: Sequence[Batch]
    detector: DetectorConfig
    step_ms: int
    edge_frames: int
    identity: str
    checkpoint: Path


class Trainer:
    """One training run that can be stopped after any step and taken up again from its last checkpoint."""

    def __init__(self, model: Sequential, config: TrainConfig, task: Task, resume: bool = True) -> None:
        self.model, self.config, self.task = model, config, task
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.step = 0
        self.trials: list[Trial] = []
        self.best_state: dict[str, Tensor] = {}
        workers, threads = shares(config)
        self.workers = workers
        torch.set_num_threads(threads)
        state = checkpoint.load(task.checkpoint, task.identity) if resume else None
        if state is None:
            self._set_norm()
        else:
            self._restore(state)

    def fit(self, until: int | None = None) -> Fit:
        """Train up to step ``until`` (default: all), then put the best state into the model.

        Raises:
            KwsError: the loss is no longer a number, or a checkpoint cannot be written.
        """
        last = min(until or self.config.steps, self.config.steps)
        prefetch = Prefetch(self.task.examples, self.config.batch_clips, self.step, last, self.workers)
        began = time.perf_counter()
        with bar("Training", last) as advance:
            if self.step:  # taken up again from a checkpoint
                advance(self.step, note=f"resumed at step {self.step}")
            for batch in prefetch:
                loss = self._train_step(batch)
                advance(note=self._note(loss))
                if self.step % self._trial_every() == 0 or self.step == self.config.steps:
                    self._try_out()
        seconds = time.perf_counter() - began
        if not self.trials:  # stopped before the first look
            self._try_out()
        self.model.load_state_dict(self.best_state)
        return Fit(tuple(self.trials), self.best(), seconds, prefetch.waited_s / max(seconds, 1e-9))

    def best(self) -> Trial:
        """Return the best look so far: fewest mean false rejects, then the least loss."""
        return min(self.trials, key=Trial.key)

    def _train_step(self, batch: Batch) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * schedule(self.step, self.config)
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        every = self.config.frame_step
        phase = self.step % every
        wanted = targets(batch.labels, self.model.latency, self.task.edge_frames)[:, phase::every]
        logits = self.model.sampled(quantized_input(batch.features), every, phase)
        loss = frame_loss(logits, wanted, self.config.keyword_weight)
        if not math.isfinite(loss.item()):
            raise KwsError(f"the loss is not a number at step {self.step}; lower train.learning_rate in the recipe")
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM_AT_MOST)
        self.optimizer.step()
        self.step += 1
        return loss.item()

    def _try_out(self) -> None:
        """Look at the held-out clips, keep the state if it is the best, write a checkpoint."""
        self.model.eval()
        task = self.task
        seen = trial(self.model, task.held_out, task.detector, task.step_ms, task.edge_frames, self.step)
        self.trials.append(seen)
        if self.best() is seen:
            self.best_state = {name: value.clone() for name, value in self.model.state_dict().items()}
        checkpoint.save(self._state(), task.identity, task.checkpoint)

    def _trial_every(self) -> int:
        return max(1, self.config.steps // self.config.trials)

    def _note(self, loss: float) -> str:
        held_out = f", held-out FRR {self.trials[-1].false_reject_rate:.1%}" if self.trials else ""
        return f"loss {loss:.3f}{held_out}"

    def _set_norm(self) -> None:
        """Set the feature norm from the first batches: mean and deviation of each band."""
        drawn = [self.task.examples.batch(number, self.config.batch_clips) for number in range(NORM_BATCHES)]
        features = quantized_input(torch.cat([batch.features for batch in drawn])).flatten(0, 1)
        for module in self.model.modules():
            if isinstance(module, FeatureNorm):
                module.set(features.mean(dim=0), features.std(dim=0))

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best_state": self.best_state,
            "trials": [asdict(seen) for seen in self.trials],
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best_state = state["best_state"]
        self.trials = [Trial(**seen) for seen in state["trials"]]


def schedule(step: int, config: TrainConfig) -> float:
    """Return the learning rate's factor at a step: a linear warm-up, then half a cosine down to 0."""
    warmup = max(1, round(config.steps * config.warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, config.steps - warmup)))


def shares(config: TrainConfig) -> tuple[int, int]:
    """Return how many threads draw examples and how many torch computes with, where the config says 0.

    Drawing costs more than computing: all processors may draw, and torch has half of them.
    """
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return config.workers or min(processors, 8), config.threads or max(1, processors // 2)
