"""``kws train``: a recipe to a finished `.kws` file; nothing that was trained before is lost."""

import glob
import sys
from dataclasses import replace
from pathlib import Path

from kws.config import to_data
from kws.data import copies, corpus
from kws.data.corpus import Corpus
from kws.data.synthesis.corpus import synthesize
from kws.detector.model_file import load, save
from kws.evaluate.report import operating_points
from kws.recipe import DataConfig, Recipe
from kws.system import files
from kws.train.clips import digest, read_clips, read_transcripts, taken, without_places
from kws.train.distributed import Ranks, joined
from kws.train.run import train


def train_recipe(recipe: Recipe, out: Path | None) -> Path:
    """Synthesize, train, quantize and set operating points; return the path of the `.kws` file.

    A directory that holds a finished model of the same recipe and the same clips is used as it is; an older model of
    another recipe, or of clips that have changed since, keeps its bytes under a numbered name. Started by torchrun, all
    processes train; the first does the rest.
    """
    with joined(recipe.train.device) as ranks:
        return _train_recipe(recipe, out, ranks)


def _train_recipe(recipe: Recipe, out: Path | None, ranks: Ranks) -> Path:
    out = out or Path("out") / recipe.name
    model_path = out / f"{recipe.model_name}.kws"
    if ranks.share(_is_finished(recipe, model_path) if ranks.first else None):
        return model_path
    if ranks.first:
        check_data(recipe)
    heard = _heard(recipe)  # a mistake in the user's own data is better told now than after speaking
    spoken = spoken_manifests(recipe, out)
    if ranks.first and spoken:
        synthesize(recipe.synthesis, recipe.wake_phrases, synthesis_directory(out), recipe.seed)
    ranks.wait()
    model = train(recipe, spoken, out / "training", ranks=ranks)
    if ranks.first:
        recorded = [_recorded(recipe, entry) for entry in recipe.data]
        points, thresholds = operating_points(model, [*(corpus.read(path, check=False) for path in spoken), *recorded])
        keep_older(model_path)
        save(replace(model, operating_points=points, thresholds=thresholds), model_path)
        files.replace_file(_noted_clips(model_path), f"{heard}\n".encode())
    return model_path


def _is_finished(recipe: Recipe, model_path: Path) -> bool:
    """Whether the model is there, of this recipe and of what it learns from now, and say so."""
    if not model_path.exists() or without_places(load(model_path).recipe) != without_places(to_data(recipe)):
        return False
    noted, shards = _noted_clips(model_path), recipe.train.shards
    # What it was trained on need not be there any more.
    there = all(Path(entry.manifest).exists() for entry in recipe.data) and bool(not shards or glob.glob(shards))
    changed = there and noted.exists() and noted.read_text(encoding="utf-8").strip() != _heard(recipe)
    if changed:
        print(f"{model_path} was trained on other clips than the recipe's data has now; training anew", file=sys.stderr)
        return False
    print(f"{model_path} is of this recipe and its clips: not trained again (move it away to)", file=sys.stderr)
    return True


def _heard(recipe: Recipe) -> str:
    """Return a hash of the recordings, transcripts and shards that the recipe names."""
    return digest(recipe, read_clips(recipe, ()), read_transcripts(recipe, ()))


def check_data(recipe: Recipe) -> None:
    """Refuse data in which a recording is learned from and held out; tell of copies and of voices in several splits.

    Raises:
        KwsError: that, or a manifest is not as it must be.
    """
    copies.check(read_clips(recipe, ()), "the recipe's data")


def _noted_clips(model_path: Path) -> Path:
    """Where a run notes what the model was trained on: several of one training may stand beside each other."""
    return model_path.parent / "training" / f"{model_path.stem}_clips.txt"


def _recorded(recipe: Recipe, entry: DataConfig) -> Corpus:
    """Return what the recipe takes of a manifest: nothing else has a say in thresholds."""
    read = corpus.read(Path(entry.manifest), check=False)
    return replace(read, clips=taken(recipe, entry, read.clips))


def spoken_manifests(recipe: Recipe, out: Path) -> list[Path]:
    """Return the manifest of what is synthesized for the recipe; none where it is to learn from recordings alone."""
    wanted = recipe.synthesis.positives or recipe.synthesis.negatives
    return [synthesis_directory(out) / "manifest.csv"] if wanted else []


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
