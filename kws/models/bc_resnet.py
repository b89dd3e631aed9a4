"""BC-ResNet: Kim, Chang, Lee, Sung, "Broadcasted residual learning for efficient keyword spotting", 2021."""

import torch

from kws.models.configs import BcResNetConfig
from kws.models.layers import (
    BatchNorm,
    BroadcastResidual,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    FeatureNorm,
    FrequencyMean,
    Relu,
    Sequential,
)
from kws.models.parts import averaged_logits, conv_norm_relu, dense_norm, depthwise_norm
from kws.models.streaming import Streaming

SUB_BANDS = 5
STAGES = ((2, 1, 1), (2, 2, 2), (4, 2, 4), (4, 1, 8))
"""Blocks, frequency stride of the first of them, dilation over time, of each stage (table 1)."""


class BcResNet(Sequential):
    """Blocks with a two-dimensional path over frequency and a one-dimensional one over time that is broadcast.

    Shape: [batch, frames, bands] -> [batch, frames, outputs]. Widths, kernels, strides and norms are those of
    Qualcomm-AI-research/bcresnet, with these differences: ReLU in place of swish, which the integer graph does not
    have; no dropout; time is remembered, not padded; the mean over the clip is one over the last ``average_steps``
    outputs. Where the bands are not a multiple of 40, a map that five sub-bands do not divide has one norm, and the
    last convolution covers whatever frequency axis is left.

    >>> model = BcResNet(BcResNetConfig(), bands=40, outputs=12)
    >>> model.receptive_field, sum(p.numel() for p in model.parameters())
    (166, 9232)
    """

    def __init__(
        self, config: BcResNetConfig, bands: int, outputs: int, generator: torch.Generator | None = None
    ) -> None:
        base = int(8 * config.tau)
        widths = (base, int(base * 1.5), base * 2, int(base * 2.5))
        head = Conv2d(
            bands,
            1,
            2 * base,
            5,
            5,
            stride_frequency=2,
            pad_frequency=(2, 2),
            norm=FeatureNorm(bands, shared=True),
            bias=False,
            generator=generator,
        )
        layers = conv_norm_relu(head, 2 * base)
        frequency, channels = head.out_frequency, 2 * base
        for width, (blocks, stride, dilation) in zip(widths, STAGES, strict=True):
            for block in range(blocks):
                added, frequency = _block(frequency, channels, width, 1 if block else stride, dilation, generator)
                layers += added
                channels = width
        last = DepthwiseConv2d(frequency, channels, 5, frequency, bias=False, generator=generator)
        layers += [last, *dense_norm(channels, 4 * base, generator), Relu()]
        super().__init__([*layers, *averaged_logits(4 * base, outputs, config.average_steps, generator)])
        self.latency = config.future_frames


def _block(
    frequency: int, inputs: int, outputs: int, stride: int, dilation: int, generator: torch.Generator | None
) -> tuple[list[Streaming], int]:
    """Return a block and its frequency axis; where the width changes, it is a transition block without identity."""
    transition = inputs != outputs
    body2d: list[Streaming] = []
    if transition:
        pointwise = Conv2d(frequency, inputs, outputs, 1, 1, bias=False, generator=generator)
        body2d += conv_norm_relu(pointwise, outputs)
    over_frequency = DepthwiseConv2d(
        frequency, outputs, 1, 3, stride_frequency=stride, pad_frequency=(1, 1), bias=False, generator=generator
    )
    frequency = over_frequency.out_frequency
    sub_bands = SUB_BANDS if frequency % SUB_BANDS == 0 else 1
    body2d += [over_frequency, BatchNorm(outputs, frequency, sub_bands)]
    over_time = [
        *depthwise_norm(outputs, 3, generator, dilation),
        Relu(),
        Dense(outputs, outputs, generator, bias=False),
    ]
    mean = FrequencyMean(frequency, outputs)
    residual = BroadcastResidual(Sequential(body2d), mean, Sequential(over_time), identity=not transition)
    return [residual, Relu()], frequency
