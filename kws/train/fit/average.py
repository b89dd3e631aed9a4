"""A running mean of the weights: steadier than the last ones, which the last batches have pulled about.

Polyak and Juditsky, "Acceleration of stochastic approximation by averaging" (1992), with exponential weights. The
statistics of batch norms are averaged along: they belong to the weights.
"""

import torch
from torch import Tensor, nn


class Average:
    """mean = decay * mean + (1 - decay) * weights after each step; at first a mean of the few steps that there are.

    >>> layer = nn.Linear(1, 1, bias=False)
    >>> average = Average(layer, 0.5)
    >>> _ = layer.weight.data.fill_(8.0), average.mean["weight"].fill_(2.0)
    >>> average.update(layer, 1000)
    >>> average.mean["weight"].item()
    5.0
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.mean: dict[str, Tensor] = {name: value.clone() for name, value in model.state_dict().items()}

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step number ``step`` (the first is 0)."""
        decay = min(self.decay, (1.0 + step) / (10.0 + step))
        with torch.no_grad():
            for name, value in model.state_dict().items():
                if value.is_floating_point():
                    self.mean[name].lerp_(value, 1.0 - decay)
                else:
                    self.mean[name].copy_(value)
