"""Beside published detectors on the same streams: python benchmarks/peers.py CORPUS_DIRECTORY MODEL.kws ...

The peers are the microWakeWord models that the package pymicro-wakeword brings ("alexa", "hey jarvis", "hey mycroft",
"okay nabu"; MixedNet, int8), in its own runtime: its frontend, interpreter and mean of the last probabilities. Of the
models given, the phrases that a peer has are measured. Both sides hear the same samples and go through the same
decision and rules (docs/evaluation.md), with one second between two detections. Every model given is set against a
peer of its own, so several models for one phrase count its words several times, on both sides.

Python drives the peer's runtime frame by frame: an hour of sound takes about a minute. A model of one's own is set
against an ESPHome model by ``kws evaluate MODEL.kws --against MANIFEST.json``.
"""

import argparse
from pathlib import Path

import pymicro_wakeword
from pymicro_wakeword import Model

from kws.data.manifest import slug
from kws.detector.model_file import load
from kws.evaluate import compare, micro_wake_word, pooled
from kws.evaluate.scoring import Options, Subject
from kws.evaluate.show import pooled_table
from kws.streams.conditions import Conditions

PEERS = {model.value: model for model in Model}
MODELS = Path(pymicro_wakeword.__file__).parent / "models"


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
    asked = Conditions((arguments.split,), arguments.noise_snr_db, arguments.room)
    options = Options(asked, phrases=tuple(sorted(phrases)))
    ours = pooled.subjects_of(models, options)
    peers = [peer(phrase) for one in ours for phrase in one.phrases]
    compared = compare.evaluate_subjects(ours, peers, arguments.corpus / "manifest.csv", options)
    for side in (compared.models, compared.against):
        print(f"{', '.join(side.names)}: {pooled_table.curve(side)}\n")
    print(pooled_table.comparison(compared))


def peer(phrase: str) -> Subject:
    """Return the published model for a phrase."""
    name = PEERS[slug(phrase)].value
    return micro_wake_word.subject(MODELS / f"{name}.json", f"microWakeWord {name}", phrase)


if __name__ == "__main__":
    main()
