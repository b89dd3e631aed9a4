"""Whether a phrase is said in a text: one rule, and everybody who asks gets the same answer."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws.data.corpus import Corpus
from kws.data.examples.pool import read_pool
from kws.data.letters import contains, letter_runs, occurrences
from kws.data.manifest import Clip, Word, slug
from kws.data.phrases import clip_contains, label_contains, locate, phrase_spans, phrase_words, word_times
from kws.data.synthesis.text import negatives
from kws.data.transcripts import Utterance
from kws.recipe import Recipe
from kws.streams.conditions import Condition
from kws.streams.plan import plans
from kws.train.clips import pool_of
from kws.train.recipe_data import Domain, RecipeData

SAID = [
    ("the computer's fan", "computer"),
    ("the computer’s fan", "computer"),
    ("hey-marvin", "hey marvin"),
    ("hey_marvin", "hey marvin"),
    ("Hey, MARVIN!", "hey marvin"),
    ("the wi fi is down", "wi-fi"),
    ("the wi-fi is down", "wi fi"),
    ("the WiFi is down", "wi-fi"),
    ("I dont know", "don't"),
    ("мʼята", "м'ята"),
    ("all computer-generated", "computer"),
    ("a com\u00adputer", "computer"),
    ("caf\u0065\u0301 au lait", "caf\u00e9"),
    ("ｃｏｍｐｕｔｅｒ", "computer"),
    ("die Strasse", "Straße"),
    ("turn R2-D2 on", "R2D2"),
    ("channel ２", "channel 2"),
    ("你好小爱同学开灯", "小爱同学"),
    ("Alexa™ please", "alexa"),
    ("ask the A.I.", "AI"),
    ("now [[k@mpj'u:t3]] computer", "computer"),
]
NOT_SAID = [
    ("two computers", "computer"),
    ("a microcomputer", "computer"),
    ("smart black mirror", "smart mirror"),
    ("schon gut", "schön"),
    ("channel two", "channel 2"),
    ("one 12 three", "1 2"),
    ("[[computer]]", "computer"),
    ("hey [[ju:]] marvin", "hey marvin"),
    ("—", "computer"),
    ("", "computer"),
]
CASES = [(*case, True) for case in SAID] + [(*case, False) for case in NOT_SAID]


def clip(label: str, text: str = "", words: tuple[Word, ...] = (), path: str = "a.wav") -> Clip:
    return Clip(path, "train", label, "ann", "made", "CC0", 2.0, text=text, words=words)


def others(phrase: str) -> list[Clip]:
    """Return a positive, and speech that is never the phrase: without them there is no pool."""
    return [clip(slug(phrase), path="positive.wav"), clip("neg_speech", "zzz", path="other.wav")]


@pytest.mark.parametrize(("text", "phrase", "said"), CASES)
def test_everybody_gives_the_same_answer(text: str, phrase: str, said: bool) -> None:
    one = clip("neg_speech", text)
    assert contains(text, phrase) is said
    assert clip_contains(one, phrase) is said
    words = tuple(Word(word, index / 10, (index + 1) / 10) for index, word in enumerate(text.split()))
    assert clip_contains(clip("neg_speech", words=words), phrase) is said
    assert bool(phrase_spans(one, phrase, 2.0, {})) is said
    transcripts = {"a.wav": (Utterance(0.5, 1.5, text),)}
    assert phrase_spans(clip("neg_speech"), phrase, 2.0, transcripts) == ([(0.5, 1.5)] if said else [])

    used = {item.clip.path for item in read_pool([*others(phrase), one], phrase, "train").speech}
    assert ("a.wav" in used) is not said
    domain = Domain("d", (*others(phrase), clip("neg_speech")))
    data = RecipeData((domain,), (Corpus(Path("manifest.csv"), domain.clips, transcripts),))
    used = {item.clip.path for item in pool_of(Recipe(phrase), data, "train").speech}
    assert ("a.wav" in used) is not said


@pytest.mark.parametrize(("text", "phrase", "said"), [case for case in CASES if "[[" not in case[0]])
def test_a_label_that_says_the_phrase_is_no_negative(text: str, phrase: str, said: bool) -> None:
    label = "_".join(["x", *letter_runs(text)]) + "_y"
    assert label_contains(label, phrase) is said
    labels = {plan.label for plan in plans([clip(label)], Condition("train"), phrase)}
    assert (label in labels) is not said


@pytest.mark.parametrize(("text", "phrase"), [case for case in SAID if case[0].isascii() and "[[" not in case[0]])
def test_a_text_with_the_phrase_is_no_synthetic_negative(text: str, phrase: str) -> None:
    assert negatives.PhraseFilter(phrase, ["gmw/en-US"]).without_phrase([text, "good morning"]) == ["good morning"]


def test_labels_with_a_meaning_of_their_own_say_nothing() -> None:
    assert not label_contains("neg_speech", "speech")
    assert not label_contains("sentence:marvin", "sentence")
    assert label_contains("phrase_noise", "noise")
    assert label_contains("brown_noise", "noise")
    assert not label_contains("phrase_noise", "phrase")


def test_two_phrases_of_a_recipe_that_sound_alike_are_refused() -> None:
    for one, other in (("wi-fi", "wifi"), ("the computer's fan", "computer")):
        with pytest.raises(ValueError, match="would be detected in it; remove one"):
            Recipe(phrases=(one, other))


@pytest.mark.parametrize(
    ("words", "phrase", "expected"),
    [
        ("hey marvin", "hey marvin", [(0.0, 0.5), (0.5, 1.0)]),
        ("oh hey, Marvin's box", "hey marvin", [(0.5, 1.0), (1.0, 1.5)]),
        ("oh hey-marvin now", "hey marvin", [(0.5, 2 / 3), (2 / 3, 1.0)]),
        ("wi fi", "wi-fi", [(0.0, 1.0)]),
        ("the computer's fan", "computer", [(0.5, 1.0)]),
    ],
)
def test_where_its_words_stand(words: str, phrase: str, expected: list[tuple[float, float]]) -> None:
    """Training and evaluation find it in the same place, a half second each word."""
    timed = tuple(Word(word, index / 2, (index + 1) / 2) for index, word in enumerate(words.split()))
    one, silence = clip("sentence:x", words, timed), np.zeros(48000, np.int16)
    located = locate(one, phrase_words(phrase), silence)
    assert [(word.start_s, word.end_s) for word in located] == [pytest.approx(span, abs=1e-3) for span in expected]
    whole = (expected[0][0], expected[-1][1], False)
    assert word_times(one, silence, phrase) == pytest.approx(whole)


def test_of_two_places_the_one_that_the_manifest_means() -> None:
    timed = tuple(Word(word, float(index), index + 1.0) for index, word in enumerate(["computer", "ask", "computer"]))
    one = Clip("a.wav", "train", "computer", "", "", "", 3.0, 2.0, 3.0, words=timed)
    assert locate(one, ("computer",), np.zeros(48000, np.int16))[0].start_s == 2.0


LETTERS = st.text(st.characters(categories=("Ll", "Lu", "Nd")), min_size=1, max_size=6).filter(letter_runs)
WORDS = st.lists(LETTERS, max_size=3)
BETWEEN = st.sampled_from([" ", ", ", "-", "_", " — ", "! ", "’"])


@settings(deadline=None)
@given(WORDS, st.lists(LETTERS, min_size=1, max_size=3), WORDS, BETWEEN)
def test_a_phrase_anywhere_in_a_text_is_found(before: list[str], phrase: list[str], after: list[str], gap: str) -> None:
    text = gap.join([*before, *phrase, *after])
    assert contains(text, " ".join(phrase))
    assert contains(text.upper(), " ".join(phrase)) or text.upper().casefold() != text.casefold()
    assert any(
        first <= len(before) and len(before) + len(phrase) <= past
        for first, past in occurrences([*before, *phrase, *after], "-".join(phrase))
    )
