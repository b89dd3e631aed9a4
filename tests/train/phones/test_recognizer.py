"""The recognizer learns phones from speech that has labels, and aligns speech that has only transcripts."""

import dataclasses
import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from kws.data.examples.pool import UNKNOWN_PHONE
from kws.data.phones.inventory import SILENCE, Inventory
from kws.data.phones.speech import Utterance
from kws.frontend import FrontendConfig
from kws.train.phones.recognizer import Effort, Labelled, Recognizer, _fit, align_speech, normalized

FRONTEND = FrontendConfig(bands=16)
PHONES = 6
INVENTORY = Inventory(("", *(f"p{number}" for number in range(1, PHONES))))
SMALL = Effort(channels=24, blocks=1, kernel=5, rounds=(50,), batch=6, crop_frames=100)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def say(rng: np.random.Generator, words: list[list[int]], level: float) -> Labelled:
    """A phone is a pattern over the bands, the same in all voices; these differ in level and colour."""
    patterns = np.random.default_rng(0).normal(0.0, 4.0, (PHONES, 16))
    patterns[SILENCE] -= 8.0
    sequence = [
        SILENCE,
        *(phone for word in words for phone in [*word, SILENCE][: len(word) + int(rng.random() < 0.5)]),
    ]
    sequence += [SILENCE] * (sequence[-1] != SILENCE)
    phones = np.repeat(sequence, rng.integers(3, 8, len(sequence)))
    x = (
        20.0
        + level
        + patterns[np.repeat(phones, 2)]
        + rng.normal(0.0, 0.5, (1, 16))
        + rng.normal(0, 1, (2 * len(phones), 16))
    )
    return Labelled(np.clip(x * 512.0, 0, 32767).astype(np.int16), phones)


def draw_words(rng: np.random.Generator) -> list[list[int]]:
    return [rng.integers(1, PHONES, int(rng.integers(1, 4))).tolist() for _ in range(4)]


@pytest.fixture(scope="module")
def spoken() -> tuple[list[Labelled], list[Utterance], list[np.ndarray]]:
    """Synthetic speech, recordings 3 octaves louder with the wrong transcript in every tenth, and what they say."""
    rng = np.random.default_rng(4)
    synthetic = [say(rng, draw_words(rng), 0.0) for _ in range(40)]
    utterances, truth = [], []
    for number in range(30):
        words = draw_words(rng)
        one = say(rng, words, 3.0)
        told = words if number % 10 else [[phone % 5 + 1 for phone in reversed(word)] for word in reversed(words)]
        samples = np.zeros(len(one.features) * 160 + 240, np.int16)
        utterances.append(
            Utterance("ann", "book", "CC0", samples, one.features, tuple(map(tuple, told)), text=str(number))
        )
        truth.append(one.phones)
    return synthetic, utterances, truth


Spoken = tuple[list[Labelled], list[Utterance], list[np.ndarray]]


def test_it_learns_and_its_alignment_is_right(spoken: Spoken, capsys: pytest.CaptureFixture[str]) -> None:
    synthetic, utterances, truth = spoken
    effort = dataclasses.replace(SMALL, rounds=(60, 40))
    speech, agreement = align_speech(utterances, synthetic, INVENTORY, FRONTEND, 0, effort)
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", capsys.readouterr().err)]
    assert losses[-1] < 0.6 * losses[0]
    assert agreement > 0.8
    kept = {int(one.utterance.text): one for one in speech.utterances}
    right = [(one.phones == truth[number]).mean() for number, one in kept.items() if number % 10]
    assert len(right) == 27
    assert np.mean(right) > 0.9
    assert not any(number % 10 == 0 for number in kept), "a wrong transcript was believed"
    for one in speech.utterances:
        assert one.segments[0].first == 0
        assert one.segments[-1].after == len(one.phones) == (len(one.utterance.features) + 1) // 2
        said = [segment.phone for segment in one.segments if segment.phone != SILENCE]
        assert said == [phone for word in one.utterance.words for phone in word]


def test_the_same_seed_gives_the_same_alignment(spoken: Spoken) -> None:
    synthetic, utterances, _ = spoken
    effort = dataclasses.replace(SMALL, rounds=(3, 2))
    one, other = (align_speech(utterances[:6], synthetic[:6], INVENTORY, FRONTEND, 5, effort)[0] for _ in range(2))
    assert [path.score for path in one.utterances] == [path.score for path in other.utterances]


def test_speech_that_cannot_hold_its_words_and_wordless_speech_is_left_out(spoken: Spoken) -> None:
    synthetic, utterances, _ = spoken
    few, silent = utterances[1], utterances[2]
    hurried = Utterance("ann", "book", "CC0", few.samples, few.features[:12], few.words, text="hurried")
    wordless = Utterance("ann", "book", "CC0", silent.samples, silent.features, (), text="wordless")
    speech, _ = align_speech([hurried, wordless, utterances[3]], synthetic, INVENTORY, FRONTEND, 0, SMALL)
    assert [one.utterance.text for one in speech.utterances] == ["3"]


def test_sounds_of_unknown_phones_are_not_learned_as_pauses() -> None:
    rng = np.random.default_rng(2)
    said = [say(rng, draw_words(rng), 0.0) for _ in range(24)]
    heard_pause = []
    for label in (UNKNOWN_PHONE, SILENCE):
        labels = [np.where(one.phones == 2, label, one.phones) for one in said]
        made = [(normalized(one.features), phones) for one, phones in zip(said, labels, strict=True)]
        model = Recognizer(16, PHONES, SMALL, torch.Generator().manual_seed(1))
        _fit(model, [], made, 60, SMALL, np.random.default_rng(3), lambda steps=1, note="": None)
        model.eval()
        with torch.no_grad():
            posteriors = [model(torch.from_numpy(x[None]))[0].softmax(-1).numpy() for x, _ in made]
        pauses = [one[part.phones == 2, SILENCE] for one, part in zip(posteriors, said, strict=True)]
        heard_pause.append(float(np.concatenate(pauses).mean()))
    assert heard_pause[0] < 0.5 * heard_pause[1]
