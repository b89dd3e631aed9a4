"""Groups of layers that several families share."""

import torch

from kws.models.layers import BatchNorm, Dense, DepthwiseConv2d, Relu
from kws.models.streaming import Streaming


def dense_norm(inputs: int, outputs: int, generator: torch.Generator | None) -> list[Streaming]:
    """Return a pointwise layer and its batch norm, which has the bias."""
    return [Dense(inputs, outputs, generator, bias=False), BatchNorm(outputs)]


def depthwise_norm(
    channels: int, kernel: int, generator: torch.Generator | None, dilation: int = 1, kernel_times: tuple[int, ...] = ()
) -> list[Streaming]:
    """Return a depthwise convolution over time and its batch norm, which has the bias."""
    conv = DepthwiseConv2d(
        1, channels, kernel, 1, dilation_time=dilation, bias=False, kernel_times=kernel_times, generator=generator
    )
    return [conv, BatchNorm(channels)]


def averaged_logits(
    channels: int, outputs: int, average_steps: int, generator: torch.Generator | None
) -> list[Streaming]:
    """Return the mean over the last ``average_steps`` outputs, and the logits of it.

    Published classifiers of clips average over the whole clip. A stream has no end: the mean here is over a window
    that moves along, a depthwise convolution with constant weights, whose state is the window's other frames.
    """
    mean = DepthwiseConv2d(1, channels, average_steps, 1, bias=False, trained=False)
    return [mean, Dense(channels, outputs, generator)]


def conv_norm_relu(conv: Streaming, channels: int) -> list[Streaming]:
    """Return the convolution, a batch norm over its channels and a ReLU."""
    return [conv, BatchNorm(channels), Relu()]


def same_padding(frequency: int, kernel: int, stride: int = 1) -> tuple[int, int]:
    """Return the zeros before and after a frequency axis for TensorFlow's "same": ceil(frequency / stride) outputs.

    >>> same_padding(10, 4, 2), same_padding(10, 3, 2), same_padding(5, 3)
    ((1, 1), (0, 1), (1, 1))
    """
    total = max((-(-frequency // stride) - 1) * stride + kernel - frequency, 0)
    return total // 2, total - total // 2
