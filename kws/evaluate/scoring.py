"""Plans -> score traces: decode, lay out and score every stream once, on all processor cores.

Threads, not processes: decoding and the compiled engine run outside Python's lock, nothing has to be pickled, and a
user's script needs no ``__main__`` guard. The numpy engine gains less; it gives the same numbers.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kws.data.transcripts import Transcripts
from kws.detector import pipeline
from kws.detector.model_file import KwsModel
from kws.detector.thresholds import Thresholds
from kws.streams.conditions import Conditions
from kws.streams.layout import build, layout_for
from kws.streams.metrics import Trace
from kws.streams.plan import Plan
from kws.system import progress

MAX_WORKERS = 8


@dataclass(frozen=True)
class Options:
    """What is asked of detectors: under which conditions, at which thresholds, about which phrases.

    ``thresholds`` (0..1) replace the detectors' own, for every phrase or by phrase; ``phrases`` are some of theirs,
    none named: all.
    """

    conditions: Conditions = field(default_factory=Conditions)
    thresholds: float | Mapping[str, float] | Thresholds | None = None
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured: ``score`` maps a whole stream, int16 [n], to the phrases' confidences, int32 [steps, phrases].

    ``thresholds`` (Q15) are those it fires at by itself. Step i is decided ``first_s + i * step_s`` into the stream;
    ``refractory_steps`` pass between two detections. Streams are scored by several threads at once.
    """

    name: str
    phrases: tuple[str, ...]
    thresholds: tuple[int, ...]
    score: Callable[[NDArray[np.int16]], NDArray[np.int32]]
    first_s: float
    step_s: float
    refractory_steps: int


def subject(model: KwsModel, engine: str = "auto", phrases: Sequence[str] = (), name: str = "") -> Subject:
    """Return a model as what is measured, with all of its phrases or some of them."""
    chosen = tuple(phrases) or model.detector.phrases
    columns = [model.detector.phrases.index(phrase) for phrase in chosen]

    def score(samples: NDArray[np.int16]) -> NDArray[np.int32]:
        return pipeline.scores(model, samples, engine)[:, columns]

    return Subject(
        name,
        chosen,
        tuple(model.thresholds[column] for column in columns),
        score,
        pipeline.step_time_s(model, 0),
        model.step_ms / 1000.0,
        model.detector.refractory_steps(model.step_ms),
    )


Traces = dict[str, Trace]
"""A stream's trace for each phrase that it is of use for."""

PhraseTraces = dict[str, tuple[Trace, ...]]
"""Every stream's trace for each phrase."""


def score(subjects: Sequence[Subject], plan: Plan, transcripts: Transcripts) -> list[Traces]:
    """Build one stream and return its traces, subject by subject."""
    stream = build(plan, transcripts)
    scored: list[Traces] = []
    for one in subjects:
        scores = one.score(stream.samples)
        traces = {}
        for column, phrase in enumerate(one.phrases):
            layout = layout_for(plan, stream.layout, phrase, transcripts)
            if layout is not None:
                alone = scores[:, column].copy()  # without the other phrases' memory
                traces[phrase] = Trace(layout, alone, one.first_s, one.step_s)
        scored.append(traces)
    return scored


def score_all(
    subjects: Sequence[Subject], plans: Sequence[Plan], transcripts: Transcripts, title: str = "Scoring"
) -> list[PhraseTraces]:
    """Return each subject's traces of each of its phrases, in the plans' order; shows progress in seconds of audio.

    Raises:
        KwsError: a clip cannot be read or the engine is not available; the remaining streams are not begun.
    """
    workers = max(1, min(len(plans), os.cpu_count() or 1, MAX_WORKERS))
    total_s = sum(plan.duration_s for plan in plans)
    with ThreadPoolExecutor(workers) as pool, progress.bar(title, round(total_s)) as advance:
        futures = {pool.submit(score, subjects, plan, transcripts): plan for plan in plans}
        try:
            for future in as_completed(futures):
                future.result()
                advance(futures[future].duration_s, note=futures[future].label)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        scored = [future.result() for future in futures]
    return [
        {
            phrase: tuple(traces[number][phrase] for traces in scored if phrase in traces[number])
            for phrase in one.phrases
        }
        for number, one in enumerate(subjects)
    ]
