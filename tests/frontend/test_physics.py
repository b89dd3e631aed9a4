"""What the features must do because sound does it."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.frontend import LFBE_FRACTION_BITS, FrontendConfig, compute
from kws.runtime import available

Samples = NDArray[np.int16]
ToInt16 = Callable[[NDArray[np.float64]], Samples]
ONE = 1 << LFBE_FRACTION_BITS
CONFIG = FrontendConfig()

IMPLEMENTATIONS = [
    "numpy",
    pytest.param("native", marks=pytest.mark.skipif(not available(), reason="not compiled")),
]


@pytest.fixture(params=IMPLEMENTATIONS)
def features(request: pytest.FixtureRequest) -> Callable[[Samples], NDArray[np.int16]]:
    return lambda samples: compute(samples, CONFIG, request.param)


Features = Callable[[Samples], NDArray[np.int16]]


def tone(frequency_hz: float, amplitude: float, samples: int = 4000) -> NDArray[np.float64]:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(samples) / 16000)


def test_a_tone_peaks_in_its_band(features: Features, quantized: ToInt16) -> None:
    for band, centre_hz in enumerate(CONFIG.band_edges_hz[1:-1]):
        lfbe = features(quantized(tone(centre_hz, 8000)))
        if centre_hz > 300:  # below, bands are narrower than the window resolves
            assert np.all(lfbe.argmax(axis=1) == band)
        assert np.all(np.abs(lfbe.argmax(axis=1) - band) <= 1)


def test_the_energy_of_a_tone_is_the_windows(features: Features, quantized: ToInt16) -> None:
    lfbe = features(quantized(tone(1000.0, 10000)))  # bin 32 exactly: |X| = amplitude / 2 * sum(window)
    edges_hz = CONFIG.band_edges_hz
    total = (2.0 ** (lfbe / ONE)).sum(axis=1)  # two neighbouring bands' weights add up to 1 in every bin
    line = (10000 / 2) ** 2 * 512 * (400 * 3 / 8)  # Parseval: half the energy of window^2 in the positive bins
    assert edges_hz[1] < 1000 < edges_hz[-2]
    assert total == pytest.approx(line, rel=0.01)


def test_twice_as_loud_is_two_more(features: Features, speech: NDArray[np.float64], quantized: ToInt16) -> None:
    quiet = quantized(speech[:32000] * 1000)
    quiet_lfbe = features(quiet)
    for doublings in range(1, 5):
        louder = features((quiet * 2**doublings).astype(np.int16))
        heard = quiet_lfbe > 0
        assert np.abs(louder.astype(int) - quiet_lfbe - 2 * ONE * doublings)[heard].max() <= 1


def test_silence_is_zero(features: Features) -> None:
    assert not features(np.zeros(4000, np.int16)).any()


def test_the_sign_does_not_matter(features: Features, rng: np.random.Generator, quantized: ToInt16) -> None:
    noise = quantized(rng.standard_normal(8000) * 2000)
    assert np.abs(features(noise).astype(int) - features((-noise).astype(np.int16))).max() <= 1


def test_an_impulse_is_flat(features: Features) -> None:
    impulse = np.zeros(400, np.int16)
    impulse[200] = 20000
    energy = 2.0 ** (features(impulse)[0] / ONE)
    corners_hz = np.array(CONFIG.band_edges_hz)
    bins = (corners_hz[2:] - corners_hz[:-2]) / 2 / 31.25  # the sum of a triangle's weights, where it holds many bins
    assert energy[20:] / bins[20:] == pytest.approx(20000.0**2, rel=0.05)


def test_a_shift_by_a_hop_shifts_the_frames(
    features: Features, speech: NDArray[np.float64], quantized: ToInt16
) -> None:
    samples = quantized(speech[:16000] * 9000)
    assert np.array_equal(features(samples)[1:], features(samples[CONFIG.hop_samples :]))


def test_a_frame_hears_its_own_samples_only(features: Features, rng: np.random.Generator, quantized: ToInt16) -> None:
    samples = quantized(rng.standard_normal(4000) * 300)
    changed = samples.copy()
    changed[160 * 5 + 400 :] = 32767
    changed[: 160 * 5] = -32768
    assert np.array_equal(features(changed)[5], features(samples)[5])
    assert not np.array_equal(features(changed)[6], features(samples)[6])


def test_direct_current_stays_below_the_bands(features: Features) -> None:
    lfbe = features(np.full(400, 30000, np.int16))[0]
    assert lfbe[5:].max() < lfbe[0] - 10 * ONE
