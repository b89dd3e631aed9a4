"""What sounds like the phrase and is not it: near phrases, its parts, its words in other order.

Everything is derived from the synthesizer's own phonemes, so it works for every language that espeak-ng speaks.
A text that sounds like the phrase is never a negative, whatever its letters ("compute her", "computers").
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kws.data.letters import contains
from kws.data.phrases import check_written, speakable
from kws.data.synthesis.text import phonetics, sentences
from kws.data.synthesis.text.phonetics import VOWELS, Segments
from kws.data.synthesis.voices import espeak
from kws.errors import KwsError

MAX_LETTERS = 64
MAX_WORDS = 6
_STRESS = "',%="
_MATCH_COST = 0.05
"""A text sounds like a phrase when turning the phrase into a stretch of it costs at most this much per segment."""
_MATCH_COST_MAX = 0.4
"""At most in all: less than a lost schwa, so that "compute" is not "computer", more than an added h ("compute her")."""

_CHANGED_LEAST = 1.0
"""A made-up word is at least this far from the phrase: nearer ones are how somebody with another accent says it."""


@dataclass(frozen=True)
class Negatives:
    """Texts that must not trigger, the most alike first; ``[[...]]`` are phonemes for espeak-ng."""

    near: tuple[str, ...]
    parts: tuple[str, ...]
    order: tuple[str, ...]


def clean_phrase(phrase: str, identifier: str) -> str:
    """Return the phrase as it is synthesized, checked with the accent ``identifier``.

    Raises:
        KwsError: something in it would not be pronounced as it is written, or it is too long for a wake phrase.
    """
    text = speakable(phrase)
    if not any(sign.isalnum() for sign in text):
        raise KwsError(f"phrase {phrase!r}: it has no letter and no digit; give words, such as 'computer'")
    check_written(phrase)
    if len(text) > MAX_LETTERS or len(text.split()) > MAX_WORDS:
        limits = f"{MAX_WORDS} words and {MAX_LETTERS} letters"
        raise KwsError(f"phrase {text[:40]!r}... is too long for a wake phrase; give at most {limits}")
    spelled = next((word for word in text.split() if _is_spelled(word, identifier)), None)
    if spelled is not None:
        raise KwsError(
            f"phrase {phrase!r}: the voices of this language would spell {spelled!r} letter by letter; "
            "set the language that it is written in (--language, or synthesis.language in a recipe)"
        )
    if len(phonetics.segments(espeak.phonemes([text], identifier)[0])) < 2:
        raise KwsError(f"phrase {phrase!r}: espeak-ng makes no speech of it; give another phrase or language")
    return text


def _is_spelled(word: str, identifier: str) -> bool:
    """Whether espeak-ng names the letters of a foreign script ("Chinese letter"): a part each, or far too many sounds.

    Latin letters every voice can read; "TV" or "42" are pronounced as people do.
    """
    letters = [sign for sign in word if sign.isalpha()]
    if len(letters) < 2 or all(unicodedata.name(sign, "").startswith("LATIN") for sign in letters):
        return False
    parts = espeak.phonemes([word], identifier)[0]
    return len(parts) >= len(letters) or len(phonetics.segments(parts)) > 3 * len(letters)


class PhraseFilter:
    """Drops texts that sound like a phrase, or one of several, in any of the accents given."""

    def __init__(self, phrases: str | Sequence[str], identifiers: Sequence[str]) -> None:
        self._texts = (phrases,) if isinstance(phrases, str) else tuple(phrases)
        self._phrases = {name: [segments(one) for one in espeak.phonemes(self._texts, name)] for name in identifiers}

    def without_phrase(self, texts: Iterable[str]) -> list[str]:
        """Return the texts, each once and in order, that sound like no phrase."""
        kept = [text for text in dict.fromkeys(texts) if not any(contains(text, one) for one in self._texts)]
        for name, phrases in self._phrases.items():
            pairs = zip(kept, espeak.phonemes(kept, name), strict=True)
            kept = [text for text, words in pairs if words and not _sounds_like(phrases, segments(words))]
        return kept


def _sounds_like(phrases: Iterable[Segments], text: Segments) -> bool:
    limits = ((phrase, min(_MATCH_COST * len(phrase), _MATCH_COST_MAX)) for phrase in phrases)
    return any(phonetics.distance_within(phrase, text) <= limit for phrase, limit in limits)


def find(
    phrase: str,
    language: str,
    identifiers: Sequence[str],
    count: int,
    rng: np.random.Generator,
    own: Sequence[str] = (),
) -> Negatives:
    """Return the negatives of a (clean) phrase: ``count`` near phrases, and its parts and reorderings.

    Args:
        phrase: the words, as ``clean_phrase`` gives them.
        language: chooses the word list, such as "en".
        identifiers: accents of espeak-ng whose phonemes count; the first one ranks.
        count: how many near phrases to give at most: a third words, a third several words, the rest changed phonemes.
        rng: draws the changed phonemes.
        own: the user's sentences. Of a language without words here or there, all near phrases are changed phonemes.
    """
    phrase_filter = PhraseFilter(phrase, identifiers)
    main = identifiers[0]
    target = segments(espeak.phonemes([phrase], main)[0])
    known = sentences.words(language, own)
    lexicon = dict(zip(known, map(segments, espeak.phonemes(known, main)), strict=True))
    single = _ranked(phrase_filter.without_phrase(known), target, main)
    several = _ranked(
        phrase_filter.without_phrase([*_replaced(phrase, lexicon, main), *_pairs(target, lexicon)]), target, main
    )
    sounds = list(lexicon)[::4] or sentences.numbers()
    changed = _apart(phrase_filter.without_phrase(_changed(phrase, main, sounds, rng)), target, main)
    third = count // 3
    near = [*single[:third], *several[: count - 2 * third]]
    near += changed[: count - len(near)]
    parts = phrase_filter.without_phrase([*_parts(phrase, main), *_words_with_parts(target, lexicon)])
    return Negatives(tuple(near), tuple(parts), tuple(phrase_filter.without_phrase(_reordered(phrase, main))))


segments = phonetics.segments


def _ranked(texts: Sequence[str], target: Segments, identifier: str) -> list[str]:
    """Return the texts by their distance from the phrase, nearest first; of homophones only the first."""
    ranked: dict[Segments, tuple[float, str]] = {}
    for text, words in zip(texts, espeak.phonemes(texts, identifier), strict=True):
        sound = segments(words)
        ranked.setdefault(sound, (phonetics.distance(target, sound), text))
    return [text for _, text in sorted(ranked.values())]


def _nearest(target: Segments, lexicon: dict[str, Segments], count: int) -> list[str]:
    near = {word: phonetics.distance(target, sound) for word, sound in lexicon.items() if sound}
    return sorted(near, key=lambda word: (near[word], word))[:count]


def _replaced(phrase: str, lexicon: dict[str, Segments], identifier: str) -> list[str]:
    """Return the phrase with one word, or each of two, replaced by a word that sounds like it."""
    words = phrase.split()
    if len(words) < 2:
        return []
    choices = [_nearest(segments(espeak.phonemes([word], identifier)[0]), lexicon, 12) for word in words]
    texts = []
    for index, near in enumerate(choices):
        texts += [" ".join((*words[:index], other, *words[index + 1 :])) for other in near]
    for one, other in itertools.combinations(range(len(words)), 2):
        for first, second in itertools.product(choices[one][:4], choices[other][:4]):
            texts.append(" ".join({one: first, other: second}.get(i, word) for i, word in enumerate(words)))
    return texts


def _pairs(target: Segments, lexicon: dict[str, Segments]) -> list[str]:
    """Return pairs of words that together sound like the phrase ("come pewter")."""
    words = [word for word, sound in lexicon.items() if sound]
    if not words:
        return []
    heads = np.array([phonetics.prefix_distances(target, lexicon[word]) for word in words])
    tails = np.array([phonetics.prefix_distances(target[::-1], lexicon[word][::-1]) for word in words])
    pairs = []
    for cut in range(2, len(target) - 1):
        first = np.argsort(heads[:, cut], kind="stable")[:5]
        second = np.argsort(tails[:, len(target) - cut], kind="stable")[:5]
        pairs += [f"{words[one]} {words[other]}" for one, other in itertools.product(first, second)]
    return pairs


def _mnemonics(text: str, identifier: str) -> list[tuple[str, bool]]:
    """Return espeak-ng's phonemes of the text, one list over all words, each with whether it is a vowel."""
    words = espeak.phonemes([text], identifier, ipa=False)[0]
    names = [bare for word in words for name in word if (bare := name.strip("|"))]
    vowels = _vowels(tuple(sorted({name.lstrip(_STRESS) for name in names})), identifier)
    return [(name, name.lstrip(_STRESS) in vowels) for name in names]


