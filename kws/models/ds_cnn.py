"""DS-CNN: Zhang, Suda, Lai, Chandra, "Hello Edge: Keyword Spotting on Microcontrollers", 2017."""

from dataclasses import dataclass

import torch

from kws.models.configs import DsCnnConfig
from kws.models.layers import Conv2d, DepthwiseConv2d, FeatureNorm, FrequencyMean, Sequential
from kws.models.parts import averaged_logits, conv_norm_relu, same_padding
from kws.models.streaming import Streaming


@dataclass(frozen=True)
class Shape:
    """A published size: channels, and (time, frequency) strides of the first convolution and of each block."""

    channels: int
    first: tuple[int, int]
    blocks: tuple[tuple[int, int], ...]


SHAPES = {
    "S": Shape(64, (2, 2), ((1, 1),) * 4),
    "M": Shape(172, (2, 1), ((2, 2), *((1, 1),) * 3)),
    "L": Shape(276, (2, 1), ((2, 2), *((1, 1),) * 4)),
}
"""As ARM-software/ML-KWS-for-MCU trains them."""


class DsCnn(Sequential):
    """A 10 x 4 convolution, then 3 x 3 depthwise and pointwise blocks, mean, logits.

    Shape: [batch, frames, bands] -> [batch, frames / stride, outputs]; stride 2 (S) or 4 (M, L). Frequency is padded as
    published; time is not padded but remembered. The published mean over the clip's whole map is here a mean over
    frequency and then over the last ``average_steps`` outputs. The published code has a bias before each batch norm
    as well, which does nothing and is left out.

    >>> model = DsCnn(DsCnnConfig("S"), bands=10, outputs=12)
    >>> model.receptive_field, model.stride
    (74, 2)
    """

    def __init__(self, config: DsCnnConfig, bands: int, outputs: int, generator: torch.Generator | None = None) -> None:
        shape = SHAPES[config.size]
        channels, (stride_time, stride_frequency) = shape.channels, shape.first
        conv = Conv2d(
            bands,
            1,
            channels,
            10,
            4,
            stride_time=stride_time,
            stride_frequency=stride_frequency,
            pad_frequency=same_padding(bands, 4, stride_frequency),
            norm=FeatureNorm(bands, shared=True),
            bias=False,
            generator=generator,
        )
        layers: list[Streaming] = conv_norm_relu(conv, channels)
        frequency = conv.out_frequency
        for stride_time, stride_frequency in shape.blocks:
            depthwise = DepthwiseConv2d(
                frequency,
                channels,
                3,
                3,
                stride_time=stride_time,
                stride_frequency=stride_frequency,
                pad_frequency=same_padding(frequency, 3, stride_frequency),
                bias=False,
                generator=generator,
            )
            frequency = depthwise.out_frequency
            pointwise = Conv2d(frequency, channels, channels, 1, 1, bias=False, generator=generator)
            layers += [*conv_norm_relu(depthwise, channels), *conv_norm_relu(pointwise, channels)]
        layers.append(FrequencyMean(frequency, channels))
        super().__init__([*layers, *averaged_logits(channels, outputs, config.average_steps, generator)])
        self.latency = config.future_frames
