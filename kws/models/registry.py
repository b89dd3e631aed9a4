"""Names to models: an explicit table, never an import path."""

from collections.abc import Callable

import torch

from kws.models.configs import ModelConfig
from kws.models.deepkws import DeepKws
from kws.models.layers import Sequential

Builder = Callable[[ModelConfig, int, int, torch.Generator | None], Sequential]


def _deepkws(config: ModelConfig, bands: int, outputs: int, generator: torch.Generator | None) -> Sequential:
    return DeepKws(config.deepkws, bands, outputs, generator)


BUILDERS: dict[str, Builder] = {"deepkws": _deepkws}
"""The names that ``ModelConfig.name`` may take."""


def build(config: ModelConfig, bands: int, outputs: int, generator: torch.Generator | None = None) -> Sequential:
    """Build the model of ``config`` for [batch, frames, bands] inputs and ``outputs`` logits per frame.

    Weights are drawn from ``generator``: the same seed gives the same model.
    """
    return BUILDERS[config.name](config, bands, outputs, generator)
