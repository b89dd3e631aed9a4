"""Energy endpoints on signals whose ends are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.data.sounds.endpoints import estimate, levels_db

RATE = 16000


def quiet(seconds: float, rng: np.random.Generator, rms: float = 10.0) -> NDArray[np.float64]:
    return rng.normal(0.0, rms, round(seconds * RATE))


def put(signal: NDArray[np.float64], start_s: float, end_s: float, rms: float, rng: np.random.Generator) -> None:
    first, after = round(start_s * RATE), round(end_s * RATE)
    signal[first:after] += rng.normal(0.0, rms, after - first)


def pcm(signal: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.clip(np.rint(signal), -32768, 32767).astype(np.int16)


def test_one_burst() -> None:
    rng = np.random.default_rng(1)
    signal = quiet(2.0, rng)
    put(signal, 0.6, 1.25, 2000.0, rng)
    assert estimate(pcm(signal)) == pytest.approx((0.6, 1.25), abs=0.021)


def test_a_closure_inside_the_word_is_part_of_it() -> None:
    rng = np.random.default_rng(2)
    signal = quiet(2.0, rng)
    put(signal, 0.5, 0.8, 2000.0, rng)
    put(signal, 0.95, 1.2, 1000.0, rng)
    assert estimate(pcm(signal)) == pytest.approx((0.5, 1.2), abs=0.021)


def test_a_click_and_a_breath_are_not() -> None:
    rng = np.random.default_rng(3)
    signal = quiet(2.5, rng)
    put(signal, 0.3, 0.31, 6000.0, rng)
    put(signal, 0.5, 1.1, 3000.0, rng)
    put(signal, 1.2, 1.6, 100.0, rng)
    assert estimate(pcm(signal)) == pytest.approx((0.5, 1.1), abs=0.021)


def test_the_louder_of_two_words_far_apart() -> None:
    rng = np.random.default_rng(4)
    signal = quiet(3.0, rng)
    put(signal, 0.3, 0.7, 800.0, rng)
    put(signal, 1.7, 2.1, 3000.0, rng)
    assert estimate(pcm(signal)) == pytest.approx((1.7, 2.1), abs=0.021)


def test_digital_silence_around_the_word() -> None:
    signal = np.zeros(2 * RATE)
    put(signal, 0.4, 0.9, 500.0, np.random.default_rng(5))
    assert estimate(pcm(signal)) == pytest.approx((0.4, 0.9), abs=0.021)


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.int16), np.zeros(50, np.int16), np.full(9000, -300, np.int16)])
def test_where_nothing_stands_out_it_is_the_whole_signal(samples: NDArray[np.int16]) -> None:
    assert estimate(samples) == (0.0, len(samples) / RATE)


def test_level_of_a_tone_is_its_power() -> None:
    tone = pcm(1000.0 * np.sin(2 * np.pi * 1000.0 / RATE * np.arange(RATE)))
    assert levels_db(tone, pre_emphasis=0.0) == pytest.approx(10 * np.log10(500_000.0), abs=0.01)
    assert len(levels_db(tone)) == 99


@settings(deadline=None, max_examples=40)
@given(
    start=st.integers(20, 100),
    length=st.integers(20, 80),
    above_db=st.floats(30.0, 55.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_word_anywhere_at_any_level(start: int, length: int, above_db: float, seed: int) -> None:
    """Within two frames of the truth, 30 dB and more above the background; loudness does not move the ends."""
    rng = np.random.default_rng(seed)
    signal = quiet(2.5, rng)
    put(signal, start / 100, (start + length) / 100, 10.0 ** (1 + above_db / 20), rng)
    assert estimate(pcm(signal)) == pytest.approx((start / 100, (start + length) / 100), abs=0.021)
