"""The optimizers: AdamW alone, or Muon for the matrices of the hidden layers and AdamW for everything else.

AdamW: Loshchilov and Hutter, "Decoupled weight decay regularization" (ICLR 2019). Muon: Jordan et al., "Muon: an
optimizer for hidden layers in neural networks" (2024): the momentum of a matrix is replaced by the nearest orthogonal
one, so that every direction of a layer learns, not only the few in which its gradients are large. Its updates are
scaled to be as large as AdamW's (Liu et al., "Muon is scalable for LLM training", 2025, section 2.2), and both follow
one learning rate.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from kws.recipe.train import TrainConfig


class Optimizers:
    """Several of torch's optimizers, each with parameters of its own, that take their steps together."""

    def __init__(self, each: Sequence[torch.optim.Optimizer]) -> None:
        self.each = tuple(each)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of them all."""
        for optimizer in self.each:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for optimizer in self.each:
            optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Take one step with the gradients that are there."""
        for optimizer in self.each:
            optimizer.step()

    def state(self) -> list[dict[str, Any]]:
        """Return everything that the next step depends on."""
        return [optimizer.state_dict() for optimizer in self.each]

    def restore(self, state: Sequence[dict[str, Any]]) -> None:
        """Go on from what ``state`` returned."""
        for optimizer, own in zip(self.each, state, strict=True):
            optimizer.load_state_dict(own)


def make_optimizers(model: nn.Module, others: Sequence[nn.Parameter], config: TrainConfig) -> Optimizers:
    """Return the optimizers of the model's parameters and of ``others``, which do not belong to its layers."""
    matrices = hidden_matrices(model) if config.optimizer == "muon" else []
    taken = {id(matrix) for matrix in matrices}
    rest = [parameter for parameter in (*model.parameters(), *others) if id(parameter) not in taken]
    rate, decay = config.learning_rate, config.weight_decay
    each: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=rate, weight_decay=decay)]
    if matrices:
        each.append(torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw"))
    return Optimizers(each)


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights that map all channels of a step to all channels, but for those that give the logits.

    Convolutions stay with AdamW: torch's Muon takes matrices alone, and a depthwise one is no map of all channels. So
    does the last layer, each output of which is a label with a scale of its own.

    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> [tuple(matrix.shape) for matrix in hidden_matrices(model)]
    [(3, 4)]
    """
    last = {id(parameter) for parameter in list(model.modules())[-1].parameters()}
    return [one for one in model.parameters() if one.ndim == 2 and id(one) not in last]
