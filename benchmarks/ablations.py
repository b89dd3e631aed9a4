"""What each choice buys: the same data and steps, one thing changed at a time.

    python benchmarks/ablations.py wren --data CORPUS --out runs           # the default model's shape
    python benchmarks/ablations.py augmentation loss --data CORPUS --out runs --phrase computer

The examples are drawn once into shards, for each row that changes them anew, and every row trains on them for the same
number of steps, much shorter than a recipe's: compare rows with one another, nothing else. What is printed are the
misses on the dev split's streams, pooled over the phrases, clean, with the split's noise at 10 dB and in its rooms,
with 95 % intervals; thresholds are those streams' own. They allow more false accepts than a product would: with few of
them on so little speech, chance decides which row looks better. A row that OUT holds already is not trained again.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from kws.config import to_data
from kws.models.figures import figures
from kws.recipe import load_recipe

Values = Mapping[str, Any]
"""Settings of a recipe by their dotted names."""

DRAWN = ("augment.", "examples.", "frontend.")
"""What begins so changes the examples."""

LEARNING = ("model", "train", "detector")
"""Tables that do not change the examples."""

NOTHING_SYNTHETIC: Values = {"synthesis.positives": 0, "synthesis.negatives": 0}
"""What is synthesized is made once and named as a manifest of its own."""

SHARDS = 16

WORDS: Values = {"label_unit": "words", "detector.smooth_frames": 30, "detector.max_frames": 100}
PAPER: Values = {
    **WORDS,
    "train.frame_step": 4,
    "train.batch_clips": 64,
    "train.optimizer": "adamw",
    "train.learning_rate": 2e-3,
}
"""Labels for words, as Chen et al. 2014 and Sainath and Parada 2015 have them; the rest is ours."""

# The detector's smoothing counts the model's steps: it is as long in every row of a table, or nearly so.
TABLES: dict[str, dict[str, Values]] = {
    "wren": {
        "as it is": {},
        "48 channels": {"model.wren.channels": 48},
        "72 channels": {"model.wren.channels": 72},
        "five blocks of 52 channels": {
            "model.wren.channels": 52,
            "model.wren.blocks": [5, 11, 15, 19, 23],
        },
        "one kernel in each block": {"model.wren.short_share": 1.0},
        "kernels of 5 alone": {"model.wren.blocks": [5, 5, 5, 5], "model.wren.short_share": 1.0},
        "residuals": {"model.wren.residual": True},
        "logits of one step": {"model.wren.final_steps": 1},
        "logits of one step, residuals": {"model.wren.final_steps": 1, "model.wren.residual": True},
        "a step of 20 ms, 58 channels": {
            "model.wren.stride": 2,
            "model.wren.channels": 58,
            "model.wren.blocks": [7, 17, 23, 33],
            "model.wren.final_steps": 9,
            "detector.smooth_frames": 5,
        },
        "a step of 40 ms": {
            "model.wren.stride": 4,
            "model.wren.blocks": [5, 9, 11, 17],
            "model.wren.final_steps": 5,
            "detector.smooth_frames": 2,
        },
        "five blocks of 48 with residuals, 20 ms: its former shape": {
            "model.wren.stride": 2,
            "model.wren.channels": 48,
            "model.wren.blocks": [5, 9, 13, 17, 21],
            "model.wren.short_share": 1.0,
            "model.wren.residual": True,
            "model.wren.final_steps": 1,
            "detector.smooth_frames": 5,
        },
        "first convolution over 5 bands, 54 channels": {
            "model.wren.first_channels": 8,
            "model.wren.first_frequency_kernel": 5,
            "model.wren.first_frequency_stride": 2,
            "model.wren.channels": 54,
        },
    },
    "optimizer": {
        "muon, learning rate 0.01": {},
        "muon, learning rate 0.02": {"train.learning_rate": 0.02},
        "adamw, learning rate 0.02": {"train.optimizer": "adamw", "train.learning_rate": 0.02},
        "adamw, learning rate 0.01": {"train.optimizer": "adamw"},
        "adamw, learning rate 0.004": {"train.optimizer": "adamw", "train.learning_rate": 0.004},
        "adamw, learning rate 0.002": {"train.optimizer": "adamw", "train.learning_rate": 0.002},
    },
    "loss": {
        "frame": {},
        "frame, no hard term": {"train.hard_weight": 0.0},
        "max_pool": {"train.loss": "max_pool"},
    },
    "augmentation": {
        "all of it": {},
        "no noise": {"augment.noise_share": 0.0},
        "no rooms": {"augment.room_share": 0.0},
        "neither": {"augment.noise_share": 0.0, "augment.room_share": 0.0},
        "noise at -5 to 20 dB, not 0 to 30": {"augment.snr_db_min": -5.0, "augment.snr_db_max": 20.0},
    },
    "families": {
        "wren": {},
        "mixednet": {"model.name": "mixednet"},
        "tc_resnet8": {"model.name": "tc_resnet8", "detector.smooth_frames": 1},
        "bc_resnet": {"model.name": "bc_resnet", "detector.smooth_frames": 9},
        "mdtc": {"model.name": "mdtc", "detector.smooth_frames": 9},
    },
    "cnn": {
        "deepkws 3 x 128": {**PAPER, "model.name": "deepkws", "model.deepkws.future_frames": 10},
        "cnn-one-fpool3": {**PAPER, "model.name": "cnn", "model.cnn.row": "cnn-one-fpool3"},
        "cnn-one-fstride4": {**PAPER, "model.name": "cnn", "model.cnn.row": "cnn-one-fstride4"},
        "cnn-tstride4": {
            **PAPER,
            "detector.smooth_frames": 8,
            "detector.max_frames": 25,
            "train.frame_step": 1,
            "model.name": "cnn",
            "model.cnn.row": "cnn-tstride4",
        },
    },
}


def toml(values: Values) -> str:
    """Return the settings as TOML: JSON writes strings, numbers, booleans and lists alike."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())


