"""Each layer against a literal transcription of its definition, in loops or with torch's own modules."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from kws.models.layers import (
    BatchNorm,
    BroadcastResidual,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    FeatureNorm,
    FrequencyMean,
    MaxPool2d,
    Relu,
    Residual,
    Sequential,
    TimeConv,
)
from kws.models.layers.convolve import LongDepthwise, over_time
from kws.models.layers.windowed import Windowed

Array = NDArray[np.float64]


def generator(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def signal(frames: int, features: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, frames, features, generator=generator(), dtype=torch.float64)


def array(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().numpy())


def as_map(x: Tensor, frequency: int, before: int, pad: tuple[int, int]) -> Array:
    """Return [batch, before + frames, padded frequency, channels] of features [batch, frames, frequency * channels]."""
    values = array(x).reshape(*x.shape[:2], frequency, -1)
    return np.pad(values, ((0, 0), (before, 0), pad, (0, 0)))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3),
    st.tuples(st.integers(0, 2), st.integers(0, 2)), st.booleans(),
)  # fmt: skip
def test_conv2d(
    kernel_time: int, kernel_frequency: int, stride_time: int, stride_frequency: int, inputs: int,
    pad: tuple[int, int], normed: bool,
) -> None:  # fmt: skip
    frequency, outputs = 5, 2
    norm = FeatureNorm(frequency * inputs, shared=True).set(torch.tensor(3.0), torch.tensor(2.0)) if normed else None
    layer = Conv2d(
        frequency, inputs, outputs, kernel_time, kernel_frequency, stride_time=stride_time,
        stride_frequency=stride_frequency, pad_frequency=pad, norm=norm, generator=generator(),
    ).double()  # fmt: skip
    assert layer.bias is not None
    layer.bias.data.uniform_(-1.0, 1.0, generator=generator())
    x = signal(4 * stride_time, frequency * inputs)
    before = kernel_time - stride_time
    source = as_map(x, frequency, max(before, 0), pad)
    if normed:
        source = (source - 3.0) / 2.0
    weight, wanted = array(layer.weight), np.zeros((2, 4, layer.out_frequency, outputs))
    for n in range(4):
        for f in range(layer.out_frequency):
            begin, low = n * stride_time - min(before, 0), f * stride_frequency
            patch = source[:, begin : begin + kernel_time, low : low + kernel_frequency]
            wanted[:, n, f] = np.einsum("btfi,oitf->bo", patch, weight) + array(layer.bias)
    np.testing.assert_allclose(array(layer(x)), wanted.reshape(2, 4, -1), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3),
    st.tuples(st.integers(0, 2), st.integers(0, 2)), st.sampled_from([1, 5]),
)  # fmt: skip
def test_depthwise_conv2d(
    kernel_time: int, kernel_frequency: int, stride_time: int, stride_frequency: int, dilation: int,
    pad: tuple[int, int], frequency: int,
) -> None:  # fmt: skip
    channels, kernel_frequency = 3, min(kernel_frequency, frequency)
    layer = DepthwiseConv2d(
        frequency, channels, kernel_time, kernel_frequency, stride_time=stride_time, dilation_time=dilation,
        stride_frequency=stride_frequency, pad_frequency=pad, generator=generator(),
    ).double()  # fmt: skip
    assert layer.bias is not None
    layer.bias.data.uniform_(-1.0, 1.0, generator=generator())
    x = signal(4 * stride_time, frequency * channels)
    before = (kernel_time - 1) * dilation + 1 - stride_time
    source, weight = as_map(x, frequency, max(before, 0), pad), array(layer.weight)
    wanted = np.zeros((2, 4, layer.out_frequency, channels)) + array(layer.bias)
    for n in range(4):
        for f in range(layer.out_frequency):
            for k in range(kernel_time):
                for j in range(kernel_frequency):
                    row = source[:, n * stride_time - min(before, 0) + k * dilation, f * stride_frequency + j]
                    wanted[:, n, f] += weight[:, k, j] * row
    np.testing.assert_allclose(array(layer(x)), wanted.reshape(2, 4, -1), atol=1e-12)


def test_mixed_kernels_are_convolutions_of_parts_of_the_channels() -> None:
    """MixConv (Tan and Le 2019): each part by itself with its own kernel, aligned at the newest frame."""
    layer = DepthwiseConv2d(1, 8, 6, 1, kernel_times=(3, 6, 2), bias=False, generator=generator()).double()
    x, weight = signal(20, 8), layer.weight
    parts = []
    for rows, taps in ((slice(0, 4), 3), (slice(4, 6), 6), (slice(6, 8), 2)):  # the remainder goes to the first
        part = DepthwiseConv2d(1, rows.stop - rows.start, taps, 1, bias=False).double()
        part.weight.data.copy_(weight[rows, -taps:])
        assert part.weight.all()
        parts.append(part(x[:, :, rows]))
    torch.testing.assert_close(layer(x), torch.cat(parts, dim=2))


def test_the_zeros_of_mixed_kernels_stay() -> None:
    layer = DepthwiseConv2d(1, 4, 5, 1, kernel_times=(2, 5), generator=generator())
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        layer(signal(9, 4).float()).square().sum().backward()
        optimizer.step()
    assert not layer.weight[:2, :3].any()
    assert layer.weight[:2, 3:].all()
    assert layer.weight[2:].all()


@pytest.mark.parametrize(
    "layer",
    [
        TimeConv(4, 6, 5),
        TimeConv(4, 6, 5, stride=2),
        DepthwiseConv2d(1, 4, 5, 1),
        DepthwiseConv2d(1, 4, 20, 1, bias=False),
    ],
)
def test_maps_and_their_gradients_stay_as_they_lie_in_memory(layer: Windowed) -> None:
    """Else every layer before and after works on transposed memory, several times more slowly."""
    joined = signal(40, 4).float().requires_grad_()
    y = layer.convolve(joined, layer.stride)
    (gradient,) = torch.autograd.grad(y.square().sum(), joined)
    assert y.is_contiguous()
    assert gradient.is_contiguous()


@pytest.mark.parametrize(("taps", "frames", "own"), [(15, 80, True), (23, 1, True), (14, 80, False), (15, 121, False)])
def test_a_long_depthwise_kernel_has_the_gradient_that_torch_finds(taps: int, frames: int, own: bool) -> None:
    drawn = generator()
    weight = torch.randn(3, 1, taps, generator=drawn, dtype=torch.float64, requires_grad=True)
    x = signal(frames + taps - 1, 3).requires_grad_()
    assert LongDepthwise.suits(x, weight, 3) == own
    found, expected = (
        over_time(x, weight, None, groups=3),
        F.conv1d(x.transpose(1, 2), weight, groups=3).transpose(1, 2),
    )
    torch.testing.assert_close(found, expected)
    of_output = torch.randn(found.shape, generator=drawn, dtype=torch.float64)
    gradients, wanted = (torch.autograd.grad(y, (x, weight), of_output) for y in (found, expected))
    torch.testing.assert_close(gradients, wanted)


def test_a_convolution_that_is_not_learned_is_left_to_torch() -> None:
    x, weight = signal(40, 3), torch.zeros(3, 1, 20, dtype=torch.float64)
    assert not LongDepthwise.suits(x, weight, 3)
    with torch.no_grad():
        assert not LongDepthwise.suits(x, weight.requires_grad_(), 3)
    assert LongDepthwise.suits(x, weight, 3)
    assert not LongDepthwise.suits(x, torch.zeros(3, 3, 20, requires_grad=True), 1)


def test_a_moving_average_has_nothing_to_train() -> None:
    layer = DepthwiseConv2d(1, 3, 4, 1, bias=False, trained=False).double()
    x = signal(12, 3)
    torch.testing.assert_close(layer(x)[:, 3:], x.unfold(1, 4, 1).mean(dim=3))
    assert not list(layer.parameters())


def test_pooling_and_frequency_mean() -> None:
    x = signal(6, 5 * 2)
    values = array(x).reshape(2, 3, 2, 5, 2)[:, :, :, :4].reshape(2, 3, 2, 2, 2, 2)
    wanted = values.max(axis=(2, 4)).reshape(2, 3, -1)
    np.testing.assert_array_equal(array(MaxPool2d(5, 2, 2, 2)(x)), wanted)
    wanted = array(x).reshape(2, 6, 5, 2).mean(axis=2)
    np.testing.assert_allclose(array(FrequencyMean(5, 2)(x)), wanted, atol=1e-12)


def published_norm(layer: BatchNorm) -> nn.BatchNorm2d:
    """Return torch's batch norm of channels * sub_bands, as SubSpectralNorm uses it: index channel * S + sub-band."""
    other = nn.BatchNorm2d(layer.channels * layer.sub_bands, eps=layer.eps, momentum=layer.momentum).double()
    for mine, theirs in ((layer.weight, other.weight), (layer.bias, other.bias)):
        theirs.data.copy_(mine.data.view(layer.sub_bands, layer.channels).t().reshape(-1))
    return other


