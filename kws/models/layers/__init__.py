"""The streaming layers that models are made of. Each one can be lowered by ``kws.compress.quantize.lower``.

A feature map with a frequency axis is flattened frequency-major into the last axis of [batch, frames, features]:
index = frequency * channels + channel, which is the memory order of the integer graph and of torch's channels-last.
"""

from kws.models.layers.chain import BroadcastResidual, Residual, Sequential
from kws.models.layers.convolve import over_time
from kws.models.layers.maps import Conv2d, DepthwiseConv2d, FrequencyMean, MaxPool2d
from kws.models.layers.norm import BatchNorm, FeatureNorm
from kws.models.layers.time import Dense, Relu, TimeConv
from kws.models.layers.windowed import Windowed, he_normal

__all__ = [
    "BatchNorm",
    "BroadcastResidual",
    "Conv2d",
    "Dense",
    "DepthwiseConv2d",
    "FeatureNorm",
    "FrequencyMean",
    "MaxPool2d",
    "Relu",
    "Residual",
    "Sequential",
    "TimeConv",
    "Windowed",
    "he_normal",
    "over_time",
]
