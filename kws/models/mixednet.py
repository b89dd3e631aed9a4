"""MixedNet, the architecture of microWakeWord's v2 models (kahrendt/microWakeWord, mixednet.py, 2024)."""

import torch

from kws.models.configs import MixedNetConfig
from kws.models.layers import FeatureNorm, Relu, Residual, Sequential, TimeConv
from kws.models.parts import dense_norm, depthwise_norm
from kws.models.streaming import Streaming


class MixedNet(Sequential):
    """A strided convolution and ReLU; blocks of MixConv, pointwise, batch norm, ReLU; logits of the last steps.

    Shape: [batch, frames, bands] -> [batch, frames / stride, outputs]. The published sigmoid is a softmax over filler
    and keywords here. A MixConv is a depthwise convolution whose channels have kernels of different lengths; here the
    shorter ones are filled up with zeros, which are stored and multiplied. As published, the first convolution has
    neither bias nor norm and a MixConv no norm. Its bias, which the next norm takes away again, is left out.
    With ``residual`` each block adds its input through a pointwise layer and batch norm.

    >>> model = MixedNet(MixedNetConfig(), bands=40, outputs=1)
    >>> model.receptive_field, model.stride, sum(part.numel() for part in model.initial_state(1))
    (170, 3, 3472)
    """

    def __init__(
        self, config: MixedNetConfig, bands: int, outputs: int, generator: torch.Generator | None = None
    ) -> None:
        first = TimeConv(
            bands,
            config.first_channels,
            config.first_kernel_time,
            config.stride,
            FeatureNorm(bands),
            generator,
            bias=False,
        )
        layers: list[Streaming] = [first, Relu()]
        inputs = config.first_channels
        for sizes in config.kernels:
            conv = depthwise_norm(inputs, max(sizes), generator, kernel_times=sizes if len(sizes) > 1 else ())[0]
            body: list[Streaming] = [conv, *dense_norm(inputs, config.channels, generator)]
            if config.residual:
                shortcut = Sequential(dense_norm(inputs, config.channels, generator))
                body = [Residual(Sequential(body), shortcut)]
            layers += [*body, Relu()]
            inputs = config.channels
        super().__init__([*layers, TimeConv(inputs, outputs, config.final_steps, generator=generator)])
        self.latency = config.future_frames
