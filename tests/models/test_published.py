"""Every family at its published sizes, and what those networks compute."""

import math
from typing import Any, get_args

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kws.config import load
from kws.errors import KwsError
from kws.models.cnn import ROWS, Cnn
from kws.models.configs import (
    BcResNetConfig,
    CnnConfig,
    CnnName,
    DsCnnConfig,
    MdtcConfig,
    ModelConfig,
    WrenConfig,
)
from kws.models.figures import figures
from kws.models.layers import (
    BatchNorm,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    MaxPool2d,
    Residual,
    Sequential,
    TimeConv,
)
from kws.models.mdtc import Mdtc
from kws.models.registry import build


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def weights(model: nn.Module) -> int:
    """Return the parameters without biases and norms."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.dim() > 1)


def normed_channels(model: nn.Module) -> int:
    """Return the channels of all batch norms: a bias each once folded; a redundant one each before."""
    return sum(part.bias.numel() for part in model.modules() if isinstance(part, BatchNorm))


def masks(model: nn.Module) -> list[torch.Tensor]:
    """Return where the kernels of mixed lengths have weights."""
    return [part.mask for part in model.modules() if isinstance(part, DepthwiseConv2d) and part.mask is not None]


# ---- Sainath and Parada 2015 ----

CNN_TOTALS = {
    "cnn-trad-fpool3": (244_224, 9.706e6),
    "cnn-one-fpool3": (53_824, 496.2e3),
    "cnn-one-fstride4": (122_176, 503.1e3),
    "cnn-one-fstride8": (160_768, 504.8e3),
    "cnn-tstride2": (253_584, 4.742e6),
    "cnn-tstride4": (193_376, 3.385e6),
    "cnn-tpool2": (256_528, 7.979e6),
    "cnn-tpool3": (252_016, 8.426e6),
}


def window_multiplies(model: Sequential, frames: int = 32) -> int:
    """Return the multiplications of one window by itself, nothing shared with the window before."""
    total = 0
    for layer in model.children_in_order():
        if isinstance(layer, Conv2d | TimeConv):
            frames = (frames - layer.receptive_field) // layer.stride + 1
            total += frames * layer.macs
        elif isinstance(layer, MaxPool2d):
            frames //= layer.window_time
        elif isinstance(layer, Dense):
            total += frames * layer.macs
    assert frames == 1
    return total


@pytest.mark.parametrize("row", get_args(CnnName))
def test_cnn_totals_are_those_of_the_table(row: CnnName) -> None:
    model = Cnn(CnnConfig(row), bands=40, outputs=4)
    total, multiplies = CNN_TOTALS[row]
    assert weights(model) == total
    digits = 3 - math.floor(math.log10(multiplies))
    assert round(window_multiplies(model), digits) == multiplies
    assert (model.receptive_field, model.latency) == (32, 8)


def test_cnn_trad_fpool3_layer_by_layer() -> None:
    """The paper's own, 244.2 K in all; where it prints 164.8 K for the second, the sum needs 163.8 K."""
    model = Cnn(CnnConfig(), bands=40, outputs=4)
    sizes = [parameter.numel() for parameter in model.parameters() if parameter.dim() > 1]
    assert sizes == [
        10_240,
        163_840,
        65_536,
        4_096,
        512,
    ]


