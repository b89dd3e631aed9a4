"""The decision (threshold, refractory period, arming), and the bounds of what configures it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws import config as kws_config
from kws.detector.decision import SCORE_ONE, Decision, DetectorConfig, OperatingPoint, decide
from kws.errors import KwsError


@pytest.mark.parametrize(
    ("scores", "refractory", "fired"),
    [
        ([], 0, []),
        ([0, 0], 0, []),
        ([5], 0, [0]),  # armed at the start; at the threshold is enough
        ([9, 9, 9, 9], 0, [0]),  # no second detection without falling below in between
        ([9, 0, 9, 0, 9], 0, [0, 2, 4]),
        ([9, 0, 9, 9, 9], 3, [0, 3]),  # armed again, fires when the refractory period ends
        ([9, 0, 9, 0, 0], 3, [0]),  # what lay wholly inside the refractory period is gone
        ([9, 9, 9, 9, 0, 9], 2, [0, 5]),  # after the period but never below: not armed until it was
        ([4, 9, 0, 0, 9], 3, [1, 4]),  # exactly refractory steps later
        ([4, 9, 0, 0, 9], 4, [1]),
    ],
)
def test_decisions(scores: list[int], refractory: int, fired: list[int]) -> None:
    assert decide(np.array(scores, np.int32), 5, refractory).tolist() == fired
    assert Decision((5,), refractory).push(np.array(scores, np.int32)[:, None]) == [(step, 0) for step in fired]


@settings(max_examples=200, deadline=None)
@given(scores=st.lists(st.integers(0, 3), max_size=80), threshold=st.integers(1, 4), refractory=st.integers(0, 12))
def test_decide_equals_the_definition(scores: list[int], threshold: int, refractory: int) -> None:
    """A step fires when it is above, far enough from the last one, and some step since that one was below."""
    fired: list[int] = []
    for step, score in enumerate(scores):
        armed = not fired or any(earlier < threshold for earlier in scores[fired[-1] + 1 : step])
        if score >= threshold and armed and (not fired or step - fired[-1] >= refractory):
            fired.append(step)
    assert decide(np.array(scores, np.int32), threshold, refractory).tolist() == fired
    assert Decision((threshold,), refractory).push(np.array(scores, np.int32)[:, None]) == [(step, 0) for step in fired]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), phrases=st.integers(1, 4), steps=st.integers(0, 80), refractory=st.integers(0, 12))
def test_every_phrase_decides_by_itself_in_any_chunks(
    data: st.DataObject, phrases: int, steps: int, refractory: int
) -> None:
    scores = np.array(
        [data.draw(st.lists(st.integers(0, 3), min_size=phrases, max_size=phrases)) for _ in range(steps)], np.int32
    ).reshape(-1, phrases)
    thresholds = data.draw(st.lists(st.integers(1, 4), min_size=phrases, max_size=phrases))
    cuts = data.draw(st.lists(st.integers(0, steps), max_size=6))
    decision = Decision(thresholds, refractory)
    fired = [one for chunk in np.split(scores, sorted(cuts)) for one in decision.push(chunk)]
    wanted = [
        (step, phrase)
        for phrase, threshold in enumerate(thresholds)
        for step in decide(scores[:, phrase], threshold, refractory).tolist()
    ]
    assert fired == sorted(wanted)


def test_scores_for_another_number_of_phrases_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^scores must be \[n, 2\]"):
        Decision((1, 2), 0).push(np.zeros((3, 1), np.int32))


def test_a_single_phrase_is_heard_by_all_its_labels() -> None:
    config = DetectorConfig.single("hey marvin", ("filler", "hey", "marvin"), 3, 4, 5)
    assert config == DetectorConfig(("hey marvin",), ("filler", "hey", "marvin"), ((1, 2),), 3, 4, 5)
    assert config.title == "hey marvin"


def test_the_largest_threshold_never_fires() -> None:
    ones = np.full(10, SCORE_ONE, np.int32)
    assert decide(ones, SCORE_ONE, 0).tolist() == [0]
    assert decide(ones, SCORE_ONE + 1, 0).tolist() == []


def test_refractory_steps_last_at_least_the_period() -> None:
    configs = [DetectorConfig.single("hey", ("filler", "hey"), refractory_ms=ms) for ms in (0, 1, 30, 31, 1000)]
    assert [config.refractory_steps(30) for config in configs] == [0, 1, 1, 2, 34]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phrases", ()),
        ("phrases", (" ",)),
        ("phrases", ("two\nlines",)),
        ("phrases", ("hey", "Hey")),
        ("phrases", tuple(f"hey {number}" for number in range(64))),
        ("keywords", ()),
        ("keywords", ((),)),
        ("keywords", ((0,),)),
        ("keywords", ((2,),)),
        ("keywords", ((1, 1),)),
        ("keywords", ((1,), (1,))),
        ("labels", ("filler",)),
        ("labels", ("filler", "a", "a")),
        ("labels", ("filler", "")),
        ("labels", tuple(f"label {number}" for number in range(65))),
        ("smooth_frames", 0),
        ("smooth_frames", 1001),
        ("max_frames", 0),
        ("max_frames", 4001),
        ("refractory_ms", -1),
        ("refractory_ms", 60001),
    ],
)
def test_a_bad_config_value_is_refused_by_name(field: str, value: object) -> None:
    data: dict[str, object] = {"phrases": ["hey"], "labels": ["filler", "hey"], "keywords": [[1]]}
    data[field] = list(value) if isinstance(value, tuple) else value
    with pytest.raises(KwsError, match=f"^recipe.toml: {field} must "):
        kws_config.load(DetectorConfig, data, "recipe.toml")


@pytest.mark.parametrize(
    ("point", "field"),
    [
        ((0, 0.0, 0.0, "x", "hey"), "threshold"),
        ((SCORE_ONE + 2, 0.0, 0.0, "x", "hey"), "threshold"),
        ((1, math.nan, 0.0, "x", "hey"), "false_accepts_per_hour"),
        ((1, -0.1, 0.0, "x", "hey"), "false_accepts_per_hour"),
        ((1, 0.0, 1.1, "x", "hey"), "false_reject_rate"),
    ],
)
def test_a_bad_operating_point_is_refused_by_name(point: tuple[int, float, float, str, str], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field} must "):
        OperatingPoint(*point)
