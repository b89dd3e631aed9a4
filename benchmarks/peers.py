"""Beside published detectors on the same streams: python benchmarks/peers.py CORPUS_DIRECTORY MODEL.kws ...

The peers are the microWakeWord models that the package pymicro-wakeword brings ("alexa", "hey jarvis", "hey mycroft",
"okay nabu"; MixedNet, int8), in its own runtime: its frontend, interpreter and mean of the last probabilities. Of the
models given, the phrases that a peer has are measured. Both sides hear the same samples and go through the same
decision and rules (docs/evaluation.md), with one second between two detections. Every model given is set against a
peer of its own, so several models for one phrase count its words several times, on both sides.

Python drives the peer's runtime frame by frame: an hour of sound takes about a minute.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

from kws.data.manifest import slug
from kws.detect import SCORE_ONE
from kws.evaluate import compare, pooled, pooled_table
from kws.evaluate.conditions import conditions
from kws.evaluate.pooled import Options
from kws.evaluate.scoring import Subject
from kws.model_file import load

PEERS = {model.value: model for model in Model}
HOP_S = 0.01
WINDOW_S = 0.03
REFRACTORY_S = 1.0


def main() -> None:
    """Parse, measure both sides, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("corpus", type=Path, help="directory that holds manifest.csv")
    parser.add_argument("models", type=Path, nargs="+", help=".kws files for phrases that a peer has")
    parser.add_argument("--split", default="test", help="train, dev or test")
    parser.add_argument("--noise-snr-db", type=float, help="also with the split's noise at this ratio")
    parser.add_argument("--room", action="store_true", help="also in the split's rooms")
    arguments = parser.parse_args()
    models = [(path.stem, load(path)) for path in arguments.models]
    phrases = {phrase for _, model in models for phrase in model.detector.phrases if slug(phrase) in PEERS}
    if not phrases:
        parser.error(f"no model is for a phrase that a peer has: {', '.join(PEERS)}")
    asked = conditions([arguments.split], arguments.noise_snr_db, arguments.room)
    options = Options(asked, phrases=tuple(sorted(phrases)))
    ours = pooled.subjects_of(models, options)
    peers = [peer(phrase) for one in ours for phrase in one.phrases]
    compared = compare.evaluate_subjects(ours, peers, arguments.corpus / "manifest.csv", options)
    for side in (compared.models, compared.against):
        print(f"{', '.join(side.names)}: {pooled_table.curve(side)}\n")
    print(pooled_table.comparison(compared))


def peer(phrase: str) -> Subject:
    """Return the published model for a phrase; ``score`` gives int32 [steps, 1], its mean probability in Q15."""
    published = PEERS[slug(phrase)]
    model = MicroWakeWord.from_builtin(published)
    step_s = model.stride * HOP_S
    return Subject(
        f"microWakeWord {published.value}",
        (phrase,),
        (math.floor(model.probability_cutoff * SCORE_ONE) + 1,),  # it fires above its cutoff
        lambda samples: confidences(published, samples),
        WINDOW_S + (model.stride - 1) * HOP_S,
        step_s,
        math.ceil(REFRACTORY_S / step_s),
    )


def confidences(published: Model, samples: NDArray[np.int16]) -> NDArray[np.int32]:
    """Return the mean probability after each invocation of a model at its initial state, Q15 [steps, 1]."""
    model = MicroWakeWord.from_builtin(published)
    frames = MicroWakeWordFeatures().process_streaming(samples.tobytes())
    given = [model.process_streaming_prob(frame) for frame in frames]
    return in_q15(given[model.stride - 1 :: model.stride])  # it answers 0 while a step is not full


def in_q15(probabilities: Sequence[float | None]) -> NDArray[np.int32]:
    """Return probabilities 0..1 as int32 [n, 1]."""
    return np.rint(np.array(probabilities, np.float64) * SCORE_ONE).astype(np.int32).clip(0, SCORE_ONE)[:, None]


if __name__ == "__main__":
    main()
