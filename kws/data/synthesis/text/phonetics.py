"""How alike two phoneme sequences sound: an edit distance whose costs come from articulatory features.

A segment is one IPA letter (a diphthong is two, an affricate two); stress, length and tone are left out. Costs are in
0..1: the same letter 0, "p" for "b" about 0.2, "p" for "s" about 0.6, a vowel for a consonant 1.
"""

import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache

_PLACES = ("pbmɸβ", "fvɱ", "θð", "tdnszrlɾɹɬɮɫ", "ʃʒʂʐʈɖɳɻɽ", "ɕʑcɟɲçʝjʎ", "kɡgŋxɣwʍ", "qɢɴχʁʀ", "ħʕ", "hɦʔ")
_MANNERS = {
    "stop": "pbtdʈɖcɟkɡgqɢʔ",
    "nasal": "mɱnɳɲŋɴ",
    "fricative": "ɸβfvθðszʃʒʂʐɕʑçʝxɣχʁħʕhɦɬɮʍ",
    "liquid": "rlɾɹɻɽʀʎɫ",
    "glide": "jw",
}
_VOICED = "bmβvɱðdnzrlɾɹɮɫʒʐɖɳɻɽʑɟɲʝjʎɡgŋɣwɢɴʁʀʕɦ"
# Vowels by height (close to open) and backness (front, central, back); the second string holds the rounded ones.
_VOWELS = (
    (("i", "y"), ("ɨ", "ʉ"), ("ɯ", "u")),
    (("ɪ", "ʏ"), ("ᵻ", ""), ("", "ʊ")),
    (("e", "ø"), ("ɘ", "ɵ"), ("ɤ", "o")),
    (("", ""), ("əɚ", ""), ("", "")),
    (("ɛ", "œ"), ("ɜɝ", "ɞ"), ("ʌ", "ɔ")),
    (("æ", ""), ("ɐ", ""), ("", "")),
    (("a", "ɶ"), ("", ""), ("ɑ", "ɒ")),
)
_WEAK = frozenset("jwəɐɨᵻ")

VOWELS = "".join(letter for row in _VOWELS for pair in row for kind in pair for letter in kind)
Segments = tuple[str, ...]


def segments(words: Sequence[Sequence[str]]) -> Segments:
    """Return the IPA letters of a text's phonemes in order, without stress, length, tone and diacritics.

    >>> segments([["h", "ˈeɪ"], ["j", "uː"]])
    ('h', 'e', 'ɪ', 'j', 'u')
    """
    letters = unicodedata.normalize("NFD", "".join(symbol for word in words for symbol in word))
    return tuple(letter for letter in letters if unicodedata.category(letter) in ("Ll", "Lo") or letter in "ᵻ")


@cache
def substitution_cost(one: str, other: str) -> float:
    """Return what it costs to take ``one`` for ``other``.

    >>> substitution_cost("p", "b") < substitution_cost("p", "s") < substitution_cost("p", "a")
    True
    """
    if one == other:
        return 0.0
    vowels = [_vowel(letter) for letter in (one, other)]
    if vowels[0] is not None and vowels[1] is not None:
        (height, back, rounded), (other_height, other_back, other_rounded) = vowels[0], vowels[1]
        far = 0.5 * abs(height - other_height) / 6 + 0.3 * abs(back - other_back) / 2 + 0.1 * (rounded != other_rounded)
        return 0.05 + far
    if any(vowel is not None for vowel in vowels):
        return 0.5 if {one, other} in ({"j", "i"}, {"j", "ɪ"}, {"w", "u"}, {"w", "ʊ"}, {"ɹ", "ɚ"}) else 1.0
    return _consonant_cost(one, other)


def gap_cost(letter: str) -> float:
    """Return what it costs to lose or add the segment: little for h, less than others for glides and schwa."""
    if letter in "hɦʔ":
        return 0.2
    if letter in _WEAK:
        return 0.45
    return 0.7 if letter in VOWELS else 0.6


def distance(one: Segments, other: Segments) -> float:
    """Return the least cost that turns one sequence into the other.

    >>> distance(tuple("kæt"), tuple("kæt")), distance(tuple("kæt"), tuple("kæ"))
    (0.0, 0.6)
    """
    return prefix_distances(one, other)[-1]


def prefix_distances(one: Segments, other: Segments) -> list[float]:
    """Return the distance of every beginning of ``one``, the empty one first, from ``other``."""
    row = [0.0]
    for letter in other:
        row.append(row[-1] + gap_cost(letter))
    return [row[-1], *(row[-1] for row in _rows(one, other, row))]


def distance_within(phrase: Segments, text: Segments) -> float:
    """Return the least cost that turns ``phrase`` into some stretch of ``text`` (0: the text holds it).

    >>> distance_within(tuple("pjut"), tuple("kəmpjutɪŋ"))
    0.0
    """
    return min(deque(_rows(phrase, text, [0.0] * (len(text) + 1)), maxlen=1)[0]) if phrase else 0.0


def _rows(one: Segments, other: Segments, row: list[float]) -> Iterator[list[float]]:
    """Run the Wagner-Fischer recursion from the given first row; yield the (same, changed) row after each letter."""
    insertions = [gap_cost(letter) for letter in other]
    for letter in one:
        removal = gap_cost(letter)
        before = row[0]
        row[0] = before + removal
        left = row[0]
        for index, target in enumerate(other, start=1):
            above = row[index]
            best = before if letter == target else before + substitution_cost(letter, target)
            best = min(best, above + removal, left + insertions[index - 1])
            before, row[index], left = above, best, best
        yield row


def _vowel(letter: str) -> tuple[int, int, bool] | None:
    for height, row in enumerate(_VOWELS):
        for back, kinds in enumerate(row):
            for rounded, letters in enumerate(kinds):
                if letter in letters:
                    return height, back, bool(rounded)
    return None


def _consonant_cost(one: str, other: str) -> float:
    places = [
        next((index for index, letters in enumerate(_PLACES) if letter in letters), None) for letter in (one, other)
    ]
    manners = [next((name for name, letters in _MANNERS.items() if letter in letters), None) for letter in (one, other)]
    if places[0] is None or places[1] is None or None in manners:
        return 0.9
    far = 0.1 + 0.4 * abs(places[0] - places[1]) / 9 + 0.1 * ((one in _VOICED) != (other in _VOICED))
    if "ɾ" in (one, other) and {one, other} <= set("tdɾ"):
        return 0.05  # between vowels t and d are pronounced as a flap
    if manners[0] != manners[1]:
        far += 0.4
    return min(far, 0.9)
