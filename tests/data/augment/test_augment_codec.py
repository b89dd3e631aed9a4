"""Codecs: the transform gives back what it got, and takes away what it is told to."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.data.augment.codec import HOP, Codec, coded, draw_codec, inverse_mdct, mdct, mulaw

RATE = 16000


def noise(samples: int = RATE, level: float = 3000.0) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0.0, level, samples).astype(np.float32)


def snr_db(given: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    return float(10 * np.log10((wanted.astype(float) ** 2).sum() / ((given - wanted).astype(float) ** 2).sum()))


def band_db(signal: NDArray[np.float32], low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(signal)) ** 2
    hertz = np.fft.rfftfreq(len(signal), 1 / RATE)
    return float(10 * np.log10(power[(hertz >= low_hz) & (hertz < high_hz)].mean()))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5000))
def test_the_mdct_gives_the_signal_back(samples: int) -> None:
    signal = noise(samples)
    assert np.abs(inverse_mdct(mdct(signal))[:samples] - signal).max() < 0.05


def test_the_mdct_is_the_published_sum() -> None:
    """Princen and Bradley: X[k] = sum x[n] w[n] cos(pi / N (n + 1/2 + N / 2) (k + 1/2)), 2 N samples a frame."""
    signal = noise(2 * HOP)
    n, k = np.arange(2 * HOP), np.arange(HOP)
    window = np.sin(np.pi * (n + 0.5) / (2 * HOP))
    basis = np.cos(np.pi / HOP * (n[:, None] + 0.5 + HOP / 2) * (k + 0.5))
    assert np.allclose(mdct(signal)[1], (signal * window) @ basis, atol=5.0)


def test_mulaw_has_256_values_and_38_db() -> None:
    signal = noise()
    given = mulaw(signal)
    assert len(np.unique(given)) <= 256
    assert 35.0 < snr_db(given, signal) < 42.0
    quiet = noise(level=3000.0 / 16.0)
    # Quiet sounds keep their ratio: that is what companding is for.
    assert snr_db(mulaw(quiet), quiet) > 28.0
    assert np.abs(mulaw(np.array([-40000.0, 0.0, 40000.0], np.float32))).tolist() == pytest.approx(
        [32000, 0, 32000], abs=800
    )


def test_a_narrow_codec_leaves_its_band_alone() -> None:
    signal = noise()
    given = coded(signal, Codec("narrow", 300.0, 3400.0, coarseness=0.1))
    assert band_db(given, 0, 150) < band_db(signal, 0, 150) - 30.0
    assert band_db(given, 3800, 8000) < band_db(signal, 3800, 8000) - 30.0
    assert band_db(given, 500, 3000) == pytest.approx(band_db(signal, 500, 3000), abs=0.5)


def test_coarser_steps_leave_less() -> None:
    signal = noise()
    left = [snr_db(coded(signal, Codec("transform", coarseness=step)), signal) for step in (0.1, 0.5, 1.0, 2.0)]
    assert left == sorted(left, reverse=True)
    assert left[0] > 25.0
    assert 0.0 < left[-1] < 8.0


def test_weak_bands_are_lost() -> None:
    time_s = np.arange(RATE) / RATE
    strong, weak = (
        (size * np.sin(2 * np.pi * hertz * time_s)).astype(np.float32) for size, hertz in ((8000, 500), (20, 5000))
    )
    given = coded(strong + weak, Codec("transform", coarseness=0.2, depth_db=40.0))
    assert band_db(given, 4900, 5100) < band_db(strong + weak, 4900, 5100) - 20.0
    kept = coded(strong + weak, Codec("transform", coarseness=0.2, depth_db=90.0))
    assert band_db(kept, 4900, 5100) == pytest.approx(band_db(strong + weak, 4900, 5100), abs=1.5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000))
def test_any_codec_keeps_length_and_place(seed: int, samples: int) -> None:
    codec = draw_codec(np.random.default_rng(seed))
    given = coded(noise(samples), codec)
    assert given.shape == (samples,)
    assert np.isfinite(given).all()
    assert not coded(np.zeros(samples, np.float32), codec)[: max(samples - 1, 0)].max(initial=0.0) > 8.0
    pulse = np.zeros(4000, np.float32)
    pulse[2000:2040] = noise(40)
    heard = coded(pulse, codec)
    assert abs(int(np.average(np.arange(4000), weights=np.abs(heard).astype(float) ** 2)) - 2020) < 40
