"""Times that cannot be, refused: behind the clip's end, out of order, of a phrase that is not there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kws.data.letters import PHONEMES, contains
from kws.errors import KwsError

if TYPE_CHECKING:
    from kws.data.manifest import Clip
    from kws.data.transcripts import Utterance

TOLERANCE_S = 0.1
"""By which a time may lie behind the end: lengths are rounded, and who marks a word's end may mark it late."""

UTTERANCE_TOLERANCE_S = 1.0
"""Segments of long recordings are cut with room around them."""

WORDS_TOLERANCE_S = 0.5
"""Keyword times and word times come from different hands."""

LEAST_S = 0.05
"""A time in another unit that comes to less than this is not what was meant."""


def check_row(clip: "Clip", where: str) -> None:
    """Raise ``KwsError`` where times of a manifest's row contradict each other, its text, or its length if it has one.

    The phrase's own words are looked for in a text of letters alone: a number may be pronounced in many ways.
    """
    for before, word in zip(clip.words, clip.words[1:], strict=False):
        if word.start_s < before.start_s:
            raise KwsError(
                f"{where}: words: {word.text!r} starts at {word.start_s:g}, before {before.text!r} at "
                f"{before.start_s:g}; list them in order of their start"
            )
    if clip.duration_s > 0.0:
        check_sound(clip, clip.duration_s, where, f"duration_s is {clip.duration_s:g}")
    if clip.kw_start_s is None or clip.kw_end_s is None:
        return
    phrase = clip.label.removeprefix("sentence:").removeprefix("phrase_")
    letters = not PHONEMES.search(clip.text) and not any(sign.isdigit() for sign in clip.text + phrase)
    if clip.text and letters and not contains(clip.text, phrase):
        raise KwsError(
            f"{where}: kw_start_s and kw_end_s say where {phrase!r} is, but text is {clip.text!r}; correct one of them"
        )
    if clip.words:
        first_s, last_s = clip.words[0].start_s, max(word.end_s for word in clip.words)
        if clip.kw_start_s < first_s - WORDS_TOLERANCE_S or clip.kw_end_s > last_s + WORDS_TOLERANCE_S:
            raise KwsError(
                f"{where}: the phrase is at {clip.kw_start_s:g} to {clip.kw_end_s:g}, but words go from {first_s:g} to "
                f"{last_s:g}{_unit(clip.kw_end_s, last_s) or _unit(last_s, clip.kw_end_s)}; correct one of them"
            )


def check_sound(clip: "Clip", length_s: float, where: str = "", length: str = "") -> None:
    """Raise ``KwsError`` where a clip's times lie behind the end of its sound of ``length_s`` seconds."""
    where, length = where or clip.path, length or f"the sound is {length_s:.4g} s long"
    ends = [
        ("kw_end_s", clip.kw_end_s or 0.0),
        *((f"the end of word {word.text!r}", word.end_s) for word in clip.words),
    ]
    for name, end_s in ends:
        if end_s > length_s + TOLERANCE_S:
            raise KwsError(f"{where}: {name} is {end_s:g}, but {length}{_unit(end_s, length_s)}; correct the times")
    if clip.duration_s > 10.0 * length_s + 1.0:
        raise KwsError(
            f"{where}: duration_s is {clip.duration_s:g}, but {length}{_unit(clip.duration_s, length_s)}; correct it"
        )


def check_utterances(utterances: Sequence["Utterance"], length_s: float, where: str) -> None:
    """Raise ``KwsError`` where an utterance lies behind the end of its recording of ``length_s`` seconds."""
    for one in utterances:
        if one.start_s > length_s or one.end_s > length_s + UTTERANCE_TOLERANCE_S:
            raise KwsError(
                f"{where}: an utterance is at {one.start_s:g} to {one.end_s:g}, but its clip is {length_s:.4g} s long"
                f"{_unit(one.end_s, length_s)}; correct start_s and end_s"
            )


def _unit(value: float, length_s: float) -> str:
    """Return which unit the value may be in, as a question; "" where no usual one fits."""
    units = {"milliseconds": 1000.0, "samples": 16000.0, "microseconds": 1e6}
    fitting = (name for name, per_s in units.items() if LEAST_S <= value / per_s <= length_s + TOLERANCE_S)
    name = next(fitting, "") if value > length_s + TOLERANCE_S else ""
    return f" (are they {name}? they must be seconds)" if name else ""
