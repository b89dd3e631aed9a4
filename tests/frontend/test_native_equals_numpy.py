"""The C code and the numpy specification give the same numbers: over a million frames, and for any config."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws import runtime
from kws.frontend import Frontend, FrontendConfig, compute, native
from kws.frontend.framing import count_frames, frames_of
from kws.frontend.lfbe import lfbe
from kws.frontend.tables import build

Samples = NDArray[np.int16]
ToInt16 = Callable[[NDArray[np.float64]], Samples]
CONFIG = FrontendConfig()
HOP = CONFIG.hop_samples

pytestmark = pytest.mark.skipif(not runtime.available(), reason=runtime.reason())


def noises(rng: np.random.Generator, to_int16: ToInt16) -> Iterator[Samples]:
    for bits in range(16):  # 1 LSB to full scale, clipped at the top
        for _ in range(5):
            yield to_int16(rng.standard_normal(6000 * HOP) * 2**bits)
    for amplitude in (1, 2, 3):  # every sample a whole number of LSB
        yield rng.integers(-amplitude, amplitude + 1, 10000 * HOP).astype(np.int16)


def voices(rng: np.random.Generator, speech: NDArray[np.float64], to_int16: ToInt16) -> Iterator[Samples]:
    for level_db in np.linspace(-80, 20, 320):  # beyond 0 dB it clips
        yield to_int16(np.roll(speech, rng.integers(len(speech))) * 32767 * 10 ** (level_db / 20))


def tones(rng: np.random.Generator, to_int16: ToInt16) -> Iterator[Samples]:
    time_s = np.arange(1000 * HOP) / 16000
    for level_db in np.linspace(-90, 6, 80):
        start_hz, end_hz = rng.uniform(0, 8000, 2)
        phase = 2 * np.pi * (start_hz * time_s + (end_hz - start_hz) * time_s**2 / (2 * time_s[-1]))
        yield to_int16(32767 * 10 ** (level_db / 20) * np.sin(phase))


def extremes(rng: np.random.Generator) -> Iterator[Samples]:
    samples = 2500 * HOP
    yield np.zeros(samples, np.int16)
    for level in (1, -1, 255, 32767, -32768):
        yield np.full(samples, level, np.int16)  # direct current
        yield np.where(rng.random(samples) < 1 / 300, level, 0).astype(np.int16)  # impulses
        yield np.where(rng.random(samples) < 0.5, level, 0).astype(np.int16)
    for period in (2, 3, 4, 16, 100):
        yield np.where(np.arange(samples) % period < period / 2, 32767, -32768).astype(np.int16)  # square waves
    for _ in range(6):
        yield rng.choice(np.array([-32768, 32767], np.int16), samples)
    yield rng.integers(-32768, 32768, 20 * samples).astype(np.int16)


def in_random_chunks(samples: Samples, rng: np.random.Generator) -> NDArray[np.int16]:
    frontend = Frontend(CONFIG, "native")
    cuts = np.cumsum(rng.integers(0, 2 ** rng.integers(6, 15), len(samples) // 2000))
    return np.concatenate([frontend.push(chunk) for chunk in np.split(samples, cuts[cuts < len(samples)])])


@pytest.mark.slow
def test_a_million_frames_are_equal(rng: np.random.Generator, speech: NDArray[np.float64], quantized: ToInt16) -> None:
    tables = build(CONFIG)
    frames = 0
    signals = (noises(rng, quantized), voices(rng, speech, quantized), tones(rng, quantized), extremes(rng))
    for samples in (signal for kind in signals for signal in kind):
        expected = lfbe(frames_of(samples, CONFIG), tables)
        assert np.array_equal(in_random_chunks(samples, rng), expected)
        frames += len(expected)
    assert frames >= 1_000_000


@pytest.mark.parametrize(
    "config",
    [
        FrontendConfig(fft_size=256, window_ms=16, hop_ms=16, bands=20),
        FrontendConfig(fft_size=256, window_ms=8, hop_ms=5, bands=8, low_hz=0.0, high_hz=8000.0),
        FrontendConfig(window_ms=32, hop_ms=7, bands=80),
        FrontendConfig(fft_size=1024, window_ms=64, hop_ms=64, bands=80, low_hz=20.0),
        FrontendConfig(fft_size=1024, window_ms=33, hop_ms=11, bands=8, low_hz=3000.0, high_hz=3500.0),
    ],
    ids=str,
)
def test_other_configs_are_equal(config: FrontendConfig, rng: np.random.Generator, quantized: ToInt16) -> None:
    for level in (1, 50, 3000, 60000):
        samples = quantized(rng.standard_normal(600 * config.hop_samples) * level)
        assert np.array_equal(compute(samples, config, "native"), compute(samples, config, "numpy"))
    for level in (-32768, 32767):  # the largest magnitudes that every stage can meet
        samples = np.full(40 * config.hop_samples + config.window_samples, level, np.int16)
        samples[rng.random(len(samples)) < 0.1] = -32768
        assert np.array_equal(compute(samples, config, "native"), compute(samples, config, "numpy"))


@settings(max_examples=60, deadline=None)
@given(
    fft_size=st.sampled_from([256, 512, 1024]),
    window_ms=st.integers(8, 64),
    hop_ms=st.integers(5, 64),
    bands=st.integers(8, 80),
    low_hz=st.floats(0, 7000),
    width_hz=st.floats(100, 8000),
    seed=st.integers(0, 2**32),
)
def test_any_legal_config_is_equal(
    fft_size: int, window_ms: int, hop_ms: int, bands: int, low_hz: float, width_hz: float, seed: int
) -> None:
    try:
        config = FrontendConfig(16000, window_ms, hop_ms, fft_size, bands, low_hz, min(low_hz + width_hz, 8000.0))
    except ValueError:
        return
    rng = np.random.default_rng(seed)
    samples = (rng.integers(-32768, 32768, rng.integers(0, 8000)) >> rng.integers(0, 16)).astype(np.int16)
    expected = compute(samples, config, "numpy")
    assert expected.shape == (count_frames(len(samples), config), bands)
    assert np.array_equal(compute(samples, config, "native"), expected)


def test_single_frames_are_equal(rng: np.random.Generator) -> None:
    frames = rng.integers(-32768, 32768, (37, CONFIG.window_samples)).astype(np.int16)
    assert np.array_equal(native.lfbe(frames, CONFIG), lfbe(frames, build(CONFIG)))