@pytest.mark.parametrize("row", ["cnn-trad-fpool3", "cnn-one-fstride4", "cnn-tstride4", "cnn-tpool3"])
def test_cnn_streams_what_the_paper_computes_for_each_window(row: CnnName) -> None:
    """Every output is the paper's network, transcribed, on the 32 frames that end there."""
    model = Cnn(CnnConfig(row), bands=40, outputs=3, generator=generator())
    x = torch.rand(1, 48, 40, generator=generator())
    given = model(x)[0]
    convs = [part for part in model.modules() if isinstance(part, Conv2d)]
    dense = [part for part in model.modules() if isinstance(part, Dense)]
    low_rank = next(part for part in model.modules() if isinstance(part, TimeConv))
    for last in range(31 + (-32 % model.stride), 48, 4 * model.stride):
        y = x[:, None, last - 31 : last + 1]
        for conv, shape in zip(convs, ROWS[row], strict=True):
            y = F.relu(F.conv2d(y, conv.weight, conv.bias, stride=(shape.s, shape.v)))
            y = F.max_pool2d(y, (shape.p, shape.q))
        flat = y.permute(0, 2, 3, 1).flatten(2)  # time, frequency and channels
        y = torch.einsum("btf,oft->bo", flat, low_rank.weight)
        y = y if low_rank.bias is None else y + low_rank.bias
        for layer in dense[:-1]:
            y = F.relu(F.linear(y, layer.weight, layer.bias))
        y = F.linear(y, dense[-1].weight, dense[-1].bias)
        torch.testing.assert_close(given[(last + 1) // model.stride - 1], y[0], rtol=1e-4, atol=1e-4)


# ---- the other published sizes ----


@pytest.mark.parametrize(
    ("size", "thousands", "mega_ops"), [("S", 24, 5.4), ("M", 140, 19.8), ("L", 420, 56.9)], ids=["S", "M", "L"]
)
def test_ds_cnn(size: Any, thousands: int, mega_ops: float) -> None:
    """Zhang et al. 2017, table 4: operations are 2 per multiply-accumulate; 1 s of 10 features every 20 ms.

    The published code has a bias before each batch norm too. The paper rounds to two digits (24 K, 140 K, 420 K).
    """
    config = ModelConfig("ds_cnn", ds_cnn=DsCnnConfig(size))
    model = build(config, 10, 12)
    published = parameters(model) + normed_channels(model)
    assert float(f"{published:.2g}") == thousands * 1000
    work = figures(config, 10, 12, 20).macs_per_second
    assert 2 * work == pytest.approx(mega_ops * 1e6, rel=0.04)  # theirs pads 49 frames to 50


def test_ds_cnn_s_is_the_one_of_mlperf_tiny() -> None:
    """22,604 parameters with batch norms folded away; 2.66 M multiply-accumulates, less those of the mean."""
    config = ModelConfig("ds_cnn")
    model = build(config, 10, 12)
    assert parameters(model) - normed_channels(model) == 22_604
    mean_and_logits = 25 * 64 + 12 * 64
    clip = 25 * (model.macs - mean_and_logits) + 12 * 64
    assert clip == pytest.approx(2.66e6, rel=0.01)


def test_mixednet_is_microwakeword_s() -> None:
    """3,472 bytes of state, 22 K to 24 K multiply-accumulates every 30 ms, 22 K to 25 K parameters; one output."""
    config = ModelConfig("mixednet")
    model = build(config, 40, 1)
    found = figures(config, 40, 1, 10)
    assert (found.state_bytes, found.step_ms) == (3472, 30)
    filled_up = sum(mask.numel() - int(mask.sum()) for mask in masks(model))
    assert filled_up == 4 * 32 + 6 * 32
    assert 22_000 <= model.macs - filled_up <= 24_500
    assert 22_000 <= parameters(model) - filled_up - normed_channels(model) <= 25_000


def test_mixednet_of_the_published_alexa() -> None:
    """The published file has 24,481 values, 128 more than this with its norms folded and its kernels not filled up.

    Nothing published says which; zeros that TFLite stores as biases of the first convolution (32) and of the MixConvs
    (one of 32, one of 64 where equal ones are stored once) would be as many.
    """
    model = build(ModelConfig("mixednet"), 40, 1)
    filled_up = sum(mask.numel() - int(mask.sum()) for mask in masks(model))
    assert weights(model) - filled_up == 24_096
    folded = parameters(model) - filled_up - normed_channels(model)
    assert 24_481 - folded == 32 + 32 + 64


@pytest.mark.parametrize(
    ("tau", "thousands"), [(1.0, 9.2), (1.5, 17.2), (2.0, 27.3), (3.0, 54.2), (6.0, 188.0), (8.0, 321.0)]
)
def test_bc_resnet(tau: float, thousands: float) -> None:
    """Kim et al. 2021, table 2, 12 classes."""
    config = ModelConfig("bc_resnet", bc_resnet=BcResNetConfig(tau))
    assert float(f"{figures(config, 40, 12, 10).parameters / 1000:.3g}") == pytest.approx(thousands, abs=0.051)


def test_tc_resnet8() -> None:
    """Choi et al. 2019, table 1: 66 K, 3.0 M operations (2 per multiply-accumulate) for 1 s; 12 classes.

    66 K counts the running mean and variance of the norms, which TensorFlow keeps among the variables.
    """
    config = ModelConfig("tc_resnet8")
    model = build(config, 40, 12)
    running = sum(
        len(part.running_mean) + len(part.running_var) for part in model.modules() if isinstance(part, BatchNorm)
    )
    assert round((parameters(model) + running) / 1000) == 66
    assert 2 * figures(config, 40, 12, 10).macs_per_second == pytest.approx(3.0e6, rel=0.05)


def test_mdtc_small() -> None:
    """wekws says 31 K. Its code with its mdtc_small.yaml (80 features, 2 words) has 34,434, of which 30,544 weights.

    34,434 counts biases before batch norms, which are left out here.
    """
    model = Mdtc(MdtcConfig(), bands=80, outputs=2)
    before_norms = 80 + 12 * 32 + 2 * 13 * 32
    assert parameters(model) + before_norms == 34_434
    assert round(weights(model) / 1000) == 31


def test_mdtc_sums_its_stacks() -> None:
    model = Mdtc(MdtcConfig(stacks=3, stack_size=2, channels=8), 6, 2, generator()).eval()
    x = torch.rand(2, 40, 6, generator=generator())
    layers = model.children_in_order()
    first, nested, logits = layers[:-2], layers[-2], layers[-1]
    s1 = Sequential(first)(x)
    assert isinstance(nested, Residual)
    assert isinstance(nested.body, Sequential)
    body = nested.body.children_in_order()
    assert isinstance(body[-1], Residual)
    s2 = Sequential(body[:-1])(s1)
    s3 = body[-1].body(s2)
    torch.testing.assert_close(model(x), logits(s1 + s2 + s3), rtol=1e-4, atol=1e-5)


# ---- our own ----


def test_wren_keeps_its_bounds() -> None:
    found = figures(ModelConfig("wren"), bands=40, outputs=3, hop_ms=10)
    assert found.parameters < 25_000
    assert found.macs_per_second < 2.0e6


def test_wren_by_hand() -> None:
    """A count written out: first convolution, blocks, head, logits."""
    sizes: dict[str, Any] = {"blocks": (4, 6), "short_share": 1.0, "dilations": (2, 3), "channels": 12}
    config = WrenConfig(10, 5, 3, 7, 2, **sizes, head_channels=8, final_steps=3, future_frames=4)
    model = build(ModelConfig("wren", wren=config), 40, 2)
    map_width = ((40 - 7) // 2 + 1) * 10
    first = 5 * 7 * 10 + map_width * 12
    blocks = (4 * 12 + 12 * 12) + (6 * 12 + 12 * 12)
    assert weights(model) == first + blocks + 12 * 8 + 8 * 2 * 3
    assert model.macs == 5 * 7 * map_width + map_width * 12 + blocks + 12 * 8 + 8 * 2 * 3
    assert (model.stride, model.latency, model.receptive_field) == (3, 4, 5 + 3 * (3 * 2 + 5 * 3 + 2))
    assert sum(isinstance(part, DepthwiseConv2d) for part in model.modules()) == 2


@pytest.mark.parametrize("name", ["channels", "first_channels"])
def test_a_wren_of_one_channel_has_no_half_with_short_kernels(name: str) -> None:
    with pytest.raises(KwsError, match=f"{name} must be 2 to 512"):
        load(WrenConfig, {name: 1}, "a recipe")
    assert build(ModelConfig("wren", wren=load(WrenConfig, {name: 2}, "a recipe")), 40, 2).stride == 3


def test_half_of_a_wren_s_channels_have_the_short_kernels() -> None:
    config = ModelConfig("wren", wren=WrenConfig(blocks=(5, 1), short_share=0.6, channels=12))
    model = build(config, 40, 2, generator())
    first, second = (part for part in model.modules() if isinstance(part, DepthwiseConv2d))
    assert [int(row.count_nonzero()) for row in first.weight] == [3] * 16 + [5] * 16
    assert torch.all(first.weight[:16, :2] == 0.0)
    assert torch.all(second.weight != 0.0)


def test_a_wren_without_residuals_has_none() -> None:
    with_them = build(ModelConfig("wren", wren=WrenConfig(residual=True)), 40, 2, generator()).eval()
    without = build(ModelConfig("wren"), 40, 2, generator()).eval()
    assert parameters(with_them) == parameters(without)
    x = torch.rand(1, 60, 40, generator=generator())
    assert not torch.allclose(with_them(x), without(x))
