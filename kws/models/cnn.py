"""Sainath and Parada, "Convolutional neural networks for small-footprint keyword spotting", Interspeech 2015."""

from dataclasses import dataclass

import torch

from kws.errors import KwsError
from kws.models.configs import CnnConfig, CnnName
from kws.models.layers import Conv2d, Dense, FeatureNorm, MaxPool2d, Relu, Sequential, TimeConv
from kws.models.streaming import Streaming

WINDOW_FRAMES = 32
LOW_RANK = 32
HIDDEN = 128


@dataclass(frozen=True)
class Conv:
    """m x r filters (time x frequency), n maps, stride s x v, pooling p x q, as the paper's tables name them."""

    m: int
    r: int
    n: int
    s: int = 1
    v: int = 1
    p: int = 1
    q: int = 1


ROWS: dict[CnnName, tuple[Conv, ...]] = {
    "cnn-trad-fpool3": (Conv(20, 8, 64, q=3), Conv(10, 4, 64)),
    "cnn-one-fpool3": (Conv(32, 8, 54, q=3),),
    "cnn-one-fstride4": (Conv(32, 8, 186, v=4),),
    "cnn-one-fstride8": (Conv(32, 8, 336, v=8),),
    "cnn-tstride2": (Conv(16, 8, 78, s=2, q=3), Conv(9, 4, 78)),
    "cnn-tstride4": (Conv(16, 8, 100, s=4, q=3), Conv(5, 4, 78)),
    "cnn-tpool2": (Conv(21, 8, 94, p=2, q=3), Conv(6, 4, 94)),
    "cnn-tpool3": (Conv(15, 8, 94, p=3, q=3), Conv(6, 4, 94)),
}
"""Tables 1 to 5 of the paper; cnn-tstride8 does not fit on 32 frames without padding."""


class Cnn(Sequential):
    """A row of the paper's tables; the rows with one convolution have two hidden layers, the others one.

    Shape: LFBE [batch, frames, bands] in log2 units -> logits [batch, frames / stride, outputs]. Every output is the
    paper's function of a window of 32 frames; the convolutions are shared between overlapping windows. The positions
    that a row strides or pools over in time must be the same in all windows for that, so that such a row decides every
    ``s * p`` frames, its stride. The features are normed by one mean and deviation, since filters move over bands.

    >>> model = Cnn(CnnConfig("cnn-tpool2"), bands=40, outputs=4)
    >>> model.receptive_field, model.stride, model.latency
    (32, 2, 8)

    Raises:
        KwsError: the bands are too few for the row's filters.
    """

    def __init__(self, config: CnnConfig, bands: int, outputs: int, generator: torch.Generator | None = None) -> None:
        layers: list[Streaming] = []
        norm: FeatureNorm | None = FeatureNorm(bands, shared=True)
        frequency, channels, frames = bands, 1, WINDOW_FRAMES
        for row in ROWS[config.row]:
            if frequency < row.r + (row.q - 1) * row.v:
                raise KwsError(f"model.cnn: {config.row} needs more bands than {bands}; use the default frontend")
            conv = Conv2d(
                frequency,
                channels,
                row.n,
                row.m,
                row.r,
                stride_time=row.s,
                stride_frequency=row.v,
                norm=norm,
                generator=generator,
            )
            layers += [conv, Relu()]
            frequency, channels, frames, norm = conv.out_frequency, row.n, (frames - row.m) // row.s + 1, None
            if row.p * row.q > 1:
                pool = MaxPool2d(frequency, channels, row.p, row.q)
                layers.append(pool)
                frequency, frames = pool.out_frequency, frames // row.p
        layers.append(TimeConv(frequency * channels, LOW_RANK, frames, generator=generator))
        inputs = LOW_RANK
        for _ in range(2 if len(ROWS[config.row]) == 1 else 1):
            layers += [Dense(inputs, HIDDEN, generator), Relu()]
            inputs = HIDDEN
        super().__init__([*layers, Dense(HIDDEN, outputs, generator)])
        self.latency = config.future_frames
