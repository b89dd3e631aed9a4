"""Several phrases, of one model or several, as one figure: misses of all over words of all at equal false accepts.

Every phrase has its own words and its own threshold, and false accepts are counted per hour and phrase on the same
audio: a bar such as "at most 10 % at 0.5 per hour, pooled over three words" is read from here.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kws.data import corpus as corpora
from kws.data.manifest import slug
from kws.detector.decision import SCORE_ONE
from kws.detector.model_file import KwsModel
from kws.detector.thresholds import Thresholds
from kws.errors import KwsError
from kws.evaluate import scoring
from kws.evaluate.curve import Curve, curves_under
from kws.evaluate.intervals import binomial_interval, poisson_interval, speaker_bootstrap
from kws.evaluate.results import SpeakerMisses
from kws.evaluate.scoring import Options, Subject
from kws.streams.conditions import Condition
from kws.streams.sweep import Measured

TARGETS_PER_HOUR = (0.0, 0.1, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class PooledPoint:
    """All curves together, each at a threshold (Q15) of its own; rates are 0..1 and per hour and phrase.

    ``target_per_hour`` is what each threshold keeps on this very audio, or None where they are the detectors' own.
    ``frr_interval`` is 95 %, by resampling ``interval_over`` "speakers" of all phrases together, or exact binomial over
    "clips". ``hours`` are summed over phrases; ``false_accepts_interval`` is exact Poisson, per hour and phrase, and
    for no false accept at all its upper end is the one-sided bound 3.0 / hours.
    """

    target_per_hour: float | None
    thresholds: tuple[int, ...]
    positives: int
    misses: int
    frr_interval: tuple[float, float]
    interval_over: str
    by_speaker: tuple[SpeakerMisses, ...]
    false_accepts: int
    hours: float
    false_accepts_interval: tuple[float, float]

    @property
    def false_reject_rate(self) -> float:
        """Misses / words."""
        return self.misses / self.positives

    @property
    def false_accepts_per_hour(self) -> float:
        """False accepts / hours: per hour and phrase."""
        return self.false_accepts / self.hours

    def to_data(self) -> dict[str, Any]:
        """Return plain data, rates and confidences spelled out."""
        data = dataclasses.asdict(self)
        data["thresholds"] = [threshold / SCORE_ONE for threshold in self.thresholds]
        return data | {
            "false_reject_rate": self.false_reject_rate,
            "false_accepts_per_hour": self.false_accepts_per_hour,
            "chosen_on_this_split": self.target_per_hour is not None,
        }


@dataclass(frozen=True)
class PooledResult:
    """One condition: the detectors' own thresholds, some targets, and every rate of false accepts that occurs."""

    condition: Condition
    curves: tuple[Curve, ...]
    shipped: PooledPoint
    targets: tuple[PooledPoint, ...]
    det: tuple[PooledPoint, ...]

    def to_data(self) -> dict[str, Any]:
        """Return JSON-ready data; the curve's points without their speakers, which would be most of it."""
        det = [point.to_data() for point in self.det]
        for row in det:
            del row["by_speaker"]
        return {
            "split": self.condition.split,
            "condition": self.condition.name,
            "noise_snr_db": self.condition.noise_snr_db,
            "room": self.condition.room,
            "shipped": self.shipped.to_data(),
            "targets": [point.to_data() for point in self.targets],
            "det": det,
            "detectors": [_curve_data(curve) for curve in self.curves],
        }


@dataclass(frozen=True)
class Pooled:
    """What some detectors do together; ``results`` has one for each condition."""

    manifest: str
    engine: str
    seed: int
    names: tuple[str, ...]
    phrases: tuple[str, ...]
    own_thresholds: bool
    results: tuple[PooledResult, ...]

    def to_data(self) -> dict[str, Any]:
        """Return everything as JSON-ready data."""
        return {
            "manifest": self.manifest,
            "engine": self.engine,
            "seed": self.seed,
            "models": list(self.names),
            "phrases": list(self.phrases),
            "own_thresholds": self.own_thresholds,
            "conditions": [result.to_data() for result in self.results],
        }


def evaluate(models: Sequence[tuple[str, KwsModel]], manifest: Path, options: Options) -> Pooled:
    """Run named models over the streams of each condition and pool what they do.

    Raises:
        KwsError: the manifest or a clip cannot be read, a split lacks words of a phrase, other audio, noise or rooms,
            or no model has a phrase that is named.
    """
    subjects = subjects_of(models, options)
    corpus = corpora.read(manifest)
    results = []
    for condition in options.conditions.rows():
        curves = curves_under(subjects, corpus, condition)
        results.append(pool([curve for one in curves for curve in one], condition))
    return summary(subjects, manifest, options, results)


