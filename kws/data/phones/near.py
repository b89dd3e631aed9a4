"""What a phrase's phones are, and what is nearly the phrase and is not it: other words with a part of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kws.data.phones.inventory import SILENCE

LEAST_CHANGED = 2
PHONES_PER_CHANGE = 3
"""A near phrase differs by at least the larger of ``LEAST_CHANGED`` and one phone in ``PHONES_PER_CHANGE``: people with
another accent pronounce some phones otherwise and mean the phrase."""

KINDS, SHARES = zip(
    ("word", 0.35),  # an ordinary word alone
    ("beginning", 0.15),  # the phrase's, then another word
    ("end", 0.1),  # the phrase's, after another word
    ("around", 0.15),  # the phrase's beginning and end around another word
    ("within", 0.1),  # the phrase's middle in other words
    ("changed", 0.15),  # the phrase with some phones replaced
    strict=True,
)
"""What is nearly the phrase, and how much of it is of each kind."""

FEW = 4
"""Phones of another word that stand beside a part of the phrase, at most."""


@dataclass(frozen=True)
class Target:
    """A phrase and its pronunciations, as phone numbers; all are as likely."""

    phrase: str
    pronunciations: tuple[tuple[int, ...], ...]


def with_pauses(words: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """Return pronunciations of a phrase: one of three with pauses between its words, as many people say it alone.

    >>> with_pauses([[4, 5], [6]]), with_pauses([[4, 5]])
    (((4, 5, 6), (4, 5, 6), (4, 5, 0, 6)), ((4, 5), (4, 5), (4, 5)))
    """
    fluent = tuple(phone for word in words for phone in word)
    slow = tuple(phone for word in words for phone in (SILENCE, *word))[1:]
    return (fluent, fluent, slow)


def near(
    targets: Sequence[Target], others: Sequence[Sequence[int]], phones: int, rng: np.random.Generator
) -> tuple[int, ...] | None:
    """Return what is not the phrase: ordinary words, some with a part of the phrase before, after, around or in them.

    Every stretch of it differs by at least ``least_changed`` phones from every pronunciation of a phrase. None where
    chance gives no such thing: everything is too like a phrase of one phone.
    """
    targets = [target for target in targets if target.pronunciations]
    phrases = {_phones(way) for target in targets for way in target.pronunciations}
    for _ in range(100 if targets and others else 0):
        target = targets[int(rng.integers(len(targets)))]
        own = target.pronunciations[int(rng.integers(len(target.pronunciations)))]
        before, after = (others[int(rng.integers(len(others)))] for _ in range(2))
        made = _like(own, before, after, phones, rng)
        made = made[made[:1] == (SILENCE,) : len(made) - (made[-1:] == (SILENCE,))]
        if made and not any(holds(_phones(made), phrase) for phrase in phrases):
            return made
    return None


def _phones(phones: Sequence[int]) -> tuple[int, ...]:
    return tuple(phone for phone in phones if phone != SILENCE)


def _like(
    own: Sequence[int], before: Sequence[int], after: Sequence[int], phones: int, rng: np.random.Generator
) -> tuple[int, ...]:
    """Return the words ``before``, or a part of the phrase ``own`` beside other words, or it with phones changed."""
    # A model that fires at parts of the phrase alone would take "become of her" for "computer".
    cut = int(rng.integers(1, max(len(own) - 1, 2)))
    later = int(rng.integers(cut, len(own) + 1))
    match KINDS[int(np.searchsorted(np.cumsum(SHARES[:-1]), rng.random(), side="right"))]:
        case "word":
            return tuple(before)
        case "beginning":
            return (*own[:cut], *after[:FEW])
        case "end":
            return (*before[-FEW:], *own[cut:])
        case "around":
            return (*own[:cut], *after[: int(rng.integers(1, FEW + 1))], *own[later:])
        case "within":
            return (*before[-FEW:], *own[cut:later], *after[:FEW])
    changed = list(own)
    for place in rng.choice(len(own), least_changed(own), replace=False):
        changed[int(place)] = int(rng.integers(1, phones))
    return tuple(changed)


def least_changed(phrase: Sequence[int]) -> int:
    """Return how many phones of the phrase must be otherwise before it is another one.

    >>> [least_changed(range(count)) for count in (1, 2, 6, 7, 9, 10)]
    [1, 2, 2, 3, 3, 4]
    """
    return min(max(LEAST_CHANGED, -(-len(phrase) // PHONES_PER_CHANGE)), len(phrase))


def holds(phones: Sequence[int], phrase: Sequence[int]) -> bool:
    """Return whether some stretch of ``phones`` is the phrase but for fewer than ``least_changed`` phones.

    The edit distance of a stretch (Sellers, "The theory and computation of evolutionary distances", 1980).

    >>> holds((7, 1, 2, 4, 8), (1, 2, 3, 4)), holds((7, 1, 4, 8), (1, 2, 3, 4))
    (True, False)
    """
    row = [0] * (len(phones) + 1)
    for index, phone in enumerate(phrase, 1):
        before, row[0] = row[0], index
        for place, other in enumerate(phones, 1):
            best = min(before + (phone != other), row[place] + 1, row[place - 1] + 1)
            before, row[place] = row[place], best
    return min(row) < least_changed(phrase)
