"""Layers over maps with a frequency axis: [batch, frames, frequency * channels], frequency-major.

Inside, a map is torch's [batch, channels, frames, frequency] in channels-last memory, which is the same bytes.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kws.errors import KwsError
from kws.models.layers.convolve import over_time
from kws.models.layers.norm import FeatureNorm
from kws.models.layers.windowed import Windowed, bias_parameter, he_normal
from kws.models.streaming import Streaming, StreamState


class Conv2d(Windowed):
    """Convolution over time and frequency, all channels to all: valid over time, explicit zeros beyond the bands.

    Shape: [batch, frames, frequency * inputs] -> [batch, frames / stride_time, out_frequency * outputs]; weight
    [outputs, inputs, kernel_time, kernel_frequency], bias [outputs] or None. The state is the last
    ``kernel_time - stride_time`` frames, zeros at first. ``norm`` (shared by all bands) stands between state or
    padding and weights: what is carried and padded is raw, 0.0 as in digital silence.

    Raises:
        ValueError: the frequency axis is shorter than the kernel, or the norm is not shared.
    """

    def __init__(
        self,
        frequency: int,
        inputs: int,
        outputs: int,
        kernel_time: int,
        kernel_frequency: int,
        *,
        stride_time: int = 1,
        stride_frequency: int = 1,
        pad_frequency: tuple[int, int] = (0, 0),
        norm: FeatureNorm | None = None,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        out_frequency = _positions(frequency, kernel_frequency, stride_frequency, pad_frequency)
        super().__init__(kernel_time, stride_time, frequency * inputs, out_frequency * outputs)
        if norm is not None and not norm.shared:
            raise ValueError("norm must be FeatureNorm(bands, shared=True): the weights are shared by all bands too")
        self.frequency, self.out_frequency, self.inputs, self.outputs = frequency, out_frequency, inputs, outputs
        self.kernel_time, self.kernel_frequency = kernel_time, kernel_frequency
        self.stride_time, self.stride_frequency, self.pad_frequency = stride_time, stride_frequency, pad_frequency
        self.norm = norm
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel_time, kernel_frequency))
        self.bias = bias_parameter(outputs, bias)
        self.macs = out_frequency * self.weight.numel()
        self.padded_width = self.width + sum(pad_frequency) * inputs
        he_normal(self.weight, inputs * kernel_time * kernel_frequency, generator)

    def convolve(self, joined: Tensor, stride: int) -> Tensor:
        """Convolve the map; 1 x 1 is a matrix product over positions."""
        x = _padded(joined, self.inputs, self.pad_frequency)
        if self.norm is not None:
            x = (x - self.norm.mean[0]) / self.norm.deviation[0]
        x = _as_map(x, self.inputs)
        if self.kernel_time == self.kernel_frequency == 1:
            points = x[:, :, ::stride, :: self.stride_frequency].permute(0, 2, 3, 1)
            return F.linear(points, self.weight[:, :, 0, 0], self.bias).flatten(2)
        return _as_features(F.conv2d(x, self.weight, self.bias, (stride, self.stride_frequency)))


class DepthwiseConv2d(Windowed):
    """Convolution of each channel by itself over time and frequency; dilation over time alone.

    Shape: [batch, frames, frequency * channels] -> [batch, frames / stride_time, out_frequency * channels]; weight
    [channels, kernel_time, kernel_frequency], bias [channels] or None. The kernel spans
    ``(kernel_time - 1) * dilation_time + 1`` frames; the state is that less ``stride_time``, zeros at first.
    With ``trained=False`` it is a moving average: the weights are a buffer, all 1 / (kernel_time kernel_frequency).
    With ``kernel_times`` the channels are split evenly and each part sees only so many of the newest of its
    ``kernel_time`` frames (MixConv, Tan and Le 2019); the weights before them are 0 and stay so.

    Raises:
        ValueError: the frequency axis is shorter than the kernel, or ``kernel_times`` do not go with it.
    """

    mask: Tensor | None

    def __init__(
        self,
        frequency: int,
        channels: int,
        kernel_time: int,
        kernel_frequency: int,
        *,
        stride_time: int = 1,
        stride_frequency: int = 1,
        dilation_time: int = 1,
        pad_frequency: tuple[int, int] = (0, 0),
        bias: bool = True,
        trained: bool = True,
        kernel_times: Sequence[int] = (),
        generator: torch.Generator | None = None,
    ) -> None:
        out_frequency = _positions(frequency, kernel_frequency, stride_frequency, pad_frequency)
        span = (kernel_time - 1) * dilation_time + 1
        super().__init__(span, stride_time, frequency * channels, out_frequency * channels)
        self.frequency, self.out_frequency, self.channels = frequency, out_frequency, channels
        self.kernel_time, self.kernel_frequency, self.dilation_time = kernel_time, kernel_frequency, dilation_time
        self.stride_time, self.stride_frequency, self.pad_frequency = stride_time, stride_frequency, pad_frequency
        if trained:
            self.weight = nn.Parameter(torch.zeros(channels, kernel_time, kernel_frequency))
            for rows, taps in _parts(channels, kernel_times or (kernel_time,)):
                he_normal(self.weight[rows, -taps:], taps * kernel_frequency, generator)
        else:
            taps = kernel_time * kernel_frequency
            self.register_buffer("weight", torch.full((channels, kernel_time, kernel_frequency), 1.0 / taps))
        self.register_buffer("mask", _mask(channels, kernel_time, kernel_times), persistent=False)
        self.bias = bias_parameter(channels, bias)
        self.macs = out_frequency * self.weight.numel()
        self.padded_width = self.width + sum(pad_frequency) * channels

    def convolve(self, joined: Tensor, stride: int) -> Tensor:
        """Convolve each channel."""
        weight = self.weight if self.mask is None else self.weight * self.mask
        if self.frequency == self.kernel_frequency == 1 and not any(self.pad_frequency):
            return over_time(joined, weight.transpose(1, 2), self.bias, stride, self.dilation_time, self.channels)
        x = _as_map(_padded(joined, self.channels, self.pad_frequency), self.channels)
        strides, dilations = (stride, self.stride_frequency), (self.dilation_time, 1)
        return _as_features(F.conv2d(x, weight.unsqueeze(1), self.bias, strides, 0, dilations, self.channels))


class MaxPool2d(Streaming):
    """The largest value of each window; windows do not overlap, what does not fill one on the frequency axis is left.

    Shape: [batch, frames, frequency * channels] -> [batch, frames / window_time, out_frequency * channels].
    """

    def __init__(self, frequency: int, channels: int, window_time: int, window_frequency: int) -> None:
        super().__init__()
        self.frequency, self.channels = frequency, channels
        self.window_time, self.window_frequency = window_time, window_frequency
        self.out_frequency = _positions(frequency, window_frequency, window_frequency, (0, 0))
        self.stride = self.receptive_field = window_time

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Pool each window by itself."""
        self.check_chunk(x)
        if not x.shape[1]:
            return x.new_zeros(x.shape[0], 0, self.out_frequency * self.channels), state
        return _as_features(F.max_pool2d(_as_map(x, self.channels), (self.window_time, self.window_frequency))), state