def kws(*arguments: str | Path, quiet: bool = False) -> str:
    """Run the command and return what it printed; its own sentence ends this program where it fails."""
    command = [sys.executable, "-m", "kws", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None, text=True)
    if done.returncode:
        sys.exit(f"{done.stderr or ''}kws {arguments[0]} failed")
    return done.stdout


def setting(text: str) -> tuple[str, Any]:
    """Return the name and the value of ``train.steps=100``; a value that is no JSON is a string."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def key(values: Values) -> str:
    """Return a name for these settings."""
    return hashlib.sha256(json.dumps(dict(values), sort_keys=True).encode()).hexdigest()[:12]


class Bench:
    """Shards and models in ``out``, each made once."""

    def __init__(
        self,
        out: Path,
        data: Path,
        phrases: Sequence[str],
        synthetic: tuple[int, int],
        examples: int,
        steps: int,
        settings: Values | None = None,
    ) -> None:
        self.out, self.data, self.examples, self.steps = out, data, examples, steps
        self.base = {
            "phrases": list(phrases),
            "seed": 0,
            "synthesis.positives": synthetic[0],
            "synthesis.negatives": synthetic[1],
            **(settings or {}),
        }
        out.mkdir(parents=True, exist_ok=True)

    def key(self, values: Values, without: Sequence[str] = (), **counts: int) -> str:
        """Return a name for what these settings give, every default in it: another default is another model.

        ``without``: the recipe's tables that do not matter for it.
        """
        whole = to_data(load_recipe(self.recipe(values)))
        return key({**{n: v for n, v in whole.items() if n not in without}, "data": str(self.data), **counts})

    def recipe(self, values: Values, *manifests: Path) -> Path:
        """Write a recipe; the path is named by what stands in it."""
        text = toml({**self.base, **values})
        text += "".join(f"[[data]]\n{toml({'manifest': str(path.resolve())})}" for path in manifests)
        path = self.out / f"{key({'recipe': text})}.toml"
        path.write_text(text)
        return path

    def synthetic(self) -> Path:
        """Return the manifest of synthetic speech."""
        folder = self.out / f"clips_{self.key({}, LEARNING)}"
        if not (folder / "manifest.csv").is_file():
            kws("synth", "--recipe", self.recipe({}), "--out", folder)
        return folder / "manifest.csv"

    def shards(self, values: Values) -> Path:
        """Return the folder of the examples that these settings draw."""
        drawn = {name: value for name, value in values.items() if name.startswith(DRAWN)}
        folder = self.out / f"shards_{self.key(drawn, LEARNING, examples=self.examples)}"
        if len(list(folder.glob("shard_*.tar"))) < SHARDS:  # or was broken off, and goes on
            recipe = self.recipe({**drawn, **NOTHING_SYNTHETIC}, self.data, self.synthetic())
            kws("shards", recipe, "--out", folder, "--examples", str(self.examples), "--shards", str(SHARDS))
        return folder

    def model(self, values: Values) -> Path:
        """Return the model that these settings give."""
        folder = self.out / f"model_{self.key(values, examples=self.examples, steps=self.steps)}"
        if not list(folder.glob("*.kws")):
            shards = {"train.shards": f"{self.shards(values).resolve()}/*.tar", "train.reuse": 1, "train.trials": 4}
            settings = {**values, **shards, "train.steps": self.steps, **NOTHING_SYNTHETIC}
            kws("train", self.recipe(settings, self.data, self.synthetic()), "--out", folder)
        return next(folder.glob("*.kws"))

    def row(self, name: str, values: Values, split: str, target: float) -> list[str]:
        """Return a row's cells."""
        recipe, model = load_recipe(self.recipe(values)), self.model(values)
        size = figures(recipe.model, recipe.frontend.bands, len(recipe.labels()), recipe.frontend.hop_ms)
        options = ("--manifest", self.data, "--split", split, "--pool", "--room", "--noise-snr-db", "10", "--json")
        found = json.loads(kws("evaluate", model, *options, quiet=True))
        cells = [f"{size.parameters:,}", f"{size.macs_per_second / 1e6:.2f}"]
        for condition in found["conditions"]:
            at = [one for one in condition["det"] if one["target_per_hour"] <= target][-1]
            low, high = at["frr_interval"]
            cells.append(f"{at['false_reject_rate']:.1%} ({low:.0%}-{high:.0%})")
        return [name, *cells]


