"""Convert thresholds as users give them, 0..1, to the Q15 confidences that the decision uses; done only here."""

import math
import numbers
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kws.detector.config import SCORE_ONE
from kws.errors import KwsError


@dataclass(frozen=True)
class Thresholds:
    """Thresholds that replace a model's own: ``every`` phrase's, and those of some phrases, which take precedence.

    ``each`` holds (phrase, 0..1); a phrase is named as in the model, or by its label.
    """

    every: float | None = None
    each: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        """Raise ``KwsError`` for a number out of range, and for a phrase that is named twice."""
        if self.every is not None:
            q15(self.every)
        seen = set()
        for phrase, confidence in self.each:
            if not isinstance(phrase, str):
                raise KwsError(f"threshold of {phrase!r}: a phrase is given as text")
            if key(phrase) in seen:
                raise KwsError(f"threshold of {phrase!r} is given twice; give it once")
            seen.add(key(phrase))
            q15(confidence, f"threshold of {phrase!r}")

    @classmethod
    def of(cls, given: "float | Mapping[str, float] | Thresholds | None") -> "Thresholds":
        """Return a caller's thresholds: a number for all phrases, numbers for some, or None for the model's own.

        >>> Thresholds.of({"computer": 0.5})
        Thresholds(every=None, each=(('computer', 0.5),))
        """
        if isinstance(given, Thresholds):
            return given
        if isinstance(given, Mapping):
            return cls(each=tuple(given.items()))
        return cls(given)

    def unknown(self, phrases: Sequence[str]) -> list[str]:
        """Return the names in ``each`` that are not among ``phrases``."""
        known = {key(phrase) for phrase in phrases}
        return [phrase for phrase, _ in self.each if key(phrase) not in known]

    def check(self, phrases: Sequence[str]) -> None:
        """Raise ``KwsError`` unless every phrase that is named is one of ``phrases``."""
        if unknown := self.unknown(phrases):
            listed = ", ".join(map(repr, phrases))
            raise KwsError(f"threshold of {unknown[0]!r}: the model has no such phrase; its phrases are {listed}")

    def over(self, phrases: Sequence[str], own: Sequence[int]) -> tuple[int, ...]:
        """Return each phrase's threshold in Q15, ``own`` where none was given; names of other phrases are ignored.

        >>> Thresholds(0.5, (("lights_on", 1.0),)).over(("computer", "lights on"), (9, 9))
        (16384, 32768)
        """
        each = {key(phrase): confidence for phrase, confidence in self.each}
        chosen = (each.get(key(phrase), self.every) for phrase in phrases)
        return tuple(level if given is None else q15(given) for given, level in zip(chosen, own, strict=True))


def levels_q15(
    phrases: Sequence[str], own: Sequence[int], given: float | Mapping[str, float] | Thresholds | None
) -> tuple[int, ...]:
    """Return the threshold of each of a model's phrases in Q15: the given one, or its ``own``.

    Raises:
        KwsError: a number is out of range, or the model does not have a phrase that is named.
    """
    thresholds = Thresholds.of(given)
    thresholds.check(phrases)
    return thresholds.over(phrases, own)


def q15(confidence: Any, name: str = "threshold") -> int:
    """Return a confidence in Q15, rounded to nearest.

    Raises:
        KwsError: it is not a number above 0 and up to 1; the message starts with ``name``.
    """
    if isinstance(confidence, bool) or not isinstance(confidence, numbers.Real):
        raise KwsError(f"{name} must be a number above 0 and up to 1, not {confidence!r}")
    confidence = float(confidence)
    if math.isnan(confidence):
        raise KwsError(f"{name} must be a number above 0 and up to 1, not nan")
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
    """Return the form that a phrase and its label share: letters and digits, with any separator as a space.

    >>> key("Hey, Marvin!"), key("hey_marvin")
    ('hey marvin', 'hey marvin')
    """
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", phrase).casefold())
    words = "".join(sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in plain).split()
    # Labels such as "noise" mean something else, so a phrase "noise" has the label "phrase_noise".
    return " ".join(words[1:] if len(words) > 1 and words[0] == "phrase" else words) or plain