class FrequencyMean(Streaming):
    """The mean over the frequency axis: [batch, frames, frequency * channels] -> [batch, frames, channels]."""

    def __init__(self, frequency: int, channels: int) -> None:
        super().__init__()
        self.frequency, self.channels = frequency, channels

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Average each frame by itself."""
        return x.reshape(*x.shape[:2], self.frequency, self.channels).mean(dim=2), state


def _parts(channels: int, kernel_times: Sequence[int]) -> list[tuple[slice, int]]:
    """Return the channels of each part and its kernel; what does not divide evenly goes to the first part."""
    size = channels // len(kernel_times)
    ends = [channels - size * (len(kernel_times) - 1 - part) for part in range(len(kernel_times))]
    return [(slice(begin, end), taps) for begin, end, taps in zip([0, *ends], ends, kernel_times, strict=False)]


def _mask(channels: int, kernel_time: int, kernel_times: Sequence[int]) -> Tensor | None:
    """Return ones where a part's weights are, [channels, kernel_time, 1]; None where all channels see all frames."""
    if not kernel_times:
        return None
    if max(kernel_times) != kernel_time or min(kernel_times) < 1 or len(kernel_times) > channels:
        raise ValueError(
            f"kernel_times {tuple(kernel_times)} do not go with {channels} channels and {kernel_time} frames"
        )
    mask = torch.zeros(channels, kernel_time, 1)
    for rows, taps in _parts(channels, kernel_times):
        mask[rows, kernel_time - taps :] = 1.0
    return mask


def _positions(frequency: int, kernel: int, stride: int, pad: tuple[int, int]) -> int:
    """Return how many places a kernel has on the padded frequency axis."""
    if frequency + sum(pad) < kernel:
        raise ValueError(f"a kernel of {kernel} does not fit on a frequency axis of {frequency} padded by {pad}")
    return (frequency + sum(pad) - kernel) // stride + 1


def _padded(x: Tensor, channels: int, pad: tuple[int, int]) -> Tensor:
    """Put zeros before and after the frequency axis of [batch, frames, frequency * channels]."""
    return F.pad(x, (pad[0] * channels, pad[1] * channels)) if any(pad) else x


def _as_map(x: Tensor, channels: int) -> Tensor:
    """[batch, frames, frequency * channels] -> [batch, channels, frames, frequency], the same memory."""
    if x.shape[2] % channels:
        raise KwsError(
            f"a map of {channels} channels cannot have {x.shape[2]} features; the layers do not fit together"
        )
    return x.reshape(*x.shape[:2], x.shape[2] // channels, channels).permute(0, 3, 1, 2)


def _as_features(x: Tensor) -> Tensor:
    """[batch, channels, frames, frequency] -> [batch, frames, frequency * channels]."""
    return x.permute(0, 2, 3, 1).flatten(2)
