"""Activation ranges for post-training int8, chosen on features that are drawn as training draws them.

Hidden layers: the clipping point with the smallest mean squared error of the quantized activations, from a grid up
to the largest value (as in Banner et al. 2019, found by search). Logits: the one with the smallest mean squared
error of the posteriors, which is what the detector sees.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from kws.compress.stages import Stage
from kws.errors import KwsError
from kws.frontend.config import LFBE_FRACTION_BITS
from kws.graph.arithmetic import float32_exact
from kws.graph.ir import Quant

Array = NDArray[np.float64]

INPUT_QUANT = Quant(float32_exact(40.0 / 255.0), -128)
"""The LFBE in int8: log2 energies 0 to 40 in steps of 0.157 (0.47 dB). Digital silence, 0, is the zero point, where
states start. What lies above 40, one band within 10 dB of a full-scale tone, is clipped."""

VALUES_AT_MOST = 400_000
"""Activations that one choice looks at, evenly taken from all."""


@dataclass(frozen=True)
class Calibration:
    """Quantization of the input and of each stage's output, in order."""

    input: Quant
    outputs: tuple[Quant, ...]


def quantized_input(features: Tensor, quant: Quant = INPUT_QUANT) -> Tensor:
    """Return LFBE int16 as the log2 values that the int8 graph hears: float32, on the grid of ``quant``, any shape.

    Training on this grid leaves nothing to be lost at the input.
    """
    steps = (
        (features.float() * (2.0**-LFBE_FRACTION_BITS / quant.scale))
        .round_()
        .clamp_(-128 - quant.zero_point, 127 - quant.zero_point)
    )
    return steps.mul_(quant.scale)


def calibrate(model_stages: list[Stage], features: NDArray[np.float64]) -> Calibration:
    """Choose the quantization of every activation on ``features`` [clips, frames, bands], log2 units.

    Raises:
        KwsError: the features are empty, or an activation is not finite (training diverged).
    """
    if features.size == 0:
        raise KwsError("calibration got no features; give at least one clip of at least one window")
    batch = list(features)
    chosen = []
    for stage in model_stages:
        batch = [stage.run(clip) for clip in batch]
        values = np.concatenate(batch)
        if not np.isfinite(values).all():
            raise KwsError(f"{stage.name}: activations are not finite, training diverged; lower train.learning_rate")
        last = stage is model_stages[-1]
        chosen.append(_logit_quant(values) if last else _hidden_quant(values, stage.activation == "relu"))
    return Calibration(INPUT_QUANT, tuple(chosen))


def fake_quantize(values: Array, quant: Quant) -> Array:
    """Return the values as int8 of ``quant`` would hold them."""
    steps = np.clip(np.rint(values / quant.scale) + quant.zero_point, -128, 127)
    return np.asarray((steps - quant.zero_point) * quant.scale)


def softmax(logits: Array) -> Array:
    """Return the posteriors over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _hidden_quant(values: Array, relu: bool) -> Quant:
    flat = values.ravel()[:: max(1, values.size // VALUES_AT_MOST)]
    low, high = (0.0, float(flat.max())) if relu else (min(float(flat.min()), 0.0), max(float(flat.max()), 0.0))
    return _best(lambda share: _affine(low * share, high * share), flat, lambda part: part)


def _logit_quant(values: Array) -> Quant:
    rows = values[:: max(1, values.size // VALUES_AT_MOST)]
    most = float(np.abs(rows).max())
    return _best(lambda share: Quant(float32_exact(max(most * share, 1e-3) / 127.0), 0), rows, softmax)


def _best(quant_of: Callable[[float], Quant], values: Array, seen: Callable[[Array], Array]) -> Quant:
    """Return the quantization whose error, as ``seen`` sees it, is least, for clipping points of 20 % to 100 %."""
    wanted = seen(values)
    candidates = [quant_of(share) for share in np.linspace(0.2, 1.0, 33)]
    errors = [float(((seen(fake_quantize(values, quant)) - wanted) ** 2).mean()) for quant in candidates]
    return candidates[int(np.argmin(errors))]


def _affine(low: float, high: float) -> Quant:
    """Return the quantization of ``low`` .. ``high`` (0 within) with an exact zero and a float32 scale."""
    scale = float32_exact(max(high - low, 1e-3) / 255.0)
    return Quant(scale, int(np.clip(np.rint(-128.0 - low / scale), -128, 127)))
