"""Negatives: near by sound, in any language, and never the phrase itself."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kws.data.letters import PHONEMES
from kws.data.synthesis.text import negatives, phonetics, sentences
from kws.data.synthesis.voices import espeak
from kws.errors import KwsError
from kws.recipe import Recipe

EN_US = "gmw/en-US"
EN_GB = "gmw/en"


def _sound(text: str, identifier: str = EN_US) -> phonetics.Segments:
    return phonetics.segments(espeak.phonemes([text], identifier)[0])


def _find(phrase: str, language: str = "en", identifier: str = EN_US, count: int = 120) -> negatives.Negatives:
    return negatives.find(phrase, language, [identifier], count, np.random.default_rng(0))


def test_near_phrases_and_parts_of_computer() -> None:
    found = _find("computer")
    assert {"commuter", "compute"} <= set(found.near)
    assert found.near[0] == "commuter"
    assert {"compute", "com", "puter", "commuter"} <= set(found.parts)
    assert any(text.startswith("[[") for text in found.near)
    assert found.order  # its syllables in other order
    assert len(found.near) == 120


def test_the_words_of_a_phrase_alone_and_in_other_order() -> None:
    found = _find("hey marvin")
    assert {"hey", "marvin"} <= set(found.parts)
    assert found.order == ("marvin hey",)
    assert "hey martin" in found.near


def test_a_german_phrase_needs_no_dictionary() -> None:
    german = espeak.accents("de")[0].identifier
    found = _find("Zauberspiegel", "de", german, 60)
    assert len(found.near) == 60
    target = _sound("Zauberspiegel", german)
    changed = [text for text in found.near if text.startswith("[[")]
    assert len(changed) >= 20
    costs = [phonetics.distance(target, _sound(text, german)) for text in changed]
    assert all(0.3 < cost < 2.5 for cost in costs)


def test_homophones_and_texts_that_hold_the_phrase_are_heard() -> None:
    phrase_filter = negatives.PhraseFilter("computer", [EN_US, EN_GB])
    said = ["computer", "Computers", "compute her", "the supercomputer broke", "my COMPUTER, please"]
    assert phrase_filter.without_phrase(said) == []
    unlike = ["commuter", "compute", "a cup of tea", "complete"]
    assert phrase_filter.without_phrase([*unlike, *unlike]) == unlike
    assert negatives.PhraseFilter("write", [EN_US]).without_phrase(["right", "turn right", "wrong"]) == ["wrong"]


PHRASES = st.lists(st.sampled_from(sentences.words("en")), min_size=1, max_size=3).map(" ".join)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(PHRASES)
@example("computer")
@example("hey hey")
@example("okay computer")
def test_the_phrase_is_in_no_negative(phrase: str) -> None:
    text = negatives.clean_phrase(phrase, EN_US) if len(_sound(phrase)) > 1 else "computer"
    found = _find(text, count=30)
    pattern = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)", re.IGNORECASE)
    target = _sound(text)
    every = [*found.near, *found.parts, *found.order]
    for negative, spoken in zip(every, espeak.phonemes(every, EN_US), strict=True):
        assert not pattern.search(PHONEMES.sub(" ", negative))
        assert phonetics.distance_within(target, phonetics.segments(spoken)) > 0.0
    held = [f"Well, {text}, now.", f"{text.upper()}!", "the river"]
    assert negatives.PhraseFilter(text, [EN_US]).without_phrase(held) in (["the river"], [])


@pytest.mark.parametrize("phrase", ["", "   ", "!!!", "\U0001f916\U0001f44d", "...", "-'-"])
def test_refuses_what_cannot_be_spoken(phrase: str) -> None:
    with pytest.raises(KwsError, match="no letter and no digit; give words"):
        negatives.clean_phrase(phrase, EN_US)


@pytest.mark.parametrize(
    ("phrase", "sentence"),
    [
        ("[[k@mpj'u:t3]]", "phonemes cannot be given yet; write it in letters"),
        ("A.I.", "its '.' would be dropped, which leaves 'A I'; write 'AI' for the letters"),
        ("A. I.", "write 'AI' for the letters"),
        ("node.js", "its '.' would be dropped, which leaves 'node js'; write it in words"),
        ("room 9:30", "its ':' would be dropped, which leaves 'room 9 30'"),
        ("hey -5", "its '-' would be dropped, which leaves 'hey 5'"),
        ("hey \U0001f916", "'\U0001f916' would be dropped; write it as a word, or leave it out"),
        ("AT&T", "'&' would be dropped"),
        ("C++", r"'\+' would be dropped"),
        ("don´t", "'´' would be dropped"),
    ],
)
def test_refuses_what_would_be_said_otherwise_than_it_is_written(phrase: str, sentence: str) -> None:
    with pytest.raises(KwsError, match=sentence):
        negatives.clean_phrase(phrase, EN_US)
    with pytest.raises(ValueError, match=sentence):
        Recipe(phrase)


@pytest.mark.parametrize(
    "phrase", ["Hey, Marvin!", "(okay) computer", "wi-fi", "hey...you", "don’t stop", "Dr. Who", "R2-D2"]
)
def test_punctuation_around_words_changes_nothing(phrase: str) -> None:
    assert negatives.clean_phrase(phrase, EN_US)
    assert Recipe(phrase).wake_phrases == (phrase,)


def test_refuses_what_is_too_long() -> None:
    with pytest.raises(KwsError, match="too long"):
        negatives.clean_phrase("one two three four five six seven", EN_US)
    with pytest.raises(KwsError, match="too long"):
        negatives.clean_phrase("a" * 65, EN_US)


def test_cleans_a_phrase_without_changing_its_words() -> None:
    assert negatives.clean_phrase("  Hey, (Marvin)! ", EN_US) == "Hey Marvin"


SEGMENTS = st.text("pbtdkgmnszfvlɹjwhiueoaəɪʊæɑɔ", max_size=8).map(tuple)


@given(SEGMENTS, SEGMENTS, SEGMENTS)
def test_distance_is_a_metric_up_to_the_triangle(
    one: phonetics.Segments, two: phonetics.Segments, three: phonetics.Segments
) -> None:
    assert phonetics.distance(one, one) == 0.0
    assert phonetics.distance(one, two) == pytest.approx(phonetics.distance(two, one))
    assert (phonetics.distance(one, two) == 0.0) == (one == two)
    assert phonetics.distance_within(one, (*two, *one, *three)) == 0.0
    assert phonetics.distance_within(one, two) <= phonetics.distance(one, two) + 1e-9


def test_costs_follow_articulation() -> None:
    cost = phonetics.substitution_cost
    assert cost("p", "b") < cost("p", "t") + 0.2 < cost("p", "s") + 0.2 < cost("p", "a")
    assert cost("i", "ɪ") < cost("i", "ɑ")


def test_sentences_are_many_different_and_seeded() -> None:
    made = sentences.ordinary("en", 900, np.random.default_rng(3))
    assert len(made) == len(set(made)) == 900
    assert made == sentences.ordinary("en", 900, np.random.default_rng(3))
    assert made != sentences.ordinary("en", 900, np.random.default_rng(4))
    assert len(sentences.texts("sentences", "en")) == 300
    other = sentences.ordinary("sw", 50, np.random.default_rng(0), own=["Habari ya asubuhi"])
    assert other[0] == "Habari ya asubuhi"
    assert len(other) == 50
    assert sentences.commands("de")
    assert sentences.openers("sw")


def test_own_sentences_must_be_readable(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.txt").write_text("One.\n\n Two.\n", encoding="utf-8")
    assert sentences.read_own(str(folder / "own.txt")) == ["One.", "Two."]
    with pytest.raises(KwsError, match="sentences_path"):
        sentences.read_own(str(folder / "missing.txt"))


def test_a_phrase_that_would_be_spelled_needs_its_own_language() -> None:
    for phrase, language in (
        ("привет", "ru"),
        ("你好", "cmn"),
        ("مرحبا", "ar"),
        ("γειά σου", "el"),
        ("こんにちは", "ja"),
    ):
        with pytest.raises(KwsError, match="letter by letter"):
            negatives.clean_phrase(phrase, EN_US)
        assert negatives.clean_phrase(phrase, espeak.accents(language)[0].identifier) == phrase
    for phrase in ("TV an", "R2D2", "42", "hej världen", "XKCD"):
        assert negatives.clean_phrase(phrase, EN_US) == phrase


@pytest.mark.parametrize("phrase", ["computer", "hey marvin"])
def test_made_up_words_are_not_the_phrase_in_another_accent(phrase: str) -> None:
    """A "keemputer" that must not fire would teach the detector to miss people."""
    target = negatives.segments(espeak.phonemes([phrase], "en-us")[0])
    found = negatives.find(phrase, "en", ["en-us"], 120, np.random.default_rng(0)).near
    made_up = [text for text in found if text.startswith("[[")]
    assert len(made_up) >= 30
    heard = espeak.phonemes(made_up, "en-us")
    assert min(phonetics.distance(target, negatives.segments(sound)) for sound in heard) >= 1.0
