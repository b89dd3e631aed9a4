"""TC-ResNet8: Choi et al., "Temporal convolution for real-time keyword spotting on mobile devices", 2019."""

import torch

from kws.models.configs import TcResNet8Config
from kws.models.layers import BatchNorm, FeatureNorm, Relu, Residual, Sequential, TimeConv
from kws.models.parts import averaged_logits, conv_norm_relu
from kws.models.streaming import Streaming

FIRST_CHANNELS, CHANNELS, KERNEL = 16, (24, 32, 48), 9


class TcResNet8(Sequential):
    """Convolutions over time with the bands as channels: one of 3 frames, then three residual blocks of stride 2.

    Shape: [batch, frames, bands] -> [batch, frames / 8, outputs]: a decision every 8 frames. Time is remembered, not
    padded, so that a block's shortcut sees the newest frame of its body's kernel where the published one sees the
    middle; the mean over the clip is one over the last ``average_steps`` outputs; no dropout.

    >>> model = TcResNet8(TcResNet8Config(), bands=40, outputs=12)
    >>> model.receptive_field, model.stride
    (267, 8)
    """

    def __init__(
        self, config: TcResNet8Config, bands: int, outputs: int, generator: torch.Generator | None = None
    ) -> None:
        channels = int(FIRST_CHANNELS * config.width)
        first = TimeConv(bands, channels, 3, norm=FeatureNorm(bands), generator=generator, bias=False)
        layers: list[Streaming] = conv_norm_relu(first, channels)
        for published in CHANNELS:
            width = int(published * config.width)
            strided = TimeConv(channels, width, KERNEL, 2, generator=generator, bias=False)
            second = TimeConv(width, width, KERNEL, generator=generator, bias=False)
            shortcut = TimeConv(channels, width, 1, 2, generator=generator, bias=False)
            body = [*conv_norm_relu(strided, width), second, BatchNorm(width)]
            layers += [Residual(Sequential(body), Sequential(conv_norm_relu(shortcut, width))), Relu()]
            channels = width
        super().__init__([*layers, *averaged_logits(channels, outputs, config.average_steps, generator)])
        self.latency = config.future_frames
