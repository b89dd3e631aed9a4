"""One update of the model from one batch, by one process or several: everything that changes with it."""

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kws.compress.distill import distillation_terms
from kws.compress.quantize.calibrate import INPUT_QUANT, quantized_input
from kws.data.dataset import Batch
from kws.data.examples.pool import UNKNOWN_PHONE
from kws.errors import KwsError
from kws.graph.ir import Quant
from kws.models.layers import Sequential
from kws.recipe.train import TrainConfig
from kws.train.distributed import Ranks
from kws.train.fit.average import Average
from kws.train.fit.optimizers import make_optimizers
from kws.train.labels import Labeller
from kws.train.lessons import PhoneLesson, Phones, phone_terms, run_to
from kws.train.loss import Terms, terms
from kws.train.selection import whole_steps


@dataclass(frozen=True)
class Update:
    """What a step of training gives: numbers of the whole batch, and whether any process was told to stop."""

    loss: float
    gradient_norm: float
    learning_rate: float
    stop: bool


class Updater:
    """The model, the optimizers (warm-up and cosine) and the mean of the weights.

    Nothing depends on the clock or on a random generator: step n with batch n gives the same weights after a break.
    """

    def __init__(
        self,
        model: Sequential,
        labeller: Labeller,
        config: TrainConfig,
        ranks: Ranks,
        lesson: PhoneLesson | None = None,
        teacher: Sequential | None = None,
        quant: Quant = INPUT_QUANT,
    ) -> None:
        self.labeller, self.config, self.ranks, self.quant = labeller, config, ranks, quant
        self.phones = None if lesson is None else Phones(lesson, model).to(ranks.device)
        self.model = model.to(ranks.device)
        self.teacher = None if teacher is None else teacher.to(ranks.device).eval()
        ranks.share_statistics(self.model)
        self.learning = nn.ModuleList([self.model] if self.phones is None else [self.model, self.phones])
        self.optimizers = make_optimizers(
            self.model, [] if self.phones is None else list(self.phones.parameters()), config
        )
        self.average: Average | None = None
        self.step = 0

    def update(self, batch: Batch, stop: bool = False) -> Update:
        """Take one step; ``batch`` is this process's part. ``stop`` of any process comes back in all of them.

        Raises:
            KwsError: the loss is no longer a number.
        """
        rate = self.config.learning_rate * schedule(self.step, self.config)
        self.optimizers.set_rate(rate)
        self.model.train()
        self.optimizers.zero_grad()
        loss_terms = self._terms(batch)
        shared = self.ranks.add(torch.cat([loss_terms.counts.detach(), loss_terms.counts.new_tensor([float(stop)])]))
        loss = loss_terms.loss(shared[:-1])
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        total = self.ranks.add_gradients(self.learning, loss)
        if not math.isfinite(total):
            raise KwsError(f"the loss is not a number at step {self.step}; lower train.learning_rate in the recipe")
        most = self.config.gradient_norm or math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(self.learning.parameters(), most))
        if self.config.average_decay and self.average is None:
            self.average = Average(self.model, self.config.average_decay)
        self.optimizers.step()
        if self.average is not None:
            self.average.update(self.model, self.step)
        self.step += 1
        return Update(total, norm, rate, bool(shared[-1] > 0.0))

    def kept(self) -> dict[str, Tensor]:
        """Return a copy of the weights that are tried and kept, on the CPU: the mean where there is one."""
        weights = self.model.state_dict() if self.average is None else self.average.mean
        return {name: value.detach().to("cpu", copy=True) for name, value in weights.items()}

    def tried(self) -> Sequential:
        """Return the model with the weights that are tried, in evaluation mode."""
        if self.average is None:
            return self.model.eval()
        model = copy.deepcopy(self.model)
        model.load_state_dict(self.average.mean)
        return model.eval()

    def state(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizers": self.optimizers.state(),
            "average": {} if self.average is None else self.average.mean,
            "phones": {} if self.phones is None else self.phones.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.optimizers.restore(state["optimizers"])
        if self.phones is not None:
            self.phones.load_state_dict(state["phones"])
        if state["average"]:
            self.average = Average(self.model, self.config.average_decay)
            for name, value in state["average"].items():
                self.average.mean[name].copy_(value)

    def _terms(self, batch: Batch) -> Terms:
        every = self.config.frame_step
        phase = self.step % every
        features = whole_steps(batch.features.to(self.ranks.device), self.model.stride)
        targets = self.labeller(batch.spans.to(self.ranks.device), features.shape[1]).sampled(every, phase)
        inputs = quantized_input(features, self.quant)
        if self.phones is None and self.teacher is None:
            return terms(self.model.sampled(inputs, every, phase), targets, self.config)
        tap = 0 if self.phones is None else self.phones.tap
        logits, seen = run_to(self.model, inputs, tap)
        loss_terms = terms(logits[:, phase::every], targets, self.config)
        if self.teacher is not None:
            with torch.no_grad():
                teacher_logits = self.teacher(inputs)
            for term in distillation_terms(logits, teacher_logits):
                loss_terms = loss_terms.with_term(*term, self.config.teacher_weight / 2.0)
        if self.phones is None:
            return loss_terms
        pretraining = self.step < self.phones.lesson.config.pretrain_steps
        known = loss_terms.scaled(0.0) if pretraining else loss_terms
        return known.with_term(*self._phone_terms(self.phones, batch, seen), self.phones.lesson.config.weight)

    def _phone_terms(self, phones: Phones, batch: Batch, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return sum and count of the phones' loss; also where none is known, so that every process has gradients."""
        frames = seen.shape[1] * phones.stride_at_tap
        known = seen.new_full((len(seen), frames), UNKNOWN_PHONE) if batch.phones is None else batch.phones
        targets = phones.targets(known.to(seen.device), frames, seen.shape[1])
        return phone_terms(phones(seen), targets)


def schedule(step: int, config: TrainConfig) -> float:
    """Return the learning rate's factor at a step: a linear warm-up, then half a cosine down to 0."""
    warmup = max(1, round(config.steps * config.warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, config.steps - warmup)))
