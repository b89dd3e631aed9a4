"""Measure a model on a manifest's streams: one call, every figure with its interval."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kws.data import manifest as manifests
from kws.detect import SCORE_ONE, OperatingPoint
from kws.errors import KwsError
from kws.evaluate import metrics, scoring, transcripts
from kws.evaluate.metrics import Trace
from kws.evaluate.results import Evaluation, SplitResult, negative_result, positive_result
from kws.evaluate.stream import plans, positive_labels
from kws.model_file import KwsModel

HEADLINE_NEGATIVES = "neg_speech"
TARGETS_PER_HOUR = (0.1, 0.5, 1.0, 2.0)
DEFAULT_TARGET_PER_HOUR = 0.5


def evaluate(
    model: KwsModel,
    manifest: Path,
    splits: Sequence[str] = ("test",),
    engine: str = "auto",
    threshold: float | None = None,
    noise_snr_db: float | None = None,
    seed: int = 0,
) -> Evaluation:
    """Run ``model`` over the streams of ``splits``, through the decision that ships.

    Args:
        model: the detector; its phrase says which labels are positive.
        manifest: path of a manifest.csv; ``utterances.csv`` beside it, if any, explains false accepts.
        splits: of "train", "dev", "test".
        engine: "auto", "c" or "graph"; the numbers are the same.
        threshold: confidence 0..1 to fire at, instead of the model's own.
        noise_snr_db: mix the split's own noise recordings in at this ratio.
        seed: of dither, noise and bootstrap.

    Raises:
        KwsError: the manifest or a clip cannot be read, or a split holds nothing to evaluate on.
    """
    level = model.threshold if threshold is None else round(threshold * SCORE_ONE)
    results = []
    for split in splits:
        traces = _traces(model, manifest, split, engine, noise_snr_db, seed)
        results.append(_split_result(model, manifest, split, traces, level, seed))
    return Evaluation(model.detector.phrase, str(manifest), engine, level, noise_snr_db, seed, tuple(results))


def operating_points(
    model: KwsModel,
    manifest: Path,
    split: str = "dev",
    engine: str = "auto",
    noise_snr_db: float | None = None,
    seed: int = 0,
    targets_per_hour: Sequence[float] = TARGETS_PER_HOUR,
    default_target_per_hour: float = DEFAULT_TARGET_PER_HOUR,
) -> tuple[tuple[OperatingPoint, ...], int]:
    """Choose thresholds (Q15) on ``split`` for targets of false accepts per hour; return (points, default threshold).

    A target below one false accept in the split's hours can only be met by none; ``measured_on`` names the hours.

    Raises:
        KwsError: the split lacks the phrase or audio without it.
    """
    groups = _by_label(_traces(model, manifest, split, engine, noise_snr_db, seed))
    positives, negatives = _headline(groups, model.detector.phrase)
    if not positives or not negatives:
        missing = "without the phrase" if positives else f"with the label {positive_labels(model.detector.phrase)[0]!r}"
        raise KwsError(f"{manifest}: split {split!r} has no clip {missing}; add some, thresholds are chosen on both")
    points = metrics.det_curve(positives, negatives, model.detector.refractory_steps(model.step_ms))
    speakers = {event.speaker for trace in positives for event in trace.layout.events}
    noise = "" if noise_snr_db is None else f", noise at {noise_snr_db:g} dB"
    measured_on = (
        f"{split}: {points[0].positives} {positives[0].layout.label} by {len(speakers)} speakers, "
        f"{points[0].hours:.2f} h {negatives[0].layout.label}{noise}"
    )
    default = metrics.best(points, default_target_per_hour).threshold
    return metrics.operating_points(points, targets_per_hour, measured_on), default


def _traces(
    model: KwsModel, manifest: Path, split: str, engine: str, noise_snr_db: float | None, seed: int
) -> tuple[Trace, ...]:
    clips = manifests.read(manifest)
    planned = plans(clips, split, model.detector.phrase, noise_snr_db, seed)
    if not planned:
        known = ", ".join(sorted({clip.split for clip in clips})) or "none"
        raise KwsError(f"{manifest}: no clip of split {split!r} to evaluate on (its splits: {known}); choose another")
    return scoring.score_all(model, planned, engine, transcripts.read(manifest))


def _by_label(traces: Sequence[Trace]) -> dict[str, list[Trace]]:
    groups: dict[str, list[Trace]] = {}
    for trace in traces:
        groups.setdefault(trace.layout.label, []).append(trace)
    return groups


def _headline(groups: dict[str, list[Trace]], phrase: str) -> tuple[list[Trace], list[Trace]]:
    """Return the positives and negatives that the headline and the DET curve are about.

    The phrase alone before the phrase in sentences; ordinary speech, or all negatives where there is none.
    """
    positives = next((groups[label] for label in positive_labels(phrase) if label in groups), [])
    others = [trace for label, group in groups.items() if label not in positive_labels(phrase) for trace in group]
    negatives = groups.get(HEADLINE_NEGATIVES, others)
    return positives, negatives if sum(trace.layout.hours for trace in negatives) > 0.0 else []


def _split_result(
    model: KwsModel, manifest: Path, split: str, traces: Sequence[Trace], threshold: int, seed: int
) -> SplitResult:
    groups = _by_label(traces)
    phrase = model.detector.phrase
    refractory_steps = model.detector.refractory_steps(model.step_ms)
    folder = manifest.absolute().parent
    said = transcripts.read(manifest)
    own = [label for label in positive_labels(phrase) if label in groups]
    # ordinary speech first, the rest by name
    other = sorted(set(groups) - set(own), key=lambda label: (label != HEADLINE_NEGATIVES, label))
    positives, negatives = _headline(groups, phrase)
    return SplitResult(
        split,
        tuple(
            positive_result(groups[label], threshold, refractory_steps, np.random.default_rng(seed), folder)
            for label in own
        ),
        tuple(negative_result(groups[label], threshold, refractory_steps, said, folder) for label in other),
        metrics.det_curve(positives, negatives, refractory_steps) if positives and negatives else (),
    )
