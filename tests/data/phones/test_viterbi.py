"""Forced alignment against every path there is."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.data.phones.inventory import SILENCE
from kws.data.phones.viterbi import align, align_together

PHONES = 4
WORDS = st.lists(st.lists(st.integers(1, PHONES - 1), min_size=0, max_size=2), min_size=0, max_size=3)


def every_path(words: list[list[int]], frames: int) -> set[tuple[int, ...]]:
    """Each way to spread the words' phones, with pauses or none around them, over the frames."""
    words = [word for word in words if word]
    paths = set()
    for pauses in itertools.product((False, True), repeat=len(words) + 1):
        sequence = [SILENCE] * pauses[0]
        for word, pause in zip(words, pauses[1:], strict=True):
            sequence += [*word, *[SILENCE] * pause]
        if len(sequence) <= frames and sequence:
            for cuts in itertools.combinations(range(1, frames), len(sequence) - 1):
                edges = [0, *cuts, frames]
                paths.add(
                    tuple(phone for phone, a, b in zip(sequence, edges, edges[1:], strict=False) for _ in range(a, b))
                )
    return paths


def score(scores: NDArray[np.float32], path: tuple[int, ...]) -> float:
    return float(scores[np.arange(len(path)), path].astype(np.float64).mean())


@settings(max_examples=60, deadline=None)
@given(words=WORDS, frames=st.integers(1, 7), seed=st.integers(0, 2**32 - 1))
def test_it_finds_the_best_of_all_paths(words: list[list[int]], frames: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(0.0, 1.0, (frames, PHONES)).astype(np.float32)
    paths = every_path(words, frames)
    if not paths:
        with pytest.raises(ValueError, match="frames are too few"):
            align(scores, words)
        return
    found = align(scores, words)
    assert tuple(found.phones.tolist()) in paths
    assert found.score == pytest.approx(max(score(scores, path) for path in paths), abs=1e-5)
    assert found.score == pytest.approx(score(scores, tuple(found.phones.tolist())), abs=1e-5)


def test_places_tell_equal_neighbours_apart() -> None:
    scores = np.full((4, 2), -5.0, np.float32)
    scores[:, 1] = -1.0
    found = align(scores, [[1, 1]])
    assert found.phones.tolist() == [1] * 4
    assert found.places[0] == 1
    assert found.places[-1] == 2


@settings(max_examples=40, deadline=None)
@given(
    words=st.lists(WORDS, min_size=1, max_size=5), more=st.lists(st.integers(0, 9), min_size=5, max_size=5),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_together_each_is_aligned_as_by_itself(words: list[list[list[int]]], more: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = [max(sum(map(len, one)), 1) + longer for one, longer in zip(words, more, strict=False)]
    scores = [rng.normal(0.0, 1.0, (length, PHONES)).astype(np.float32) for length in lengths]
    for found, alone in zip(align_together(scores, words), map(align, scores, words), strict=True):
        assert found.phones.tolist() == alone.phones.tolist()
        assert found.places.tolist() == alone.places.tolist()
        assert found.score == alone.score
