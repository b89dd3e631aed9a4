"""Against a float64 LFBE of the same definition, with librosa's mel filters."""

from collections.abc import Callable

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from kws.frontend import LFBE_FRACTION_BITS, FrontendConfig, compute
from kws.frontend.framing import frames_of
from kws.frontend.tables import build

pytestmark = pytest.mark.slow  # librosa compiles its functions the first time

Samples = NDArray[np.int16]
ToInt16 = Callable[[NDArray[np.float64]], Samples]
ONE = 1 << LFBE_FRACTION_BITS

CONFIGS = [
    FrontendConfig(),
    FrontendConfig(bands=80),
    FrontendConfig(fft_size=256, window_ms=16, bands=32),
    FrontendConfig(fft_size=1024, window_ms=50, hop_ms=20, bands=64, low_hz=0.0, high_hz=8000.0),
]


def mel_filters(config: FrontendConfig) -> NDArray[np.float64]:
    filters: NDArray[np.float64] = librosa.filters.mel(
        sr=config.sample_rate_hz,
        n_fft=config.fft_size,
        n_mels=config.bands,
        fmin=config.low_hz,
        fmax=config.high_hz,
        htk=True,
        norm=None,
        dtype=np.float64,
    )
    return filters


def exact_energies(samples: Samples, config: FrontendConfig) -> NDArray[np.float64]:
    hann = librosa.filters.get_window("hann", config.window_samples)  # periodic
    spectrum = np.fft.rfft(frames_of(samples, config) * hann, config.fft_size)
    return np.asarray(np.abs(spectrum) ** 2 @ mel_filters(config).T)


def tone_mix(samples: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """A new chord of three tones every 100 ms; peak below 1."""
    parts = [
        sum(np.sin(2 * np.pi * f * np.arange(1600) / 16000 + f) for f in rng.uniform(60, 7600, 3)) / 3
        for _ in range(samples // 1600)
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("level_dbfs", [-60, -50, -40, -30, -20, -10, 0])
@pytest.mark.parametrize("kind", ["noise", "speech", "tones"])
def test_error_is_below_a_fiftieth(
    config: FrontendConfig,
    level_dbfs: int,
    kind: str,
    rng: np.random.Generator,
    speech: NDArray[np.float64],
    quantized: ToInt16,
) -> None:
    signal = {
        "noise": lambda: rng.uniform(-1, 1, 48000),
        "speech": lambda: speech[:80000],
        "tones": lambda: tone_mix(80000, rng),
    }[kind]()
    samples = quantized(signal * 32767 * 10 ** (level_dbfs / 20))
    exact = exact_energies(samples, config)
    error = np.abs(compute(samples, config) / ONE - np.log2(np.maximum(exact, 1)))
    # Within 60 dB of the frame's loudest band. Energies below the format's least value, 1, are left out: silent frames
    # have no error, and would make room for others'.
    counted = (exact >= exact.max(axis=1, keepdims=True) * 1e-6) & (exact >= 1)
    assert counted.sum() > 5000
    assert np.quantile(error[counted], 0.99) < 0.02
    assert error[counted].max() < 0.05


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_mel_weights_are_those_of_librosa(config: FrontendConfig) -> None:
    tables = build(config)
    edges = tables.mel_edges.astype(int)
    rising = np.zeros((config.bands + 1, config.fft_size // 2 + 1))
    falling = np.zeros_like(rising)
    for piece in range(config.bands + 1):
        bins = np.arange(edges[piece], edges[piece + 1])
        rising[piece, bins] = tables.mel_weights[bins - edges[0]] / 65536
        falling[piece, bins] = 1 - rising[piece, bins]
    np.testing.assert_allclose(rising[:-1] + falling[1:], mel_filters(config), atol=2.0**-16)


def test_window_and_twiddles_are_the_rounded_exact_ones() -> None:
    tables = build(FrontendConfig())
    hann = librosa.filters.get_window("hann", 400)
    np.testing.assert_allclose(tables.window / 2**15, hann, atol=2.0**-15)
    assert np.all(np.hypot(tables.split[0::2], tables.split[1::2]) / 2**31 == pytest.approx(1, abs=1e-9))
    assert sorted(tables.order) == list(range(256))
