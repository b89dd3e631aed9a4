"""DeepKWS as published."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.models.configs import DeepKwsConfig, ModelConfig
from kws.models.deepkws import DeepKws
from kws.models.layers import FeatureNorm, TimeConv
from kws.models.registry import build


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("outputs", [2, 3, 4, 10])
def test_the_published_parameter_count(outputs: int) -> None:
    """Chen et al. 2014, section 3.2: 41 x 40 inputs, 3 x 128."""
    model = DeepKws(DeepKwsConfig(), bands=40, outputs=outputs)
    assert parameters(model) == 243_072 + 129 * outputs
    assert outputs != 3 or parameters(model) == 243_459


@pytest.mark.parametrize("outputs", [2, 3, 4])
def test_the_multiplies_of_the_published_shape(outputs: int) -> None:
    """Each frame: 41 x 40 inputs to 128, twice 128 to 128, and the outputs."""
    assert DeepKws(DeepKwsConfig(), bands=40, outputs=outputs).macs == 41 * 40 * 128 + 2 * 128**2 + 128 * outputs


def test_the_published_window() -> None:
    model = DeepKws(DeepKwsConfig(), bands=40, outputs=3)
    assert (model.receptive_field, model.latency, model.stride) == (30 + 1 + 10, 10, 1)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 40), st.integers(0, 12), st.integers(0, 8), st.integers(8, 20), st.integers(2, 5)
)
def test_any_depth_and_width(layers: int, width: int, past: int, future: int, bands: int, outputs: int) -> None:
    model = DeepKws(DeepKwsConfig(layers, width, past, future), bands, outputs)
    window = past + 1 + future
    hidden = (window * bands + 1) * width + (layers - 1) * (width + 1) * width
    assert parameters(model) == hidden + (width + 1) * outputs
    assert model(torch.zeros(2, 5, bands)).shape == (2, 5, outputs)


def test_it_is_the_stacked_window_through_dense_layers() -> None:
    """A literal transcription: 41 frames side by side, normed, three hidden layers, logits."""
    model = DeepKws(DeepKwsConfig(), bands=40, outputs=3, generator=torch.Generator().manual_seed(1))
    first = model.children_in_order()[0]
    assert isinstance(first, TimeConv)
    assert first.norm is not None
    first.norm.set(torch.full((40,), 15.0), torch.full((40,), 6.0))
    x = np.random.default_rng(0).uniform(0.0, 40.0, (60, 40)).astype(np.float32)
    weights = [parameter.detach().numpy() for parameter in model.parameters()]
    frame = 52
    hidden = ((x[frame - 40 : frame + 1] - 15.0) / 6.0).reshape(-1)
    hidden = np.maximum(weights[0].transpose(0, 2, 1).reshape(128, -1) @ hidden + weights[1], 0.0)
    for layer in (2, 4):
        hidden = np.maximum(weights[layer] @ hidden + weights[layer + 1], 0.0)
    wanted = weights[6] @ hidden + weights[7]
    given = model(torch.from_numpy(x)[None])[0, frame].detach().numpy()
    np.testing.assert_allclose(given, wanted, rtol=2e-4, atol=2e-4)


def test_a_seed_gives_the_same_weights() -> None:
    one, two, other = (build(ModelConfig("deepkws"), 40, 3, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not a.any() or not torch.equal(a, c)


def test_first_weights_keep_the_signal_s_power() -> None:
    """He et al. 2015: unit input variance stays of order one through ReLU layers."""
    model = DeepKws(DeepKwsConfig(layers=6), bands=40, outputs=3, generator=torch.Generator().manual_seed(0))
    y = model(torch.randn(4, 200, 40, generator=torch.Generator().manual_seed(1)))[:, 40:]
    assert 0.2 < float(y.detach().std()) < 5.0


def test_feature_norm_is_no_parameter() -> None:
    assert parameters(FeatureNorm(40)) == 0


@pytest.mark.parametrize(
    ("setting", "value"), [("layers", 0), ("width", 0), ("past_frames", -1), ("future_frames", 101), ("width", 5000)]
)
def test_bounds_are_checked(setting: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"^{setting} must be"):
        DeepKwsConfig(**{setting: value})
