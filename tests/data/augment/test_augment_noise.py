"""Generated noise has the physics that its name promises."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.data.sounds import noise
from kws.data.sounds.colours import SAMPLE_RATE_HZ

SECONDS_16 = 16 * SAMPLE_RATE_HZ


def octave_db(signal: NDArray[np.float32], centre_hz: float) -> float:
    """Mean power per bin in the octave around a frequency, in dB."""
    power = np.abs(np.fft.rfft(signal)) ** 2
    hertz = np.fft.rfftfreq(len(signal), 1.0 / SAMPLE_RATE_HZ)
    inside = (hertz >= centre_hz / 2**0.5) & (hertz < centre_hz * 2**0.5)
    return float(10.0 * np.log10(power[inside].mean()))


@pytest.mark.parametrize(("name", "slope"), [("white", 0.0), ("pink", -3.01), ("brown", -6.02)])
def test_slope_per_octave(name: str, slope: float) -> None:
    signal = noise.GENERATORS[name](SECONDS_16, np.random.default_rng(1))
    levels = [octave_db(signal, 125.0 * 2**octave) for octave in range(6)]
    assert np.polyfit(range(6), levels, 1)[0] == pytest.approx(slope, abs=0.3)


@pytest.mark.parametrize("name", sorted(noise.GENERATORS))
@pytest.mark.parametrize("samples", [1, 479, 16000])
def test_length_type_level_and_seed(name: str, samples: int) -> None:
    make = noise.GENERATORS[name]
    signal = make(samples, np.random.default_rng(3))
    assert signal.shape == (samples,)
    assert signal.dtype == np.float32
    assert np.isfinite(signal).all()
    if samples == 16000:
        assert float(np.sqrt(np.mean(signal**2))) == pytest.approx(1.0, abs=0.05)
    assert np.array_equal(signal, make(samples, np.random.default_rng(3)))
    assert samples == 1 or not np.array_equal(signal, make(samples, np.random.default_rng(4)))


def test_hum_stands_on_the_mains_harmonics() -> None:
    signal = noise.GENERATORS["hum"](SECONDS_16, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) ** 2
    hertz = np.fft.rfftfreq(len(signal), 1.0 / SAMPLE_RATE_HZ)
    base = hertz[int(power.argmax())]
    harmonics = hertz / min((50.0, 60.0), key=lambda mains: abs(base / mains - round(base / mains)))
    near = np.abs(harmonics - np.rint(harmonics)) < 0.06
    assert power[near].sum() > 0.95 * power.sum()


def test_clicks_are_short_and_far_above_their_floor() -> None:
    signal = noise.GENERATORS["clicks"](SECONDS_16, np.random.default_rng(0))
    assert np.abs(signal).max() > 8.0
    assert np.median(np.abs(signal)) < 0.3


def test_babble_gives_every_voice_the_same_power() -> None:
    rng = np.random.default_rng(0)
    time_s = np.arange(8000) / 16000
    loud, quiet = (
        (level * np.sin(2 * np.pi * hertz * time_s)).astype(np.int16) for level, hertz in ((20000, 500), (500, 2000))
    )
    signal = noise.babble(16000, [loud, quiet], rng)
    power = np.abs(np.fft.rfft(signal)) ** 2
    assert power[500] == pytest.approx(power[2000], rel=0.05)
    assert power[500] + power[2000] > 0.99 * power.sum()


def test_babble_of_nothing_is_silence() -> None:
    assert not noise.babble(100, [], np.random.default_rng(0)).any()
    assert not noise.babble(100, [np.zeros(0, np.int16), np.zeros(50, np.int16)], np.random.default_rng(0)).any()


def modulation(signal: NDArray[np.float32]) -> float:
    """Return how much the level of 50 ms blocks varies, in dB."""
    blocks = signal[: len(signal) // 800 * 800].reshape(-1, 800)
    return float(np.std(10.0 * np.log10((blocks**2).mean(axis=1) + 1e-9)))


def tonality(signal: NDArray[np.float32]) -> float:
    """Return the share of power below 4 kHz in the 1 % strongest bins: near 0.05 for Gaussian noise."""
    power = np.sort(np.abs(np.fft.rfft(signal * np.hanning(len(signal)))[: len(signal) // 4]) ** 2)
    return float(power[-len(power) // 100 :].sum() / power.sum())


def test_appliances_have_tones_that_noise_has_not() -> None:
    for name, least in (("motor", 0.3), ("tune", 0.5), ("hum", 0.9)):
        tones = [tonality(noise.GENERATORS[name](3 * SAMPLE_RATE_HZ, np.random.default_rng(seed))) for seed in range(8)]
        assert np.mean(tones) > least, name
    assert tonality(noise.GENERATORS["white"](3 * SAMPLE_RATE_HZ, np.random.default_rng(0))) < 0.1


def test_a_tune_and_a_dishwasher_come_and_go_and_a_fan_does_not() -> None:
    for name, low, high in (("tune", 1.5, 20.0), ("dishwasher", 1.5, 12.0), ("fan", 0.0, 1.5)):
        levels = [
            modulation(noise.GENERATORS[name](3 * SAMPLE_RATE_HZ, np.random.default_rng(seed))) for seed in range(8)
        ]
        assert low < np.median(levels) < high, name


def test_recordings_go_on_at_their_start() -> None:
    clip = np.arange(100, dtype=np.int16)
    for begin, samples in ((0, 100), (90, 20), (99, 1), (7, 1000)):
        wanted = (np.arange(samples) + begin) % 100
        assert np.array_equal(noise.excerpt(clip, begin, samples), wanted)
