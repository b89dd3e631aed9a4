"""How words are compared: by their letters and digits alone, from where a word starts to where a word ends.

One rule for labels, texts, transcripts and word times. Capitals, accents as one sign or two, wide letters, punctuation
and spaces make no difference: "hey-marvin", "Hey, Marvin" and "heymarvin" are the same, as are "wi-fi", "wi fi" and
"wifi". An apostrophe or a hyphen ends a word, so that "computer's" holds "computer", which is what one hears;
"computers" is a word of its own. Scripts that put no spaces between words have an edge at every sign. What is compared
as written: accents ("schon" is not "schön") and numbers ("2" is not "two", and "1 2" is not "12"). Phonemes
(``[[...]]``) are no letters, and nothing reaches across them.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

PHONEMES = re.compile(r"\[\[.*?(?:\]\]|$)", re.DOTALL)
"""Phonemes in a text, in espeak-ng's notation."""

_LETTER_APOSTROPHES = re.compile("[ʼʻ]")
"""Apostrophes that Unicode counts among the letters: labels keep them."""

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
_BARRIER = "\n"


def letter_runs(text: str) -> list[str]:
    """Return what a text is compared by: its letters and digits in lower case, in runs without anything between.

    Symbols are none ("Alexa™" is "alexa"), nor is an accent without a letter, such as emoji have.

    >>> letter_runs("Hé, J\u00fcrgen's WI-FI 2!"), letter_runs("☕️ ™")
    (['hé', 'jürgen', 's', 'wi', 'fi', '2'], [])
    """
    if text.isascii():
        return re.findall("[a-z0-9]+", text.lower())
    bare = "".join(" " if unicodedata.category(sign)[0] == "S" else sign for sign in text)
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", bare).casefold())
    kept = "".join(sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in plain)
    runs = (_without_marks_in_front(run) for run in kept.split())
    return [run for run in runs if run]


def occurrences(words: Sequence[str], phrase: str) -> list[tuple[int, int]]:
    """Return where the phrase stands in words that follow one another: (its first, the one after its last).

    >>> occurrences(["the", "hey-Marvin", "box"], "hey marvin"), occurrences(["smart", "mirrors"], "smart mirror")
    ([(1, 2)], [])
    """
    target = _letters((phrase,)).text
    letters = _letters(tuple(words))
    spans = []
    at = letters.text.find(target) if target else -1
    while at >= 0:
        end = at + len(target)
        if at in letters.starts and end in letters.ends:
            spans.append((bisect_right(letters.words, at) - 1, bisect_right(letters.words, end - 1)))
        at = letters.text.find(target, at + 1)
    return spans


def contains(text: str, phrase: str) -> bool:
    """Whether the phrase stands in a text.

    >>> [contains(text, "computer") for text in ("the computer's fan", "hey_computer", "COMPUTERS", "microcomputer")]
    [True, True, False, False]
    """
    return bool(occurrences((text,), phrase))


@dataclass(frozen=True)
class _Letters:
    """Words without anything between their letters; where words start and end in it, and where each given one does."""

    text: str
    starts: frozenset[int]
    ends: frozenset[int]
    words: tuple[int, ...]


@lru_cache(maxsize=1024)
def _letters(words: tuple[str, ...]) -> _Letters:
    joined, starts, ends, places = "", set[int](), set[int](), list[int]()
    for word in words:
        places.append(len(joined))
        for number, part in enumerate(PHONEMES.split(word)):
            joined += _BARRIER if number else ""
            for run in filter(None, (run for kept in letter_runs(part) for run in _LETTER_APOSTROPHES.split(kept))):
                joined += " " if joined[-1:].isdigit() and run[0].isdigit() else ""
                edges = [0, *_inner_edges(run), len(run)]
                starts.update(len(joined) + edge for edge in edges[:-1])
                ends.update(len(joined) + edge for edge in edges[1:])
                joined += run
    return _Letters(joined, frozenset(starts), frozenset(ends), tuple(places))


def _inner_edges(run: str) -> list[int]:
    """Return where a word may start or end in a run of a script without spaces."""
    if run.isascii():
        return []
    unspaced = [unicodedata.name(sign, "").startswith(_UNSPACED) for sign in run]
    return [
        index
        for index in range(1, len(run))
        if (unspaced[index - 1] or unspaced[index]) and unicodedata.category(run[index])[0] != "M"
    ]


def _without_marks_in_front(run: str) -> str:
    return run.lstrip("".join({sign for sign in run if unicodedata.category(sign)[0] == "M"}))