@click.command(help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("tables", nargs=-1, required=True, type=click.Choice(list(TABLES)))
@click.option(
    "--data", type=click.Path(path_type=Path, exists=True), required=True, help="manifest.csv, or its folder."
)
@click.option("--out", type=click.Path(path_type=Path), help="Where shards and models are kept.  [default: temporary]")
@click.option("--phrase", "phrases", multiple=True, default=("computer", "alexa", "smart mirror"), show_default=True)
@click.option(
    "--synthetic",
    type=(click.IntRange(1), click.IntRange(1)),
    default=(600, 3000),
    show_default=True,
    help="Clips of each phrase, clips of other speech.",
)
@click.option("--examples", type=click.IntRange(128), default=24_000, show_default=True)
@click.option("--steps", type=click.IntRange(1), default=1500, show_default=True)
@click.option("--split", default="dev", show_default=True)
@click.option("--false-accepts-per-hour", "target", type=float, default=8.0, show_default=True)
@click.option(
    "--setting", "settings", multiple=True, help="Of every row that does not say otherwise: train.optimizer=adamw."
)
@click.option("--row", "rows", multiple=True, help="Of the tables these rows alone; may be repeated.")
def main(
    tables: tuple[str, ...],
    data: Path,
    out: Path | None,
    phrases: tuple[str, ...],
    synthetic: tuple[int, int],
    examples: int,
    steps: int,
    split: str,
    target: float,
    settings: tuple[str, ...],
    rows: tuple[str, ...],
) -> None:
    """Print the tables."""
    manifest = (data / "manifest.csv" if data.is_dir() else data).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        everywhere = dict(setting(text) for text in settings)
        bench = Bench(out or Path(temporary), manifest, phrases, synthetic, examples, steps, everywhere)
        for table in tables:
            print(f"\n{table}: FRR at {target:g} FA/h, {split}, {steps:,} steps\n", flush=True)
            print("| | parameters | M MAC/s | clean | noise 10 dB | rooms |\n|---|---|---|---|---|---|", flush=True)
            for name, values in TABLES[table].items():
                if not rows or name in rows:
                    print(f"| {' | '.join(bench.row(name, values, split, target))} |", flush=True)


if __name__ == "__main__":
    main()
