"""Thresholds as users give them: per phrase or for all, by any spelling, and nothing that means something else."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from kws.detector.config import SCORE_ONE, check_threshold
from kws.detector.thresholds import Thresholds, levels_q15, q15
from kws.errors import KwsError

PHRASES, OWN = ("computer", "hey, Jürgen"), (100, 200)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, (100, 200)),
        (0.25, (8192, 8192)),
        (1, (32768, 32768)),
        ({"computer": 0.5}, (16384, 200)),
        ({"hey_jürgen": 0.5}, (100, 16384)),
        ({"HEY JÜRGEN": 0.5, " computer! ": 1.0}, (32768, 16384)),
        (Thresholds(0.25, (("computer", 0.5),)), (16384, 8192)),
        ({}, (100, 200)),
    ],
)
def test_a_number_for_all_or_phrase_by_phrase(
    given: float | Mapping[str, float] | Thresholds | None, wanted: tuple[int, int]
) -> None:
    assert levels_q15(PHRASES, OWN, given) == wanted


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (0, "above 0 .* fire once, in the first step, and never again"),
        (0.0, "never again"),
        (1e-9, "never again"),
        (-0.1, "above 0 and up to 1, not -0.1"),
        (1.0001, "up to 1"),
        (math.nan, "number above 0"),
        (math.inf, "up to 1"),
        (True, "number"),
        ("0.5", "number"),
        ({"computer": 0}, "threshold of 'computer' must be above 0"),
        ({"computer": "0.5"}, "threshold of 'computer' must be a number"),
        ({"siri": 0.5}, "threshold of 'siri': the model has no such phrase; its phrases are 'computer', 'hey, Jürgen'"),
        ({"hey jürgen": 0.5, "hey_jürgen": 0.6}, "threshold of 'hey_jürgen' is given twice"),
    ],
)
def test_what_is_no_threshold_is_refused(given: Any, words: str) -> None:
    with pytest.raises(KwsError, match=words):
        levels_q15(PHRASES, OWN, given)


def test_the_ends_of_the_range() -> None:
    """The least is the least score there is above none; 1 is a score that can be reached."""
    assert (q15(1 / SCORE_ONE), q15(1.0)) == (1, SCORE_ONE)
    for level in (1, SCORE_ONE, SCORE_ONE + 1):
        check_threshold(level)
    for level in (0, -1, SCORE_ONE + 2):
        with pytest.raises(ValueError, match="threshold must be a whole number of 1 to 32768"):
            check_threshold(level)


def test_a_phrase_without_letters_has_its_own_name() -> None:
    assert levels_q15(("⏰", "🔔"), OWN, {"🔔": 0.5}) == (100, 16384)
