"""From a recipe's transcribed recordings to phones: aligned once, kept beside the checkpoint, cut into pieces."""

import hashlib
import io
import json
import sys
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws.config import to_data
from kws.data import manifest
from kws.data.clip_sound import read_clip
from kws.data.examples.pool import UNKNOWN_PHONE
from kws.data.manifest import Clip
from kws.data.phones import corpus
from kws.data.phones.inventory import Inventory, find_inventory
from kws.data.phones.near import Target, with_pauses
from kws.data.phones.pieces import Pieces
from kws.data.phones.speech import FRAME_HOPS, AlignedSpeech, Utterance
from kws.data.phones.synthetic import accents_and_variants, say_with_phones
from kws.data.phrases import split_words, transcript_contains
from kws.data.synthesis.voices import espeak
from kws.data.transcripts import Transcripts
from kws.errors import KwsError
from kws.frontend import FrontendConfig, compute
from kws.recipe import Recipe
from kws.system.files import replace_file
from kws.system.processes import processors
from kws.system.progress import bar
from kws.train.distributed import Ranks
from kws.train.phones.recognizer import EFFORT, Labelled, align_speech
from kws.train.recipe_data import RecipeData

VERSION = 4
"""Raised when the same recipe and recordings would give other phones or pieces."""
MAIN_ACCENTS = ("en-us", "en-gb")
MAIN_SHARE = 0.6
SYNTHETIC_TEXTS = 1800
OTHER_TEXTS = 1500
LEAST_SECONDS, MOST_SECONDS = 0.6, 30.0
LEAST_HOURS = 0.05


@dataclass(frozen=True, eq=False)
class PhoneLabels:
    """The phones' names, each recording's phone for each LFBE hop (-1: unknown), a further manifest.

    ``name`` is a hash of all that decides them.
    """

    symbols: tuple[str, ...]
    by_path: Mapping[str, NDArray[np.int8]]
    pieces: Path | None
    name: str = ""


NO_PHONES = PhoneLabels((), {}, None)


def spoken_phones(recipe: Recipe, data: RecipeData, directory: Path, ranks: Ranks) -> PhoneLabels:
    """Return the phones of the recipe's transcribed recordings where it wants them; the first process finds them.

    Raises:
        KwsError: there is too little transcribed speech, or the directory cannot be written to.
    """
    if not recipe.phones.is_used:
        return NO_PHONES
    with ranks.first_before_others():
        return prepare(recipe, data.clips, data.transcripts, directory)


def prepare(recipe: Recipe, clips: Sequence[Clip], transcripts: Transcripts, directory: Path) -> PhoneLabels:
    """Align the training split's transcribed recordings and say the phrases in pieces of them.

    The result is kept in ``directory`` and read again by the same recipe on the same clips. An utterance in which a
    phrase is said is left out: a piece of it would be a recording of the phrase.

    Raises:
        KwsError: there is too little transcribed speech, or the directory cannot be written to.
    """
    transcribed = [
        clip for clip in clips if clip.split == "train" and clip.label == manifest.SPEECH and clip.path in transcripts
    ]
    name = _identity(recipe, transcribed, transcripts)
    kept, folder = directory / f"phones_{name}.npz", directory / f"pieces_{name}"
    pieces = folder / corpus.MANIFEST if recipe.phones.pieces or recipe.phones.near_pieces else None
    if not kept.is_file() or (pieces and not pieces.is_file()):
        speech = _align(recipe, transcribed, transcripts)
        if pieces is not None:
            _say_pieces(recipe, speech, folder)
        _write(kept, speech, transcribed)
    return _read(kept, pieces, transcribed, name)


def phone_frontend(recipe: Recipe) -> FrontendConfig:
    """Return the features that speech is aligned and cut on: LFBE, whose frames do not depend on what was said before.

    Their frames begin where the frontend "micro" has its own, with the same hop.
    """
    return FrontendConfig() if recipe.frontend.kind == "micro" else recipe.frontend


