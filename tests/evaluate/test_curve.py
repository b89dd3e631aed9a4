"""A curve from confidences that one can read: which words are missed at which rate of false accepts."""

from collections.abc import Sequence

import numpy as np
import pytest

from kws.detector.decision import SCORE_ONE
from kws.evaluate.curve import Curve, measure
from kws.streams.layout import Event, Layout, Span
from kws.streams.metrics import Trace

STEP_S = 0.1
REFRACTORY_STEPS = 10


def trace(
    seconds: float, peaks: Sequence[tuple[float, float]], events: Sequence[Event] = (), rest: float = 0.0
) -> Trace:
    """Confidence ``rest`` but for 0.3 s at each (time in seconds, height 0..1)."""
    scores = np.full(round(seconds / STEP_S), round(rest * SCORE_ONE), np.int32)
    for time_s, height in peaks:
        first = round(time_s / STEP_S)
        scores[first : first + 3] = round(height * SCORE_ONE)
    layout = Layout("s", "x", seconds, (Span("x.wav", "x", 0.0, seconds),), tuple(events))
    return Trace(layout, scores, 0.0, STEP_S)


def words(speaker: str, *heights: float) -> Trace:
    """A word every 4 s, heard at these heights."""
    times_s = [2.0 + 4.0 * number for number in range(len(heights))]
    events = [Event(f"{speaker}{number}.wav", speaker, one, one + 0.5) for number, one in enumerate(times_s)]
    return trace(4.0 * len(heights) + 2.0, list(zip(times_s, heights, strict=True)), events)


def speech(*heights: float, rest: float = 0.0) -> Trace:
    """An hour with something like the phrase every minute."""
    return trace(3600.0, [(60.0 * (number + 1), height) for number, height in enumerate(heights)], rest=rest)


def curve(positives: Sequence[Trace], negatives: Sequence[Trace], shipped: float = 0.62) -> Curve:
    return measure("m", "computer", positives, negatives, round(shipped * SCORE_ONE), REFRACTORY_STEPS)


@pytest.fixture(scope="module")
def two() -> Curve:
    return curve([words("ann", 0.9, 0.5), words("bob", 0.7)], [speech(0.6, 0.3), speech(0.55)])


def test_words_are_missed_speaker_by_speaker(two: Curve) -> None:
    assert (two.speakers, two.words, two.hours) == (("ann", "bob"), (2, 1), 2.0)
    assert two.at(0.0).missed == (1, 0), "above 0.6: only ann's second word"
    assert two.at(0.9).missed == (1, 0), "one false accept, at 0.6, buys nothing"
    assert two.at(0.9).point.false_accepts == 0
    assert two.at(1.0).missed == (0, 0), "two in two hours, at 0.6 and 0.55: all words"
    assert two.at(1.0).point.false_accepts == 2


def test_the_shipped_threshold_is_measured_as_it_is(two: Curve) -> None:
    assert two.shipped.point.threshold == round(0.62 * SCORE_ONE)
    assert (two.shipped.missed, two.shipped.point.false_accepts) == ((1, 0), 0)


def test_rates_that_occur(two: Curve) -> None:
    assert two.rates_per_hour() == {0.0, 0.5, 1.0, 1.5}


def test_a_target_is_always_kept() -> None:
    """Negatives louder than every word: only a threshold that never fires has no false accept."""
    loud = curve([words("ann", 0.4)], [speech(*[1.0] * 3)])
    assert loud.at(0.0).point.threshold == SCORE_ONE + 1
    assert (loud.at(0.0).missed, loud.at(2.9).missed, loud.at(3.0).missed) == ((1,), (1,), (0,))


def test_every_words_peak_is_tried_however_many_negatives_there_are() -> None:
    """The negatives' peaks alone are more than a DET curve has points; the words' lie between them."""
    heights = np.linspace(0.6, 0.9, 59)
    louder = [speech(*(heights + shift)) for shift in np.linspace(0.0, 0.004, 8)]
    spoken = [round(height, 4) for height in np.linspace(0.7012, 0.8987, 12).tolist()]
    found = curve([words("ann", *spoken)], louder)
    tried = {one.point.threshold for one in found.measured}
    assert len(tried) < 480
    # from above, up to 20 false accepts per hour: 160 of the negatives' 472
    assert {round(height * SCORE_ONE) for height in spoken if height > 0.81} <= tried


def test_a_confidence_that_never_falls_is_not_taken_for_a_quiet_one() -> None:
    """Below the resting level the decision fires once and never re-arms: few false accepts, and no use."""
    many = [0.5] * 55
    found = curve(
        [words("ann", 0.45), trace(8.0, [(2.0, 0.45)], [Event("b.wav", "bob", 2.0, 2.5)])], [speech(*many, rest=0.1)]
    )
    assert all(one.point.threshold > 0.1 * SCORE_ONE for one in found.measured)
    assert found.at(10.0).missed == (1, 1)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one word"):
        curve([], [speech(0.5)])
    with pytest.raises(ValueError, match="some negative audio"):
        curve([words("ann", 0.5)], [])
