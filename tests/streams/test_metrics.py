"""Every rule of the protocol on streams that one can read, by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.detector.decision import SCORE_ONE, decide
from kws.streams.layout import Event, Layout, Span
from kws.streams.metrics import Trace, match

FIRST = Event("first.wav", "ann", 2.0, 2.6)
SECOND = Event("second.wav", "bob", 6.0, 6.5)
LAYOUT = Layout(
    "s",
    "computer",
    10.0,
    (Span("first.wav", "ann", 1.0, 4.0), Span("second.wav", "bob", 5.0, 8.0)),
    (
        FIRST,
        SECOND,
    ),
)


def verdict(*times_s: float) -> tuple[list[float], list[float]]:
    """Return hit times and false accept times."""
    outcome = match(times_s, LAYOUT)
    assert len(outcome.hits) + len(outcome.misses) == 2
    return [hit.time_s for hit in outcome.hits], list(outcome.false_accepts_s)


def test_nothing_detected_is_two_misses() -> None:
    assert match([], LAYOUT).misses == (FIRST, SECOND)


def test_inside_the_word() -> None:
    assert verdict(2.3, 6.5) == ([2.3, 6.5], [])


@pytest.mark.parametrize("time_s", [2.0, 2.6, 3.1])
def test_from_its_start_to_half_a_second_after_its_end(time_s: float) -> None:
    assert verdict(time_s) == ([time_s], [])


def test_early_is_a_false_accept_and_the_word_can_still_be_hit() -> None:
    assert verdict(1.99) == ([], [1.99])
    assert verdict(1.99, 2.7) == ([2.7], [1.99])


def test_late_is_a_false_accept_and_a_miss() -> None:
    assert verdict(3.11) == ([], [3.11])


def test_a_second_detection_after_a_hit_is_ignored_for_a_second_after_the_word() -> None:
    assert verdict(2.1, 2.9, 3.4, 3.6) == ([2.1], [])


def test_a_double_later_than_that_is_a_false_accept() -> None:
    assert verdict(2.1, 3.61) == ([2.1], [3.61])


def test_between_two_words() -> None:
    assert verdict(2.5, 4.5, 6.2) == ([2.5, 6.2], [4.5])


def test_words_close_together_are_each_hit_once() -> None:
    pair = Layout("s", "x", 5.0, (), (Event("a", "ann", 1.0, 1.4), Event("b", "ann", 1.6, 2.0)))
    assert [(hit.event.path, hit.time_s) for hit in match([1.5, 1.8], pair).hits] == [("a", 1.5), ("b", 1.8)]


def test_where_the_phrase_is_said_unasked_nothing_counts() -> None:
    layout = Layout("s", "neg_speech", 60.0, (Span("n.wav", "", 0.0, 36.0),), (), ((10.0, 19.0),))
    assert match([9.9, 10.0, 19.9, 20.1], layout).false_accepts_s == (9.9, 20.1)
    assert layout.hours == pytest.approx(27.0 / 3600.0)


def test_latency_is_from_the_words_end() -> None:
    assert [hit.latency_s for hit in match([2.9, 6.4], LAYOUT).hits] == pytest.approx([0.3, -0.1])


def test_inside_the_refractory_period_the_shipped_decision_stays_silent() -> None:
    """The word peaks twice within a second: decide gives one detection, so there is nothing to ignore."""
    trace = trace_of(LAYOUT, {2.3: 30000, 2.8: 30000, 6.2: 30000})
    assert trace.detect(20000, 100).tolist() == pytest.approx([2.3, 6.2])
    assert trace.detect(20000, 10).tolist() == pytest.approx([2.3, 2.8, 6.2])


def trace_of(layout: Layout, peaks: dict[float, int], first_s: float = 0.0) -> Trace:
    scores = np.zeros(round(layout.duration_s * 100), np.int32)
    for time_s, score in peaks.items():
        scores[round((time_s - first_s) * 100)] = score
    return Trace(layout, scores, first_s, 0.01)


@settings(deadline=None)
@given(
    scores=st.lists(st.integers(0, SCORE_ONE), min_size=1, max_size=300),
    pause=st.integers(0, 200),
    threshold=st.integers(1, SCORE_ONE),
    refractory=st.integers(0, 60),
)
def test_a_shifted_stream_shifts_its_outcome(scores: list[int], pause: int, threshold: int, refractory: int) -> None:
    """Silence before a stream moves every detection, hit and false accept by its length and changes nothing else."""
    event, moved = Event("a", "ann", 0.5, 1.0), Event("a", "ann", 0.5 + pause / 100, 1.0 + pause / 100)
    here = Trace(Layout("s", "x", 3.0, (), (event,)), np.array(scores, np.int32), 0.0025, 0.01)
    later = Trace(Layout("s", "x", 5.0, (), (moved,)), np.array([0] * pause + scores, np.int32), 0.0025, 0.01)
    times, shifted = here.detect(threshold, refractory), later.detect(threshold, refractory)
    assert shifted == pytest.approx(times + pause / 100)
    before, after = match(times.tolist(), here.layout), match(shifted.tolist(), later.layout)
    assert (len(before.hits), len(before.misses)) == (len(after.hits), len(after.misses))
    assert len(before.false_accepts_s) == len(after.false_accepts_s)


@settings(deadline=None)
@given(times=st.lists(st.floats(0.0, 10.0), max_size=20))
def test_every_detection_and_every_word_is_accounted_for(times: list[float]) -> None:
    outcome = match(sorted(times), LAYOUT)
    used = [hit.time_s for hit in outcome.hits] + list(outcome.false_accepts_s)
    assert all(used.count(time) <= times.count(time) for time in used)
    assert {hit.event for hit in outcome.hits} | set(outcome.misses) == {FIRST, SECOND}
    ignored = sorted(times)
    for time in used:
        ignored.remove(time)
    hit_ends = [hit.event.end_s for hit in outcome.hits]
    assert all(any(time <= end + 1.0 for end in hit_ends) for time in ignored)


def test_more_threshold_is_not_always_fewer_detections() -> None:
    """Why the DET curve is measured at each threshold: what never falls below a low one does not re-arm."""
    scores = np.array([9, 5, 9, 5, 9], np.int32)
    assert [len(decide(scores, threshold, 1)) for threshold in (4, 8)] == [1, 3]
