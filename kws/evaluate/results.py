"""The results of an evaluation as frozen data: a result per label, made from the outcomes of its streams."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kws.data.transcripts import Transcripts
from kws.data.transcripts import at as transcript_at
from kws.detector.decision import SCORE_ONE
from kws.evaluate.intervals import binomial_interval, poisson_interval, speaker_bootstrap
from kws.streams.layout import Event, Span
from kws.streams.metrics import Outcome, Trace, match
from kws.streams.sweep import DetPoint

LOUDEST = 50
"""False accepts that are kept to be looked at, the most confident first."""

PEAK_WITHIN_S = 1.0

HEADLINE_NEGATIVES = "neg_speech"
"""The label of ordinary speech, on which false accepts per hour are told first."""


@dataclass(frozen=True)
class SpeakerMisses:
    """Of one speaker's words, how many were missed."""

    speaker: str
    misses: int
    positives: int


@dataclass(frozen=True)
class PositiveResult:
    """Words of one label that were said. Rates are 0..1, times seconds.

    ``frr_interval`` is 95 %, by resampling ``interval_over`` "speakers", or exact binomial over "clips" where the
    speakers show no spread. ``latencies_s`` are from the word's end (of which ``estimated_ends`` are from energy).
    """

    label: str
    positives: int
    misses: int
    frr_interval: tuple[float, float]
    interval_over: str
    by_speaker: tuple[SpeakerMisses, ...]
    missed: tuple[str, ...]
    false_accepts: int
    hours: float
    latency_median_s: float | None
    latency_p95_s: float | None
    estimated_ends: int

    @property
    def false_reject_rate(self) -> float:
        """Misses / words."""
        return self.misses / self.positives


@dataclass(frozen=True)
class FalseAccept:
    """One false accept: file, seconds into it, the confidence it reached, and the transcript there, where known."""

    path: str
    time_s: float
    score: float
    transcript: str


@dataclass(frozen=True)
class NegativeResult:
    """Audio of one label in which nothing should be detected. ``interval`` is exact Poisson, 95 %, per hour.

    With no false accept at all its upper end is the one-sided bound 3.0 / hours.
    """

    label: str
    clips: int
    hours: float
    false_accepts: int
    interval: tuple[float, float]
    loudest: tuple[FalseAccept, ...]

    @property
    def false_accepts_per_hour(self) -> float:
        """False accepts / hours."""
        return self.false_accepts / self.hours if self.hours else 0.0


@dataclass(frozen=True)
class SplitResult:
    """One split for one phrase. First come the phrase alone and ordinary speech, where there are such.

    ``det`` is measured on these two, at every threshold worth trying (empty where one of them is missing).
    """

    split: str
    phrase: str
    positives: tuple[PositiveResult, ...]
    negatives: tuple[NegativeResult, ...]
    det: tuple[DetPoint, ...]

    @property
    def headline(self) -> tuple[NegativeResult, ...]:
        """The negatives that false accepts per hour are told on: ordinary speech, or all where there is none."""
        ordinary = tuple(one for one in self.negatives if one.label == HEADLINE_NEGATIVES)
        return ordinary or self.negatives


@dataclass(frozen=True)
class Evaluation:
    """What one model does on one manifest; ``thresholds`` (Q15) are those of ``phrases``.

    ``splits`` has a result for each split and phrase, split by split.
    """

    phrases: tuple[str, ...]
    manifest: str
    engine: str
    thresholds: tuple[int, ...]
    noise_snr_db: float | None
    seed: int
    splits: tuple[SplitResult, ...]

    def to_data(self) -> dict[str, Any]:
        """Return everything as JSON-ready data, rates spelled out."""
        data = dataclasses.asdict(self)
        for split, result in zip(data["splits"], self.splits, strict=True):
            for row, positive in zip(split["positives"], result.positives, strict=True):
                row["false_reject_rate"] = positive.false_reject_rate
                row["speakers"] = len(positive.by_speaker)
            for row, negative in zip(split["negatives"], result.negatives, strict=True):
                row["false_accepts_per_hour"] = negative.false_accepts_per_hour
            for row, point in zip(split["det"], result.det, strict=True):
                row["false_reject_rate"] = point.false_reject_rate
                row["false_accepts_per_hour"] = point.false_accepts_per_hour
        return data


