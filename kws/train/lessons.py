"""What a model learns beside its keywords: the phones of recorded speech.

Speech put together by a machine is not how people speak. A network that must also tell the phones of real recordings
keeps what real voices and synthetic ones share (multi-task learning, Caruana 1997; for keywords Panchapagesan et al.,
"Multi-task learning and weighted cross-entropy for DNN-based keyword spotting", Interspeech 2016).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kws.data.examples.pool import UNKNOWN_PHONE
from kws.data.phones.config import PhonesConfig
from kws.errors import KwsError
from kws.frontend import FrontendConfig
from kws.models.layers import Relu, Sequential, he_normal


@dataclass(frozen=True)
class PhoneLesson:
    """What the phones' head is made of: how many phones, the config, the frontend's sizes, the seed of its weights."""

    phones: int
    bands: int
    config: PhonesConfig
    hop_ms: int
    seed: int

    @staticmethod
    def of(symbols: tuple[str, ...], config: PhonesConfig, frontend: FrontendConfig, seed: int) -> "PhoneLesson | None":
        """Return the lesson; None where the config gives it no weight."""
        return PhoneLesson(len(symbols), frontend.bands, config, frontend.hop_ms, seed) if config.weight > 0.0 else None


class Phones(nn.Module):
    """A linear layer that reads phones off one layer of a model, in training alone.

    It stands behind the ``layer``-th ReLU of the chain (0: the first) and is asked for the phone ``delay_ms`` ago.

    Raises:
        KwsError: the model has fewer ReLUs in its chain.
    """

    def __init__(self, lesson: PhoneLesson, model: Sequential) -> None:
        super().__init__()
        self.lesson = lesson
        self.tap = find_tap(model, lesson.config.layer)
        with torch.no_grad():
            probe = torch.zeros(1, 8 * model.stride, lesson.bands)
            was_training = model.training
            seen = run_to(model.eval(), probe, self.tap)[1]
            model.train(was_training)
        width = seen.shape[-1]
        self.stride_at_tap = probe.shape[1] // seen.shape[1]
        self.head = nn.Linear(width, lesson.phones)
        he_normal(self.head.weight, width, torch.Generator().manual_seed(lesson.seed))
        nn.init.zeros_(self.head.bias)

    def forward(self, seen: Tensor) -> Tensor:
        """Return logits [clips, outputs, phones] for what the tapped layer gave, [clips, outputs, width]."""
        logits: Tensor = self.head(seen)
        return logits

    def targets(self, phones: Tensor, frames: int, outputs: int) -> Tensor:
        """Return the phone each output of the tapped layer is asked for: int64 [clips, outputs], or ``UNKNOWN_PHONE``.

        ``phones`` int8 [clips, ``frames`` or more] has one for each frame of the model's input.
        """
        stride = frames // outputs
        delay = round(self.lesson.config.delay_ms / self.lesson.hop_ms)
        about = torch.arange(1, outputs + 1, device=phones.device) * stride - 1 - delay
        asked = phones[:, about.clamp(min=0)].long()
        return asked.masked_fill(about < 0, UNKNOWN_PHONE)


def find_tap(model: Sequential, layer: int) -> int:
    """Return which layer of the chain is its ``layer``-th ReLU, counted from 0.

    Raises:
        KwsError: the chain has fewer.
    """
    relus = [index for index, one in enumerate(model.children_in_order()) if isinstance(one, Relu)]
    if len(relus) <= layer:
        raise KwsError(
            f"phones.layer is {layer}, but {type(model).__name__} has {len(relus)} ReLUs in its chain; lower it"
        )
    return relus[layer]


def run_to(model: Sequential, x: Tensor, tap: int) -> tuple[Tensor, Tensor]:
    """Return the model's output for a whole signal, and what its layer number ``tap`` gave on the way."""
    seen = x
    for index, layer in enumerate(model.children_in_order()):
        x = layer(x)
        if index == tap:
            seen = x
    return x, seen


def phone_terms(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of the cross-entropies over all known phones, and how many there are."""
    total = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=UNKNOWN_PHONE, reduction="sum")
    return total, (targets != UNKNOWN_PHONE).sum()
