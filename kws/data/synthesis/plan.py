"""The text, voice and style of every clip of a corpus, drawn beforehand from one seed."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kws.data.manifest import NEAR_PHRASE, SPEECH, SPLITS, slug
from kws.data.phrases import split_words
from kws.data.synthesis.config import SynthesisConfig
from kws.data.synthesis.text import negatives, sentences
from kws.data.synthesis.voices import espeak
from kws.data.synthesis.voices.speakers import MAIN_ACCENTS, partition
from kws.data.synthesis.voices.voice import EMPHASES, Style, Voice, has_phonemes
from kws.errors import KwsError


@dataclass(frozen=True)
class Job:
    """One clip to make. ``phrase_words`` says which words of the text are the phrase (first, past the last)."""

    path: str
    split: str
    label: str
    text: str
    phrase_words: tuple[int, int] | None
    voice: Voice
    style: Style
    margins_ms: tuple[float, float]
    peak_dbfs: float


@dataclass(frozen=True)
class Line:
    """A text to synthesize, its label, and which of its words are the phrase."""

    text: str
    label: str
    phrase_words: tuple[int, int] | None = None


def plan(config: SynthesisConfig, phrases: str | Sequence[str], voices: Sequence[Voice], seed: int) -> list[Job]:
    """Return every clip of the corpus, split by split, positives first; the same arguments give the same plan.

    Raises:
        KwsError: a phrase cannot be synthesized or is too long, the voices are too few to hold some out, or every other
            text sounds like the phrase.
    """
    rng = np.random.default_rng(seed)
    identifiers = _reference_accents(config.language)
    phrases = (phrases,) if isinstance(phrases, str) else phrases
    clean = [negatives.clean_phrase(phrase, identifiers[0]) for phrase in phrases]
    material = _Material(config, clean, identifiers, rng)
    speakers = partition(voices, config.dev_share, config.test_share)
    shares = {"dev": config.dev_share, "test": config.test_share}
    shares["train"] = 1.0 - sum(shares.values())
    jobs: list[Job] = []
    for split in SPLITS:
        if not speakers[split] or shares[split] <= 0.0:
            continue
        phonemes = any(voice.speaks_phonemes for voice in speakers[split])
        lines = [material.positive(phrase) for phrase in clean for _ in range(round(config.positives * shares[split]))]
        for phrase in clean:
            lines += material.negatives(phrase, split, round(config.negatives * shares[split]), phonemes)
        jobs += _cast(config, split, lines, speakers[split], rng)
    return jobs


class _Material:
    """The texts of a corpus, and how they are drawn. What is not a phrase holds none of them."""

    def __init__(
        self, config: SynthesisConfig, phrases: Sequence[str], identifiers: Sequence[str], rng: np.random.Generator
    ) -> None:
        self._config, self._rng = config, rng
        self._filter = negatives.PhraseFilter(phrases, identifiers)
        self._commands = self._filter.without_phrase(sentences.commands(config.language))
        self._openers = self._filter.without_phrase(sentences.openers(config.language))
        own = sentences.read_own(config.sentences_path)
        self._negatives = {
            phrase: self._only_safe(
                negatives.find(phrase, config.language, identifiers, config.near_phrases, rng, own), len(phrases)
            )
            for phrase in phrases
        }
        count = max(60, min(config.negatives * len(phrases) // 4, 4000))
        ordinary = self._filter.without_phrase(sentences.ordinary(config.language, count, rng, own))
        self._sentences = _shared(ordinary, config, rng)

    def _only_safe(self, texts: negatives.Negatives, phrases: int) -> negatives.Negatives:
        """Return the negatives of one phrase that sound like none of the others."""
        if phrases == 1:  # its own filter has seen them all
            return texts
        kinds = (texts.near, texts.parts, texts.order)
        return negatives.Negatives(*(tuple(self._filter.without_phrase(kind)) for kind in kinds))

    def positive(self, phrase: str) -> Line:
        """Return the phrase, alone or in running speech."""
        text, start = phrase, 0
        if self._rng.random() < self._config.carrier_share:
            text, start = self._in_carrier(phrase)
        return Line(text, slug(phrase), (start, start + len(split_words(phrase))))

    def negatives(self, phrase: str, split: str, count: int, phonemes: bool) -> list[Line]:
        """Return ``count`` lines of the four kinds by their weights; an empty kind leaves its share to others."""
        config, own = self._config, self._negatives[phrase]
        kinds = (
            (own.near, config.near_weight),
            (own.parts, config.part_weight),
            (own.order, config.order_weight),
            (self._sentences[split], config.sentence_weight),
        )
        pools = [([text for text in pool if phonemes or not has_phonemes(text)], weight) for pool, weight in kinds]
        weights = [weight if pool else 0.0 for pool, weight in pools]
        # What the phrase cannot fill (one word has no other order) goes to sentences.
        weights[3] += sum(config_weight for _, config_weight in pools) - sum(weights) if pools[3][0] else 0.0
        if count and sum(weights) <= 0.0:
            raise KwsError(
                f"phrase {phrase!r}: no negatives are left, since every other text sounds like it; use a longer one"
            )
        kind_of: list[int] = (
            self._rng.choice(4, size=count, p=np.array(weights) / sum(weights)).tolist() if count else []
        )
        drawn = [_Cycle(pool, self._rng) for pool, _ in pools]
        texts = [(next(drawn[kind]), kind) for kind in kind_of]
        carriers = [
            self._in_carrier(text)[0] if kind < 3 and self._rng.random() < config.carrier_share else text
            for text, kind in texts
        ]
        safe = set(self._filter.without_phrase(carriers))
        return [
            Line(long if long in safe else text, SPEECH if kind == 3 else NEAR_PHRASE)
            for (text, kind), long in zip(texts, carriers, strict=True)
        ]

    def _in_carrier(self, text: str) -> tuple[str, int]:
        """Return the text in running speech, and how many words stand before it."""
        rng = self._rng
        before = f"{rng.choice(self._openers)}{rng.choice([',', ''])} " if self._openers and rng.random() < 0.5 else ""
        after = f"{rng.choice([',', ''])} {rng.choice(self._commands)}" if self._commands else ""
        if before and rng.random() < 0.5:
            after = ""
        return f"{before}{text}{after}", len(split_words(before))


class _Cycle(Iterator[str]):
    """Gives every text once, in random order, before any comes again."""

    def __init__(self, texts: Sequence[str], rng: np.random.Generator) -> None:
        self._texts, self._rng, self._order = list(texts), rng, list[int]()

    def __next__(self) -> str:
        if not self._order:
            self._order = [int(index) for index in self._rng.permutation(len(self._texts))]
        return self._texts[self._order.pop()]


def _cast(
    config: SynthesisConfig, split: str, lines: Sequence[Line], voices: Sequence[Voice], rng: np.random.Generator
) -> list[Job]:
    """Give each line a voice, every voice about equally often, and a style."""
    main = _shuffled([voice for voice in voices if voice.speaks_phonemes], rng)
    others = _shuffled([voice for voice in voices if not voice.speaks_phonemes], rng)
    turns = {True: itertools.cycle(main), False: itertools.cycle(others)}
    jobs, counts = [], dict[str, int]()
    for line in lines:
        use_main = not others or has_phonemes(line.text) or (bool(main) and rng.random() >= config.other_backends_share)
        counts[line.label] = counts.get(line.label, 0) + 1
        jobs.append(
            Job(
                path=f"{split}/{line.label}/{counts[line.label]:05d}.flac",
                split=split,
                label=line.label,
                text=line.text,
                phrase_words=line.phrase_words,
                voice=next(turns[use_main]),
                style=_style(config, rng),
                margins_ms=(_between(config, "margin_ms", rng), _between(config, "margin_ms", rng)),
                peak_dbfs=_between(config, "peak_dbfs", rng),
            )
        )
    return jobs


def _style(config: SynthesisConfig, rng: np.random.Generator) -> Style:
    return Style(
        rate_wpm=_between(config, "rate_wpm", rng),
        pitch_percent=_between(config, "pitch_percent", rng),
        pitch_range_percent=_between(config, "pitch_range_percent", rng),
        word_gap_ms=round(float(rng.uniform(0.0, config.word_gap_ms_max)), 1),
        emphasis=EMPHASES[int(rng.integers(1, len(EMPHASES)))] if rng.random() < config.emphasis_share else "plain",
    )


def _between(config: SynthesisConfig, name: str, rng: np.random.Generator) -> float:
    return round(float(rng.uniform(getattr(config, f"{name}_min"), getattr(config, f"{name}_max"))), 1)


def _shuffled(voices: Sequence[Voice], rng: np.random.Generator) -> list[Voice]:
    return [voices[int(index)] for index in rng.permutation(len(voices))]


def _shared(texts: Sequence[str], config: SynthesisConfig, rng: np.random.Generator) -> dict[str, list[str]]:
    """Share the sentences among the splits, so that none is both in training and in a held-out split."""
    order = [texts[int(index)] for index in rng.permutation(len(texts))]
    dev = round(len(order) * config.dev_share)
    test = dev + round(len(order) * config.test_share)
    return {"dev": order[:dev], "test": order[dev:test], "train": order[test:]}


def _reference_accents(language: str) -> list[str]:
    """Return the accents whose phonemes decide what sounds like the phrase: the main ones, or the first."""
    accents = espeak.accents(language)
    main = [accent for accent in accents if accent.language in MAIN_ACCENTS] or list(accents[:1])
    return [accent.identifier for accent in sorted(main, key=lambda accent: accent.language, reverse=True)]
