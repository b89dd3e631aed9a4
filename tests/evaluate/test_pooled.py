"""Pooled figures of hand-made curves, and of a real model on tones."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kws.data import corpus
from kws.detector.decision import SCORE_ONE
from kws.detector.model_file import KwsModel
from kws.detector.thresholds import Thresholds
from kws.errors import KwsError
from kws.evaluate import pooled, report
from kws.evaluate.curve import Curve, curves_under
from kws.evaluate.pooled import Pooled, PooledResult
from kws.evaluate.scoring import Options, subject
from kws.evaluate.show import pooled_table
from kws.evaluate.show.plot import plot_pooled
from kws.streams.conditions import Condition, Conditions

CLEAN = Condition("test")
MakeCurve = Callable[..., Curve]


@pytest.fixture(scope="module")
def two(make_curve: MakeCurve) -> list[Curve]:
    """Of "a" 6 words, of "b" 4; cy says both. Thresholds ascending, so false accepts descending."""
    a = make_curve("a", {"ann": 4, "cy": 2}, [(5, {}), (2, {"ann": 1}), (1, {"ann": 2, "cy": 1})], shipped=1)
    b = make_curve("b", {"bob": 3, "cy": 1}, [(3, {}), (1, {"cy": 1}), (0, {"bob": 1, "cy": 1})], shipped=2)
    return [a, b]


@pytest.fixture(scope="module")
def result(two: list[Curve]) -> PooledResult:
    return pooled.pool(two, CLEAN)


@pytest.mark.parametrize(
    ("target", "misses", "accepts"),
    [
        (0.0, 6 + 2, 0),  # a never fires
        (0.5, 3 + 1, 1 + 1),  # one false accept in two hours each
        (1.0, 1 + 1, 2 + 1),
        (1.5, 1 + 0, 2 + 3),
        (2.5, 0, 5 + 3),
        (9.0, 0, 5 + 3),
    ],
)
def test_each_phrase_keeps_the_target_with_a_threshold_of_its_own(
    two: list[Curve], target: float, misses: int, accepts: int
) -> None:
    point = pooled.at(two, target, seed=0)
    assert (point.positives, point.misses, point.false_reject_rate) == (10, misses, misses / 10)
    assert (point.false_accepts, point.hours, point.false_accepts_per_hour) == (accepts, 4.0, accepts / 4)
    assert point.false_accepts_per_hour <= target


def test_the_curve_has_every_rate_that_occurs(result: PooledResult) -> None:
    assert [point.target_per_hour for point in result.det] == [0.0, 0.5, 1.0, 1.5, 2.5]
    assert [point.misses for point in result.det] == [8, 4, 2, 1, 0]
    assert [point.target_per_hour for point in result.targets] == [0.0, 0.1, 0.5, 1.0, 2.0]
    assert [point.misses for point in result.targets] == [8, 8, 4, 2, 1]


def test_shipped_thresholds_are_taken_as_they_are(result: PooledResult) -> None:
    assert (result.shipped.target_per_hour, result.shipped.thresholds) == (None, (2000, 3000))
    assert (result.shipped.misses, result.shipped.false_accepts) == (1 + 2, 2)


def test_speakers_of_all_phrases_are_resampled_together(two: list[Curve]) -> None:
    """Three speakers have 27 equally likely resamples: their rates, written out, give the percentiles."""
    point = pooled.at(two, 1.0, seed=0)
    assert [(one.speaker, one.misses, one.positives) for one in point.by_speaker] == [
        ("ann", 1, 4),
        ("bob", 0, 3),
        ("cy", 1, 3),
    ]
    each = [(one.misses, one.positives) for one in point.by_speaker]
    drawn = [np.sum(resample, axis=0) for resample in itertools.product(each, repeat=3)]
    rates = sorted(misses / words for misses, words in drawn)
    assert point.interval_over == "speakers"
    assert point.frr_interval == pytest.approx((rates[0], rates[-1]))
    assert point.frr_interval == pytest.approx((0.0, 1 / 3))


def test_intervals_are_those_of_their_seed_and_rates_that_were_not_seen_are_bounded(two: list[Curve]) -> None:
    assert pooled.pool(two, Condition("test", seed=3)) == pooled.pool(two, Condition("test", seed=3))
    none = pooled.at(two, 0.0, seed=0)
    assert none.false_accepts_interval == pytest.approx((0.0, 2.9957 / 4.0), abs=1e-4)
    some = pooled.at(two, 0.5, seed=0)
    assert some.false_accepts_interval == pytest.approx((0.2422 / 4, 7.2247 / 4), abs=1e-4)
    assert pooled.at(two, 9.0, seed=0).interval_over == "clips", "no speaker misses a word"


def evaluated(path: Path, model: KwsModel, **options: object) -> Pooled:
    asked = Options(Conditions(noise_snr_db=10.0, room=True))
    return pooled.evaluate([("two", model)], path, replace(asked, **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tones(tone_corpus: Path, two_tone_model: KwsModel) -> Pooled:
    return evaluated(tone_corpus, two_tone_model)


def test_a_pool_is_the_sum_of_what_evaluate_says(tones: Pooled, tone_corpus: Path, two_tone_model: KwsModel) -> None:
    alone = report.evaluate(two_tone_model, tone_corpus)
    clean = tones.results[0]
    for curve, split in zip(clean.curves, alone.splits, strict=True):
        first = split.positives[0]
        assert (sum(curve.words), sum(curve.shipped.missed)) == (first.positives, first.misses)
        assert curve.shipped.point.false_accepts == split.negatives[0].false_accepts
        assert curve.hours == pytest.approx(split.negatives[0].hours)
    assert clean.shipped.misses == sum(split.positives[0].misses for split in alone.splits) == 1
    assert clean.shipped.false_accepts == 2


def test_conditions_are_rows_of_one_table(tones: Pooled) -> None:
    assert [one.condition.name for one in tones.results] == ["clean", "noise 10 dB", "room"]
    assert [one.shipped.positives for one in tones.results] == [7, 7, 7]
    clean, noise, room = (one.curves[0] for one in tones.results)
    assert clean.measured != noise.measured != room.measured


def test_two_models_with_a_phrase_each_give_what_one_with_both_gives(
    tones: Pooled, tone_corpus: Path, two_tone_model: KwsModel
) -> None:
    named = [("low", two_tone_model), ("high", two_tone_model)]
    halves = [
        pooled.subjects_of([one], Options(phrases=(phrase,))) for one, phrase in zip(named, tones.phrases, strict=True)
    ]
    assert [one.phrases for half in halves for one in half] == [("beep",), ("high chirp",)]
    both = pooled.evaluate(named, tone_corpus, Options(phrases=("High chirp",)))
    assert both.results[0].shipped.positives == 6, "the same phrase of two models: its words count twice"
    assert both.results[0].shipped.hours == pytest.approx(2 * tones.results[0].curves[1].hours)


def test_a_threshold_of_ones_own_replaces_the_shipped_ones(tone_corpus: Path, two_tone_model: KwsModel) -> None:
    never = evaluated(tone_corpus, two_tone_model, thresholds=Thresholds(1.0), conditions=Conditions())
    assert never.results[0].shipped.thresholds == (SCORE_ONE, SCORE_ONE)
    assert never.results[0].shipped.misses == 7
    assert "1.0000" in pooled_table.text(never)
    assert "as shipped" not in pooled_table.text(never)


def test_what_is_missing_is_said(tone_corpus: Path, two_tone_model: KwsModel) -> None:
    with pytest.raises(KwsError, match="'low beep': no model is for it; choose of 'beep', 'high chirp'"):
        evaluated(tone_corpus, two_tone_model, phrases=("low beep",))
    with pytest.raises(KwsError, match="'dev' has no clip with the label 'beep'"):
        evaluated(tone_corpus, two_tone_model, conditions=Conditions(("dev",)))
    with pytest.raises(KwsError, match="no clip labelled 'rir' in this split"):
        curves_under([subject(two_tone_model)], corpus.read(tone_corpus), Condition("dev", room=True))


def test_the_table_says_all_of_it(tones: Pooled, result: PooledResult) -> None:
    text = pooled_table.text(tones)
    for part in (
        "two: beep, high chirp, pooled, test",
        "as shipped",
        "at most 0.5 FA/h *",
        "chosen on this very",
    ):
        assert part in text
    assert "clean: missed per speaker at 0.5 FA/h: bob 3/3, ann1 1/2" in text
    assert all(len(line) <= 108 for line in text.splitlines() if ":" not in line)
    drawn = pooled_table.curve(replace(tones, results=(result,)))
    rows = [line.split() for line in drawn.splitlines() if line.startswith((" clean", "clean"))]
    assert [row[1] + " " + row[4] for row in rows] == ["0.00 8", "0.50 4", "1.00 2", "1.50 1", "2.50 0"]
    assert rows[0][-4:] == ["none:", "below", "0.75", "FA/h"]


def test_data_is_json(result: PooledResult, tones: Pooled) -> None:
    data = json.loads(json.dumps(replace(tones, results=(result,)).to_data()))
    assert (data["models"], data["phrases"]) == (["two"], ["beep", "high chirp"])
    only = data["conditions"][0]
    assert (only["split"], only["condition"], only["room"]) == ("test", "clean", False)
    assert only["shipped"]["chosen_on_this_split"] is False
    assert only["targets"][2]["chosen_on_this_split"] is True
    assert only["targets"][2]["false_reject_rate"] == 0.4
    assert only["targets"][2]["by_speaker"][0] == {"speaker": "ann", "misses": 2, "positives": 4}
    assert [row["misses"] for row in only["det"]] == [8, 4, 2, 1, 0]
    assert [row["phrase"] for row in only["detectors"]] == ["a", "b"]
    assert only["detectors"][0]["targets"][2]["misses"] == 3


def test_a_pooled_curve_per_condition_is_drawn(tones: Pooled, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_pooled([tones], tmp_path / "det.svg")
    picture = (tmp_path / "det.svg").read_text()
    for name in ("clean", "noise 10 dB", "room"):
        assert picture.count(f"<!-- beep, high chirp, test, {name} -->") == 1