def summary(subjects: Sequence[Subject], manifest: Path, options: Options, results: Sequence[PooledResult]) -> Pooled:
    """Return the results of some subjects with what they were made from."""
    return Pooled(
        str(manifest),
        options.conditions.engine,
        options.conditions.seed,
        tuple(one.name for one in subjects),
        tuple(dict.fromkeys(phrase for one in subjects for phrase in one.phrases)),
        options.thresholds is None,
        tuple(results),
    )


def subjects_of(models: Sequence[tuple[str, KwsModel]], options: Options) -> list[Subject]:
    """Return the models that have a chosen phrase as what is measured.

    Raises:
        KwsError: no model has a phrase that is named.
    """
    known = {slug(phrase): phrase for _, model in models for phrase in model.detector.phrases}
    chosen = {slug(phrase): phrase for phrase in options.phrases} or known
    for label, phrase in chosen.items():
        if label not in known:
            names = ", ".join(map(repr, known.values()))
            raise KwsError(f"phrase {phrase!r}: no model is for it; choose of {names}")
    given = Thresholds.of(options.thresholds)
    given.check(tuple(known.values()))
    subjects = []
    for name, model in models:
        phrases = tuple(phrase for phrase in model.detector.phrases if slug(phrase) in chosen)
        if phrases:
            one = scoring.subject(model, options.conditions.engine, phrases, name)
            level = given.over(phrases, one.thresholds)
            subjects.append(dataclasses.replace(one, thresholds=level))
    return subjects


def pool(curves: Sequence[Curve], condition: Condition) -> PooledResult:
    """Return the curves of one condition as one."""
    seed = condition.seed
    rates = sorted({0.0}.union(*(curve.rates_per_hour() for curve in curves)))
    det: list[PooledPoint] = []
    for rate in rates:
        point = at(curves, rate, seed)
        if not det or point.thresholds != det[-1].thresholds:
            det.append(point)
    return PooledResult(
        condition,
        tuple(curves),
        pooled_point(curves, [curve.shipped for curve in curves], None, seed),
        tuple(at(curves, target, seed) for target in TARGETS_PER_HOUR),
        tuple(det),
    )


def at(curves: Sequence[Curve], target_per_hour: float, seed: int) -> PooledPoint:
    """Return the pooled figures where every curve keeps a target of false accepts per hour on its own audio."""
    return pooled_point(curves, [curve.at(target_per_hour) for curve in curves], target_per_hour, seed)


def pooled_point(
    curves: Sequence[Curve], chosen: Sequence[Measured], target_per_hour: float | None, seed: int
) -> PooledPoint:
    """Add up what was chosen of each curve; ``seed`` is that of the bootstrap: the same one, the same resamples."""
    words = Counter[str]()
    for curve in curves:
        words.update(dict(zip(curve.speakers, curve.words, strict=True)))
    missed = misses_by_speaker(curves, chosen)
    speakers = sorted(words)
    positives, misses = words.total(), missed.total()
    interval = speaker_bootstrap(
        [missed[one] for one in speakers], [words[one] for one in speakers], np.random.default_rng(seed)
    )
    accepts = sum(one.point.false_accepts for one in chosen)
    hours = sum(one.point.hours for one in chosen)
    low, high = poisson_interval(accepts)
    return PooledPoint(
        target_per_hour,
        tuple(one.point.threshold for one in chosen),
        positives,
        misses,
        interval or binomial_interval(misses, positives),
        "speakers" if interval else "clips",
        tuple(SpeakerMisses(one, missed[one], words[one]) for one in speakers),
        accepts,
        hours,
        (low / hours, high / hours),
    )


def misses_by_speaker(curves: Iterable[Curve], chosen: Iterable[Measured]) -> Counter[str]:
    """Return how many words of each speaker were missed, over all curves; a speaker of two phrases is one."""
    missed = Counter[str]()
    for curve, one in zip(curves, chosen, strict=True):
        missed.update(dict(zip(curve.speakers, one.missed, strict=True)))
    return missed


def _curve_data(curve: Curve) -> dict[str, Any]:
    return {
        "model": curve.name,
        "phrase": curve.phrase,
        "hours": curve.hours,
        "shipped": _measured_data(curve.shipped),
        "targets": [{"target_per_hour": one} | _measured_data(curve.at(one)) for one in TARGETS_PER_HOUR],
    }


def _measured_data(measured: Measured) -> dict[str, Any]:
    point = measured.point
    return dataclasses.asdict(point) | {
        "threshold": point.threshold / SCORE_ONE,
        "false_reject_rate": point.false_reject_rate,
        "false_accepts_per_hour": point.false_accepts_per_hour,
    }
