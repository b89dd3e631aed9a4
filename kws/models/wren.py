"""Wren: this project's own streaming model, under 25,000 parameters and 2.0 M multiply-accumulates per second."""

import torch

from kws.errors import KwsError
from kws.models.configs import WrenConfig
from kws.models.layers import Conv2d, Dense, FeatureNorm, Relu, Residual, Sequential, TimeConv
from kws.models.parts import conv_norm_relu, dense_norm, depthwise_norm
from kws.models.streaming import Streaming


class Wren(Sequential):
    """A strided convolution, blocks of depthwise and pointwise convolutions with ever longer kernels, logits.

    Shape: LFBE [batch, frames, bands] in log2 units -> logits [batch, frames / stride, outputs]. A block is depthwise
    over time (half of its channels with shorter kernels, see ``short_share``), batch norm, pointwise, batch norm, with
    ``residual`` plus its input where the widths are equal, ReLU. The logits see the last ``final_steps`` outputs.

    >>> model = Wren(WrenConfig(), bands=40, outputs=2)
    >>> model.receptive_field, model.stride, model.latency
    (170, 3, 0)

    Raises:
        KwsError: the bands are fewer than ``first_frequency_kernel``.
    """

    def __init__(self, config: WrenConfig, bands: int, outputs: int, generator: torch.Generator | None = None) -> None:
        layers, inputs = _first(config, bands, generator)
        for kernel, dilation in zip(config.blocks, config.dilations or (1,) * len(config.blocks), strict=True):
            short = max(1, round(config.short_share * kernel))
            body: list[Streaming] = [
                *depthwise_norm(inputs, kernel, generator, dilation, (short, kernel) if short < kernel else ()),
                *dense_norm(inputs, config.channels, generator),
            ]
            if config.residual and inputs == config.channels:
                body = [Residual(Sequential(body))]
            layers += [*body, Relu()]
            inputs = config.channels
        if config.head_channels:
            layers += [*dense_norm(inputs, config.head_channels, generator), Relu()]
            inputs = config.head_channels
        steps = config.final_steps
        last = TimeConv(inputs, outputs, steps, generator=generator) if steps > 1 else Dense(inputs, outputs, generator)
        super().__init__([*layers, last])
        self.latency = config.future_frames


def _first(config: WrenConfig, bands: int, generator: torch.Generator | None) -> tuple[list[Streaming], int]:
    """Return the layers before the blocks and the width they end in."""
    channels, kernel = config.first_channels, config.first_frequency_kernel
    if not kernel:
        norm = FeatureNorm(bands)
        conv = TimeConv(
            bands, channels, config.first_kernel_time, config.stride, norm=norm, generator=generator, bias=False
        )
        return conv_norm_relu(conv, channels), channels
    if kernel > bands:
        raise KwsError(f"model.wren.first_frequency_kernel: {kernel} is more than the frontend's {bands} bands")
    conv2d = Conv2d(
        bands,
        1,
        channels,
        config.first_kernel_time,
        kernel,
        stride_time=config.stride,
        stride_frequency=config.first_frequency_stride,
        norm=FeatureNorm(bands, shared=True),
        bias=False,
        generator=generator,
    )
    flat = conv2d.out_frequency * channels
    return [*conv_norm_relu(conv2d, channels), *dense_norm(flat, config.channels, generator), Relu()], config.channels
