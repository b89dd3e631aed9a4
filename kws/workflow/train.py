"""``kws train``: from a recipe to a finished `.kws` file; no older model is lost."""

import glob
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from kws.config import to_data
from kws.data import corpus
from kws.data.corpus import Corpus
from kws.data.synthesis.corpus import synthesize
from kws.detector.model_file import load, save
from kws.evaluate.report import operating_points
from kws.recipe import Recipe
from kws.system import files
from kws.system.lock import locked
from kws.train.clips import digest, without_places
from kws.train.distributed import Ranks, joined
from kws.train.recipe_data import RecipeData, read_recordings, read_synthetic
from kws.train.run import train


@dataclass(frozen=True)
class Trained:
    """A finished model's file, and the data read from the recipe's manifests; empty if the model already existed."""

    path: Path
    data: RecipeData

    def corpus(self, manifest: Path) -> Corpus:
        """Return the corpus of a manifest, read now unless training has read it."""
        known = (one for one in self.data.whole if one.manifest == manifest)
        return next(known, None) or corpus.read(manifest)


def train_recipe(recipe: Recipe, out: Path | None) -> Trained:
    """Synthesize, train, quantize and set operating points.

    A finished model of the same recipe and the same clips in the directory is kept as it is; a model of another recipe,
    or of clips that have changed, is renamed to a numbered name. Under torchrun all processes train; the first one does
    the rest.
    """
    with joined(recipe.train.device) as ranks:
        return _train_recipe(recipe, out, ranks)


def _train_recipe(recipe: Recipe, out: Path | None, ranks: Ranks) -> Trained:
    out = out or Path("out") / recipe.name
    model_path = out / f"{recipe.model_name}.kws"
    recordings = cache(partial(read_recordings, recipe))
    if ranks.share(_is_finished(recipe, model_path, recordings) if ranks.first else None):
        return Trained(model_path, recordings() if recordings.cache_info().currsize else RecipeData())
    # read now: report mistakes in the user's data before anything is synthesized
    if ranks.first:
        recordings().check_copies()
    with locked(out) if ranks.first else nullcontext():
        return Trained(model_path, _make(recipe, model_path, recordings(), ranks))


def _make(recipe: Recipe, model_path: Path, recordings: RecipeData, ranks: Ranks) -> RecipeData:
    """Make the model and return all the data that it was made from."""
    out, learned_from = model_path.parent, digest(recipe, recordings)
    synthetic = synthetic_manifests(recipe, out)
    with ranks.first_before_others():
        if ranks.first and synthetic:
            synthesize(recipe.synthesis, recipe.wake_phrases, synthesis_directory(out), recipe.seed)
    data = read_synthetic(synthetic) + recordings
    model = train(recipe, data, out / "training", ranks=ranks)
    if ranks.first:
        points, thresholds = operating_points(model, data.corpora)
        keep_older(model_path)
        save(replace(model, operating_points=points, thresholds=thresholds), model_path)
        files.replace_file(_noted_clips(model_path), f"{learned_from}\n".encode())
    return data


def _is_finished(recipe: Recipe, model_path: Path, recordings: Callable[[], RecipeData]) -> bool:
    """Whether the model of this recipe and its present clips exists already; print the answer."""
    if not model_path.exists() or without_places(load(model_path).recipe) != without_places(to_data(recipe)):
        return False
    noted, shards = _noted_clips(model_path), recipe.train.shards
    # The data that it was trained on may have been deleted since.
    data_exists = all(Path(entry.manifest).exists() for entry in recipe.data) and bool(not shards or glob.glob(shards))
    if data_exists and noted.exists() and noted.read_text(encoding="utf-8").strip() != digest(recipe, recordings()):
        print(f"{model_path} was trained on clips that have changed since; training again", file=sys.stderr)
        return False
    print(
        f"{model_path} is already trained with this recipe and these clips; move it away to train it again",
        file=sys.stderr,
    )
    return True


def _noted_clips(model_path: Path) -> Path:
    """The file with the digest of the clips of a model; a directory may hold several models of one training."""
    return model_path.parent / "training" / f"{model_path.stem}_clips.txt"


def synthetic_manifests(recipe: Recipe, out: Path) -> list[Path]:
    """Return the manifest of the recipe's synthetic clips; none if it learns from recordings alone."""
    has_any = recipe.synthesis.positives or recipe.synthesis.negatives
    return [synthesis_directory(out) / "manifest.csv"] if has_any else []


def synthesis_directory(out: Path) -> Path:
    """The directory of a run's synthetic clips."""
    return out / "synthesis"


def keep_older(path: Path) -> None:
    """Rename an existing ``path`` to the first free numbered name, so that no trained model is lost."""
    if path.exists():
        number = 1
        while (older := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
            number += 1
        path.rename(older)
        print(f"The older model is kept as {older}", file=sys.stderr)
