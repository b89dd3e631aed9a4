"""Ordinary speech: sentences, a grammar that makes more, and what comes before and after a wake word."""

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from kws.config import read_text

_SUBJECTS = [
    "the teacher",
    "my neighbor",
    "an old friend",
    "the new driver",
    "her sister",
    "our doctor",
    "the tall man",
    "a young woman",
    "the cook",
    "his grandfather",
    "the team",
    "everybody",
    "the girl next door",
    "somebody",
    "the captain",
    "my cousin",
]
_VERBS = [
    "found",
    "bought",
    "forgot",
    "painted",
    "carried",
    "wanted",
    "lost",
    "sold",
    "described",
    "repaired",
    "looked for",
    "talked about",
    "asked for",
    "borrowed",
    "noticed",
    "dropped",
    "brought back",
    "waited for",
    "hid",
    "counted",
]
_OBJECTS = [
    "a green umbrella",
    "the last ticket",
    "two bottles of milk",
    "the kitchen chair",
    "a box of nails",
    "the broken window",
    "some warm bread",
    "the yellow bus",
    "a long letter",
    "three small boats",
    "the other shoe",
    "a basket of apples",
    "the wrong key",
    "an empty bottle",
    "the second chapter",
    "a pair of gloves",
    "the front wheel",
    "a cheap guitar",
    "the spare blanket",
    "a silver spoon",
]
_PLACES = [
    "in the garden",
    "behind the station",
    "on the way home",
    "at the market",
    "under the bridge",
    "near the school",
    "in the attic",
    "by the river",
    "on the train",
    "outside the bank",
    "in a small shop",
    "at the end of the street",
    "on the roof",
    "between two parked cars",
]
_TIMES = [
    "yesterday",
    "this morning",
    "before lunch",
    "on Friday",
    "last winter",
    "an hour ago",
    "every Sunday",
    "after the storm",
    "in the middle of the night",
    "when it was too late",
    "at half past nine",
    "during the holidays",
    "once again",
    "some years ago",
]


def ordinary(language: str, count: int, rng: np.random.Generator, own: Sequence[str] = ()) -> list[str]:
    """Return about ``count`` different sentences: the user's own, the built-in ones, then made-up ones.

    For other languages than English the made-up ones are numbers, which espeak-ng reads in every language, and words
    of the sentences.
    """
    known = words(language, own)
    built_in = list(own) + list(texts("sentences", language))
    unique = dict.fromkeys(built_in)
    make = _english if base(language) == "en" else lambda generator: _numbers(known, generator)
    for _ in range(4 * count):
        if len(unique) >= count:
            break
        unique[make(rng)] = None
    return list(unique)


def commands(language: str) -> list[str]:
    """Return sentences that follow a wake word."""
    return list(texts("commands", language)) or _without_own(language)


def openers(language: str) -> list[str]:
    """Return words that precede a wake word."""
    return list(texts("openers", language)) or _without_own(language)


def are_known(language: str) -> bool:
    """Whether there are sentences of a language here."""
    return bool(texts("sentences", language))


def words(language: str, own: Sequence[str] = ()) -> list[str]:
    """Return common words of a language, each once, to look for near phrases among.

    Those of the built-in sentences; of a language without, those of the user's ``own``, or none.
    """
    lines = texts("sentences", language) or own
    common = {word.lower() for line in lines for word in re.findall(r"[\w']+", line)}
    if base(language) == "en":
        common |= {word for line in texts("words", "en") for word in line.split()}
    return sorted(common)


def numbers() -> list[str]:
    """Return numbers in digits, whose words have most sounds of a language."""
    return [str(number) for number in (*range(21), *range(30, 101, 10), 1000, 1000000)]


def read_own(path: str) -> list[str]:
    """Return the lines of the user's file of sentences.

    Raises:
        KwsError: the file cannot be read.
    """
    if not path:
        return []
    lines = read_text(Path(path), "a file of sentences (sentences_path)").splitlines()
    return [line.strip() for line in lines if line.strip()]


@lru_cache
def texts(kind: str, language: str) -> tuple[str, ...]:
    """Return the lines of the package's text of this kind ("sentences", "words" ...), none if it has no such text."""
    file = resources.files("kws.data") / "texts" / f"{kind}_{base(language)}.txt"
    return tuple(file.read_text(encoding="utf-8").splitlines()) if file.is_file() else ()


def base(language: str) -> str:
    """Return the language without its region: "en-us" is "en"."""
    return language.lower().split("-")[0]


def _without_own(language: str) -> list[str]:
    known = words(language)
    return list(texts("sentences", language)) + [_numbers(known, np.random.default_rng(seed)) for seed in range(24)]


def _english(rng: np.random.Generator) -> str:
    parts = [str(rng.choice(choices)) for choices in (_SUBJECTS, _VERBS, _OBJECTS)]
    extra = [str(rng.choice(choices)) for choices in (_PLACES, _TIMES) if rng.random() < 0.6]
    sentence = " ".join(parts + extra)
    return sentence[0].upper() + sentence[1:] + "."


def _numbers(known: Sequence[str], rng: np.random.Generator) -> str:
    """Return two to five numbers and words, in random order; of a language without known words numbers alone."""
    items = [str(int(rng.integers(0, 10 ** int(rng.integers(1, 5))))) for _ in range(int(rng.integers(1, 3)))]
    for _ in range(int(rng.integers(1, 4))):
        items.append(str(rng.choice(known)) if known else str(int(rng.integers(0, 1000))))
    return ", ".join(items[int(index)] for index in rng.permutation(len(items)))
