"""Thresholds as users give them, 0..1, to the Q15 confidences that the decision compares with: converted here alone."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kws.detector.config import SCORE_ONE
from kws.errors import KwsError


@dataclass(frozen=True)
class Thresholds:
    """Thresholds in place of a model's own: ``every`` phrase's, and those of some phrases, which come first.

    ``each`` holds (phrase, 0..1); a phrase is named as it was trained or as its label is written.
    """

    every: float | None = None
    each: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        """Raise ``KwsError`` for a number that is no threshold, and for a phrase that is named twice."""
        if self.every is not None:
            q15(self.every)
        seen = set()
        for phrase, confidence in self.each:
            if key(phrase) in seen:
                raise KwsError(f"threshold of {phrase!r} is given twice; give it once")
            seen.add(key(phrase))
            q15(confidence, f"threshold of {phrase!r}")

    @classmethod
    def of(cls, given: "float | Mapping[str, float] | Thresholds | None") -> "Thresholds":
        """Return what a caller gave: a number for all, some phrases' own, or None for the model's.

        >>> Thresholds.of({"computer": 0.5})
        Thresholds(every=None, each=(('computer', 0.5),))
        """
        if isinstance(given, Thresholds):
            return given
        if isinstance(given, Mapping):
            return cls(each=tuple(given.items()))
        return cls(given)

    def unknown(self, phrases: Sequence[str]) -> list[str]:
        """Return what ``each`` names that is none of ``phrases``."""
        known = {key(phrase) for phrase in phrases}
        return [phrase for phrase, _ in self.each if key(phrase) not in known]

    def check(self, phrases: Sequence[str]) -> None:
        """Raise ``KwsError`` unless every phrase that is named is one of ``phrases``."""
        if unknown := self.unknown(phrases):
            listed = ", ".join(map(repr, phrases))
            raise KwsError(f"threshold of {unknown[0]!r}: the model has no such phrase; it listens for {listed}")

    def over(self, phrases: Sequence[str], own: Sequence[int]) -> tuple[int, ...]:
        """Return each phrase's threshold in Q15, ``own`` where none was given; others that are named do not matter.

        >>> Thresholds(0.5, (("lights_on", 1.0),)).over(("computer", "lights on"), (9, 9))
        (16384, 32768)
        """
        each = {key(phrase): confidence for phrase, confidence in self.each}
        chosen = (each.get(key(phrase), self.every) for phrase in phrases)
        return tuple(level if given is None else q15(given) for given, level in zip(chosen, own, strict=True))


def levels_q15(
    phrases: Sequence[str], own: Sequence[int], given: float | Mapping[str, float] | Thresholds | None
) -> tuple[int, ...]:
    """Return the threshold of each of a model's phrases in Q15: what was given, or its ``own``.

    Raises:
        KwsError: a number is no threshold, or a phrase is named that the model does not have.
    """
    thresholds = Thresholds.of(given)
    thresholds.check(phrases)
    return thresholds.over(phrases, own)


def q15(confidence: Any, name: str = "threshold") -> int:
    """Return a confidence in Q15, rounded to nearest.

    Raises:
        KwsError: it is no number above 0 and up to 1; the sentence starts with ``name``.
    """
    if isinstance(confidence, bool) or not isinstance(confidence, int | float) or math.isnan(confidence):
        raise KwsError(f"{name} must be a number above 0 and up to 1, not {confidence!r}")
    level = round(confidence * SCORE_ONE) if 0 <= confidence <= 1 else -1
    if level == 0:
        raise KwsError(
            f"{name} must be above 0 (at least {1 / SCORE_ONE:.6f}), not {confidence!r}: no score is below 0, so it "
            "would fire once, in the first step, and never again"
        )
    if level < 0:
        raise KwsError(f"{name} must be above 0 and up to 1, not {confidence!r}")
    return level


def key(phrase: str) -> str:
    """Return what a phrase and its label have in common: letters and digits, whatever stands between them.

    >>> key("Hey, Marvin!"), key("hey_marvin")
    ('hey marvin', 'hey marvin')
    """
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", phrase).casefold())
    words = "".join(sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in plain).split()
    return " ".join(words) or plain
