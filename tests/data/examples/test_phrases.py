"""Clips, examples and synthetic corpora for several phrases: whose words are whose, and what is nobody's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.data.augment import AugmentConfig
from kws.data.examples.draw import ExampleConfig, draw_example
from kws.data.examples.pool import kind_of_several, read_pool
from kws.data.manifest import Clip, Word
from kws.data.phrases import phrase_words
from kws.data.synthesis import plan as plans
from kws.data.synthesis.config import SynthesisConfig
from kws.data.synthesis.corpus import synthesize
from kws.data.synthesis.voices.find import find_voices
from kws.errors import KwsError
from kws.recipe import DetectorSettings, Recipe

RATE = 16000
PHRASES = ("hey marvin", "alexa")
ONLY_POSITIVES = ExampleConfig(
    cut_weight=0, near_weight=0, speech_weight=1e-9, noise_weight=0, before_share=0, after_share=0
)


def clip(path: Path, label: str, text: str = "", words: tuple[Word, ...] = ()) -> Clip:
    return Clip(str(path), "train", label, "ann", "made", "CC0", 1.0, text=text, words=words)


def tone(hz: float, seconds: float = 0.5) -> NDArray[np.int16]:
    return (5000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.int16)


@pytest.mark.parametrize(
    ("label", "text", "expected"),
    [
        ("hey_marvin", "hey marvin", ("positives", 0)),
        ("alexa", "", ("positives", 1)),
        ("alexa", "alexa, hey Marvin", ("", -1)),
        ("neg_phrase", "hey martin", ("near", -1)),
        ("neg_speech", "good morning alexa", ("", -1)),
        ("neg_speech", "good morning", ("speech", -1)),
        ("hey_alexa", "", ("", -1)),
        ("noise", "", ("noise", -1)),
        ("yes", "", ("speech", -1)),
    ],
)
def test_a_clip_is_one_phrases_or_no_ones(label: str, text: str, expected: tuple[str, int]) -> None:
    assert kind_of_several(clip(Path("a.wav"), label, text), PHRASES) == expected


def test_examples_say_whose_words_they_hold_and_draw_phrases_alike(tmp_path: Path) -> None:
    """One phrase has ten times the clips of the other; each comes equally often."""
    write_audio(tmp_path / "marvin.wav", np.concatenate([tone(1000), tone(2000)]))
    write_audio(tmp_path / "alexa.wav", tone(3000))
    write_audio(tmp_path / "speech.wav", tone(300))
    marvin = clip(tmp_path / "marvin.wav", "hey_marvin", "", (Word("hey", 0.0, 0.5), Word("marvin", 0.5, 1.0)))
    alexa = clip(tmp_path / "alexa.wav", "alexa", "", (Word("Alexa", 0.0, 0.5),))
    pool = read_pool([marvin, *[alexa] * 10, clip(tmp_path / "speech.wav", "neg_speech")], PHRASES, "train")
    assert [len(items) for items in pool.of_phrase] == [1, 10]
    counts = [0, 0]
    for seed in range(60):
        words = draw_example(pool, ONLY_POSITIVES, AugmentConfig(), np.random.default_rng(seed)).words
        phrases = {phrase for phrase, _, _, _ in words}
        assert len(phrases) == 1
        phrase = phrases.pop()
        assert [word for _, word, _, _ in words] == ([0, 1] if phrase == 0 else [0])
        counts[phrase] += 1
    assert min(counts) > 15


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 25), (0.5, 40, 80), (1.0, 120, 120)])
def test_recordings_have_a_share_of_their_own(tmp_path: Path, share: float, least: int, most: int) -> None:
    """One recording of the phrase among twenty made clips; without a share it is drawn as often as each of them."""
    write_audio(tmp_path / "recorded.wav", tone(1000, 0.8))
    write_audio(tmp_path / "made.wav", tone(1000, 0.3))
    write_audio(tmp_path / "speech.wav", tone(300))
    recorded = clip(tmp_path / "recorded.wav", "alexa", "", (Word("alexa", 0.0, 0.8),))
    made = clip(tmp_path / "made.wav", "alexa", "", (Word("alexa", 0.0, 0.3),))
    clips = [recorded, *[made] * 20, clip(tmp_path / "speech.wav", "neg_speech")]
    pool = read_pool(clips, "alexa", "train", {recorded.path})
    config = replace(ONLY_POSITIVES, recorded_share=share)
    drawn = [draw_example(pool, config, AugmentConfig.off(), np.random.default_rng(seed)) for seed in range(120)]
    lengths = [end_s - start_s for example in drawn for _, _, start_s, end_s in example.words]
    assert len(lengths) == 120
    assert least <= sum(length > 0.5 for length in lengths) <= most


@pytest.mark.parametrize("recorded", [set(), {"alexa.wav"}])
def test_without_recordings_or_made_clips_the_share_changes_nothing(tmp_path: Path, recorded: set[str]) -> None:
    write_audio(tmp_path / "alexa.wav", tone(1000))
    write_audio(tmp_path / "speech.wav", tone(300))
    alexa = clip(tmp_path / "alexa.wav", "alexa", "", (Word("alexa", 0.0, 0.5),))
    paths = {str(tmp_path / name) for name in recorded}
    pool = read_pool([alexa, clip(tmp_path / "speech.wav", "neg_speech")], "alexa", "train", paths)
    found = [
        [
            draw_example(pool, ExampleConfig(recorded_share=share), AugmentConfig(), np.random.default_rng(seed))
            for seed in range(10)
        ]
        for share in (0.0, 0.7)
    ]
    for plain, shared in zip(*found, strict=True):
        np.testing.assert_array_equal(plain.samples, shared.samples)


@pytest.mark.parametrize("phrase", ["speech", "word", "phrase", "neg"])
def test_a_phrase_may_be_a_word_of_the_labels(phrase: str) -> None:
    assert kind_of_several(clip(Path("a.wav"), "neg_speech", "good morning"), [phrase]) == ("speech", -1)
    assert kind_of_several(clip(Path("a.wav"), "neg_phrase", "hello"), [phrase]) == ("near", -1)
    assert kind_of_several(clip(Path("a.wav"), phrase), [phrase]) == ("positives", 0)


def test_a_phrase_without_a_clip_is_named(tmp_path: Path) -> None:
    clips = [clip(tmp_path / "a.wav", "alexa"), clip(tmp_path / "b.wav", "neg_speech")]
    with pytest.raises(KwsError, match="no train clip with label 'hey_marvin'"):
        read_pool(clips, PHRASES, "train")
    with pytest.raises(KwsError, match="other speech than the phrases"):
        read_pool([clip(tmp_path / "a.wav", "alexa"), clip(tmp_path / "b.wav", "hey_marvin")], PHRASES, "train")


def test_no_negative_holds_any_of_the_phrases() -> None:
    """Near phrases of "hey marvin" must not be "hey martin", where that is a phrase of its own."""
    config = SynthesisConfig(positives=30, negatives=100, near_phrases=24)
    phrases = ("hey marvin", "hey martin")
    jobs = plans.plan(config, phrases, find_voices(config), seed=1)
    counts = {label: sum(job.label == label for job in jobs) for label in {job.label for job in jobs}}
    assert counts["hey_marvin"] == counts["hey_martin"] == 30
    assert counts["neg_phrase"] + counts["neg_speech"] == 200
    alone = plans.plan(config, "hey marvin", find_voices(config), seed=1)
    assert any("hey martin" in job.text for job in alone if job.label == "neg_phrase"), "else this would show nothing"
    for job in jobs:
        words = " ".join(phrase_words(job.text.replace("[", " ").replace("]", " ")))
        assert (job.label in ("neg_phrase", "neg_speech")) == all(phrase not in words for phrase in phrases), job.text


def test_there_must_be_something_to_say(tmp_path: Path) -> None:
    with pytest.raises(KwsError, match="nothing to synthesize"):
        synthesize(SynthesisConfig(positives=0, negatives=0), PHRASES, tmp_path / "clips", seed=0)


def test_the_recipes_words_and_labels_fit_the_examples() -> None:
    """What a span (phrase, word) means to the model: ``word_labels``; what the detector hears: ``keywords``."""
    whole = Recipe(phrases=("hey marvin", "hey alexa"), detector=DetectorSettings(max_frames=100))
    words = replace(whole, label_unit="words")
    assert words.word_labels() == words.keywords() == ((1, 2), (1, 3))
    assert (whole.word_labels(), whole.keywords()) == (((1, 1), (2, 2)), ((1,), (2,)))
