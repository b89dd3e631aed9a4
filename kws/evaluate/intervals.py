"""Confidence intervals without scipy: exact Poisson for counts, bootstrap over speakers for rates."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000


def poisson_interval(count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact interval for the mean of a Poisson variable that was seen to be ``count`` (Garwood 1936).

    Above zero it has two sides: at the lower end ``count`` or more, at the upper end ``count`` or fewer, each has
    probability (1 - confidence) / 2. For zero it is the one-sided bound -ln(1 - confidence), 3.0 at 95 %: nothing in
    T hours bounds the rate below 3.0 / T.

    >>> [round(end, 2) for end in poisson_interval(4)], round(poisson_interval(0)[1], 1)
    ([1.09, 10.24], 3.0)
    """
    if count == 0:
        return 0.0, -math.log(1.0 - confidence)
    tail = (1.0 - confidence) / 2.0
    ceiling = count + 10.0 * math.sqrt(count) + 20.0
    low = _root(lambda mean: poisson_cdf(count - 1, mean) - (1.0 - tail), 0.0, float(count))
    high = _root(lambda mean: poisson_cdf(count, mean) - tail, float(count), ceiling)
    return low, high


def poisson_cdf(count: int, mean: float) -> float:
    """Return P(X <= count) for X Poisson distributed: the sum of its terms, each from its logarithm."""
    if mean == 0.0:
        return 1.0
    logarithm = math.log(mean)
    return math.fsum(math.exp(k * logarithm - mean - math.lgamma(k + 1)) for k in range(count + 1))


def binomial_interval(count: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the exact interval for a probability (Clopper and Pearson 1934); one-sided where all trials agree.

    >>> [round(end, 3) for end in binomial_interval(0, 44)]
    [0.0, 0.066]
    """
    if count == 0:
        return 0.0, 1.0 - (1.0 - confidence) ** (1.0 / trials)
    if count == trials:
        return (1.0 - confidence) ** (1.0 / trials), 1.0
    tail = (1.0 - confidence) / 2.0
    low = _root(lambda rate: binomial_cdf(count - 1, trials, rate) - (1.0 - tail), 0.0, count / trials)
    high = _root(lambda rate: binomial_cdf(count, trials, rate) - tail, count / trials, 1.0)
    return low, high


def binomial_cdf(count: int, trials: int, rate: float) -> float:
    """Return P(X <= count) for ``trials`` independent trials of probability ``rate``."""
    return math.fsum(math.comb(trials, k) * rate**k * (1.0 - rate) ** (trials - k) for k in range(count + 1))


def speaker_bootstrap(
    misses: Sequence[int], positives: Sequence[int], rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[float, float] | None:
    """Return the 95 % interval of the FRR from resampling whole speakers (Bisani and Ney, ICASSP 2004).

    Clips of one speaker are alike, so they are drawn together. ``misses[i]`` of ``positives[i]`` are speaker i's.
    None where resampling shows no spread at all (one speaker; every speaker the same rate): it would claim certainty.
    """
    rates = {miss / total for miss, total in zip(misses, positives, strict=True)}
    if len(rates) < 2:
        return None
    draws = _drawn_speakers(len(misses), rng, resamples)
    drawn = (draws @ np.asarray(misses)) / (draws @ np.asarray(positives))
    low, high = np.percentile(drawn, [50.0 * (1.0 - CONFIDENCE), 50.0 * (1.0 + CONFIDENCE)])
    return float(low), float(high)


def paired_reduction(
    misses: Sequence[int], against: Sequence[int], rng: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[float, float] | None:
    """Return the 95 % interval of 1 - misses / misses of the other, from the same resampled speakers for both.

    ``misses[i]`` and ``against[i]`` are speaker i's. A resample in which neither misses a word counts as no reduction,
    one in which only the other does not as minus infinity. None where all resamples agree: they would claim certainty.
    """
    if not misses:
        return None
    draws = _drawn_speakers(len(misses), rng, resamples)
    ours, others = draws @ np.asarray(misses), draws @ np.asarray(against)
    nothing_to_gain = np.where(ours > 0, -np.inf, 0.0)
    reductions = np.where(others > 0, 1.0 - ours / np.maximum(others, 1), nothing_to_gain)
    if (reductions == reductions[0]).all():
        return None
    # neighbours, not values between them: minus infinity has no place on a line
    low = np.percentile(reductions, 50.0 * (1.0 - CONFIDENCE), method="lower")
    return float(low), float(np.percentile(reductions, 50.0 * (1.0 + CONFIDENCE), method="higher"))


def _drawn_speakers(speakers: int, rng: np.random.Generator, resamples: int) -> NDArray[np.int64]:
    """Return how often each speaker is in each resample, int64 [resamples, speakers]."""
    return rng.multinomial(speakers, np.full(speakers, 1.0 / speakers), size=resamples)


def _root(decreasing: Callable[[float], float], low: float, high: float) -> float:
    """Return where a decreasing function crosses zero, by bisection down to the last bit of a float."""
    while True:
        middle = (low + high) / 2.0
        if middle in (low, high):
            return middle
        if decreasing(middle) > 0.0:
            low = middle
        else:
            high = middle
