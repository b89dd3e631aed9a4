"""What a bundle's self-test expects: golden audio, and the results of the graph's arithmetic on it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from firmware_export.c import text as c_text
from firmware_export.probe import probe_audio
from kws import frontend
from kws.detector.decision import Decision, Scorer, decide
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.graph.arithmetic import quantize_features
from kws.graph.interpret import Interpreter

SECONDS = 3.0
MOST_DETECTIONS = 3


@dataclass(frozen=True, eq=False)
class Golden:
    """Samples int16 [n]; logits int8 [steps, labels]; scores int32 [steps, phrases]; a threshold for each phrase; the
    detections with them, as (step, phrase), and after how many samples each is made.
    """

    samples: NDArray[np.int16]
    logits: NDArray[np.int8]
    scores: NDArray[np.int32]
    thresholds: tuple[int, ...]
    detections: tuple[tuple[int, int], ...]
    sample_counts: tuple[int, ...]


def compute(model: KwsModel, samples: NDArray[np.int16] | None = None) -> Golden:
    """Run the numpy specification over ``samples`` (by default the probe audio).

    The thresholds are chosen so that there are detections to compare, however low the model's scores are.

    Raises:
        KwsError: the samples are too few for a step of the model.
    """
    samples = probe_audio(SECONDS) if samples is None else samples
    graph = model.graph
    if len(samples) < model.step_end(0):
        raise KwsError(f"the self-test's audio has {len(samples)} samples, less than one step; give a second or more")
    # the specification, not the compiled code: the self-test must not compare the C code with itself
    lfbe = frontend.compute(samples, model.frontend, "numpy")
    features = quantize_features(lfbe, graph.tensor(graph.input).quant)
    logits = Interpreter(graph).run(features[: len(features) // graph.stride * graph.stride])
    scorer = Scorer(model.detector, graph.tensor(graph.output).quant.scale, model.step_ms)
    scores = scorer.push(logits)
    thresholds = tuple(_threshold(column, scorer.refractory_steps) for column in scores.T)
    detections = tuple(Decision(thresholds, scorer.refractory_steps).push(scores))
    sample_counts = tuple(model.step_end(step) for step, _ in detections)
    return Golden(samples, logits, scores, thresholds, detections, sample_counts)


def _threshold(scores: NDArray[np.int32], refractory_steps: int) -> int:
    """Return the highest score that, as a threshold, detects most often (up to ``MOST_DETECTIONS``); at least 1."""
    candidates = np.unique(scores)[::-1][:: max(1, len(np.unique(scores)) // 64)]
    counts = [min(len(decide(scores, int(score), refractory_steps)), MOST_DETECTIONS) for score in candidates]
    return max(1, int(candidates[int(np.argmax(counts))]))


_HEADER = """\
/* Generated with the model: audio, and the results that every build must give on it. */
#ifndef KWS_GOLDEN_H
#define KWS_GOLDEN_H

#include <stdint.h>

{defines}

typedef struct {{
    uint32_t sample;
    uint32_t step;
    int32_t score;
    int32_t phrase;
}} kws_golden_detection_t;

{tables}

#endif
"""


def header(golden: Golden, model_hash: str) -> str:
    """Return kws_golden.h: the arrays of the self-test, tied to model.c by the model's hash."""
    steps, labels = golden.logits.shape
    defines = {
        "KWS_GOLDEN_MODEL_HASH": c_text.string(model_hash),
        "KWS_GOLDEN_SAMPLES": f"{len(golden.samples)}u",
        "KWS_GOLDEN_STEPS": f"{steps}u",
        "KWS_GOLDEN_LABELS": f"{labels}u",
        "KWS_GOLDEN_PHRASES": f"{len(golden.thresholds)}u",
        "KWS_GOLDEN_DETECTIONS": f"{len(golden.detections)}u",
    }
    rows = [
        f"{{{count}u, {step}u, {golden.scores[step, phrase]}, {phrase}}}"
        for count, (step, phrase) in zip(golden.sample_counts, golden.detections, strict=True)
    ]
    tables = [
        c_text.table("kws_golden_detection_t", "kws_golden_detections", rows),
        c_text.array("kws_golden_thresholds", np.array(golden.thresholds, np.uint16)),
        c_text.array("kws_golden_samples", golden.samples),
        c_text.array("kws_golden_logits", golden.logits),
        c_text.array("kws_golden_scores", golden.scores.astype(np.uint16)),
    ]
    return _HEADER.format(
        defines="\n".join(f"#define {name} {value}" for name, value in defines.items()), tables="\n\n".join(tables)
    )