def _align(recipe: Recipe, transcribed: Sequence[Clip], transcripts: Transcripts) -> AlignedSpeech:
    """Learn the phones from synthetic speech, align the recordings."""
    utterances_read: list[Utterance] = []
    read = partial(_utterances, recipe, transcripts)
    with ThreadPoolExecutor(processors()) as pool, bar("Reading transcribed speech", len(transcribed)) as advance:
        for utterances in pool.map(read, transcribed):
            utterances_read += utterances
            advance()
    _check_enough(sum(len(one.samples) for one in utterances_read) / phone_frontend(recipe).sample_rate_hz, "has")
    accent = _main_accent(recipe)
    texts = [one.text for one in utterances_read]
    inventory = find_inventory(texts, accent)
    spoken_words = inventory.words(texts, accent)
    utterances = [
        replace(one, words=tuple(map(tuple, way))) for one, way in zip(utterances_read, spoken_words, strict=True)
    ]
    synthetic = _synthetic(recipe, texts, inventory)
    speech, agreement = align_speech(utterances, synthetic, inventory, phone_frontend(recipe), recipe.seed, EFFORT)
    _check_enough(speech.seconds, "has, as far as its transcripts fit the recordings,")
    print(
        f"Phones: {len(speech.utterances):,} of {len(utterances):,} utterances aligned "
        f"({speech.seconds / 3600.0:.1f} h); the recognizer alone names {agreement:.0%} of the frames alike",
        file=sys.stderr,
    )
    return speech


def _check_enough(seconds: float, what: str) -> None:
    if seconds < LEAST_HOURS * 3600.0:
        raise KwsError(
            f"phones: the recipe's data {what} {seconds / 60.0:.1f} minutes of transcribed training speech and needs "
            f"{LEAST_HOURS * 60:.0f}; add a manifest with utterances.csv, or set phones.pieces, phones.near_pieces and "
            "phones.weight to 0"
        )


def _utterances(recipe: Recipe, transcripts: Transcripts, clip: Clip) -> list[Utterance]:
    """Return the utterances of a recording that say none of the phrases, their phones not yet known."""
    samples = read_clip(clip)
    frontend = phone_frontend(recipe)
    utterances = []
    for one in transcripts[clip.path]:
        text = one.transcript.lower()
        if not split_words(text) or not LEAST_SECONDS <= one.end_s - one.start_s <= MOST_SECONDS:
            continue
        if any(transcript_contains((one,), phrase) for phrase in recipe.wake_phrases):
            continue
        first_hop = int(one.start_s * frontend.sample_rate_hz) // frontend.hop_samples
        part = samples[first_hop * frontend.hop_samples : int(one.end_s * frontend.sample_rate_hz)]
        if len(part) >= frontend.window_samples + FRAME_HOPS * frontend.hop_samples:
            origin, features = (clip.speaker, clip.source, clip.licence), compute(part, frontend)
            utterances.append(Utterance(*origin, part, features, (), clip.path, first_hop, text))
    return utterances


def _synthetic(recipe: Recipe, texts: Sequence[str], inventory: Inventory) -> list[Labelled]:
    """Say some of the transcripts in many synthetic voices, mostly in the main accent."""
    rng = np.random.default_rng((recipe.seed, 11))
    accents, variants = accents_and_variants(recipe.synthesis.language)
    main = _main_accent(recipe)
    made = []
    chosen = rng.choice(len(texts), min(SYNTHETIC_TEXTS, len(texts)), replace=False)
    with bar("Synthesizing the transcripts", len(chosen)) as advance:
        for index in chosen:
            accent = main if rng.random() < MAIN_SHARE else accents[int(rng.integers(len(accents)))]
            variant = variants[int(rng.integers(len(variants)))]
            features, phones = say_with_phones(
                texts[int(index)], inventory, accent, variant, phone_frontend(recipe), rng
            )
            if len(features):
                made.append(Labelled(features, phones))
            advance()
    return made


def _main_accent(recipe: Recipe) -> str:
    """Return the accent whose pronunciation the transcripts are read with: the first of the main ones that is there."""
    accents = espeak.accents(recipe.synthesis.language)
    main = [accent for language in MAIN_ACCENTS for accent in accents if accent.language == language]
    return (main or list(accents))[0].identifier


