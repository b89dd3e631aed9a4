"""Evaluation, operating points and the choice among a training's states still choose what they chose before.

The numbers of ``tests/golden/thresholds.json`` were written when each of the three had a sweep of its own.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kws.evaluate.curve import measure
from kws.streams.layout import Event, Layout, Span
from kws.streams.metrics import Trace
from kws.streams.sweep import best, det_curve, frontier
from kws.train import selection

GOLDEN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "golden" / "thresholds.json").read_text()
)
REFRACTORY_STEPS = 20


def trace(rng: np.random.Generator, words: int) -> Trace:
    """A minute of random confidences with ``words`` by three speakers in it; the words are a little louder."""
    starts = (np.arange(words) * 4.0 + 2.0).tolist()
    events = tuple(
        Event(f"{number}.wav", f"ann{number % 3}", start, start + 0.6) for number, start in enumerate(starts)
    )
    scores = rng.integers(0, 20000, 1200).astype(np.int32)
    for start in starts:
        scores[int(start * 20) + 10] += int(rng.integers(0, 12000))
    return Trace(Layout("s", "computer", 60.0, (Span("x.wav", "ann", 0.0, 60.0),), events), scores, 0.05, 0.05)


@pytest.mark.parametrize("seed", GOLDEN)
def test_the_numbers_are_those_of_before(seed: str) -> None:
    rng, golden = np.random.default_rng(int(seed)), GOLDEN[seed]
    clean, noisy, negatives = ([trace(rng, words) for _ in range(3)] for words in (5, 8, 0))
    points = det_curve([*clean, *noisy], negatives, REFRACTORY_STEPS)
    assert [[one.threshold, one.misses, one.false_accepts] for one in points] == golden["det"]
    assert [best(points, target).threshold for target in (0, 0.5, 20, 100, 500, 5000)] == golden["best"]
    assert [point.threshold for point in frontier(points)] == golden["frontier"]
    curve = measure("m", "computer", [*clean, *noisy], negatives, 18000, REFRACTORY_STEPS)
    chosen = [curve.at(target) for target in (0, 0.5, 20, 100)]
    assert [[one.point.threshold, list(one.missed)] for one in chosen] == golden["curveat"]
    rates = selection.sweep({"clean": clean, "noise": noisy}, negatives, REFRACTORY_STEPS)
    judged = [dataclasses.astuple(selection.judge(rates, rate)) for rate in (0.5, 5.0, 60.0, 500.0)]
    assert [list(one) for one in judged] == golden["judge"]