@pytest.mark.parametrize(("frequency", "sub_bands"), [(1, 1), (6, 1), (6, 3)])
def test_batch_norm(frequency: int, sub_bands: int) -> None:
    """Training and evaluation against torch's; sub-bands as Chang et al. 2021 fold them into the channels."""
    channels, frames = 4, 7
    layer = BatchNorm(channels, frequency, sub_bands).double()
    for parameter in layer.parameters():
        parameter.data.uniform_(0.5, 2.0, generator=generator())
    other = published_norm(layer)
    x = 3.0 + signal(frames, frequency * channels, batch=3)
    maps = x.view(3, frames, frequency, channels).permute(0, 3, 2, 1)
    folded = maps.reshape(3, channels * sub_bands, frequency // sub_bands, frames)
    for _ in range(2):
        wanted = other(folded).reshape(maps.shape).permute(0, 3, 2, 1).flatten(2)
        torch.testing.assert_close(layer(x), wanted)
        layer.eval()
        other.eval()


def test_batch_norm_over_processes() -> None:
    """Halves of a batch with shared sums give what the whole batch gives: outputs, gradients, running statistics."""
    x = (5.0 + signal(8, 6, batch=4)).float()
    whole, half = BatchNorm(3, 2), BatchNorm(3, 2)
    wanted_x, given_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    rest: list[Tensor] = []

    def with_the_other_half(sums: Tensor) -> Tensor:
        rows = given_x[2:].reshape(-1, 3).double()
        rest.append(torch.cat((rows.sum(dim=0), rows.square().sum(dim=0), rows.new_tensor([len(rows)]))))
        return sums + rest[-1]

    half.reduce = with_the_other_half
    wanted, given = whole(wanted_x)[:2], half(given_x[:2])
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(half.running_mean, whole.running_mean)
    torch.testing.assert_close(half.running_var, whole.running_var)
    (wanted**3).sum().backward()
    (given**3).sum().backward()
    torch.testing.assert_close(given_x.grad, wanted_x.grad, rtol=1e-3, atol=1e-4)
    assert len(rest) == 1


def test_residuals_add() -> None:
    body = TimeConv(4, 4, 3, generator=generator()).double()
    x = signal(9, 4)
    torch.testing.assert_close(Residual(body)(x), body(x) + x)
    shortcut = Dense(4, 4, generator(5)).double()
    torch.testing.assert_close(Residual(body, shortcut)(x), body(x) + shortcut(x))


@pytest.mark.parametrize("identity", [True, False])
def test_broadcast_residual(identity: bool) -> None:
    """Kim et al. 2021, equations 3 and 4."""
    frequency, channels = 3, 2
    body2d = DepthwiseConv2d(frequency, channels, 1, 3, pad_frequency=(1, 1), generator=generator()).double()
    body1d = Sequential([DepthwiseConv2d(1, channels, 3, 1, generator=generator()), Relu()]).double()
    x = signal(7, frequency * channels)
    y = BroadcastResidual(body2d, FrequencyMean(frequency, channels), body1d, identity)(x)
    wide = body2d(x).view(2, 7, frequency, channels)
    wanted = wide + body1d(wide.mean(dim=2)).unsqueeze(2) + (x.view(wide.shape) if identity else 0.0)
    torch.testing.assert_close(y, wanted.flatten(2))


def test_a_shared_feature_norm_is_that_of_all_values() -> None:
    x = signal(50, 3, batch=1)[0] * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor([5.0, 0.0, -2.0])
    norm = FeatureNorm(3, shared=True).set(x.mean(dim=0), x.std(dim=0, unbiased=False))
    torch.testing.assert_close(norm.mean.double(), x.mean().expand(3), check_dtype=False, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(norm.deviation.double(), x.std(unbiased=False).expand(3), rtol=1e-6, atol=1e-6)


def test_only_the_sampled_outputs_of_the_last_window_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What training saves: the layers behind the last window see only the wanted frames."""
    last, dense = TimeConv(4, 4, 5, generator=generator()), Dense(4, 2, generator())
    model = Sequential([TimeConv(3, 4, 3, 2, generator=generator()), Residual(last), dense])
    seen: list[int] = []
    plain = Dense.step

    def step(self: Dense, x: Tensor, state: tuple[Tensor, ...]) -> Any:
        seen.append(x.shape[1])
        return plain(self, x, state)

    monkeypatch.setattr(Dense, "step", step)
    model.sampled(signal(40, 3).float(), every=4, phase=1)
    assert seen == [5]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: TimeConv(3, 4, 0), "at least 1"),
        (lambda: Conv2d(5, 1, 4, 3, 6), "does not fit"),
        (lambda: Conv2d(5, 1, 4, 3, 3, norm=FeatureNorm(5)), "shared=True"),
        (lambda: DepthwiseConv2d(1, 4, 5, 1, kernel_times=(3, 4)), "kernel_times"),
        (lambda: BatchNorm(4, 6, 4), "sub_bands must divide"),
        (lambda: Residual(TimeConv(3, 3, 2, 2)), "same stride"),
        (lambda: BroadcastResidual(TimeConv(3, 3, 2, 2), FrequencyMean(1, 3), Relu()), "no stride"),
    ],
)
def test_layers_that_make_no_sense_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
