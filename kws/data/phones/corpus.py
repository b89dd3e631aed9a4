"""A corpus of phrases and near misses, put together from pieces of recorded speech, with a manifest like synthesis'."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from kws.data import manifest
from kws.data.augment.voice import stretch
from kws.data.manifest import NEAR_PHRASE, Clip
from kws.data.phones.config import PhonesConfig
from kws.data.phones.inventory import SILENCE
from kws.data.phones.near import Target, near
from kws.data.phones.pieces import Pieces, Run, Sound
from kws.errors import KwsError
from kws.system.files import unwritable
from kws.system.progress import bar

MANIFEST = "manifest.csv"
SAMPLE_RATE_HZ = 16000


@dataclass(frozen=True, eq=False)
class PlannedClip:
    """A clip to be: its pieces, what joining them costs per phone, its label and text."""

    runs: list[Run]
    cost: float
    label: str
    text: str


TRIES = 3
"""Draws for each planned clip, at most."""
AS_READ_SHARE = 0.5
"""So many clips keep the pace of the sentences that they are cut from; the others' ratios are all as likely."""

Draw = Callable[[], Sequence[int] | None]


def make(
    pieces: Pieces,
    targets: Sequence[Target],
    others: Sequence[Sequence[int]],
    config: PhonesConfig,
    directory: Path,
    seed: int,
) -> Path:
    """Write the corpus and return its manifest's path; a phrase whose sounds the recordings lack has no clips in it.

    The same arguments give the same bytes. ``others`` are phone sequences of ordinary words, which negatives are made
    of.

    Raises:
        KwsError: the directory cannot be written to.
    """
    rng = np.random.default_rng((seed, 17))
    planned: list[PlannedClip] = []
    with bar("Putting phrases together from recorded speech", len(targets) + 1) as advance:
        for target in targets:
            draw: Draw = partial(_one_of, target.pronunciations, rng)
            planned += _plan_clips(
                pieces, draw, config.pieces, config.kept_share, (manifest.slug(target.phrase), target.phrase), rng
            )
            advance()
        draw = partial(near, targets, others, len(pieces.speech.inventory.symbols), rng)
        planned += _plan_clips(pieces, draw, config.near_pieces, 1.0, (NEAR_PHRASE, ""), rng)
        advance()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(directory, error) from error
    clips = [_write(pieces, one, directory, number, config.slowest, rng) for number, one in enumerate(planned)]
    manifest.write(clips, directory / MANIFEST)  # last: what it names is there
    return directory / MANIFEST


def _one_of(pronunciations: Sequence[Sequence[int]], rng: np.random.Generator) -> Sequence[int] | None:
    return pronunciations[int(rng.integers(len(pronunciations)))] if pronunciations else None


def _plan_clips(
    pieces: Pieces, draw: Draw, count: int, kept_share: float, label: tuple[str, str], rng: np.random.Generator
) -> list[PlannedClip]:
    """Choose pieces for ``count`` clips, those with the best joins of ``count / kept_share``.

    What is drawn may hold two phones that nobody has in a row; where that is so too often, there are fewer clips.
    """
    planned: list[PlannedClip] = []
    draws = round(count / kept_share)
    for _ in range(TRIES * draws):
        if len(planned) == draws:
            break
        drawn = draw()
        chosen = None if drawn is None else pieces.choose([SILENCE, *drawn, SILENCE], rng)
        if chosen is not None:
            planned.append(PlannedClip(*chosen, *label))
    return sorted(planned, key=lambda clip: clip.cost)[:count]


def slower(sound: Sound, slowest: float, rng: np.random.Generator) -> Sound:
    """Return the sound as it is, or as likely up to ``slowest`` times as long; pitch and voice stay as they are.

    Where all are drawn out, fast speech would be missing.
    """
    if slowest == 1.0 or rng.random() < AS_READ_SHARE:
        return sound
    samples, tempo = stretch(sound.samples, float(slowest ** -rng.random()))
    samples = samples / np.float32(max(float(np.abs(samples).max()), 1e-9))
    end = min(round(sound.end / tempo), len(samples))
    return Sound(samples, min(round(sound.begin / tempo), end), end)


def _write(
    pieces: Pieces, plan: PlannedClip, directory: Path, number: int, slowest: float, rng: np.random.Generator
) -> Clip:
    """Write one clip at a random level and return its row; the phrase is all of it but the pauses at its ends."""
    sound = slower(pieces.render(plan.runs), slowest, rng)
    samples = np.rint(sound.samples * rng.uniform(0.1, 0.8) * 32767.0).astype(np.int16)
    name = f"train/{plan.label}/{number:06d}.flac"
    path = directory / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, SAMPLE_RATE_HZ)
    except (OSError, soundfile.LibsndfileError) as error:
        raise KwsError(f"{path}: cannot be written ({error}); check the folder and free space") from error
    utterances = [pieces.speech.utterances[run.utterance].utterance for run in plan.runs]
    is_phrase = plan.label != NEAR_PHRASE
    return Clip(
        path=name,
        split="train",
        label=plan.label,
        speaker=f"pieces:{utterances[0].speaker}",
        source=f"pieces of {_joined(one.source for one in utterances)}",
        licence=_joined(one.licence for one in utterances),
        duration_s=len(samples) / SAMPLE_RATE_HZ,
        kw_start_s=sound.begin / SAMPLE_RATE_HZ if is_phrase else None,
        kw_end_s=sound.end / SAMPLE_RATE_HZ if is_phrase else None,
        text=plan.text,
    )


def _joined(names: Iterable[str]) -> str:
    """Return the different names in alphabetical order: a clip has the terms of all its pieces."""
    return " + ".join(sorted(set(names)))
