"""Scores: against the formulas of the paper in float, and the same in plain integers."""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.detector.decision import (
    SCORE_ONE,
    Decision,
    DetectorConfig,
    Scorer,
    confidence,
    decide,
    exp_table,
    sliding_maximum,
)

LABELS = ("filler", "hey", "marvin", "please", "now")


def detector(
    keywords: int, smooth_frames: int = 30, max_frames: int = 100, refractory_ms: int = 1000
) -> DetectorConfig:
    return DetectorConfig.single("hey marvin", LABELS[: keywords + 1], smooth_frames, max_frames, refractory_ms)


def speech_like_logits(rng: np.random.Generator, steps: int, labels: int) -> NDArray[np.int8]:
    """Logits that wander slowly through the whole range, with stretches at its ends."""
    walk = np.cumsum(rng.normal(0, 12, (steps, labels)), axis=0)
    return np.clip(256 * np.abs((walk / 512) % 2 - 1) * 1.3 - 160, -128, 127).astype(np.int8)


def float_confidences(logits: NDArray[np.int8], scale: float, w_smooth: int, w_max: int) -> list[float]:
    """Chen et al. 2014, equations 1 and 2, word for word: j and k count from 1, label 0 is the filler."""
    steps, n = logits.shape
    e = np.exp(scale * logits.astype(np.float64))
    p = e / e.sum(axis=1, keepdims=True)
    smoothed = np.zeros((steps + 1, n))
    confidences = []
    for j in range(1, steps + 1):
        h_s = max(1, j - w_smooth + 1)
        for i in range(n):
            smoothed[j, i] = sum(p[k - 1, i] for k in range(h_s, j + 1)) / (j - h_s + 1)
        h_m = max(1, j - w_max + 1)
        product = math.prod(max(smoothed[k, i] for k in range(h_m, j + 1)) for i in range(1, n))
        confidences.append(product ** (1 / (n - 1)))
    return confidences


