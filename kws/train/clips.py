"""The clips of a recipe: what they are to its phrases, what they are worth as a licence, and what tells them apart."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

from kws.config import to_data
from kws.data import times
from kws.data.examples.pool import ClipPool, read_pool
from kws.data.manifest import Clip
from kws.data.phrases import transcript_contains
from kws.data.shards.batches import shard_paths
from kws.data.shards.write import read_index
from kws.data.transcripts import Utterance
from kws.detector.model_file import Source
from kws.recipe import QuantizeConfig, Recipe
from kws.recipe.train import TrainConfig
from kws.train.recipe_data import RecipeData, own_labels


def pool_of(recipe: Recipe, data: RecipeData, split: str) -> ClipPool:
    """Return the clips of a split, sorted by what they are to the recipe's phrases.

    A recording of other speech in which a phrase is said, by its transcript, is left out: it would be a negative.

    Raises:
        KwsError: the split has no positive of a phrase, or no negative; or an utterance lies behind its clip's end.
    """
    own, transcripts = own_labels(recipe), data.transcripts
    for clip in (clip for clip in data.clips if clip.path in transcripts):
        times.check_utterances(transcripts[clip.path], clip.duration_s, f"utterances.csv, {clip.path}")
    clips = [
        clip for clip in data.clips if clip.label in own or not _says_phrase(recipe, transcripts.get(clip.path, ()))
    ]
    recorded = {clip.path for domain in data.domains if domain.recorded for clip in domain.clips}
    return read_pool(clips, recipe.wake_phrases, split, recorded)


def _says_phrase(recipe: Recipe, utterances: Sequence[Utterance]) -> bool:
    return any(transcript_contains(utterances, phrase) for phrase in recipe.wake_phrases)


def ledger(clips: Sequence[Clip]) -> tuple[Source, ...]:
    """Return what a model learned from, by source and licence, in alphabetical order."""
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for clip in clips:
        groups[clip.source, clip.licence].append(clip.duration_s)
    return tuple(
        Source(name, licence, len(durations), round(sum(durations) / 3600.0, 4))
        for (name, licence), durations in sorted(groups.items())
    )


def shard_ledger(sources: Sequence[Mapping[str, Any]]) -> tuple[Source, ...]:
    """Return the same for what the shards' indexes say that they were drawn from; each source once, with most clips."""
    rows = {(row["name"], row["licence"]): row for row in sorted(sources, key=lambda row: int(row["clips"]))}
    return tuple(Source(name, licence, row["clips"], row["hours"]) for (name, licence), row in sorted(rows.items()))


def identity(recipe: Recipe, data: RecipeData, phones: str = "") -> str:
    """Return a hash of the recipe and of what it is trained on, wherever that lies, and of the clips' ``phones``.

    What comes after training is no part of it, so that one training can be quantized in several ways; nor is what
    changes no weight: who prepares the examples, how often checkpoints and curves are written.
    """
    usual = TrainConfig()
    trained = replace(
        recipe,
        quantize=QuantizeConfig(),
        train=replace(
            recipe.train,
            workers=usual.workers,
            checkpoint_every_s=usual.checkpoint_every_s,
            tensorboard=usual.tensorboard,
        ),
    )
    text = json.dumps(without_places(to_data(trained)), sort_keys=True)
    return hashlib.sha256((text + phones + digest(recipe, data)).encode()).hexdigest()[:16]


def without_places(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's data without where its recordings and shards lie: the same are the same anywhere."""
    data = [{**entry, "manifest": "manifest.csv"} for entry in recipe.get("data", ())]
    train = {**recipe.get("train", {})}
    return {**recipe, "data": data, "train": {**train, "shards": bool(train.get("shards"))}}


def digest(recipe: Recipe, data: RecipeData) -> str:
    """Return a hash of what a recipe learns from: it changes when that does.

    It covers what the manifests say of the clips, their transcripts, the sizes of the files, and
    the indexes of the recipe's shards.
    """
    rows, transcripts = hashlib.sha256(), data.transcripts
    for clip in data.clips:
        path, times_s = Path(clip.path), (clip.duration_s, clip.kw_start_s, clip.kw_end_s)
        size = path.stat().st_size if path.exists() else 0
        utterances = [astuple(one) for one in transcripts.get(clip.path, ())]
        chosen = () if clip.channel is None else (clip.channel,)
        words = [asdict(word) for word in clip.words]
        row = (path.name, size, clip.split, clip.label, *times_s, words, utterances, *chosen)
        rows.update(json.dumps(row).encode())
    if recipe.train.shards:
        for path in shard_paths([recipe.train.shards]):
            rows.update(path.name.encode() + json.dumps(read_index(path.parent)).encode())
    return rows.hexdigest()
