"""``kws quickstart``: from a phrase's text to a verified detector; each step is what its own command calls."""

import json
from dataclasses import dataclass
from pathlib import Path

from firmware_export.write import export
from kws.data.corpus import Corpus
from kws.detector import model_file
from kws.detector.model_file import load
from kws.errors import KwsError
from kws.evaluate import scoring
from kws.evaluate.report import evaluate
from kws.recipe import Recipe
from kws.recipe.overrides import Overrides
from kws.streams.conditions import Conditions
from kws.system import files
from kws.system.lock import locked
from kws.workflow.summary import Summary
from kws.workflow.train import Trained, synthetic_manifests, train_recipe

VERIFY_SECONDS = 60.0
PHRASE = "computer"
"""The phrase if neither the command line nor a recipe gives one."""


@dataclass(frozen=True)
class Options:
    """The options of the command line; None is the default.

    ``data`` are manifests that replace those of the recipe's ``[[data]]``; ``real`` is a directory with a manifest.csv
    of recordings on which the finished detector is evaluated as well.
    """

    phrase: str | None = None
    out: Path | None = None
    real: Path | None = None
    recipe: Path | None = None
    language: str | None = None
    seed: int | None = None
    data: tuple[Path, ...] = ()


def run(options: Options) -> Summary:
    """Make, verify and evaluate a detector; all results are in one directory, and no trained model is overwritten."""
    recipe = _recipe(options)
    out = options.out or Path("out") / recipe.name
    real = _real_manifest(options.real)
    with locked(out):
        return _run(recipe, out, real)


def _run(recipe: Recipe, out: Path, real: Path | None) -> Summary:
    trained = train_recipe(recipe, out)
    model_path, model = trained.path, load(trained.path)
    exported = export(model, model_path.stem, "all", out, VERIFY_SECONDS)
    results = [(name, evaluate(model, one)) for name, one in _held_out(recipe, out, trained)]
    if real is not None:
        results.append(("real recordings", evaluate(model, real, scoring.Options(Conditions(("dev", "test"))))))
    summary = Summary(model_path, model_file.summary(model), tuple(results), exported)
    files.replace_file(out / "evaluation.txt", summary.details().encode())
    files.replace_file(out / "summary.json", (json.dumps(summary.to_data(), indent=1) + "\n").encode())
    return summary


def _held_out(recipe: Recipe, out: Path, trained: Trained) -> list[tuple[str, Corpus]]:
    """Return the corpora for the final evaluation: held-out voices, else the recordings' test split."""
    if recipe.synthesis.positives and recipe.synthesis.test_share > 0.0:
        return [("held-out voices", trained.corpus(path)) for path in synthetic_manifests(recipe, out)]
    manifests = dict.fromkeys(Path(entry.manifest) for entry in recipe.data)
    corpora = [trained.corpus(manifest) for manifest in manifests]
    with_test = [one for one in corpora if any(clip.split == "test" for clip in one.clips)]
    return [(one.folder.name, one) for one in with_test]


def _recipe(options: Options) -> Recipe:
    phrases = () if options.phrase is None else (options.phrase,)
    overrides = Overrides(phrases, options.data, options.seed, options.language)
    if options.recipe is not None:
        return overrides.load(options.recipe)
    return overrides.apply(Recipe(PHRASE), "quickstart")


def _real_manifest(directory: Path | None) -> Path | None:
    if directory is None:
        return None
    manifest = directory / "manifest.csv"
    if not manifest.exists():
        raise KwsError(f"{manifest}: there is no such file; give --real a directory that holds a manifest.csv")
    return manifest
