"""The clips of a recipe: where they come from, what they are to its phrases, what they are worth as a licence."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import Any

from kws.config import to_data
from kws.data import manifest, transcripts
from kws.data.clip_sound import clip_seconds
from kws.data.examples.pool import ClipPool, read_pool
from kws.data.manifest import Clip
from kws.data.phrases import contains, positive_labels
from kws.data.shards.batches import shard_paths
from kws.data.shards.write import read_index
from kws.detector.model_file import Source
from kws.errors import KwsError
from kws.recipe import DataConfig, QuantizeConfig, Recipe
from kws.recipe.train import TrainConfig
from kws.train.held_out import Domain


def read_clips(recipe: Recipe, manifests: Sequence[Path]) -> list[Clip]:
    """Return the clips of the manifests, and of the recipe's data with the labels it names.

    Raises:
        KwsError: a manifest is not as it must be, or has none of the labels.
    """
    return [clip for domain in read_domains(recipe, manifests) for clip in domain.clips]


def read_domains(recipe: Recipe, manifests: Sequence[Path]) -> list[Domain]:
    """Return the same, a domain for each manifest: synthetic voices are one, each collection of recordings another."""
    domains = [Domain(_name(path), tuple(map(_with_duration, manifest.read(path)))) for path in manifests]
    for entry in recipe.data:
        if not Path(entry.manifest).exists():
            raise KwsError(
                f"{entry.manifest}: is not there; name the folder of your recordings by --data DIR "
                "(kws corpus makes manifests of downloaded ones), or correct the recipe's [[data]]"
            )
        found = manifest.read(Path(entry.manifest))
        unknown = sorted(set(entry.labels) - {clip.label for clip in found})
        if unknown:
            raise KwsError(f"{entry.manifest}: has no clip with label {unknown[0]!r}; correct the recipe's data.labels")
        clips = tuple(map(_with_duration, taken(recipe, entry, found)))
        domains.append(Domain(_name(Path(entry.manifest)), clips, recorded=True))
    return domains


def _with_duration(clip: Clip) -> Clip:
    """Return the clip with its length, which a manifest may leave empty."""
    return replace(clip, duration_s=clip_seconds(clip))


def pool_of(recipe: Recipe, domains: Sequence[Domain], said: transcripts.Transcripts, split: str) -> ClipPool:
    """Return the domains' clips of a split, sorted by what they are to the recipe's phrases.

    A recording of other speech in which a phrase is said, by its transcript, is left out: it would be a negative.

    Raises:
        KwsError: the split has no positive of a phrase, or no negative.
    """
    own = _own_labels(recipe)
    clips = [
        clip
        for domain in domains
        for clip in domain.clips
        if clip.label in own or not _says_phrase(recipe, said.get(clip.path, ()))
    ]
    recorded = {clip.path for domain in domains if domain.recorded for clip in domain.clips}
    return read_pool(clips, recipe.wake_phrases, split, recorded)


def _says_phrase(recipe: Recipe, utterances: Sequence[transcripts.Utterance]) -> bool:
    return any(contains(one.transcript, phrase) for one in utterances for phrase in recipe.wake_phrases)


def taken(recipe: Recipe, entry: DataConfig, clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """Return those of a manifest's clips that the recipe's entry wants, whatever their split."""
    own = _own_labels(recipe)

    def wanted(label: str) -> bool:
        if label in own:
            return entry.positives
        return entry.other_words or (label in manifest.RESERVED and label != manifest.WORD)

    return tuple(clip for clip in clips if (not entry.labels or clip.label in entry.labels) and wanted(clip.label))


def _own_labels(recipe: Recipe) -> set[str]:
    return {label for phrase in recipe.wake_phrases for label in positive_labels(phrase)}


def read_transcripts(recipe: Recipe, manifests: Sequence[Path]) -> transcripts.Transcripts:
    """Return what is said in the clips, as far as the manifests' ``utterances.csv`` tell."""
    found: dict[str, tuple[transcripts.Utterance, ...]] = {}
    for path in (*manifests, *(Path(entry.manifest) for entry in recipe.data)):
        found.update(transcripts.read(path))
    return found


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


def identity(recipe: Recipe, clips: Sequence[Clip], said: transcripts.Transcripts, phones: str = "") -> str:
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
    return hashlib.sha256((text + phones + digest(recipe, clips, said)).encode()).hexdigest()[:16]


def without_places(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's data without where its recordings and shards lie: the same are the same anywhere."""
    data = [{**entry, "manifest": "manifest.csv"} for entry in recipe.get("data", ())]
    train = {**recipe.get("train", {})}
    return {**recipe, "data": data, "train": {**train, "shards": bool(train.get("shards"))}}


def digest(recipe: Recipe, clips: Sequence[Clip], said: transcripts.Transcripts) -> str:
    """Return a hash of what a recipe learns from: it changes when that does.

    It covers what the manifests say of the clips, the transcripts of what is said in them, the sizes of the files, and
    the indexes of the recipe's shards.
    """
    found = hashlib.sha256()
    for clip in clips:
        path, times_s = Path(clip.path), (clip.duration_s, clip.kw_start_s, clip.kw_end_s)
        size = path.stat().st_size if path.exists() else 0
        utterances = [astuple(one) for one in said.get(clip.path, ())]
        chosen = () if clip.channel is None else (clip.channel,)
        words = [asdict(word) for word in clip.words]
        row = (path.name, size, clip.split, clip.label, *times_s, words, utterances, *chosen)
        found.update(json.dumps(row).encode())
    if recipe.train.shards:
        for path in shard_paths([recipe.train.shards]):
            found.update(path.name.encode() + json.dumps(read_index(path.parent)).encode())
    return found.hexdigest()


def _name(path: Path) -> str:
    return path.absolute().parent.name
