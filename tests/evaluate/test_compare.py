"""Two sides on the same words: what a reduction is, and that its interval is paired."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.evaluate import compare
from kws.evaluate.compare import ComparedPoint, Comparison
from kws.evaluate.curve import Curve
from kws.evaluate.intervals import paired_reduction
from kws.evaluate.scoring import Options
from kws.evaluate.show import pooled_table
from kws.evaluate.show.plot import plot_pooled
from kws.streams.conditions import Condition, Conditions

CLEAN = Condition("test")


def test_the_same_speakers_are_drawn_for_both() -> None:
    """Half the misses of every single speaker are half of them in any resample; unpaired this would be a wide range."""
    assert paired_reduction([1, 2, 4], [2, 4, 8], np.random.default_rng(0)) is None
    interval = paired_reduction([1, 2, 4], [2, 4, 9], np.random.default_rng(0))
    assert interval == pytest.approx((0.5, 1 - 4 / 9))


def test_the_interval_is_that_of_all_resamples() -> None:
    ours, others = [1, 0, 2], [2, 4, 2]
    drawn = itertools.product(range(3), repeat=3)
    values = sorted(1 - sum(ours[i] for i in one) / sum(others[i] for i in one) for one in drawn)
    # each value has a share of 1/27 = 3.7 % at least, more than the 2.5 % that are cut off at either end
    interval = paired_reduction(ours, others, np.random.default_rng(1))
    assert interval == (values[0], values[-1])
    assert interval == (0.0, 1.0)


def test_where_the_other_misses_nothing_there_is_no_lower_bound() -> None:
    assert paired_reduction([1, 1], [2, 0], np.random.default_rng(0)) == (-math.inf, 0.5)
    assert paired_reduction([], [], np.random.default_rng(0)) is None
    data = ComparedPoint(0.5, 4, 2, 2, 0.0, (-math.inf, 0.5)).to_data()
    assert json.dumps(data["interval"], allow_nan=False) == "[null, 0.5]"


def test_misses_are_compared_at_equal_targets(make_curve: Callable[..., Curve]) -> None:
    said_a, said_b = {"ann": 10, "bob": 10}, {"ann": 5, "cy": 5}
    ours = [
        make_curve("a", said_a, [(2, {"ann": 1}), (1, {"ann": 1, "bob": 2})]),
        make_curve("b", said_b, [(1, {"cy": 1})]),
    ]
    others = [
        make_curve("a", said_a, [(4, {"ann": 1}), (1, {"ann": 2, "bob": 3})]),
        make_curve("b", said_b, [(2, {"cy": 1}), (1, {"cy": 1, "ann": 4})]),
    ]
    half, one, two = compare.compare(ours, others, CLEAN).points
    assert (half.target_per_hour, half.positives, half.misses, half.against_misses) == (0.5, 30, 3 + 1, 5 + 5)
    assert half.reduction == pytest.approx(0.6)
    assert half.interval is not None
    assert half.interval[0] < 0.6 < half.interval[1]
    assert (one.misses, one.against_misses) == (1 + 1, 5 + 1)
    assert (two.misses, two.against_misses, two.reduction) == (2, 1 + 1, 0.0)
    again, other = (compare.compare(ours, others, Condition("test", seed=seed)).points[0].interval for seed in (0, 1))
    assert again == half.interval
    assert other is not None
    backwards = compare.compare(others, ours, CLEAN).points[0]
    assert backwards.reduction == pytest.approx(1 - 10 / 4)


@pytest.fixture(scope="module")
def compared(tone_corpus: Path, two_tone_model: KwsModel, tone_model: KwsModel) -> Comparison:
    options = Options(Conditions(room=True), phrases=("beep",))
    return compare.evaluate([("ours", two_tone_model)], [("theirs", tone_model)], tone_corpus, options)


def test_both_sides_hear_the_same_streams(compared: Comparison) -> None:
    """Two models with the same kernel for "beep": nothing is gained."""
    assert [side.names for side in (compared.models, compared.against)] == [("ours",), ("theirs",)]
    for ours, theirs in zip(compared.models.results, compared.against.results, strict=True):
        assert ours.shipped.hours == theirs.shipped.hours
        assert ours.curves[0].speakers == theirs.curves[0].speakers
    point = compared.results[0].points[0]
    assert (point.positives, point.misses, point.against_misses, point.reduction) == (4, 1, 1, 0.0)


def test_the_tables_and_data_of_a_comparison(compared: Comparison, tmp_path: Path) -> None:
    text = pooled_table.comparison(compared)
    assert "ours against theirs; in brackets paired 95 % intervals" in text
    assert "1 (25.0 %)" in text
    assert "0.0 % ~" in text
    data = json.loads(json.dumps(compared.to_data(), allow_nan=False))
    assert [row["condition"] for row in data["compared"]] == ["clean", "room"]
    assert [row["target_per_hour"] for row in data["compared"][0]["targets"]] == [0.5, 1.0, 2.0]
    pytest.importorskip("matplotlib")
    plot_pooled([compared.models, compared.against], tmp_path / "det.svg")
    assert (tmp_path / "det.svg").read_text().count("<!-- theirs: beep, test, room -->") == 1


def test_sides_with_different_phrases_are_refused(
    tone_corpus: Path, two_tone_model: KwsModel, tone_model: KwsModel
) -> None:
    with pytest.raises(KwsError, match="'high chirp': 1 of the models and 0 of those after --against"):
        compare.evaluate([("a", two_tone_model)], [("b", tone_model)], tone_corpus, Options())
    with pytest.raises(KwsError, match="'beep': 2 of the models and 1 of those after --against"):
        compare.evaluate([("a", tone_model), ("b", tone_model)], [("c", tone_model)], tone_corpus, Options())


@pytest.mark.parametrize(
    ("point", "told"),
    [
        (ComparedPoint(0.5, 10, 2, 4, 0.5, (0.1, 0.75)), "50.0 % (10.0 to 75.0)"),
        (ComparedPoint(0.5, 10, 6, 4, -0.5, (-math.inf, 0.0)), "-50.0 % (no bound to 0.0)"),
        (ComparedPoint(0.5, 10, 2, 4, 0.5, None), "50.0 % ~"),
        (ComparedPoint(0.5, 10, 2, 0, None, None), "-"),
    ],
)
def test_a_reduction_in_words(compared: Comparison, point: ComparedPoint, told: str) -> None:
    result = compare.ComparedResult(CLEAN, (point,))
    text = pooled_table.comparison(Comparison(compared.models, compared.against, (result, result)))
    assert told in [line.split(" %)")[-1].strip() for line in text.splitlines() if " 10 " in line]
