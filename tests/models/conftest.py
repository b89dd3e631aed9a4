"""One thread for all tests here, and every family at a size that trains and runs in no time."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from kws.config import load
from kws.models.configs import ModelConfig
from kws.models.layers import Sequential
from kws.models.registry import build

SETTINGS: dict[str, dict[str, Any]] = {
    "deepkws": {"width": 16},
    "cnn": {"row": "cnn-one-fpool3"},
    "ds_cnn": {"average_steps": 4},
    "mixednet": {"channels": 16},
    "bc_resnet": {"average_steps": 4},
    "tc_resnet8": {"average_steps": 2},
    "mdtc": {"stacks": 2},
    "wren": {},
}


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """On a busy machine torch's threads wait for each other far longer than small models compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small() -> Callable[..., Sequential]:
    """Build a family by its name, for 40 bands and 3 outputs, from a seed."""

    def make(name: str, seed: int = 1) -> Sequential:
        config = load(ModelConfig, {"name": name, name: SETTINGS[name]})
        return build(config, 40, 3, torch.Generator().manual_seed(seed))

    return make
