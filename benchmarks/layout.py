"""How long a step of training computes, with convolutions over time on maps as they lie and through conv1d.

    python benchmarks/layout.py               # wren, mixednet, tc_resnet8 and mdtc
    python benchmarks/layout.py wren --threads 2

Forward and backward through the whole model, 128 clips of 2.4 seconds, everything else alike. The best of several
rounds counts, the two taking turns, so that a busy moment of the machine hits both.
"""

import time
from typing import get_args, get_type_hints
from unittest.mock import patch

import click
import torch
import torch.nn.functional as F
from torch import Tensor

from kws.config import load
from kws.models.configs import ModelConfig
from kws.models.layers import Sequential, maps
from kws.models.layers import time as time_layers
from kws.models.registry import build
from kws.recipe import Recipe

CLIPS, FRAMES = 128, 240


def by_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, dilation: int = 1, groups: int = 1
) -> Tensor:
    """Return what ``over_time`` does, on a transposed map."""
    return F.conv1d(x.transpose(1, 2), weight, bias, stride, 0, dilation, groups).transpose(1, 2)


def seconds(model: Sequential, x: Tensor) -> float:
    """Return how long one step's forward and backward take."""
    began = time.perf_counter()
    model(x).square().mean().backward()
    return time.perf_counter() - began


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(get_args(get_type_hints(ModelConfig)["name"])))
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
def main(names: tuple[str, ...], threads: int, rounds: int) -> None:
    """Print a row for each model."""
    torch.set_num_threads(threads)
    recipe = Recipe(phrase="computer")
    x = torch.randn(CLIPS, FRAMES, recipe.frontend.bands, generator=torch.Generator().manual_seed(0))
    print("| | conv1d, ms | as they lie, ms | ratio |\n|---|---|---|---|")
    for name in names or ("wren", "mixednet", "tc_resnet8", "mdtc"):
        model = build(
            load(ModelConfig, {"name": name}, "model"), recipe.frontend.bands, 2, torch.Generator().manual_seed(0)
        )
        lying, transposed = [], []
        for _ in range(rounds):
            lying.append(seconds(model, x))
            with patch.object(maps, "over_time", by_conv1d), patch.object(time_layers, "over_time", by_conv1d):
                transposed.append(seconds(model, x))
        ratio = min(transposed) / min(lying)
        print(f"| {name} | {min(transposed) * 1e3:.0f} | {min(lying) * 1e3:.0f} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    main()
