"""A phrase and its words: how they are labelled, whether a clip contains them, and where (``letters`` compares)."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from kws.audio import SAMPLE_RATE_HZ, Samples
from kws.data import times
from kws.data.letters import contains, occurrences
from kws.data.manifest import RESERVED, Clip, Word, slug
from kws.data.sounds import endpoints
from kws.data.transcripts import Transcripts, Utterance
from kws.errors import KwsError


def speakable(text: str) -> str:
    """Return the text with only what is pronounced as written: letters, digits, apostrophes and hyphens in words.

    Emoji, brackets and other signs, which a synthesizer would read out by name, become spaces.

    >>> speakable("  Hey,  \U0001f916 Marvin!! (please)"), speakable("!!!")
    ('Hey Marvin please', '')
    """
    plain = unicodedata.normalize("NFC", text).replace("’", "'")
    kept = (sign if unicodedata.category(sign)[0] in "LMN" or sign in "'-" else " " for sign in plain)
    words = (word.strip("'-") for word in "".join(kept).split())
    return " ".join(word for word in words if word)


def check_written(phrase: str) -> None:
    """Refuse a phrase of which something would be pronounced otherwise than written, or dropped, unnoticed.

    Punctuation around words changes nothing; signs that are read out, and dots and the like inside of words, do.

    Raises:
        KwsError: it has phonemes, symbols (emoji, "&", "+"), or is written like "A.I." or "3.5".

    >>> check_written("Hey, Marvin!"), check_written("Wi-Fi")
    (None, None)
    """
    if "[[" in phrase or "]]" in phrase:
        raise KwsError(f"phrase {phrase!r}: phonemes cannot be given yet; write it in letters, as it sounds")
    if sign := lost_sign(phrase):
        raise KwsError(f"phrase {phrase!r}: {sign!r} would be dropped; write it as a word, or leave it out")
    if match := _READ_DIFFERENTLY.search(phrase):
        rest = speakable(phrase)
        letters = all(len(word) == 1 and word.isalpha() for word in rest.split())
        remedy = f"write {rest.replace(' ', '')!r} for the letters" if letters else "write it in words"
        raise KwsError(f"phrase {phrase!r}: its {match[0][-1]!r} would be dropped, which leaves {rest!r}; {remedy}")


def lost_sign(text: str) -> str:
    """Return the first sign of a text that people would pronounce and synthesizers and labels drop, or "".

    >>> lost_sign("AT&T"), lost_sign("Wi-Fi, please!")
    ('&', '')
    """
    return next((sign for sign in text if sign in _READ_OUT or unicodedata.category(sign)[0] == "S"), "")


_READ_OUT = frozenset("&@#%*/\\§†‡‰¶")
_READ_DIFFERENTLY = re.compile(
    r"""
    (?<=\w)[.·](?=\w)        # A.I., node.js, 3.5
    | (?<=\d)[,:](?=\d)      # 9:30
    | (?<![\w'’-])-(?=\d)    # -5
    | (?<![^\W_])[^\W\d_]\.(?=\s+\w)  # A. I.
    """,
    re.VERBOSE,
)


def split_words(text: str) -> list[str]:
    """Return the words of a text without the punctuation around them; phonemes stay one word.

    >>> split_words("Computer, don't wait!"), split_words("oh [[k@m|p@]], stop")
    (['Computer', "don't", 'wait'], ['oh', '[[k@m|p@]]', 'stop'])
    """
    words = (_bare(token) for token in text.split())
    return [word for word in words if word]


def _bare(token: str) -> str:
    if token.startswith("[[") and "]]" in token:
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


def label_contains(label: str, phrase: str) -> bool:
    """Whether a label contains the phrase, alone or beside other words; reserved labels contain none.

    >>> label_contains("sentence:hey_computer", "computer"), label_contains("neg_speech", "speech")
    (True, False)
    """
    if label in positive_labels(phrase):
        return True
    words = label.removeprefix("sentence:")
    if words.removeprefix("phrase_") in RESERVED:  # slug's way out: "phrase_noise" is the phrase "noise"
        words = "" if words in RESERVED else words.removeprefix("phrase_")
    return contains(words, phrase)


def clip_contains(clip: Clip, phrase: str) -> bool:
    """Whether a clip contains the phrase, by its label, its text or its words."""
    return (
        label_contains(clip.label, phrase)
        or contains(clip.text, phrase)
        or bool(clip.words and occurrences([word.text for word in clip.words], phrase))
    )


def transcript_contains(utterances: Iterable[Utterance], phrase: str) -> bool:
    """Whether one of a recording's utterances contains the phrase."""
    return any(contains(one.transcript, phrase) for one in utterances)


def word_times(clip: Clip, samples: NDArray[np.int16], phrase: str) -> tuple[float, float, bool]:
    """Return the phrase's start and end in its clip in seconds, and whether they are estimates.

    In this order: the manifest's keyword times; its word times; for the phrase alone, ``endpoints.estimate``.

    Raises:
        KwsError: the phrase stands in a sentence and the manifest does not say where, or its times lie behind the end
            of the sound.
    """
    times.check_sound(clip, len(samples) / SAMPLE_RATE_HZ)
    if clip.kw_start_s is not None and clip.kw_end_s is not None:
        return clip.kw_start_s, clip.kw_end_s, False
    places = occurrences([word.text for word in clip.words], phrase)
    if places:
        first, after = places[0]
        return clip.words[first].start_s, clip.words[after - 1].end_s, False
    if clip.label != slug(phrase):
        raise KwsError(
            f"{clip.path}: holds {phrase!r} inside a sentence, but the manifest gives no kw_start_s and kw_end_s; "
            "add them or remove the clip"
        )
    return *endpoints.estimate(samples), True


def locate(clip: Clip, words: Sequence[str], samples: Samples) -> tuple[Word, ...]:
    """Return the phrase's words with their times in a positive clip.

    The best that is known: the clip's word times (of several places the one nearest to its keyword times); else its
    keyword times; else what energy gives (``endpoints``). A span without a time for each word is shared out by the
    words' letters.

    Raises:
        KwsError: the manifest's times lie behind the end of the sound.
    """
    times.check_sound(clip, len(samples) / SAMPLE_RATE_HZ)
    places = occurrences([word.text for word in clip.words], " ".join(words))
    if places:
        begin_s = clip.kw_start_s or 0.0
        first, after = min(places, key=lambda place: abs(clip.words[place[0]].start_s - begin_s))
        if after - first == len(words):
            return clip.words[first:after]
        start_s, end_s = clip.words[first].start_s, clip.words[after - 1].end_s
    elif clip.kw_start_s is not None and clip.kw_end_s is not None:
        start_s, end_s = clip.kw_start_s, clip.kw_end_s
    else:
        start_s, end_s = endpoints.estimate(samples)
    edges = start_s + (end_s - start_s) * np.cumsum([0, *map(len, words)]) / sum(map(len, words))
    return tuple(Word(word, float(edges[i]), float(edges[i + 1])) for i, word in enumerate(words))


def phrase_spans(clip: Clip, phrase: str, length_s: float, transcripts: Transcripts) -> list[tuple[float, float]]:
    """Return the stretches of a negative clip that contain the phrase itself: seconds in it.

    By its transcript, the utterances that hold it; by the manifest's row alone, all of the clip.

    Raises:
        KwsError: an utterance, or the manifest's times, lie behind the end of the sound of ``length_s`` seconds.
    """
    times.check_sound(clip, length_s)
    times.check_utterances(transcripts.get(clip.path, ()), length_s, clip.path)
    utterances = [one for one in transcripts.get(clip.path, ()) if contains(one.transcript, phrase)]
    if not utterances and clip_contains(clip, phrase):
        return [(0.0, length_s)]
    return [(one.start_s, min(one.end_s, length_s)) for one in utterances]