def _say_pieces(recipe: Recipe, speech: AlignedSpeech, folder: Path) -> None:
    """Write the corpus of pieces, and tell of phrases that the recordings cannot say."""
    config = recipe.phones
    accents = [accent.identifier for accent in espeak.accents(recipe.synthesis.language)]
    targets = [
        Target(phrase, _ways(phrase, accents, _main_accent(recipe), speech.inventory)) for phrase in recipe.wake_phrases
    ]
    others = [[phone for word in one.utterance.words[:3] for phone in word] for one in speech.utterances[:OTHER_TEXTS]]
    made = corpus.make(Pieces(speech), targets, others, config, folder, recipe.seed)
    counts = Counter(clip.label for clip in manifest.read(made))
    for phrase in recipe.wake_phrases:
        if config.pieces and not counts[manifest.slug(phrase)]:
            print(f"Phones: the recordings lack sounds of {phrase!r}; there are no pieces of it", file=sys.stderr)


def _ways(phrase: str, accents: Sequence[str], main: str, inventory: Inventory) -> tuple[tuple[int, ...], ...]:
    """Return how the accents say a phrase, with pauses and without, but those whose phones the inventory lacks.

    The main way to say it weighs as much as all others together.
    """
    ways: list[tuple[int, ...]] = []
    for accent in [*accents, *[main] * len(accents)]:
        words = espeak.phonemes([phrase], accent, ipa=False)[0]
        if all(map(inventory.can_say, words)):
            ways += with_pauses([phones for word in words if (phones := inventory.numbers(word))])
    return tuple(way for way in ways if way)


def _write(path: Path, speech: AlignedSpeech, transcribed: Sequence[Clip]) -> None:
    """Write the phone of every LFBE hop of every recording, -1 where it is not known."""
    by_path: dict[str, list[tuple[int, NDArray[np.int64]]]] = {}
    for aligned in speech.utterances:
        one = aligned.utterance
        phones = np.repeat(aligned.phones, FRAME_HOPS)[: len(one.features)]
        by_path.setdefault(one.path, []).append((one.first_hop, phones))
    arrays = {}
    for index, clip in enumerate(transcribed):
        if clip.path in by_path:
            labels = np.full(max(first + len(phones) for first, phones in by_path[clip.path]), UNKNOWN_PHONE, np.int8)
            for first, phones in by_path[clip.path]:
                labels[first : first + len(phones)] = phones
            arrays[f"clip_{index}"] = labels
    buffer = io.BytesIO()
    # numpy's stub takes the arrays' names for its own option allow_pickle.
    np.savez_compressed(buffer, symbols=np.array(speech.inventory.symbols), **arrays)  # type: ignore[arg-type]
    replace_file(path, buffer.getvalue())


def _read(path: Path, pieces: Path | None, transcribed: Sequence[Clip], name: str) -> PhoneLabels:
    try:
        with np.load(io.BytesIO(path.read_bytes())) as arrays:
            by_path = {transcribed[int(key[5:])].path: arrays[key] for key in arrays.files if key.startswith("clip_")}
            symbols = tuple(str(symbol) for symbol in arrays["symbols"])
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise KwsError(f"{path}: is damaged ({error}); remove it, and it is made again") from error
    return PhoneLabels(symbols, by_path, pieces, name)


def _identity(recipe: Recipe, transcribed: Sequence[Clip], transcripts: Transcripts) -> str:
    """Return a hash of what decides the alignment and the pieces."""
    config = recipe.phones
    rows = [
        (Path(clip.path).name, clip.duration_s, clip.speaker, [astuple(one) for one in transcripts[clip.path]])
        + (() if clip.channel is None else (clip.channel,))
        for clip in transcribed
    ]
    text = json.dumps(
        [
            *(VERSION, recipe.wake_phrases, recipe.seed, recipe.synthesis.language, to_data(phone_frontend(recipe))),
            *(config.pieces, config.near_pieces, config.kept_share, config.slowest, rows),
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]
