"""A phrase and its words: how they are compared and labelled, and where they are said in a clip."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kws.audio import Samples
from kws.data.manifest import Clip, Word, slug
from kws.data.sounds import endpoints
from kws.data.transcripts import Transcripts
from kws.errors import KwsError


def speakable(text: str) -> str:
    """Return the text with only what is spoken as written: letters, digits, apostrophes and hyphens in words.

    Emoji, brackets and other signs, which a synthesizer would read out by name, become spaces.

    >>> speakable("  Hey,  \U0001f916 Marvin!! (please)"), speakable("!!!")
    ('Hey Marvin please', '')
    """
    plain = unicodedata.normalize("NFC", text).replace("’", "'")
    kept = (sign if unicodedata.category(sign)[0] in "LMN" or sign in "'-" else " " for sign in plain)
    words = (word.strip("'-") for word in "".join(kept).split())
    return " ".join(word for word in words if word)


def split_words(text: str) -> list[str]:
    """Return the words of a text without the punctuation around them; phonemes stay one word.

    >>> split_words("Computer, don't wait!"), split_words("oh [[k@m|p@]], stop")
    (['Computer', "don't", 'wait'], ['oh', '[[k@m|p@]]', 'stop'])
    """
    words = (_bare(token) for token in text.split())
    return [word for word in words if word]


def _bare(token: str) -> str:
    if token.startswith("[["):
        return token[: token.find("]]") + 2]
    return re.sub(r"^[\W_]+|[\W_]+$", "", token)


def phrase_words(phrase: str) -> tuple[str, ...]:
    """Return the phrase's words as they are compared and labelled: lower case, without punctuation around them.

    >>> phrase_words("Hey, Marvin!")
    ('hey', 'marvin')
    """
    words = tuple(word.casefold() for word in split_words(speakable(phrase)))
    if not words:
        raise KwsError(f"phrase {phrase!r}: it has no letter and no digit; give a phrase that can be spoken")
    return words


def positive_labels(phrase: str) -> tuple[str, str]:
    """Return the labels that hold the phrase: alone, and inside a sentence."""
    return slug(phrase), "sentence:" + slug(phrase)


def find(spoken: Sequence[str], words: Sequence[str]) -> int | None:
    """Return where ``words`` stand one after the other in ``spoken``, or None.

    >>> find(["oh", "hey", "marvin"], ["hey", "marvin"])
    1
    """
    for begin in range(len(spoken) - len(words) + 1):
        if list(spoken[begin : begin + len(words)]) == list(words):
            return begin
    return None


def contains(text: str, phrase: str) -> bool:
    """Whether the phrase's words stand in ``text`` one after the other.

    >>> contains("hey_computer", "computer"), contains("computers", "computer")
    (True, False)
    """
    return f" {_plain(phrase)} " in f" {_plain(text)} "


def _plain(text: str) -> str:
    """Return the words as ``slug`` writes them, a space between two; any text will do."""
    return " ".join(slug(f"x {text}").split("_")[1:])


def word_times(clip: Clip, samples: NDArray[np.int16], phrase: str) -> tuple[float, float, bool]:
    """Return the phrase's start and end in its clip in seconds, and whether they are estimates.

    In this order: the manifest's keyword times; its word times; for the phrase alone, ``endpoints.estimate``.

    Raises:
        KwsError: the phrase stands in a sentence and the manifest does not say where.
    """
    if clip.kw_start_s is not None and clip.kw_end_s is not None:
        return clip.kw_start_s, clip.kw_end_s, False
    for first in range(len(clip.words)):
        for after in range(first + 1, len(clip.words) + 1):
            if _plain(" ".join(word.text for word in clip.words[first:after])) == _plain(phrase):
                return clip.words[first].start_s, clip.words[after - 1].end_s, False
    if clip.label != slug(phrase):
        raise KwsError(
            f"{clip.path}: holds {phrase!r} inside a sentence, but the manifest gives no kw_start_s and kw_end_s; "
            "add them or remove the clip"
        )
    return *endpoints.estimate(samples), True


def locate(clip: Clip, words: Sequence[str], samples: Samples) -> tuple[Word, ...]:
    """Return the phrase's words with their times in a positive clip.

    The best that is known: the clip's word times; else its keyword times; else what energy tells (``endpoints``). A
    span without word times is shared out by the words' letters.
    """
    begin = find([word.text.casefold() for word in clip.words], words)
    if begin is not None:
        return clip.words[begin : begin + len(words)]
    if clip.kw_start_s is not None and clip.kw_end_s is not None:
        start_s, end_s = clip.kw_start_s, clip.kw_end_s
    else:
        start_s, end_s = endpoints.estimate(samples)
    edges = start_s + (end_s - start_s) * np.cumsum([0, *map(len, words)]) / sum(map(len, words))
    return tuple(Word(word, float(edges[i]), float(edges[i + 1])) for i, word in enumerate(words))


def said(clip: Clip, phrase: str, length_s: float, transcripts: Transcripts) -> list[tuple[float, float]]:
    """Return the stretches of a negative clip in which, by its transcript, the phrase itself is said: seconds in it."""
    utterances = transcripts.get(clip.path, ())
    if not utterances:
        return [(0.0, length_s)] if contains(clip.text, phrase) else []
    return [(one.start_s, min(one.end_s, length_s)) for one in utterances if contains(one.transcript, phrase)]
