"""From a phrase's text to a verified detector: each step is the same call that its own command makes."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from firmware_export.export import export
from kws import config as configs
from kws import files, model_file
from kws.data.manifest import slug
from kws.data.synthesis.corpus import synthesize
from kws.errors import KwsError
from kws.evaluate.report import evaluate, operating_points
from kws.model_file import load, save
from kws.recipe import Recipe, load_recipe
from kws.summary import Summary
from kws.train.run import read_clips, train

VERIFY_SECONDS = 60.0
PHRASE = "computer"
"""What is trained where neither the command line nor a recipe says it."""


@dataclass(frozen=True)
class Options:
    """What the command line gives: the phrase and, where not the default, where to and what from."""

    phrase: str | None = None
    out: Path | None = None
    real: Path | None = None
    recipe: Path | None = None
    language: str | None = None
    seed: int | None = None


def run(options: Options) -> Summary:
    """Make, prove and measure a detector; everything lands in one directory, nothing in it is overwritten."""
    recipe = _recipe(options)
    out = options.out or Path("out") / slug(recipe.phrase)
    real = _real_manifest(options.real)
    model_path = train_recipe(recipe, out)
    model = load(model_path)
    exported = export(model, model_path.stem, "all", out, VERIFY_SECONDS)
    held_out = evaluate(model, synthesis_directory(out) / "manifest.csv", ("test",))
    results = [("held-out voices", held_out)]
    if real is not None:
        results.append(("real recordings", evaluate(model, real, ("dev", "test"))))
    summary = Summary(model_path, model_file.summary(model), tuple(results), exported)
    files.replace_file(out / "evaluation.txt", summary.details().encode())
    files.replace_file(out / "summary.json", (json.dumps(summary.to_data(), indent=1) + "\n").encode())
    return summary


def train_recipe(recipe: Recipe, out: Path | None) -> Path:
    """Synthesize, train, quantize and set operating points; return the path of the `.kws` file.

    A directory that holds a finished model of the same recipe is used as it is; an older model of another recipe
    keeps its bytes under a numbered name.
    """
    out = out or Path("out") / slug(recipe.phrase)
    model_path = out / f"{slug(recipe.phrase)}.kws"
    if model_path.exists() and load(model_path).recipe_hash == configs.config_hash(recipe):
        return model_path
    read_clips(recipe, ())  # a mistake in the user's own data is better told before minutes of speaking than after
    manifest = synthesize(recipe.synthesis, recipe.phrase, synthesis_directory(out), recipe.seed)
    model = train(recipe, [manifest], out / "training")
    points, threshold = operating_points(model, manifest, "dev")
    keep_older(model_path)
    save(replace(model, operating_points=points, threshold=threshold), model_path)
    return model_path


def synthesis_directory(out: Path) -> Path:
    """Where a run keeps its synthetic clips."""
    return out / "synthesis"


def keep_older(path: Path) -> None:
    """Move what stands at ``path`` to the first free numbered name beside it, so that no trained model is lost."""
    if path.exists():
        number = 1
        while (older := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
            number += 1
        path.rename(older)
        print(f"The older model is kept as {older}", file=sys.stderr)


def _recipe(options: Options) -> Recipe:
    if options.recipe is None:
        phrase = PHRASE if options.phrase is None else options.phrase
        recipe = configs.load(Recipe, {"phrase": phrase}, "quickstart")
    else:
        recipe = load_recipe(options.recipe)
        if options.phrase is not None and slug(recipe.phrase) != slug(options.phrase):
            raise KwsError(f"{options.recipe}: phrase is {recipe.phrase!r}, not {options.phrase!r}; give that phrase")
    if options.language is not None:
        recipe = replace(recipe, synthesis=replace(recipe.synthesis, language=options.language))
    return recipe if options.seed is None else replace(recipe, seed=options.seed)


def _real_manifest(directory: Path | None) -> Path | None:
    if directory is None:
        default = Path("../shared/corpus/manifest.csv")
        return default if default.exists() else None
    manifest = directory / "manifest.csv"
    if not manifest.exists():
        raise KwsError(f"{manifest}: no such manifest; give --real a directory that holds a manifest.csv")
    return manifest
