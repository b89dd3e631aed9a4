"""The CNNs of Sainath and Parada 2015 against the DeepKWS of Chen et al. 2014, on the same examples.

    python benchmarks/papers.py --data CORPUS --out runs                     # cnn-tstride4 and cnn-one-fstride4
    python benchmarks/papers.py --data CORPUS --out runs --row cnn-tpool2 --split dev

One model for three phrases, a label for each of their words, posteriors smoothed over 30 frames and confidences over
100, as in the papers; recordings of the phrases, synthetic voices and pieces of transcribed recordings, noise and
rooms, as in recipes/wake_word_with_recordings.toml. Prints what kws evaluate --against says of each row and DeepKWS:
misses at the same false accepts per hour, clean, with noise at 10 dB and in rooms, and the differences with paired
intervals. About an hour each on two cores, and 20 minutes before the first; a row that OUT holds already is
not trained again.
"""

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from kws.models.cnn import ROWS

Values = Mapping[str, Any]
"""Settings of a recipe by their dotted names."""

PHRASES = ("computer", "alexa", "smart mirror")
BASELINE = "deepkws"
DEFAULT = ("cnn-tstride4", "cnn-one-fstride4")

DATA: Values = {
    "synthesis.positives": 300,
    "synthesis.negatives": 3000,
    "phones.pieces": 3000,
    "phones.near_pieces": 3000,
    "phones.weight": 0.0,  # the papers' models learn keywords alone
    "examples.recorded_share": 0.2,
}
LEARNING: Values = {
    "label_unit": "words",
    "seed": 0,
    "train.batch_clips": 32,
    "train.optimizer": "adamw",
    "train.learning_rate": 2e-3,
    "train.average_decay": 0.0,
    "train.hard_weight": 0.0,
    "train.reuse": 8,
    "train.workers": 1,
    "train.threads": 1,
}


def kws(*arguments: str | Path) -> str:
    """Run the command and return what it printed; its own sentence ends this program where it fails."""
    done = subprocess.run([sys.executable, "-m", "kws", *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"kws {arguments[0]} failed")
    return done.stdout


def toml(values: Values) -> str:
    """Return the settings as TOML: JSON writes strings, numbers, booleans and lists alike."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def settings(row: str, steps: int) -> Values:
    """Return a recipe of the row; smoothing and the sampling of outputs last as long for every stride."""
    stride = math.prod(one.s * one.p for one in ROWS[row]) if row in ROWS else 1
    pace = {"train.frame_step": max(1, 4 // stride)}
    pace |= {"detector.smooth_frames": round(30 / stride), "detector.max_frames": 100 // stride}
    model: dict[str, Any] = {"model.name": "deepkws", "model.deepkws.future_frames": 10}
    if row != BASELINE:
        model = {"model.name": "cnn", "model.cnn.row": row, "model.cnn.future_frames": 8}
    return {"phrases": list(PHRASES), **LEARNING, **DATA, "train.steps": steps, **pace, **model}


def trained(row: str, steps: int, data: Path, out: Path) -> Path:
    """Return the row's model; all are trained in one folder, so that speech is synthesized and aligned once."""
    model = out / f"{row}_{steps}.kws"
    if not model.exists():
        recipe = out / f"{row}_{steps}.toml"
        recipe.write_text(toml(settings(row, steps)) + f"[[data]]\n{toml({'manifest': str(data.resolve())})}")
        Path(kws("train", recipe, "--out", out / "run").strip().splitlines()[-1]).rename(model)
    return model


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="The corpus' manifest.csv.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the models are kept.")
@click.option(
    "--row",
    "rows",
    multiple=True,
    type=click.Choice(list(ROWS)),
    default=DEFAULT,
    help="May be repeated.",
)
@click.option("--steps", type=click.IntRange(1), default=8000, show_default=True)
@click.option("--split", default="test", show_default=True)
def main(data: Path, out: Path, rows: tuple[str, ...], steps: int, split: str) -> None:
    """Train what is missing, and compare."""
    manifest = data / "manifest.csv" if data.is_dir() else data
    out.mkdir(parents=True, exist_ok=True)
    baseline = trained(BASELINE, steps, manifest, out)
    for row in rows:
        model = trained(row, steps, manifest, out)
        options = ("--manifest", manifest, "--split", split, "--pool", "--room", "--noise-snr-db", "10")
        print(kws("evaluate", model, "--against", baseline, *options), flush=True)


if __name__ == "__main__":
    main()
