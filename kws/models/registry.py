"""Names to models: an explicit table, never an import path."""

from collections.abc import Callable

import torch

from kws.errors import KwsError
from kws.models.bc_resnet import BcResNet
from kws.models.cnn import Cnn
from kws.models.configs import ModelConfig
from kws.models.deepkws import DeepKws
from kws.models.ds_cnn import DsCnn
from kws.models.layers import Sequential
from kws.models.mdtc import Mdtc
from kws.models.mixednet import MixedNet
from kws.models.tc_resnet8 import TcResNet8
from kws.models.wren import Wren

Builder = Callable[[ModelConfig, int, int, torch.Generator | None], Sequential]

BUILDERS: dict[str, Builder] = {
    "deepkws": lambda config, *sizes: DeepKws(config.deepkws, *sizes),
    "cnn": lambda config, *sizes: Cnn(config.cnn, *sizes),
    "ds_cnn": lambda config, *sizes: DsCnn(config.ds_cnn, *sizes),
    "mixednet": lambda config, *sizes: MixedNet(config.mixednet, *sizes),
    "bc_resnet": lambda config, *sizes: BcResNet(config.bc_resnet, *sizes),
    "tc_resnet8": lambda config, *sizes: TcResNet8(config.tc_resnet8, *sizes),
    "mdtc": lambda config, *sizes: Mdtc(config.mdtc, *sizes),
    "wren": lambda config, *sizes: Wren(config.wren, *sizes),
}
"""The names that ``ModelConfig.name`` may take."""


def build(config: ModelConfig, bands: int, outputs: int, generator: torch.Generator | None = None) -> Sequential:
    """Build the model of ``config``: [batch, frames, bands] -> ``outputs`` logits every ``stride`` frames.

    Weights are drawn from ``generator``: the same seed gives the same model.

    Raises:
        KwsError: the config asks for a latency that no output can have, or does not go with the bands.
    """
    model = BUILDERS[config.name](config, bands, outputs, generator)
    if model.latency >= model.receptive_field:
        raise KwsError(
            f"model.{config.name}.future_frames: {model.latency} is not less than the {model.receptive_field} frames "
            "that an output sees; lower it"
        )
    return model