@lru_cache(maxsize=256)
def _vowels(names: tuple[str, ...], identifier: str) -> frozenset[str]:
    """Return those of the mnemonics that are vowels, by the IPA that espeak-ng gives for them."""
    sounds = espeak.phonemes([_spell([name]) for name in names], identifier)
    return frozenset(
        name
        for name, words in zip(names, sounds, strict=True)
        if any(sign in VOWELS for word in words for symbol in word for sign in symbol)
    )


def _spell(names: Iterable[str]) -> str:
    # "|" keeps two mnemonics from being read as a longer one.
    return f"[[{'|'.join(names)}]]"


def _changed(phrase: str, identifier: str, sounds: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Return the phrase with one or two phonemes replaced by others of the language's ``sounds``, as phonemes."""
    own = _mnemonics(phrase, identifier)
    inventory: dict[bool, set[str]] = {True: set(), False: set()}
    for name, vowel in _mnemonics(" ".join(sounds), identifier):
        if any(sign.isalnum() or sign == "@" for sign in name):
            inventory[vowel].add(name.lstrip(_STRESS))
    texts = []
    for _ in range(300 if own else 0):
        names = [name for name, _ in own]
        for index in rng.permutation(len(own))[: 1 + int(rng.random() < 0.5)]:
            name, vowel = own[int(index)]
            stress = name[: len(name) - len(name.lstrip(_STRESS))]
            choices = sorted(inventory[vowel] - {name.lstrip(_STRESS)})
            names[int(index)] = stress + str(rng.choice(choices)) if choices else name
        texts.append(_spell(names))
    return texts


def _apart(texts: Sequence[str], target: Segments, identifier: str) -> list[str]:
    pairs = zip(texts, map(segments, espeak.phonemes(texts, identifier)), strict=True)
    return [text for text, sound in pairs if phonetics.distance(target, sound) >= _CHANGED_LEAST]


def _syllables(phonemes: Sequence[tuple[str, bool]]) -> list[list[str]]:
    """Cut before the last consonant in front of each vowel but the first."""
    vowels = [index for index, (_, vowel) in enumerate(phonemes) if vowel]
    cuts = [
        index - 1 if not phonemes[index - 1][1] and index - 1 > before else index for before, index in _steps(vowels)
    ]
    edges = [0, *cuts, len(phonemes)]
    return [[name for name, _ in phonemes[first:last]] for first, last in itertools.pairwise(edges) if last > first]


def _steps(indices: Sequence[int]) -> Iterable[tuple[int, int]]:
    return itertools.pairwise(indices)


def _parts(phrase: str, identifier: str) -> list[str]:
    """Return the words and runs of words of the phrase, beginnings and ends of its words, its syllables."""
    words = phrase.split()
    runs = [" ".join(words[i:j]) for i, j in itertools.combinations(range(len(words) + 1), 2) if j - i < len(words)]
    pieces = []
    for word in words:
        pieces += [word[:size] for size in range(len(word) - 1, 2, -1) if re.search("[aeiouy]", word[:size].lower())]
        pieces += [word[at:] for at in range(2, len(word) - 2) if re.match("[^aeiouy][aeiouy]", word[at:].lower())]
    syllables = _syllables(_mnemonics(phrase, identifier))
    heads = [_spell(itertools.chain(*syllables[:size])) for size in range(1, len(syllables))]
    tails = [_spell(itertools.chain(*syllables[size:])) for size in range(1, len(syllables))]
    return [*runs, *pieces, *heads, *tails]


def _words_with_parts(target: Segments, lexicon: dict[str, Segments]) -> list[str]:
    """Return words that hold the sound of the phrase's beginning or end ("community", "commuter")."""
    size = max(3, len(target) // 2)
    ends = {target[:size], target[-size:]} if len(target) > size else set()
    words = []
    for word, sound in lexicon.items():
        windows = {sound[at : at + size] for at in range(len(sound) - size + 1)}
        if windows & ends:
            words.append(word)
    return words[:40]


def _reordered(phrase: str, identifier: str) -> list[str]:
    """Return the phrase's words in other order, or the syllables of a single word."""
    words = phrase.split()
    if len(words) > 1:
        return [" ".join(order) for order in itertools.islice(itertools.permutations(words), 1, 25)]
    syllables = _syllables(_mnemonics(phrase, identifier))
    orders = itertools.islice(itertools.permutations(syllables), 1, 25) if 1 < len(syllables) < 7 else ()
    return [_spell(itertools.chain(*order)) for order in orders]
