"""Activation ranges for post-training int8, chosen on features that are drawn as training draws them.

Hidden layers: from 0 (or the least) to the value that all but 1 in 10,000 stay below. On a trained 3 x 128 DeepKWS
the posteriors' mean error was 0.0027 with this, 0.0030 with the least squared error of the activations, 0.0033 with
the full range, 0.0024 with 1 in 1,000 but with a largest error of 0.12 in place of 0.08. Logits: the range with the
smallest mean squared error of the posteriors, which is what the detector sees (the full range doubles the error).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kws.compress.quantize.float_run import batches, run
from kws.compress.quantize.nodes import FEATURES, LOGITS, Add, Array, FloatGraph, Node, Windowed
from kws.errors import KwsError
from kws.frontend.config import LFBE_FRACTION_BITS, FrontendConfig
from kws.graph.arithmetic import float32_exact, input_quant
from kws.graph.ir import Quant

INPUT_QUANT = input_quant(FrontendConfig())
"""That of LFBE."""

KEPT_SHARE = 0.9999
"""The share of a hidden layer's activations within the int8 range; the rest is clipped."""

USEFUL_LOGIT = 5.5
"""The range of a centred logit is at least +-this: two labels then differ by up to 11, a posterior of 1 in Q15."""

VALUES_AT_MOST = 400_000
"""The most activations that a choice looks at, taken evenly from all."""


@dataclass(frozen=True)
class Calibration:
    """By name: the quantization of the features and of every node, the mean of every map that a convolution reads.

    A mean is [frequency, channels], over clips and frames.
    """

    quants: dict[str, Quant]
    means: dict[str, Array]


def quantized_input(features: Tensor, quant: Quant = INPUT_QUANT) -> Tensor:
    """Return features int16 as the values that the int8 graph sees: float32, on the grid of ``quant``, any shape.

    Training on this grid loses nothing at the input.
    """
    steps = (
        (features.float() * (2.0**-LFBE_FRACTION_BITS / quant.scale))
        .round_()
        .clamp_(-128 - quant.zero_point, 127 - quant.zero_point)
    )
    return steps.mul_(quant.scale)


def calibrate(graph: FloatGraph, features: NDArray[np.floating], quant: Quant = INPUT_QUANT) -> Calibration:
    """Choose the quantization of every activation on ``features`` [clips, frames, bands], themselves in ``quant``.

    ``frames`` is a multiple of the graph's stride. What only moves or picks values (padding, pooling, reshaping) keeps
    the quantization of what it reads.

    Raises:
        KwsError: the features are empty, or an activation is not finite (training diverged).
    """
    if features.size == 0:
        raise KwsError("calibration got no features; give at least one clip of at least one window")
    samples, means = _observe(graph, features)
    quants = {FEATURES: quant}
    for node in graph.nodes:
        if not isinstance(node, Windowed | Add):
            quants[node.name] = quants[node.inputs[0]]
        elif node.name == LOGITS:
            quants[node.name] = _logit_quant(samples[node.name])
        else:
            quants[node.name] = _hidden_quant(samples[node.name], node.activation == "relu")
    return Calibration(quants, means)


def fake_quantize(values: Array, quant: Quant) -> Array:
    """Return the values as int8 of ``quant`` would hold them."""
    steps = np.clip(np.rint(values / quant.scale) + quant.zero_point, -128, 127)
    return np.asarray((steps - quant.zero_point) * quant.scale)


def softmax(logits: Array) -> Array:
    """Return the posteriors over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _observe(graph: FloatGraph, features: NDArray[np.floating]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return activations of every node that computes, and the means of a ``Calibration``.

    Activations of the logits are [rows, outputs], of the others in no order.
    """
    computing = [node for node in graph.nodes if isinstance(node, Windowed | Add)]
    chosen: dict[str, list[Array]] = {node.name: [] for node in computing}
    means = {node.inputs[0]: np.zeros(1) for node in computing if isinstance(node, Windowed)}
    for batch in batches(graph, features):
        values = run(graph, batch)
        for node in computing:
            if not torch.isfinite(values[node.name]).all():
                raise KwsError(f"{node.name}: activations are not finite, training diverged; lower train.learning_rate")
            taken = _taken(graph, node, values[node.name], features.shape[0] * features.shape[1])
            chosen[node.name].append(taken.double().numpy())
        for name, mean in means.items():
            part = values[name].mean(dim=(0, 1), dtype=torch.float64).numpy()
            means[name] = mean + part * (len(batch) / len(features))
    return {name: np.concatenate(parts) for name, parts in chosen.items()}, means


def _taken(graph: FloatGraph, node: Node, values: Tensor, frames: int) -> Tensor:
    """Return evenly taken activations (rows for the logits), as many as asked for over all of ``frames``."""
    width = node.frequency * node.channels
    rows = values.reshape(-1, width)
    every = max(1, frames // graph.strides[node.name] * width // VALUES_AT_MOST)
    if node.name == LOGITS:
        return rows[::every]
    while math.gcd(every, width) > 1:  # or some channels would never be looked at
        every += 1
    return rows.reshape(-1)[::every]


def _hidden_quant(values: Array, relu: bool) -> Quant:
    low, high = np.quantile(values, [1.0 - KEPT_SHARE, KEPT_SHARE])
    return _affine(0.0 if relu else min(float(low), 0.0), max(float(high), 0.0))


def _logit_quant(rows: Array) -> Quant:
    """Return the best symmetric quantization of centred logits [rows, outputs]; useful differences are not clipped."""
    most = max(float(np.abs(rows).max()), 1e-3)
    ranges = np.linspace(min(most, USEFUL_LOGIT), most, 33)
    candidates = [Quant(float32_exact(largest / 127.0), 0) for largest in ranges]
    exact = softmax(rows)
    errors = [float(((softmax(fake_quantize(rows, quant)) - exact) ** 2).mean()) for quant in candidates]
    return candidates[int(np.argmin(errors))]


def _affine(low: float, high: float) -> Quant:
    """Return the quantization of ``low`` .. ``high`` (0 within) with an exact zero and a float32 scale."""
    scale = float32_exact(max(high - low, 1e-3) / 255.0)
    return Quant(scale, int(np.clip(np.rint(-128.0 - low / scale), -128, 127)))
