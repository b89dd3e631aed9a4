"""Intervals against published values, scipy and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.evaluate.intervals import (
    binomial_cdf,
    binomial_interval,
    poisson_cdf,
    poisson_interval,
    speaker_bootstrap,
)

stats = pytest.importorskip("scipy.stats")


# Garwood's table (Biometrika 28, 1936), two-sided 95 %.
@pytest.mark.parametrize(("count", "low", "high"), [(1, 0.0253, 5.572), (5, 1.623, 11.668), (10, 4.795, 18.390)])
def test_published_poisson_limits(count: int, low: float, high: float) -> None:
    assert poisson_interval(count) == pytest.approx((low, high), abs=6e-4)


def test_nothing_seen_is_bounded_by_three() -> None:
    low, high = poisson_interval(0)
    assert low == 0.0
    assert high == pytest.approx(2.9957, abs=1e-4)
    assert high / 4.17 == pytest.approx(0.72, abs=0.005)  # hours of the usual test: "below 0.72 per hour"


@settings(deadline=None, max_examples=50)
@given(count=st.integers(1, 1500))
def test_poisson_is_scipys_chi_square(count: int) -> None:
    low, high = poisson_interval(count)
    assert low == pytest.approx(stats.chi2.ppf(0.025, 2 * count) / 2, rel=1e-9)
    assert high == pytest.approx(stats.chi2.ppf(0.975, 2 * count + 2) / 2, rel=1e-9)


@settings(deadline=None)
@given(trials=st.integers(1, 400), data=st.data())
def test_binomial_is_scipys_beta(trials: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, trials))
    low, high = binomial_interval(count, trials)
    if count in (0, trials):
        assert (low, high)[count == 0] == pytest.approx(
            stats.beta.ppf(0.95, 1, trials) if not count else 1 - (stats.beta.ppf(0.95, 1, trials)), rel=1e-8
        )
    else:
        assert low == pytest.approx(stats.beta.ppf(0.025, count, trials - count + 1), rel=1e-8)
        assert high == pytest.approx(stats.beta.ppf(0.975, count + 1, trials - count), rel=1e-8)


def test_cumulative_sums() -> None:
    assert poisson_cdf(3, 0.0) == 1.0
    assert poisson_cdf(3, 2.5) == pytest.approx(stats.poisson.cdf(3, 2.5), rel=1e-12)
    assert binomial_cdf(3, 10, 0.4) == pytest.approx(stats.binom.cdf(3, 10, 0.4), rel=1e-12)


def test_bootstrap_draws_speakers_not_clips() -> None:
    """One speaker who is never heard among four: the spread is that of speakers, far wider than that of clips."""
    interval = speaker_bootstrap([10, 0, 0, 0], [10, 10, 10, 10], np.random.default_rng(0))
    assert interval is not None
    assert interval == (0.0, 0.75)
    assert interval[1] > binomial_interval(10, 40)[1]


def test_bootstrap_is_seeded() -> None:
    runs = [speaker_bootstrap([1, 4, 2, 0, 3], [9, 9, 7, 8, 5], np.random.default_rng(seed)) for seed in (7, 7, 8)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize(("misses", "positives"), [([3], [10]), ([0, 0], [4, 9]), ([4, 9], [4, 9]), ([1, 2], [4, 8])])
def test_no_spread_claims_no_certainty(misses: list[int], positives: list[int]) -> None:
    assert speaker_bootstrap(misses, positives, np.random.default_rng(0)) is None


def test_bootstrap_covers_the_truth() -> None:
    """40 speakers with their own miss rates: the interval holds the population's rate about 95 % of the time."""
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        rates = rng.beta(2.0, 8.0, 40)
        positives = rng.integers(3, 12, 40)
        misses = rng.binomial(positives, rates)
        interval = speaker_bootstrap(misses.tolist(), positives.tolist(), rng, resamples=500)
        assert interval is not None
        covered += interval[0] <= 0.2 <= interval[1]
    assert 0.88 <= covered / 200 <= 0.99
