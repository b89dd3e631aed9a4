"""DeepKWS as published: Chen, Parada, Heigold, "Small-footprint keyword spotting using DNNs", ICASSP 2014."""

import torch

from kws.models.configs import DeepKwsConfig
from kws.models.layers import Dense, FeatureNorm, Relu, Sequential, TimeConv
from kws.models.streaming import Streaming


class DeepKws(Sequential):
    """Stacked frames, hidden ReLU layers, logits for filler and each keyword word (section 3.2).

    Shape: LFBE [batch, frames, bands] in log2 units -> logits [batch, frames, outputs]. The paper's stacked window
    of past, current and future frames is a time convolution; the output at frame t is about frame
    t - ``future_frames``, which is its declared latency.

    >>> model = DeepKws(DeepKwsConfig(), bands=40, outputs=3)
    >>> model.receptive_field, model.latency, sum(p.numel() for p in model.parameters())
    (41, 10, 243459)
    """

    def __init__(
        self, config: DeepKwsConfig, bands: int, outputs: int, generator: torch.Generator | None = None
    ) -> None:
        first = TimeConv(bands, config.width, config.window_frames, norm=FeatureNorm(bands), generator=generator)
        layers: list[Streaming] = [first, Relu()]
        for _ in range(config.layers - 1):
            layers += [Dense(config.width, config.width, generator), Relu()]
        layers.append(Dense(config.width, outputs, generator))
        super().__init__(layers)
        self.latency = config.future_frames
