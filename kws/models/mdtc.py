"""MDTC, multi-scale depthwise temporal convolution (wenet-e2e/wekws, mdtc.py; Hou et al. 2020)."""

import torch

from kws.models.configs import MdtcConfig
from kws.models.layers import Dense, Relu, Residual, Sequential
from kws.models.parts import dense_norm, depthwise_norm
from kws.models.streaming import Streaming


class Mdtc(Sequential):
    """A block from bands to channels, then stacks of residual blocks; the logits see the sum of all stacks' outputs.

    Shape: [batch, frames, bands] -> [batch, frames, outputs]. As published, but for a softmax over filler and keywords
    in place of a sigmoid, and without the biases before batch norms, which do nothing. The sum s1 + s2 + s3 with
    s2 = f2(s1), s3 = f3(s2) is nested residuals: s1 + (f3 + identity)(f2(s1)). There is no feature norm: the batch norm
    behind the first depthwise convolution norms each band.

    >>> model = Mdtc(MdtcConfig(), bands=80, outputs=1)
    >>> model.receptive_field
    185
    """

    def __init__(self, config: MdtcConfig, bands: int, outputs: int, generator: torch.Generator | None = None) -> None:
        width, kernel = config.channels, config.kernel_time
        layers = [*_convolutions(bands, width, kernel, 1, generator), Relu()]
        stacks = [
            [part for exponent in range(config.stack_size) for part in _block(width, kernel, 2**exponent, generator)]
            for _ in range(config.stacks)
        ]
        summed: list[Streaming] = []
        for stack in reversed(stacks[1:]):
            summed = [Residual(Sequential([*stack, *summed]))]
        super().__init__([*layers, *stacks[0], *summed, Dense(width, outputs, generator)])
        self.latency = config.future_frames


def _convolutions(
    inputs: int, width: int, kernel: int, dilation: int, generator: torch.Generator | None
) -> list[Streaming]:
    """Return a depthwise convolution over time and two pointwise ones, each with its batch norm."""
    return [
        *depthwise_norm(inputs, kernel, generator, dilation),
        *dense_norm(inputs, width, generator),
        Relu(),
        *dense_norm(width, width, generator),
    ]


def _block(width: int, kernel: int, dilation: int, generator: torch.Generator | None) -> list[Streaming]:
    return [Residual(Sequential(_convolutions(width, width, kernel, dilation, generator))), Relu()]
