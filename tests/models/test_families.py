"""What all families have in common: seeds, gradients, bounds of their configs."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from kws.config import load
from kws.errors import KwsError
from kws.models.configs import (
    BcResNetConfig,
    CnnConfig,
    DsCnnConfig,
    MdtcConfig,
    MixedNetConfig,
    ModelConfig,
    TcResNet8Config,
    WrenConfig,
)
from kws.models.layers import FeatureNorm, Sequential
from kws.models.registry import BUILDERS, build

Small = Callable[..., Sequential]


@pytest.mark.parametrize("name", BUILDERS)
def test_a_seed_gives_the_same_weights(name: str, small: Small) -> None:
    one, two, other = (small(name, seed) for seed in (5, 5, 6))
    for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.dim() == 1 or not torch.equal(a, c)


@pytest.mark.parametrize("name", BUILDERS)
def test_gradients_reach_every_weight(name: str, small: Small) -> None:
    model = small(name).train()
    x = 10.0 + 3.0 * torch.randn(4, 72, 40, generator=torch.Generator().manual_seed(1))
    for part in model.modules():
        if isinstance(part, FeatureNorm):
            part.set(x.mean(dim=(0, 1)), x.std(dim=(0, 1)))
    y = model(x)
    wanted = torch.randint(0, 3, y.shape[:2], generator=torch.Generator().manual_seed(1))
    F.cross_entropy(y.flatten(0, 1), wanted.flatten()).backward()  # type: ignore[no-untyped-call]
    for title, parameter in model.named_parameters():
        assert parameter.grad is not None, title
        assert torch.isfinite(parameter.grad).all(), title
        assert parameter.grad.any(), title


@pytest.mark.parametrize("name", BUILDERS)
def test_first_outputs_are_of_order_one(name: str, small: Small) -> None:
    """Normed features come out as logits that neither vanish nor explode, for a loss that can be trained from."""
    model = small(name).train()
    y = model(torch.randn(2, 264, 40, generator=torch.Generator().manual_seed(1))).detach()
    assert 0.02 < float(y[:, y.shape[1] // 2 :].std()) < 30.0


@pytest.mark.parametrize(
    ("config", "settings", "name"),
    [
        (CnnConfig, {"future_frames": 32}, "future_frames"),
        (DsCnnConfig, {"average_steps": 0}, "average_steps"),
        (MixedNetConfig, {"stride": 6}, "stride"),
        (MixedNetConfig, {"kernels": ()}, "kernels"),
        (MixedNetConfig, {"kernels": ((5, 0),)}, "kernels"),
        (BcResNetConfig, {"tau": math.nan}, "tau"),
        (TcResNet8Config, {"width": 0.0}, "width"),
        (MdtcConfig, {"stacks": 0}, "stacks"),
        (WrenConfig, {"stride": 6}, "stride"),
        (WrenConfig, {"blocks": ()}, "blocks"),
        (WrenConfig, {"dilations": (1, 2)}, "dilations"),
        (WrenConfig, {"channels": 0}, "channels"),
        (WrenConfig, {"final_steps": 0}, "final_steps"),
        (WrenConfig, {"short_share": 0.0}, "short_share"),
        (WrenConfig, {"short_share": 1.1}, "short_share"),
    ],
)
def test_bounds_are_checked(config: Any, settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be"):
        config(**settings)


def test_a_latency_beyond_what_is_seen_is_refused() -> None:
    config = WrenConfig(blocks=(1,), final_steps=1, future_frames=5)
    with pytest.raises(KwsError, match=r"model\.wren\.future_frames"):
        build(ModelConfig("wren", wren=config), 40, 2)
    assert build(ModelConfig("wren", wren=replace(config, future_frames=4)), 40, 2).latency == 4


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (ModelConfig("cnn"), "model.cnn"),
        (ModelConfig("wren", wren=WrenConfig(first_frequency_kernel=13)), "model.wren"),
    ],
)
def test_too_few_bands_are_refused(config: ModelConfig, key: str) -> None:
    with pytest.raises(KwsError, match=key):
        build(config, 12, 2)


def test_settings_of_every_family_can_stand_in_a_recipe() -> None:
    tables: dict[str, dict[str, Any]] = {name: {} for name in BUILDERS}
    tables["mixednet"] = {"kernels": [[3], [5, 7]]}
    config = load(ModelConfig, {"name": "mixednet", **tables})
    assert config.mixednet.kernels == ((3,), (5, 7))
