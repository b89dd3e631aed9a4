import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kws.graph.arithmetic import (
    clamp,
    feature_multiplier,
    float32_exact,
    quantize_features,
    quantize_multiplier,
    requantize,
)
from kws.graph.ir import Quant

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT32 = st.integers(INT32_MIN, INT32_MAX) | st.sampled_from([INT32_MIN, INT32_MAX, 0, 1, -1])


# ---- gemmlowp's fixedpoint.h and TensorFlow Lite's common.cc and quantization_util.cc, line by line, in exact integers


def saturating_rounding_doubling_high_mul(a: int, b: int) -> int:
    if a == b == INT32_MIN:
        return INT32_MAX
    product = a * b
    nudge = (1 << 30) if product >= 0 else (1 - (1 << 30))
    total = product + nudge
    return total // (1 << 31) if total >= 0 else -(-total // (1 << 31))  # C's division truncates


def rounding_divide_by_pot(x: int, exponent: int) -> int:
    mask = (1 << exponent) - 1
    remainder = x & mask
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> exponent) + (1 if remainder > threshold else 0)


def multiply_by_quantized_multiplier(x: int, multiplier: int, shift: int) -> int:
    left_shift = shift if shift > 0 else 0
    right_shift = 0 if shift > 0 else -shift
    return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(x * (1 << left_shift), multiplier), right_shift)


def tflite_quantize_multiplier(value: float) -> tuple[int, int]:
    if value == 0.0:
        return 0, 0
    q, shift = math.frexp(value)
    scaled = q * (1 << 31)
    fixed = math.floor(scaled) + (1 if scaled - math.floor(scaled) >= 0.5 else 0)
    if fixed == 1 << 31:
        fixed //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return fixed, shift


# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, (0, 0)),
        (1.0, (2**30, 1)),
        (0.5, (2**30, 0)),
        (0.25, (2**30, -1)),
        (0.0003, (1319413953, -11)),
        (math.nextafter(1.0, 0.0), (2**30, 1)),  # rounds up to 2^31 and is halved
        (2.0**-32, (2**30, -31)),
        (2.0**-33, (0, 0)),  # everything would be shifted out
        (2.0**29, (2**30, 30)),
    ],
)
def test_quantize_multiplier_golden(value: float, expected: tuple[int, int]) -> None:
    assert quantize_multiplier(value) == expected


@given(st.floats(0.0, 2.0**29))
def test_quantize_multiplier_is_tflites(value: float) -> None:
    multiplier, shift = quantize_multiplier(value)
    assert (multiplier, shift) == tflite_quantize_multiplier(value)
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(value, rel=2**-31, abs=2.0**-32)


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan, 2.0**30, math.nextafter(2.0**30, 0.0)])
def test_quantize_multiplier_refuses(value: float) -> None:
    with pytest.raises(ValueError, match="the multiplier"):
        quantize_multiplier(value)


@pytest.mark.parametrize(
    ("value", "multiplier", "shift", "expected"),
    [
        (5, 2**30, 0, 3),  # 2.5: the high multiply's ties go up ...
        (-5, 2**30, 0, -2),
        (10, 2**30, -1, 3),  # ... 5, then 2.5: the shift's ties go away from zero
        (-10, 2**30, -1, -3),
        (9, 2**30, -1, 3),  # 2.25 is rounded twice: 4.5 -> 5 -> 2.5 -> 3
        (INT32_MIN, 2**31 - 1, 0, -(2**31) + 1),
        (INT32_MAX, 2**31 - 1, 0, 2**31 - 2),
        (INT32_MIN, 2**31 - 1, -31, -1),
        (1, 2**30, 30, 2**29),
    ],
)
def test_requantize_golden(value: int, multiplier: int, shift: int, expected: int) -> None:
    assert requantize(np.array([value], np.int32), multiplier, shift).tolist() == [expected]


@given(st.lists(st.tuples(INT32, st.integers(2**30, INT32_MAX), st.integers(-31, 30)), min_size=1))
def test_requantize_is_multiply_by_quantized_multiplier(cases: list[tuple[int, int, int]]) -> None:
    cases = [(value >> max(shift, 0), multiplier, shift) for value, multiplier, shift in cases]
    values, multipliers, shifts = (np.array(column, np.int32) for column in zip(*cases, strict=True))
    expected = [multiply_by_quantized_multiplier(*case) for case in cases]
    assert requantize(values, multipliers, shifts.astype(np.int8)).tolist() == expected


def test_requantize_every_tie(rng: np.random.Generator) -> None:
    """Small values and powers of two, where each rounding meets its ties."""
    values = np.arange(-200, 201, dtype=np.int32)
    for shift in range(-10, 4):
        expected = [multiply_by_quantized_multiplier(value, 2**30, shift) for value in values.tolist()]
        assert requantize(values, 2**30, shift).tolist() == expected


@given(st.integers(-(2**15), 2**15 - 1), st.floats(1e-6, 1e6), st.integers(-128, 127))
def test_quantize_features_is_requantize(value: int, scale: float, zero_point: int) -> None:
    quant = Quant(float32_exact(scale), zero_point)
    multiplier, shift = feature_multiplier(quant)
    expected = multiply_by_quantized_multiplier(value, multiplier, shift) + zero_point
    given_value = quantize_features(np.array([[value]], np.int16), quant)
    assert given_value.dtype == np.int8
    assert given_value.tolist() == [[min(max(expected, -128), 127)]]


def test_quantize_features_of_many_is_of_each() -> None:
    quant = Quant(float32_exact(0.16), -128)
    every = np.arange(-(2**15), 2**15, dtype=np.int16)
    one_by_one = quantize_features(every, quant)
    assert np.array_equal(quantize_features(np.tile(every, 3).reshape(3, -1), quant), np.tile(one_by_one, (3, 1)))
    real = every / 512.0 / quant.scale + quant.zero_point
    inside = (real > -127.5) & (real < 126.5)
    # Rounded twice: first to 1/64, as the multiplier's shift is -6, then to 1.
    assert np.abs(one_by_one[inside] - real[inside]).max() <= 0.5 + 0.5 / 64
    assert (np.diff(one_by_one.astype(int)) >= 0).all()


def test_feature_multiplier_refuses_a_scale_whose_shift_overflows() -> None:
    assert feature_multiplier(Quant(2.0**-23, 0))[1] == 15
    with pytest.raises(ValueError, match="too small for LFBE values"):
        feature_multiplier(Quant(2.0**-24, 0))


def test_clamp_stays_int8() -> None:
    assert clamp(np.array([-(10**9), -5, 10**9])).tolist() == [-128, -5, 127]
    assert clamp(np.array([-(10**9), -5, 10**9]), -3, 4).tolist() == [-3, -3, 4]