def outcome(trace: Trace, threshold: int, refractory_steps: int) -> Outcome:
    """Run the shipped decision over one trace and match it."""
    return match(trace.detect(threshold, refractory_steps), trace.layout)


def positive_result(
    traces: Sequence[Trace], threshold: int, refractory_steps: int, rng: np.random.Generator, folder: Path
) -> PositiveResult:
    """Summarize the streams of one positive label (at least one event)."""
    outcomes = [outcome(trace, threshold, refractory_steps) for trace in traces]
    events = [event for trace in traces for event in trace.layout.events]
    missed = [event for one in outcomes for event in one.misses]
    latencies_s = [hit.latency_s for one in outcomes for hit in one.hits]
    by_speaker = _by_speaker(events, missed)
    interval = speaker_bootstrap([one.misses for one in by_speaker], [one.positives for one in by_speaker], rng)
    return PositiveResult(
        label=traces[0].layout.label,
        positives=len(events),
        misses=len(missed),
        frr_interval=interval or binomial_interval(len(missed), len(events)),
        interval_over="speakers" if interval else "clips",
        by_speaker=by_speaker,
        missed=tuple(relative(event.path, folder) for event in missed),
        false_accepts=sum(len(one.false_accepts_s) for one in outcomes),
        hours=sum(trace.layout.hours for trace in traces),
        latency_median_s=float(np.median(latencies_s)) if latencies_s else None,
        latency_p95_s=float(np.percentile(latencies_s, 95)) if latencies_s else None,
        estimated_ends=sum(event.estimated for event in events),
    )


def _by_speaker(events: Sequence[Event], missed: Sequence[Event]) -> tuple[SpeakerMisses, ...]:
    words = Counter(event.speaker for event in events)
    misses = Counter(event.speaker for event in missed)
    return tuple(SpeakerMisses(name, misses[name], words[name]) for name in sorted(words))


def negative_result(
    traces: Sequence[Trace], threshold: int, refractory_steps: int, transcripts: Transcripts, folder: Path
) -> NegativeResult:
    """Summarize the streams of one negative label."""
    accepts = [
        _false_accept(trace, time_s, transcripts, folder)
        for trace in traces
        for time_s in outcome(trace, threshold, refractory_steps).false_accepts_s
    ]
    hours = sum(trace.layout.hours for trace in traces)
    low, high = poisson_interval(len(accepts))
    return NegativeResult(
        label=traces[0].layout.label,
        clips=sum(len(trace.layout.spans) for trace in traces),
        hours=hours,
        false_accepts=len(accepts),
        interval=(low / hours, high / hours) if hours else (0.0, 0.0),
        loudest=tuple(sorted(accepts, key=lambda one: -one.score)[:LOUDEST]),
    )


def _false_accept(trace: Trace, time_s: float, transcripts: Transcripts, folder: Path) -> FalseAccept:
    """Say where in which recording it was, and how confident the detector became in the second after."""
    span = _span_at(trace.layout.spans, time_s)
    step = round((time_s - trace.first_s) / trace.step_s)
    peak = int(trace.scores[step : step + max(1, round(PEAK_WITHIN_S / trace.step_s))].max())
    in_file_s = time_s - span.start_s
    transcript = transcript_at(transcripts, span.path, in_file_s)
    return FalseAccept(relative(span.path, folder), round(in_file_s, 3), peak / SCORE_ONE, transcript)


def _span_at(spans: Sequence[Span], time_s: float) -> Span:
    """Return the clip that is played, or was played last."""
    begun = [span for span in spans if span.start_s <= time_s]
    return begun[-1] if begun else spans[0]


def relative(path: str, folder: Path) -> str:
    """Return ``path`` as the manifest in ``folder`` writes it, where it lies below."""
    absolute = Path(path)
    return str(absolute.relative_to(folder)) if absolute.is_relative_to(folder) else path
