"""Scale channels against each other so that all of them use the int8 range that they share.

A map has one scale for all channels. Where a convolution's output goes, through nothing but padding, pooling or
reshaping, into one other convolution, its channel c may be divided by s_c > 0 if the other's weights for c are
multiplied by it: the same function (Nagel et al. 2019, section 4.1). The dividing is free, since weights have a scale
per output channel. The multiplying is free where the other is depthwise; s_c is then the channel's largest activation
a_c. Else large and small weights meet under one scale, and s_c = a_c^0.75 / w_c^0.25 (Xiao et al. 2023, "SmoothQuant",
eq. 4) takes care of both, w_c the largest weight that reads c.

On models trained for minutes on real recordings the noise in the logits fell by 1.8 dB with this (wren), 2.1
(mixednet), 1.7 (bc_resnet), 2.9 (deepkws) and 5.4 dB (ds_cnn). With an exponent of 1 it was 0.6, 1.0 and rose by 1.6 dB
for wren, mixednet and deepkws; with 0.5 it fell by 0.5, 1.9 and 2.6 dB. (Wren of commit 1b89029: five blocks of 48.)
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from kws.compress.quantize.float_run import batches, run
from kws.compress.quantize.nodes import Array, Convolution, FloatGraph, MaxPool, Mean, Node, Pad, Reshape, Windowed

ACTIVATION_SHARE = 0.75
"""The exponent of the activations; that of the weights is the rest."""

LEAST = 1.0 / 32.0
"""Of the largest channel: a smaller one counts as this large, as one that calibration hardly saw may matter."""


def equalize(graph: FloatGraph, features: NDArray[np.floating]) -> FloatGraph:
    """Return a graph of the same function with channels of like size on ``features`` [clips, frames, bands]."""
    pairs = _pairs(graph)
    largest = _largest(graph, features, [source for source, _ in pairs])
    nodes = {node.name: node for node in graph.nodes}
    for source, target in pairs:
        first, second = nodes[source], nodes[target]
        assert isinstance(first, Windowed)
        assert isinstance(second, Windowed)
        scale = _scale(largest[source], second)
        nodes[source] = replace(first, weights=first.weights / _by_output(scale, first), bias=first.bias / scale)
        repeated = np.tile(scale, _input_channels(second) // scale.size)
        by_input = repeated if isinstance(second, Convolution) else _by_output(repeated, second)
        nodes[target] = replace(second, weights=second.weights * by_input)
    return FloatGraph(graph.bands, tuple(nodes.values()), graph.output)


def _input_channels(node: Windowed) -> int:
    return int(node.weights.shape[3]) if isinstance(node, Convolution) else node.channels


def _pairs(graph: FloatGraph) -> list[tuple[str, str]]:
    """Return the names of convolutions, each with the one that alone reads it, first to last."""
    readers: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            readers[name].append(node)
    pairs = []
    for node in graph.nodes:
        reader = node
        while len(readers[reader.name]) == 1 and reader.channels % node.channels == 0:
            # Reshaped, a channel is every so many channels: frequency-major maps have the channels inside.
            reader = readers[reader.name][0]
            if not isinstance(reader, Pad | MaxPool | Mean | Reshape):
                break
        scalable = reader is not node and isinstance(node, Windowed) and isinstance(reader, Windowed)
        if scalable:
            pairs.append((node.name, reader.name))
    return pairs


def _largest(graph: FloatGraph, features: NDArray[np.floating], names: list[str]) -> dict[str, Array]:
    """Return the largest magnitude of each channel in a clip, the mean over clips, by node."""
    sums = {name: np.zeros(1) for name in names}
    for batch in batches(graph, features):
        values = run(graph, batch)
        for name in names:
            sums[name] = sums[name] + values[name].abs().amax(dim=(1, 2)).sum(dim=0, dtype=torch.float64).numpy()
    return {name: total / len(features) for name, total in sums.items()}


def _scale(largest: Array, reader: Windowed) -> Array:
    """Return what to divide each channel by, from the channels' largest activations."""
    activations = np.maximum(largest, max(float(largest.max()) * LEAST, 1e-9))
    if not isinstance(reader, Convolution):
        return np.asarray(activations / activations.max())
    weights = np.abs(reader.weights).max(axis=(0, 1, 2)).reshape(-1, largest.size).max(axis=0)
    weights = np.maximum(weights, max(float(weights.max()) * LEAST, 1e-9))
    scale = activations**ACTIVATION_SHARE / weights ** (1.0 - ACTIVATION_SHARE)
    return np.asarray(scale / scale.max())


def _by_output(scale: Array, node: Windowed) -> Array:
    return scale.reshape(-1, *([1] * (node.weights.ndim - 1)))
