"""Run a float graph by torch: what calibration looks at, in the type of the features."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kws.compress.quantize.nodes import (
    FEATURES,
    Add,
    Convolution,
    Depthwise,
    FloatGraph,
    MaxPool,
    Mean,
    Node,
    Pad,
    Reshape,
    Windowed,
)

BATCH_VALUES = 4_000_000
"""Activations of the widest node that are computed at once: 16 MB."""


def run(graph: FloatGraph, features: Tensor) -> dict[str, Tensor]:
    """Return every node's map [clips, frames, frequency, channels], by name, from the state of zeros.

    ``features`` [clips, frames, bands], float32 or float64, of a multiple of the graph's stride in frames.
    """
    values = {FEATURES: features}
    with torch.no_grad():
        for node in graph.nodes:
            values[node.name] = _RUN[type(node)](node, [values[name] for name in node.inputs])
    return values


def batches(graph: FloatGraph, features: NDArray[np.floating]) -> Iterator[Tensor]:
    """Give ``features`` [clips, frames, bands] as float32, so many clips at once that their maps stay small."""
    clips, frames, bands = features.shape
    widest = max(bands, *(node.frequency * node.channels // graph.strides[node.name] for node in graph.nodes))
    size = max(1, BATCH_VALUES // (frames * widest))
    for start in range(0, clips, size):
        yield torch.from_numpy(features[start : start + size].astype(np.float32))


def _joined(node: Windowed, x: Tensor) -> Tensor:
    past = x.new_zeros(x.shape[0], node.carried, *x.shape[2:])
    return torch.cat((past, x), dim=1) if node.carried else x[:, node.skipped :]


def _like(array: NDArray[np.float64], x: Tensor) -> Tensor:
    return torch.tensor(array, dtype=x.dtype)


def _activated(node: Windowed | Add, y: Tensor) -> Tensor:
    return y.relu_() if node.activation == "relu" else y


def _convolution(node: Convolution, sources: list[Tensor]) -> Tensor:
    x = _joined(node, sources[0])
    weights, bias = _like(node.weights, x), _like(node.bias, x)
    if node.kernel == (1, 1):  # a matrix product over positions is faster
        points = x[:, :: node.stride_time, :: node.stride_frequency]
        return _activated(node, F.linear(points, weights[:, 0, 0], bias))
    strides = (node.stride_time, node.stride_frequency)
    y = F.conv2d(x.permute(0, 3, 1, 2), weights.permute(0, 3, 1, 2), bias, strides)
    return _activated(node, y).permute(0, 2, 3, 1)


def _depthwise(node: Depthwise, sources: list[Tensor]) -> Tensor:
    x = _joined(node, sources[0])
    weights, bias = _like(node.weights, x), _like(node.bias, x)
    if node.is_pointwise:
        return _activated(node, x * weights[:, 0, 0] + bias)
    # Time as torch's last axis, where its kernels for a map without frequencies are fast.
    strides, dilation = (node.stride_frequency, node.stride_time), (1, node.dilation_time)
    kernel = weights.transpose(1, 2).unsqueeze(1)
    y = F.conv2d(x.permute(0, 3, 2, 1), kernel, bias, strides, 0, dilation, node.channels)
    return _activated(node, y).permute(0, 3, 2, 1)


def _pad(node: Pad, sources: list[Tensor]) -> Tensor:
    return F.pad(sources[0], (0, 0, node.before, node.after))


def _add(node: Add, sources: list[Tensor]) -> Tensor:
    return _activated(node, sources[0] + sources[1])


def _max_pool(node: MaxPool, sources: list[Tensor]) -> Tensor:
    window = (node.window_time, node.window_frequency)
    return F.max_pool2d(sources[0].permute(0, 3, 1, 2), window).permute(0, 2, 3, 1)


def _mean(node: Mean, sources: list[Tensor]) -> Tensor:
    return sources[0].mean(dim=2, keepdim=True)


def _reshape(node: Reshape, sources: list[Tensor]) -> Tensor:
    return sources[0].reshape(*sources[0].shape[:2], node.frequency, node.channels)


_RUN: dict[type[Node], Callable[[Any, list[Tensor]], Tensor]] = {
    Convolution: _convolution,
    Depthwise: _depthwise,
    Pad: _pad,
    Add: _add,
    MaxPool: _max_pool,
    Mean: _mean,
    Reshape: _reshape,
}
