"""How long a step of training computes, with each of what makes it faster and without.

    python benchmarks/layout.py               # wren, mixednet, tc_resnet8 and mdtc
    python benchmarks/layout.py wren --threads 2

Forward and backward through the whole model, 128 clips of 2.4 seconds, everything else alike: convolutions over time
through conv1d rather than on maps as they lie; torch's own gradient of long depthwise kernels; freed memory given back
to the system. The best of several rounds counts. Ways take turns, so that a busy moment of the machine hits all of
them; but memory is given back in all rounds before the first that keeps it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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
from kws.models.layers.convolve import LongDepthwise
from kws.models.registry import build
from kws.recipe import Recipe
from kws.train.fit.memory import keep_freed_memory

CLIPS, FRAMES = 128, 240


def by_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, dilation: int = 1, groups: int = 1
) -> Tensor:
    """Return what ``over_time`` does, on a transposed map."""
    return F.conv1d(x.transpose(1, 2), weight, bias, stride, 0, dilation, groups).transpose(1, 2)


@contextmanager
def through_conv1d() -> Iterator[None]:
    """Let the layers use conv1d."""
    with patch.object(maps, "over_time", by_conv1d), patch.object(time_layers, "over_time", by_conv1d):
        yield


WAYS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "as it is": nullcontext,
    "conv1d": through_conv1d,
    "torch's gradient": lambda: patch.object(LongDepthwise, "suits", lambda *_: False),
}


def milliseconds(model: Sequential, x: Tensor) -> float:
    """Return how long one step's forward and backward take."""
    began = time.perf_counter()
    model(x).square().mean().backward()
    return (time.perf_counter() - began) * 1e3


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", nargs=-1, type=click.Choice(get_args(get_type_hints(ModelConfig)["name"])))
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True)
def main(names: tuple[str, ...], threads: int, rounds: int) -> None:
    """Print a row for each model: milliseconds, and how many times those of the first column."""
    torch.set_num_threads(threads)
    recipe = Recipe(phrase="computer")
    x = torch.randn(CLIPS, FRAMES, recipe.frontend.bands, generator=torch.Generator().manual_seed(0))
    models = {
        name: build(
            load(ModelConfig, {"name": name}, "model"), recipe.frontend.bands, 2, torch.Generator().manual_seed(0)
        )
        for name in names or ("wren", "mixednet", "tc_resnet8", "mdtc")
    }
    given_back = {name: min(milliseconds(model, x) for _ in range(rounds)) for name, model in models.items()}
    if not keep_freed_memory():
        print("This C library keeps freed memory as it likes: the last column shows chance.")
    print(f"| ms | {' | '.join(WAYS)} | memory given back |\n|---{'|---' * (len(WAYS) + 1)}|")
    for name, model in models.items():
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, changed in WAYS.items():
                with changed():
                    found[way].append(milliseconds(model, x))
        first, *others = (min(times) for times in found.values())
        cells = [f"{first:.0f}", *(f"{one:.0f} ({one / first:.2f})" for one in (*others, given_back[name]))]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
