"""espeak-ng as a voice: every accent of a language times every variant, with word times from its events."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import soxr
from numpy.typing import NDArray

from kws.data.manifest import Word
from kws.data.phrases import split_words
from kws.data.synthesis.voices import espeak_library as library
from kws.data.synthesis.voices.languages import nearest
from kws.data.synthesis.voices.timing import FRAME_S, frame_energies, loud_span, proportional
from kws.data.synthesis.voices.voice import SAMPLE_RATE_HZ, Style, Utterance, has_phonemes, punctuated
from kws.errors import KwsError

LICENCE = "synthetic speech, no terms of its own (engine espeak-ng: GPL-3.0-or-later)"

MAX_DECAY_S = 0.12


@dataclass(frozen=True)
class EspeakVoice:
    """An accent (``identifier`` "gmw/en-US", ``language`` "en-us") in a variant's voice ("Alex"; "": the plain one)."""

    identifier: str
    language: str
    variant: str = ""

    @property
    def name(self) -> str:
        """The synthesizer."""
        return "espeak"

    @property
    def speaker(self) -> str:
        """Accent and variant."""
        return f"espeak:{self.language}+{self.variant or 'default'}"

    @property
    def source(self) -> str:
        """What the manifest names as source."""
        return "espeak-ng"

    @property
    def licence(self) -> str:
        """The terms of the sound."""
        return LICENCE

    @property
    def speaks_phonemes(self) -> bool:
        """espeak-ng speaks its own notation."""
        return True

    def say(self, text: str, style: Style) -> Utterance:
        """Say ``text``; the same text and style give the same samples, always.

        Raises:
            KwsError: espeak-ng is missing, does not know the voice, or gives no sound for the text.
        """
        marked, offsets, flags = _marked(text, style)
        words = split_words(text)
        with library.opened() as espeak:
            espeak.set_voice(self.identifier + (f"+{self.variant}" if self.variant else ""))
            espeak.set_parameter(library.PARAMETER_RATE, style.rate_wpm)
            espeak.set_parameter(library.PARAMETER_PITCH, style.pitch_percent)
            espeak.set_parameter(library.PARAMETER_RANGE, style.pitch_range_percent)
            # espeak-ng counts the gap between words in 10 ms.
            espeak.set_parameter(library.PARAMETER_WORD_GAP, style.word_gap_ms / 10.0)
            sound, events = espeak.synthesize(marked, flags)
            spans = _word_spans(events, offsets)
            weights = [1.0] * len(words)
            if len(spans) < len(words):  # espeak-ng pronounces some pairs as one word: "on the"
                weights = [float(_count(espeak.phonemes(word, library.PHONEMES_IPA))) for word in words]
        if not np.any(sound):
            raise KwsError(f"espeak-ng gives no sound for {text!r} with the voice {self.speaker}; try other words")
        rate_hz = espeak.rate_hz
        timed = _timed_words(words, spans, weights, frame_energies(sound.astype(np.float32), rate_hz), rate_hz)
        resampled = soxr.resample(sound.astype(np.float32), rate_hz, SAMPLE_RATE_HZ)
        return Utterance(np.clip(np.rint(resampled), -32768, 32767).astype(np.int16), timed)


def phonemes(texts: Sequence[str], identifier: str, ipa: bool = True) -> list[list[list[str]]]:
    """Return, for each text, its words, each a list of phonemes: IPA symbols, or espeak-ng's mnemonics.

    >>> phonemes(["hey you"], "gmw/en-US")
    [[['h', 'ˈeɪ'], ['j', 'uː']]]
    """
    mode = library.PHONEMES_IPA if ipa else library.PHONEMES_MNEMONIC
    with library.opened() as espeak:
        espeak.set_voice(identifier)
        if any(map(has_phonemes, texts)):
            # A synthesis with this flag makes espeak_TextToPhonemes, which has no flag for it, read [[...]], too.
            espeak.synthesize("a", library.SYNTH_PHONEMES)
        return [[word for part in espeak.phonemes(text, mode).split() if (word := _symbols(part))] for text in texts]


