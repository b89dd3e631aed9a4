"""Measure a model on a manifest's streams: one call, every figure with its interval."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kws.data import corpus as corpora
from kws.data.corpus import Corpus
from kws.data.manifest import slug
from kws.data.phrases import positive_labels
from kws.detector.decision import OperatingPoint
from kws.detector.model_file import KwsModel
from kws.detector.thresholds import levels_q15
from kws.errors import KwsError
from kws.evaluate import scoring
from kws.evaluate.headline import by_label, headline
from kws.evaluate.results import (
    HEADLINE_NEGATIVES,
    Evaluation,
    SplitResult,
    negative_result,
    positive_result,
)
from kws.evaluate.scoring import Options
from kws.streams import sweep
from kws.streams.conditions import Condition, Conditions
from kws.streams.metrics import Trace
from kws.streams.plan import plans

TARGETS_PER_HOUR = (0.1, 0.5, 1.0, 2.0)
DEFAULT_TARGET_PER_HOUR = 0.5

DEV = Conditions(("dev",))
"""Where thresholds are chosen: on clean clips that training has not learned from."""

ENOUGH_POSITIVES = 10
"""From this many words on, thresholds are chosen on one corpus alone."""


def evaluate(model: KwsModel, manifest: Path | Corpus, options: Options | None = None) -> Evaluation:
    """Run ``model`` over the streams of each split, through the decision that ships; every phrase by itself.

    Args:
        model: the detector; its phrases say which labels are positive.
        manifest: path of a manifest.csv, or what was read of it; ``utterances.csv`` beside it, if any, explains false
            accepts.
        options: conditions, thresholds and phrases; by default split test, clean, with the model's own thresholds.

    Raises:
        KwsError: the manifest or a clip cannot be read, a split holds nothing to evaluate on, the model has no such
            phrase, or a room is asked for, which only pooled figures have.
    """
    options = options or Options()
    conditions = options.conditions
    if conditions.room:
        raise KwsError("rooms are a row of pooled figures alone; ask for these (--pool) or leave the room out")
    phrases = _chosen(model, options.phrases)
    q15 = levels_q15(model.detector.phrases, model.thresholds, options.thresholds)
    levels = dict(zip(model.detector.phrases, q15, strict=True))
    corpus = corpora.read(manifest) if isinstance(manifest, Path) else manifest
    results = []
    for condition in conditions.whole():
        traces = _traces(model, corpus, condition, phrases, conditions.engine)
        results += [
            _split_result(model, corpus, condition, phrase, traces[phrase], levels[phrase]) for phrase in phrases
        ]
    return Evaluation(
        phrases,
        str(corpus.manifest),
        conditions.engine,
        tuple(levels[phrase] for phrase in phrases),
        conditions.noise_snr_db,
        conditions.seed,
        tuple(results),
    )


def operating_points(
    model: KwsModel,
    manifests: Path | Sequence[Corpus],
    conditions: Conditions = DEV,
    targets_per_hour: Sequence[float] = TARGETS_PER_HOUR,
    default_target_per_hour: float = DEFAULT_TARGET_PER_HOUR,
) -> tuple[tuple[OperatingPoint, ...], tuple[int, ...]]:
    """Choose thresholds (Q15) on one split for targets of false accepts per hour; return (points, default thresholds).

    The points are those of every phrase, in the model's order; the thresholds are one for each. Of several corpora,
    from synthetic voices to the recordings that are most like the use, each phrase's words are those of the last that
    has ``ENOUGH_POSITIVES`` of them (else of the one that has most), and speech without it is that of the one with most
    hours. A target below one false accept in the split's hours can only be met by none; ``measured_on`` names them.

    Raises:
        KwsError: the split lacks a phrase or audio without it.
        ValueError: more than one split.
    """
    (condition,) = conditions.whole()
    split = condition.split
    read = [corpora.read(manifests)] if isinstance(manifests, Path) else list(manifests)
    phrases = model.detector.phrases
    scored = [
        _traces(model, corpus, condition, phrases, conditions.engine) for corpus in read if _has(corpus, split, phrases)
    ]
    if not scored:
        raise KwsError(f"{_names(read)}: no clip of split {split!r}; add some, thresholds are chosen on it")
    points: list[OperatingPoint] = []
    defaults = []
    for phrase in phrases:
        headlines = [headline(by_label(traces[phrase]), phrase) for traces in scored]
        positives = _most_like_the_use([words for words, _ in headlines])
        negatives = max((others for _, others in headlines), key=_headline_hours)
        if not positives or not negatives:
            missing = "without the phrase" if positives else f"with the label {positive_labels(phrase)[0]!r}"
            raise KwsError(
                f"{_names(read)}: split {split!r} has no clip {missing}; add some, thresholds are chosen on both"
            )
        curve = sweep.det_curve(positives, negatives, model.detector.refractory_steps(model.step_ms))
        measured_on = _measured_on(condition, curve[0], positives, negatives)
        points += sweep.operating_points(curve, targets_per_hour, measured_on, phrase)
        defaults.append(sweep.best(curve, default_target_per_hour).threshold)
    return tuple(points), tuple(defaults)


def _chosen(model: KwsModel, phrases: Sequence[str]) -> tuple[str, ...]:
    known = {slug(phrase): phrase for phrase in model.detector.phrases}
    unknown = [phrase for phrase in phrases if slug(phrase) not in known]
    if unknown:
        names = ", ".join(map(repr, known.values()))
        raise KwsError(f"phrase {unknown[0]!r}: the model is not for it; choose of {names}")
    return tuple(dict.fromkeys(known[slug(phrase)] for phrase in phrases)) or model.detector.phrases


def _traces(
    model: KwsModel, corpus: Corpus, condition: Condition, phrases: Sequence[str], engine: str
) -> dict[str, tuple[Trace, ...]]:
    planned = plans(corpus.clips, condition, phrases)
    if not planned:
        known = ", ".join(sorted({clip.split for clip in corpus.clips})) or "none"
        raise KwsError(
            f"{corpus.manifest}: no clip of split {condition.split!r} to evaluate on (its splits: {known}); "
            "choose another"
        )
    subject = scoring.subject(model, engine, phrases)
    return scoring.score_all([subject], planned, corpus.transcripts)[0]


def _has(corpus: Corpus, split: str, phrases: Sequence[str]) -> bool:
    """Whether there is anything to listen to; room responses are not."""
    return bool(plans(corpus.clips, Condition(split), phrases))


def _names(read: Sequence[Corpus]) -> str:
    return ", ".join(str(corpus.manifest) for corpus in read)


def _most_like_the_use(words: Sequence[list[Trace]]) -> list[Trace]:
    counts = [sum(len(trace.layout.events) for trace in traces) for traces in words]
    enough = [traces for traces, count in zip(words, counts, strict=True) if count >= ENOUGH_POSITIVES]
    return enough[-1] if enough else words[counts.index(max(counts))]


def _headline_hours(traces: Sequence[Trace]) -> tuple[bool, float]:
    """Ordinary speech before any other sound, then what lasts longest."""
    ordinary = any(trace.layout.label == HEADLINE_NEGATIVES for trace in traces)
    return ordinary, sum(trace.layout.hours for trace in traces)


def _measured_on(
    condition: Condition, point: sweep.DetPoint, positives: Sequence[Trace], negatives: Sequence[Trace]
) -> str:
    speakers = {event.speaker for trace in positives for event in trace.layout.events}
    noise = "" if condition.noise_snr_db is None else f", noise at {condition.noise_snr_db:g} dB"
    labels = {trace.layout.label for trace in negatives}
    without = labels.pop() if len(labels) == 1 else "without it"
    return (
        f"{condition.split}: {point.positives} {positives[0].layout.label} by {len(speakers)} speakers, "
        f"{point.hours:.2f} h {without}{noise}"
    )


def _split_result(
    model: KwsModel, corpus: Corpus, condition: Condition, phrase: str, traces: Sequence[Trace], threshold: int
) -> SplitResult:
    groups = by_label(traces)
    refractory_steps = model.detector.refractory_steps(model.step_ms)
    own = [label for label in positive_labels(phrase) if label in groups]
    # ordinary speech first, the rest by name
    other = sorted(set(groups) - set(own), key=lambda label: (label != HEADLINE_NEGATIVES, label))
    positives, negatives = headline(groups, phrase)
    return SplitResult(
        condition.split,
        phrase,
        tuple(
            positive_result(
                groups[label], threshold, refractory_steps, np.random.default_rng(condition.seed), corpus.folder
            )
            for label in own
        ),
        tuple(
            negative_result(groups[label], threshold, refractory_steps, corpus.transcripts, corpus.folder)
            for label in other
        ),
        sweep.det_curve(positives, negatives, refractory_steps) if positives and negatives else (),
    )