def integer_confidences(
    logits: NDArray[np.int8], scale: float, w_smooth: int, w_max: int, indices: Sequence[int]
) -> list[int]:
    """docs/architecture.md, "Decision", word for word, in Python's integers."""
    table = [round(math.exp(-scale * d) * 32768) for d in range(256)]
    labels = logits.shape[1]
    posteriors: list[list[int]] = []
    smoothed: list[list[int]] = []
    confidences = []
    for row in logits.tolist():
        values = [table[max(row) - q] for q in row]
        posteriors.append([(2 * value * 32768 + sum(values)) // (2 * sum(values)) for value in values])
        last = posteriors[-w_smooth:]
        smoothed.append([(2 * sum(p[i] for p in last) + len(last)) // (2 * len(last)) for i in range(labels)])
        product = 1 << 30
        for i in indices:
            product = product * max(s[i] for s in smoothed[-w_max:]) >> 15
        confidences.append(
            max(r for r in range(*root_range(product, len(indices))) if power(r, len(indices)) <= product)
        )
    return confidences


def power(root: int, count: int) -> int:
    product = 1 << 30
    for _ in range(count):
        product = product * root >> 15
    return product


def root_range(product: int, count: int) -> tuple[int, int]:
    """Every candidate that could be the root: a float estimate with room for the truncations."""
    root = (product / 2**30) ** (1 / count) * 32768
    room = 4 if count <= 2 else 32769
    return max(0, int(root) - room), min(32768, int(root) + room) + 1


@pytest.mark.parametrize(
    ("keywords", "w_smooth", "w_max"), [(1, 30, 100), (2, 30, 100), (2, 1, 1), (3, 5, 7), (4, 30, 9)]
)
def test_scores_follow_the_papers_formulas_within_the_declared_bound(keywords: int, w_smooth: int, w_max: int) -> None:
    """Each maximum is off by at most e = 1.5 + labels / 2 LSB of Q15, so the product by at most keywords * e + 1."""
    logits = speech_like_logits(np.random.default_rng(keywords), 400, keywords + 1)
    scores = Scorer(detector(keywords, w_smooth, w_max), 0.06, 10).push(logits)[:, 0] / SCORE_ONE
    wanted = np.array(float_confidences(logits, 0.06, w_smooth, w_max))
    delta = (keywords * (1.5 + (keywords + 1) / 2) + 1) / SCORE_ONE
    low = np.maximum(wanted**keywords - delta, 0) ** (1 / keywords) - 1 / SCORE_ONE
    high = (wanted**keywords + delta) ** (1 / keywords) + 1 / SCORE_ONE
    assert np.all((low <= scores) & (scores <= high))
    assert wanted.max() > 0.2, "the logits must reach scores that are not noise"


@pytest.mark.parametrize("keywords", [1, 2, 4])
def test_where_it_matters_scores_are_within_four_lsb_of_the_formulas(keywords: int) -> None:
    logits = speech_like_logits(np.random.default_rng(keywords), 400, keywords + 1)
    for word in range(1, keywords + 1):  # one word after the other, 350 ms each
        logits[60 + 35 * word : 95 + 35 * word] //= 2
        logits[60 + 35 * word : 95 + 35 * word, word] = 120
    scores = Scorer(detector(keywords, 30, 200), 0.06, 10).push(logits)[:, 0]
    wanted = np.array(float_confidences(logits, 0.06, 30, 200))
    assert np.count_nonzero(wanted > 0.5) > 50
    assert np.abs(scores - wanted * SCORE_ONE)[wanted > 0.5].max() <= 4


@pytest.mark.parametrize(
    ("keywords", "w_smooth", "w_max"), [(1, 30, 100), (2, 30, 100), (2, 1, 1), (2, 2, 3), (3, 4, 8)]
)
def test_scores_equal_plain_integers(keywords: int, w_smooth: int, w_max: int) -> None:
    steps = 300 if keywords < 3 else 25
    logits = speech_like_logits(np.random.default_rng(7), steps, keywords + 1)
    logits[:4] = np.array([[127], [-128], [0], [1]])  # all labels alike
    logits[5, 1:], logits[5, 0] = 127, -128
    scores = Scorer(detector(keywords, w_smooth, w_max), 0.11, 10).push(logits)
    wanted = integer_confidences(logits, 0.11, w_smooth, w_max, range(1, keywords + 1))
    assert scores[:, 0].tolist() == wanted


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    keywords=st.integers(1, 4),
    w_smooth=st.integers(1, 40),
    w_max=st.integers(1, 40),
    cuts=st.lists(st.integers(0, 200), max_size=12),
)
def test_any_chunking_gives_the_same_scores_and_detections(
    seed: int, keywords: int, w_smooth: int, w_max: int, cuts: list[int]
) -> None:
    logits = speech_like_logits(np.random.default_rng(seed), 200, keywords + 1)
    config = detector(keywords, w_smooth, w_max, 250)
    whole = Scorer(config, 0.05, 10).push(logits)
    threshold = int(np.quantile(whole, 0.7))
    scorer, decision = Scorer(config, 0.05, 10), Decision((threshold,), config.refractory_steps(10))
    parts, steps = [], []
    for chunk in np.split(logits, sorted(cuts)):
        parts.append(scorer.push(chunk))
        steps += decision.push(parts[-1])
    assert np.concatenate(parts).tolist() == whole.tolist()
    assert steps == [(step, 0) for step in decide(whole[:, 0], threshold, 25).tolist()]


KEYWORD_SETS = st.sets(st.frozensets(st.integers(1, 6), min_size=1, max_size=4), min_size=1, max_size=8)


def several(keywords: Sequence[Sequence[int]], w_smooth: int, w_max: int) -> DetectorConfig:
    """Phrases over six labels, each with its own subset of them."""
    phrases = tuple(f"phrase {index}" for index in range(len(keywords)))
    labels = ("filler", *(f"label {index}" for index in range(1, 7)))
    return DetectorConfig(phrases, labels, tuple(map(tuple, keywords)), w_smooth, w_max, 250)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), keywords=KEYWORD_SETS, w_smooth=st.integers(1, 40), w_max=st.integers(1, 40))
def test_every_phrase_scores_as_if_it_were_alone(
    seed: int, keywords: set[frozenset[int]], w_smooth: int, w_max: int
) -> None:
    rng = np.random.default_rng(seed)
    spoken = [rng.permutation(sorted(indices)).tolist() for indices in keywords]
    logits = speech_like_logits(rng, 200, 7)
    together = Scorer(several(spoken, w_smooth, w_max), 0.05, 10).push(logits)
    assert together.shape == (200, len(spoken))
    for column, indices in zip(together.T, spoken, strict=True):
        alone = Scorer(several([indices], w_smooth, w_max), 0.05, 10).push(logits)
        assert column.tolist() == alone[:, 0].tolist()


def test_phrases_that_share_words_equal_plain_integers() -> None:
    """ "hey marvin", "hey alexa", "alexa": the first two share label 1, the last two label 3."""
    logits = speech_like_logits(np.random.default_rng(11), 200, 7)
    keywords = ((1, 2), (1, 3), (3,))
    scores = Scorer(several(keywords, 6, 9), 0.11, 10).push(logits)
    for column, indices in zip(scores.T, keywords, strict=True):
        assert column.tolist() == integer_confidences(logits, 0.11, 6, 9, indices)


def test_a_word_of_one_phrase_is_not_the_other_phrase() -> None:
    logits = np.full((100, 7), -128, np.int8)
    logits[:50, 1] = logits[50:, 3] = 127
    scores = Scorer(several([(1, 2), (1, 3)], 1, 100), 0.2, 10).push(logits)
    assert scores[:, 0].max() == 0
    assert scores[-1, 1] == SCORE_ONE


def test_a_reset_scorer_starts_anew() -> None:
    logits = speech_like_logits(np.random.default_rng(3), 150, 3)
    scorer = Scorer(detector(2), 0.1, 10)
    first = scorer.push(logits).tolist()
    scorer.reset()
    assert scorer.push(logits).tolist() == first


def test_a_block_border_is_no_border() -> None:
    """Longer than one vectorised pass: the scores around its end equal those of a scorer fed in other chunks."""
    logits = speech_like_logits(np.random.default_rng(4), (1 << 16) + 500, 3)
    whole = Scorer(detector(2), 0.05, 10).push(logits)
    scorer = Scorer(detector(2), 0.05, 10)
    parts = [scorer.push(logits[start : start + 9999]) for start in range(0, len(logits), 9999)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_the_filler_alone_never_scores_and_a_sure_word_scores_one() -> None:
    filler, word = [127, -128], [-128, 127]
    scorer = Scorer(DetectorConfig.single("computer", ("filler", "computer"), 10, 20), 0.2, 10)
    assert not scorer.push(np.array([filler] * 50, np.int8)).any()
    rising = scorer.push(np.array([word] * 10, np.int8))
    assert np.all(np.diff(rising[:, 0]) > 0)
    assert rising[-1] == SCORE_ONE
    after = scorer.push(np.array([filler] * 20, np.int8))
    assert np.all(after[:19] == SCORE_ONE), "the maximum holds for max_frames"
    assert after[19] < SCORE_ONE


def test_every_word_must_be_heard() -> None:
    """Two words of three labels: one word alone gives nothing, whichever it is."""
    for word in (1, 2):
        logits = np.full((100, 3), -128, np.int8)
        logits[:, word] = 127
        assert not Scorer(detector(2), 0.2, 10).push(logits).any()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, SCORE_ONE), min_size=2, max_size=2), min_size=1, max_size=20))