@lru_cache
def accents(language: str) -> tuple[library.Accent, ...]:
    """Return espeak-ng's voices for a language: "en" gives all English accents, "en-us" that one and its kin.

    Raises:
        KwsError: espeak-ng does not speak the language.
    """
    every = every_accent()
    code = language.lower()
    matches = [accent for accent in every if accent.language == code or accent.language.startswith(code + "-")]
    # Shavian is English in an alphabet of its own: for Latin letters its sounds are those of "en-gb".
    matches = [accent for accent in matches if accent.language != "en-shaw" or code == "en-shaw"]
    if not matches:
        alike = [f"{accent.language!r} ({accent.name.strip()})" for accent in nearest(language, every)]
        remedy = f"did you mean {' or '.join(alike)}?" if alike else "kws synth --list-voices lists what it speaks"
        raise KwsError(f"language {language!r}: espeak-ng does not speak it; {remedy}")
    return tuple(matches)


@lru_cache
def every_accent() -> tuple[library.Accent, ...]:
    """Return espeak-ng's voices for all languages, sorted by language code."""
    with library.opened() as espeak:
        return tuple(sorted(espeak.accents(), key=lambda accent: (accent.language, accent.identifier)))


@lru_cache
def variants() -> tuple[str, ...]:
    """Return the names of espeak-ng's variants (speakers), sorted."""
    with library.opened() as espeak:
        folder = espeak.data_path() / "voices" / "!v"
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_file())) if folder.is_dir() else ()


@lru_cache
def version() -> str:
    """Return espeak-ng's version; it is part of what decides the samples."""
    with library.opened() as espeak:
        return espeak.version()


def _marked(text: str, style: Style) -> tuple[str, list[int], int]:
    """Return what espeak-ng is given, where each word starts in it, and the flags it needs."""
    head, tail, flags = "", "", library.SYNTH_PHONEMES if has_phonemes(text) else 0
    if style.emphasis in ("strong", "moderate", "reduced"):
        head, tail, flags = f'<emphasis level="{style.emphasis}">', "</emphasis>", flags | library.SYNTH_SSML
    body = punctuated(re.sub(r"[<>&]", " ", text), style.emphasis)
    offsets, start = [], 0
    for word in split_words(body):
        start = body.index(word, start)
        offsets.append(len(head) + start)
        start += len(word)
    return head + body + tail, offsets, flags


def _word_spans(events: Sequence[library.Event], offsets: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return first and last sample of each word that espeak-ng names; a pause ends a word."""
    spans: dict[int, tuple[int, int]] = {}
    current, speaking, start = -1, False, 0

    def close(sample: int) -> None:
        if speaking and current >= 0 and sample > start:
            spans[current] = (spans.get(current, (start, 0))[0], sample)

    for event in events:
        if event.kind == library.EVENT_WORD:
            close(event.sample)
            current = max(0, int(np.searchsorted(offsets, event.position, side="right")) - 1)
            speaking, start = True, event.sample
        elif event.kind == library.EVENT_END or event.phoneme.startswith("_"):
            close(event.sample)
            speaking = False
        elif event.kind == library.EVENT_PHONEME and not speaking:
            speaking, start = True, event.sample
    return spans


def _timed_words(
    words: Sequence[str],
    spans: dict[int, tuple[int, int]],
    weights: Sequence[float],
    energies: NDArray[np.float64],
    rate_hz: int,
) -> tuple[Word, ...]:
    """Return every word with its times: events first, ends drawn in to where the sound is."""
    named = sorted(spans) or [0]
    whole_s = len(energies) * FRAME_S
    timed: list[Word] = []
    for position, index in enumerate(named):
        first = 0 if position == 0 else index
        after = named[position + 1] if position + 1 < len(named) else len(words)
        start, end = (value / rate_hz for value in spans.get(index, (0, round(whole_s * rate_hz))))
        limit = spans[named[position + 1]][0] / rate_hz if position + 1 < len(named) else whole_s
        # Before a pause the sound dies away after espeak-ng's end of the word.
        end = min(limit, end + MAX_DECAY_S)
        start, end = loud_span(energies, start, end) or (start, end)
        timed += proportional(words[first:after], weights[first:after], start, end)
    return tuple(timed)


def _symbols(word: str) -> list[str]:
    """Split "k_ə_m" at the separators, dropping language switches "(en)" and pauses."""
    return [symbol for symbol in re.sub(r"\([a-z-]+\)", "", word).split("_") if symbol and symbol != ":"]


def _count(transcription: str) -> int:
    return max(1, sum(len(_symbols(word)) for word in transcription.split()))
