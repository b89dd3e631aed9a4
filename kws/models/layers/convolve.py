"""Convolution over time as training computes it fastest."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def over_time(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, dilation: int = 1, groups: int = 1
) -> Tensor:
    """Return torch's convolution of [batch, frames, inputs] over time: all windows that fit.

    ``weight`` is [outputs, inputs / groups, kernel]. The frames are given to torch as a map of one row in channels-last
    memory, which is how they lie: gradients then lie so too. Through ``conv1d`` they come back transposed, and a step
    of training takes longer, with most models by half (``benchmarks/layout.py``). Long depthwise kernels have a
    gradient of their own (``LongDepthwise``).

    >>> over_time(torch.tensor([[[1.0], [2.0], [4.0]]]), torch.tensor([[[1.0, 10.0]]]), None)
    tensor([[[21.],
             [42.]]])
    """
    if bias is None and stride == dilation == 1 and LongDepthwise.suits(x, weight, groups):
        return LongDepthwise.over(x, weight)
    return _of_maps(F.conv2d(_maps(x), weight.unsqueeze(2), bias, (1, stride), 0, (1, dilation), groups))


def _maps(x: Tensor) -> Tensor:
    """Return [batch, frames, channels] as maps of one row, [batch, channels, 1, frames], in the same memory."""
    return x.contiguous().transpose(1, 2).unsqueeze(2)


def _of_maps(maps: Tensor) -> Tensor:
    """Return what ``_maps`` was given."""
    return maps.squeeze(2).transpose(1, 2)


class LongDepthwise(torch.autograd.Function):
    """A depthwise convolution over time whose kernels' gradient comes from matrix products.

    The gradient of tap k is the sum over time of output gradient t times input t + k: a diagonal of the product of
    the two, for each channel. That multiplies several times as often as needed, and yet takes from half to a third
    of torch's time on processors, which have fast loops for kernels of up to 14 taps only (``benchmarks/layout.py``).
    """

    LEAST_TAPS = 15
    MOST_FRAMES_PER_TAP = 8
    """Beyond it the products multiply too often: their number grows with the square of the frames."""

    @classmethod
    def suits(cls, x: Tensor, weight: Tensor, groups: int) -> bool:
        """Whether this convolution is depthwise, long, on a processor, and has a gradient to find."""
        outputs, inputs, taps = weight.shape
        frames = x.shape[1] - taps + 1
        depthwise = inputs == 1 and outputs == groups == x.shape[2]
        long = taps >= cls.LEAST_TAPS and frames <= cls.MOST_FRAMES_PER_TAP * taps
        return depthwise and long and x.device.type == "cpu" and weight.requires_grad and torch.is_grad_enabled()

    @classmethod
    def over(cls, x: Tensor, weight: Tensor) -> Tensor:
        """Return the convolution of [batch, frames, channels] with [channels, 1, taps]."""
        y: Tensor = cls.apply(x, weight)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return y

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Convolve as ever."""
        ctx.save_for_backward(x, weight)
        return _of_maps(F.conv2d(_maps(x), weight.unsqueeze(2), groups=len(weight)))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of x and of the weight."""
        x, weight = ctx.saved_tensors
        (of_y,) = gradients
        (channels, _, taps), frames = weight.shape, x.shape[1]
        backwards = weight.flip(2).unsqueeze(2)
        of_x = _of_maps(F.conv2d(_maps(of_y), backwards, padding=(0, taps - 1), groups=channels))
        by_frames = of_y.permute(2, 0, 1).contiguous().transpose(1, 2)
        products = torch.bmm(by_frames, x.permute(2, 0, 1).contiguous())  # [channels, frames of y, frames of x]
        sizes = (channels, of_y.shape[1], taps)
        diagonals = products.as_strided(sizes, (products.stride(0), frames + 1, 1))
        return of_x, diagonals.sum(dim=1).unsqueeze(1)