def test_the_root_is_the_largest_that_fits(maxima: list[list[int]]) -> None:
    for (first, second), root in zip(maxima, confidence(np.array(maxima, np.int32)).tolist(), strict=True):
        product = (first << 15) * second >> 15
        assert power(root, 2) <= product
        assert root == SCORE_ONE or power(root + 1, 2) > product
        assert min(first, second) <= root <= max(first, second)


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.integers(0, 9), min_size=1, max_size=60), window=st.integers(1, 25))
def test_sliding_maximum_is_the_maximum_of_each_window(values: list[int], window: int) -> None:
    column = np.array([0] * (window - 1) + values, np.int32)[:, None]
    wanted = [max(column[i : i + window, 0]) for i in range(len(values))]
    assert sliding_maximum(column, window)[:, 0].tolist() == wanted


def test_a_table_starts_at_one_and_falls() -> None:
    table = exp_table(0.03)
    assert table.dtype == np.uint16
    assert table.shape == (256,)
    assert table[0] == SCORE_ONE
    assert np.all(np.diff(table.astype(np.int32)) <= 0)
    assert np.abs(table / SCORE_ONE - np.exp(-0.03 * np.arange(256))).max() <= 0.5 / SCORE_ONE
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"^logit_scale "):
            exp_table(scale)


def test_logits_of_another_shape_are_refused() -> None:
    scorer = Scorer(detector(2), 0.1, 10)
    wrong: list[NDArray[Any]] = [np.zeros((3, 2), np.int8), np.zeros(3, np.int8), np.zeros((3, 3), np.int16)]
    for logits in wrong:
        with pytest.raises(ValueError, match=r"^logits must be int8"):
            scorer.push(logits)


def test_two_million_steps_in_seconds() -> None:
    """Five and a half hours of audio: what one evaluation scores. Some 0.3 s; the bound is wide."""
    logits = np.random.default_rng(0).integers(-128, 128, (2_000_000, 3), np.int8)
    start = time.process_time()
    scores = Scorer(detector(2), 0.05, 10).push(logits)[:, 0]
    decide(scores, int(np.quantile(scores, 0.9)), 100)
    assert time.process_time() - start < 5.0
