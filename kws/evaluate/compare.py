"""Detectors against others of the same phrases: how many fewer words are missed at equal false accepts."""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kws.data import corpus as corpora
from kws.data.manifest import slug
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.evaluate import pooled
from kws.evaluate.curve import Curve, curves_under
from kws.evaluate.intervals import paired_reduction
from kws.evaluate.pooled import Pooled
from kws.evaluate.scoring import Options, Subject
from kws.streams.conditions import Condition

TARGETS_PER_HOUR = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class ComparedPoint:
    """Both sides where every phrase keeps the same target of false accepts per hour on the evaluated audio.

    ``reduction`` is 1 - misses / misses of the other side, below zero where more are missed; None where the other
    misses none. ``interval`` is 95 %, paired: the same resampled speakers for both; None where the resamples show no
    spread. An end is -inf where the other side misses nothing in such a resample.
    """

    target_per_hour: float
    positives: int
    misses: int
    against_misses: int
    reduction: float | None
    interval: tuple[float, float] | None

    def to_data(self) -> dict[str, Any]:
        """Return JSON-ready data: an end of minus infinity is null."""
        data = dataclasses.asdict(self)
        if self.interval is not None:
            data["interval"] = [end if math.isfinite(end) else None for end in self.interval]
        return data


@dataclass(frozen=True)
class ComparedResult:
    """One condition's points, a target each."""

    condition: Condition
    points: tuple[ComparedPoint, ...]


@dataclass(frozen=True)
class Comparison:
    """Both sides as they are pooled alone, and compared under each condition."""

    models: Pooled
    against: Pooled
    results: tuple[ComparedResult, ...]

    def to_data(self) -> dict[str, Any]:
        """Return everything as JSON-ready data."""
        compared = [
            {
                "split": result.condition.split,
                "condition": result.condition.name,
                "targets": [point.to_data() for point in result.points],
            }
            for result in self.results
        ]
        return {"models": self.models.to_data(), "against": self.against.to_data(), "compared": compared}


def evaluate(
    models: Sequence[tuple[str, KwsModel]],
    against: Sequence[tuple[str, KwsModel]],
    manifest: Path,
    options: Options,
) -> Comparison:
    """Run both sides over the same streams, each built once, and compare them pooled over phrases.

    Raises:
        KwsError: as ``pooled.evaluate``; or the two sides are not for the same phrases, equally often.
    """
    return evaluate_subjects(
        pooled.subjects_of(models, options), pooled.subjects_of(against, options), manifest, options
    )


def evaluate_subjects(
    ours: Sequence[Subject], others: Sequence[Subject], manifest: Path, options: Options
) -> Comparison:
    """Do what ``evaluate`` does with anything that maps sound to confidences."""
    _check(ours, others)
    corpus = corpora.read(manifest)
    sides: tuple[list[pooled.PooledResult], list[pooled.PooledResult]] = ([], [])
    results = []
    for condition in options.conditions.rows():
        curves = curves_under([*ours, *others], corpus, condition)
        here, there = _flat(curves[: len(ours)]), _flat(curves[len(ours) :])
        for side, own in zip(sides, (here, there), strict=True):
            side.append(pooled.pool(own, condition))
        results.append(compare(here, there, condition))
    return Comparison(
        pooled.summary(ours, manifest, options, sides[0]),
        pooled.summary(others, manifest, options, sides[1]),
        tuple(results),
    )


def compare(ours: Sequence[Curve], others: Sequence[Curve], condition: Condition) -> ComparedResult:
    """Compare the curves of two sides, measured on the same streams, at each target."""
    return ComparedResult(condition, tuple(_point(ours, others, target, condition.seed) for target in TARGETS_PER_HOUR))


def _point(ours: Sequence[Curve], others: Sequence[Curve], target: float, seed: int) -> ComparedPoint:
    missed, missed_there = (
        pooled.misses_by_speaker(side, [curve.at(target) for curve in side]) for side in (ours, others)
    )
    speakers = sorted({speaker for curve in ours for speaker in curve.speakers})
    interval = paired_reduction(
        [missed[one] for one in speakers], [missed_there[one] for one in speakers], np.random.default_rng(seed)
    )
    misses, against = missed.total(), missed_there.total()
    words = sum(sum(curve.words) for curve in ours)
    return ComparedPoint(target, words, misses, against, 1.0 - misses / against if against else None, interval)


def _flat(curves: Sequence[Sequence[Curve]]) -> list[Curve]:
    return [curve for one in curves for curve in one]


def _check(ours: Sequence[Subject], others: Sequence[Subject]) -> None:
    here, there = (Counter(slug(phrase) for one in side for phrase in one.phrases) for side in (ours, others))
    if here != there:
        odd = min((here - there) + (there - here))
        names = {slug(phrase): phrase for one in (*others, *ours) for phrase in one.phrases}
        raise KwsError(
            f"phrase {names[odd]!r}: {here[odd]} of the models and {there[odd]} of those after --against are for it; "
            "give both sides the same phrases (--against once for each model) or choose some with --phrase"
        )
