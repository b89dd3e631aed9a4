"""The integer arithmetic that every engine shares: scales to Q31 multipliers, requantization, quantized features.

It is that of TensorFlow Lite's reference kernels and of TensorFlow Lite Micro (``QuantizeMultiplier`` in
``tensorflow/lite/kernels/internal/quantization_util.cc``, ``MultiplyByQuantizedMultiplier`` in ``common.cc``), which
take it from gemmlowp (``fixedpoint.h``); ``kws_requantize`` in ``ops.c`` is the same in C.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.frontend.config import LFBE_FRACTION_BITS, FrontendConfig
from kws.graph.ir import Add, Conv2D, DepthwiseConv2D, Quant, QuantGraph

INT8_MIN, INT8_MAX = -128, 127
INT32_MAX = (1 << 31) - 1
LARGEST_SHIFT = 30
"""Accumulators are int32: 1 shifted left by more than this overflows."""
LARGEST_INPUT_SHIFT = 15
"""An int16 LFBE shifted left by up to this fits an int32."""
ADD_LEFT_SHIFT = 20
"""An addition's inputs are shifted left by this before they are scaled: |q - zero_point| is below 2^8, so it fits."""


def quantize_multiplier(value: float) -> tuple[int, int]:
    """Return ``(multiplier, shift)``: ``value`` is nearly ``multiplier * 2 ** (shift - 31)``.

    The multiplier is 0 or in 2^30 .. 2^31 - 1; a value too small for a shift of -31 becomes 0, as in TensorFlow Lite.

    Raises:
        ValueError: the value is negative, not finite, or 2^30 or more.

    >>> quantize_multiplier(0.5), quantize_multiplier(0.75), quantize_multiplier(1e-12)
    ((1073741824, 0), (1610612736, 0), (0, 0))
    """
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"the multiplier {value!r} must be finite and not negative")
    fraction, shift = math.frexp(value)
    multiplier = math.floor(fraction * 2**31 + 0.5)  # exact: the fraction is positive and 22 bits are to spare
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    if shift > LARGEST_SHIFT:
        raise ValueError(f"the multiplier {value!r} must be below 2^{LARGEST_SHIFT}")
    return (0, 0) if shift < -31 else (multiplier, shift)


def requantize(
    accumulators: NDArray[Any], multiplier: int | NDArray[Any], shift: int | NDArray[Any]
) -> NDArray[np.int64]:
    """Scale int32 accumulators by ``multiplier * 2 ** (shift - 31)``, rounded twice.

    First the rounding doubling high multiply (of the accumulator shifted left, where the shift is positive), its ties
    up; then the rounding right shift, its ties away from zero. Arrays broadcast: per channel multipliers and shifts go
    with channels in the last axis. ``accumulators * 2 ** shift`` must fit an int32 (``check`` sees to it).

    >>> requantize(np.array([5, -5, 6]), 2**30, 0), requantize(np.array([5, -5, 12]), 2**30, -1)
    (array([ 3, -2,  3]), array([ 2, -1,  3]))
    """
    left = np.maximum(shift, 0)
    right = np.maximum(np.negative(shift), 0).astype(np.int64)
    product = (np.asarray(accumulators, np.int64) << left) * np.asarray(multiplier, np.int64)
    # An arithmetic shift rounds down: with a half added, to nearest, ties up.
    high = (product + (1 << 30)) >> 31
    half = (np.int64(1) << right) >> 1
    ties_down = (high < 0) & (half > 0)
    scaled: NDArray[np.int64] = (high + (half - ties_down)) >> right
    return scaled


def input_quant(frontend: FrontendConfig) -> Quant:
    """Return how a model's features are quantized. Digital silence, 0, is the zero point, where states start.

    >>> input_quant(FrontendConfig.presets()["micro"])
    Quant(scale=0.10162353515625, zero_point=-128)
    """
    return Quant(float32_exact(frontend.int8_step), -128)


def feature_multiplier(quant: Quant) -> tuple[int, int]:
    """Return the multiplier and shift that take int16 LFBE values to ``quant``'s scale.

    Raises:
        ValueError: the scale is so small that an LFBE value, shifted left, would not fit an int32.
    """
    multiplier, shift = quantize_multiplier(2.0**-LFBE_FRACTION_BITS / quant.scale)
    if shift > LARGEST_INPUT_SHIFT:
        raise ValueError(f"the scale {quant.scale!r} is too small for LFBE values")
    return multiplier, shift


