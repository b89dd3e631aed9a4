"""Thresholds worth trying, what they cost, and the choice among them, on hand-made scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.detector.decision import SCORE_ONE
from kws.streams.layout import Event, Layout, Span
from kws.streams.metrics import Trace
from kws.streams.sweep import NEVER, DetPoint, Sweep, best, det_curve, frontier, operating_points, thresholds

FIRST = Event("first.wav", "ann", 2.0, 2.6)
SECOND = Event("second.wav", "bob", 6.0, 6.5)
LAYOUT = Layout(
    "s",
    "computer",
    10.0,
    (Span("first.wav", "ann", 1.0, 4.0), Span("second.wav", "bob", 5.0, 8.0)),
    (FIRST, SECOND),
)


def trace_of(layout: Layout, peaks: dict[float, int]) -> Trace:
    scores = np.zeros(round(layout.duration_s * 100), np.int32)
    for time_s, score in peaks.items():
        scores[round(time_s * 100)] = score
    return Trace(layout, scores, 0.0, 0.01)


POSITIVE = trace_of(LAYOUT, {2.3: 20000, 6.2: 9000})
NEGATIVE = trace_of(
    Layout("n", "neg_speech", 36.0, (Span("n.wav", "", 0.0, 36.0),)), {3.0: 12000, 9.0: 5000, 15.0: 12000, 30.0: 30000}
)


def test_det_curve_by_hand() -> None:
    points = {p.threshold: (p.misses, p.false_accepts) for p in det_curve([POSITIVE], [NEGATIVE], 100)}
    assert points[5000] == (0, 4)
    assert points[5001] == points[9000] == (0, 3)
    assert points[9001] == points[12000] == (1, 3)
    assert points[12001] == points[20000] == (1, 1)
    assert points[20001] == points[30000] == (2, 1)
    assert points[30001] == points[SCORE_ONE] == (2, 0)
    point = det_curve([POSITIVE], [NEGATIVE], 100)[0]
    assert point.positives == 2
    assert point.hours == pytest.approx(0.01)


def test_frontier_is_monotone_and_unbeaten() -> None:
    kept = frontier(det_curve([POSITIVE], [NEGATIVE], 100))
    assert [(p.false_accepts, p.misses) for p in kept] == [(0, 2), (1, 1), (3, 0)]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), refractory=st.integers(0, 150))
def test_frontier_is_monotone_on_any_scores(seed: int, refractory: int) -> None:
    rng = np.random.default_rng(seed)
    positive = Trace(LAYOUT, rng.integers(0, SCORE_ONE + 1, 1000).astype(np.int32), 0.0, 0.01)
    negative = Trace(NEGATIVE.layout, rng.integers(0, 30000, 3600).astype(np.int32), 0.0, 0.01)
    points = det_curve([positive], [negative], refractory, max_points=40)
    kept = frontier(points)
    rates = [(p.false_accepts_per_hour, p.false_reject_rate) for p in kept]
    assert [fa for fa, _ in rates] == sorted({fa for fa, _ in rates})
    assert [frr for _, frr in rates] == sorted({frr for _, frr in rates}, reverse=True)
    for point in points:
        assert any(k.false_accepts <= point.false_accepts and k.misses <= point.misses for k in kept)


def test_thresholds_are_where_rates_change() -> None:
    chosen = thresholds([POSITIVE], [NEGATIVE], 240)
    assert {5000, 5001, 9000, 9001, 12001, 20000, 20001, 30000, 30001, SCORE_ONE} <= set(chosen)
    assert chosen == sorted(set(chosen))
    assert all(1 <= threshold <= SCORE_ONE for threshold in chosen)
    assert len(thresholds([POSITIVE], [NEGATIVE], 5)) == 5


def test_frr_at_a_target() -> None:
    points = det_curve([POSITIVE], [NEGATIVE], 100)
    assert best(points, 0.5).false_reject_rate == 1.0  # only none at all keeps the target in 0.01 h
    assert best(points, 100.0).false_reject_rate == 0.5
    assert best(points, 299.0).false_reject_rate == 0.5
    assert best(points, 300.0).false_reject_rate == 0.0


def test_the_middle_of_what_is_equal() -> None:
    points = [DetPoint(threshold, int(threshold > 50), 10, int(threshold < 20), 1.0) for threshold in range(10, 100, 5)]
    assert best(points, 0.5).threshold == 35


def test_out_of_reach_is_the_fewest_false_accepts() -> None:
    points = [DetPoint(1, 0, 4, 9, 1.0), DetPoint(2, 1, 4, 7, 1.0), DetPoint(3, 3, 4, 7, 1.0)]
    assert best(points, 1.0).threshold == 2


def test_operating_points_are_sorted_and_different() -> None:
    chosen = operating_points(
        det_curve([POSITIVE], [NEGATIVE], 100), (0.1, 1.0, 100.0, 200.0, 1000.0), "dev: by hand", "x"
    )
    assert [p.false_accepts_per_hour for p in chosen] == pytest.approx([0.0, 100.0, 300.0])
    assert [p.false_reject_rate for p in chosen] == [1.0, 0.5, 0.0]
    assert {p.measured_on for p in chosen} == {"dev: by hand"}


def test_a_det_curve_needs_both_sides() -> None:
    with pytest.raises(ValueError, match="at least one word"):
        det_curve([], [NEGATIVE], 100)
    with pytest.raises(ValueError, match="at least one word"):
        det_curve([POSITIVE], [], 100)


def test_words_are_counted_in_groups_and_the_groups_add_up() -> None:
    speakers = Sweep.by_speaker([POSITIVE], [NEGATIVE], 100)
    assert (speakers.groups, speakers.words) == (("ann", "bob"), (1, 1))
    assert speakers.hours == pytest.approx(0.01)
    assert (speakers.at(9001).missed, speakers.at(9001).point.misses) == ((0, 1), 1)
    streams = Sweep.by_stream({"noise": [POSITIVE, POSITIVE], "clean": [POSITIVE]}, [NEGATIVE], 100)
    assert (streams.groups, streams.words) == (("noise", "clean"), (4, 2)), "in the given order"
    assert streams.at(9001).missed == (2, 1)
    assert streams.at(9001).false_reject_rate == 0.5
    never = streams.at(NEVER)
    assert (never.missed, never.point.false_accepts, never.false_accepts_per_hour) == ((4, 2), 0, 0.0)


def test_of_equal_points_the_frontier_has_the_highest_threshold() -> None:
    points = [
        DetPoint(1, 0, 4, 2, 1.0),
        DetPoint(2, 1, 4, 1, 1.0),
        DetPoint(3, 1, 4, 1, 1.0),
        DetPoint(4, 2, 4, 1, 1.0),
    ]
    assert [point.threshold for point in frontier(points)] == [3, 1]


def test_every_word_is_tried_however_few_thresholds_are_asked_for() -> None:
    assert Sweep.by_speaker([POSITIVE], [NEGATIVE], 100).word_thresholds() == [9000, 9001, 20000, 20001, SCORE_ONE]