def quantize_features(lfbe: NDArray[np.int16], quant: Quant) -> NDArray[np.int8]:
    """Quantize LFBE (int16, ``LFBE_FRACTION_BITS`` fraction bits, any shape) to int8 with scale and zero point.

    ``clamp(requantize(lfbe, multiplier, shift) + zero_point)`` with the multiplier of 2^-9 / scale; the same as
    ``kws_quantize_features`` in C.

    >>> quantize_features(np.array([0, 512, 5120, 23552], np.int16), Quant(0.16015625, -128))
    array([-128, -122,  -66,  127], dtype=int8)
    """
    multiplier, shift = feature_multiplier(quant)
    # Cheaper than requantizing each value, and the same by construction: there are only 65,536 of them.
    if lfbe.size > 1 << 16:
        every = np.arange(-(1 << 15), 1 << 15, dtype=np.int16)
        table = quantize_features(every, quant)
        looked_up: NDArray[np.int8] = table[lfbe.astype(np.int32) + (1 << 15)]
        return looked_up
    return clamp(requantize(lfbe, multiplier, shift) + quant.zero_point)


def clamp(values: NDArray[np.int64], minimum: int = INT8_MIN, maximum: int = INT8_MAX) -> NDArray[np.int8]:
    """Clamp to ``minimum .. maximum``, within int8."""
    clamped: NDArray[np.int8] = np.clip(values, minimum, maximum).astype(np.int8)
    return clamped


def float32_exact(scale: float) -> float:
    """Return the float32 nearest to ``scale`` as a float: what the file formats store, so what a graph must hold.

    >>> float32_exact(0.1)
    0.10000000149011612
    """
    with np.errstate(over="ignore"):  # infinity is an answer, and ``check`` refuses it
        return float(np.float32(scale))


def channel_multipliers(graph: QuantGraph, op: Conv2D | DepthwiseConv2D) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Return a convolution's Q31 multipliers and shifts per output channel.

    The real multiplier is input scale * weight scale / output scale in float64, in this order, as in TensorFlow
    Lite's ``PopulateConvolutionQuantizationParams``.

    Raises:
        ValueError: a multiplier is out of range; the sentence names the channel.
    """
    input_scale = graph.tensor(op.input).quant.scale
    output_scale = graph.tensor(op.output).quant.scale
    pairs = []
    for channel, weight_scale in enumerate(op.weight_scales.tolist()):
        try:
            pairs.append(quantize_multiplier(input_scale * weight_scale / output_scale))
        except ValueError as error:
            raise ValueError(f"channel {channel}: {error}") from error
    multipliers, shifts = zip(*pairs, strict=True)
    return np.array(multipliers, np.int32), np.array(shifts, np.int8)


def add_multipliers(graph: QuantGraph, op: Add) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return the Q31 multiplier and shift of an addition's first input, second input and output; no shift is positive.

    With t twice the greater input scale they are input scale / t, each, and t / (2^20 * output scale) in float64, as in
    TensorFlow Lite's and TensorFlow Lite Micro's ``add`` (``CalculateOpDataAdd``).

    Raises:
        ValueError: the output's scale is so small beside the inputs' that the last one is not below 1.
    """
    first, second = (graph.tensor(name).quant.scale for name in op.inputs)
    output = graph.tensor(op.output).quant.scale
    twice = 2.0 * max(first, second)
    try:
        scaled = quantize_multiplier(twice / (output * (1 << ADD_LEFT_SHIFT)))
    except ValueError:
        scaled = (0, 1)
    if scaled[1] > 0:
        raise ValueError(
            f"the output's scale {output!r} is 2^{ADD_LEFT_SHIFT} times finer than the inputs' {max(first, second)!r}; "
            "use a greater output scale"
        )
    return quantize_multiplier(first / twice), quantize_multiplier(second / twice), scaled


def activation_range(op: Conv2D | DepthwiseConv2D | Add, quant: Quant) -> tuple[int, int]:
    """Return the least and greatest int8 value that an operator's fused activation lets through."""
    return (quant.zero_point if op.activation == "relu" else INT8_MIN), INT8_MAX
