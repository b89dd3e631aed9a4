"""Aligned speech made of tones: phone p of a speaker is p times 400 Hz, pauses are silent, every alignment is exact."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from kws.data.phones.inventory import Inventory
from kws.data.phones.speech import Aligned, AlignedSpeech, Utterance, segments
from kws.frontend import FrontendConfig, compute

FRAME, FIRST = 320, 40
MakeSpeech = Callable[..., AlignedSpeech]


def spoken(rng: np.random.Generator, speaker: str, sequence: Sequence[int]) -> Aligned:
    """Each phone lasts 3 to 8 phone frames of 20 ms; the speakers' overtones differ."""
    counts = rng.integers(3, 9, len(sequence))
    phones = np.repeat(np.array(sequence), counts)
    places = np.repeat(np.arange(len(sequence)), counts)
    samples = np.zeros(FIRST + len(phones) * FRAME + 400, np.float64)
    at = FIRST
    for phone, count in zip(sequence, counts, strict=True):
        turn = 2 * np.pi * 400.0 * phone * np.arange(count * FRAME) / 16000
        samples[at : at + count * FRAME] = 6000 * np.sin(turn) + 200 * len(speaker) * np.sin(3 * turn)
        at += count * FRAME
    sound = np.rint(samples).astype(np.int16)
    features = compute(sound, FrontendConfig())[: 2 * len(phones)]
    assert (len(features) + 1) // 2 == len(phones)
    source = Utterance(speaker, f"book of {speaker}", f"CC-{speaker}", sound, features, (tuple(sequence),))
    return Aligned(source, phones, segments(phones, places), 1.0)


@pytest.fixture(scope="session")
def make_speech() -> MakeSpeech:
    """Give what two speakers say: random sequences of phones 1 .. 5 between pauses, a pause in the middle."""

    def make(utterances: int = 24, seed: int = 0, phones: int = 5) -> AlignedSpeech:
        rng = np.random.default_rng(seed)
        made = []
        for number in range(utterances):
            sequence = [0, *rng.integers(1, phones + 1, 6), 0, *rng.integers(1, phones + 1, 6), 0]
            kept = [int(one) for one, _ in itertools.groupby(sequence)]
            made.append(spoken(rng, ("ann", "robert")[number % 2], kept))
        names = ("", *(f"p{number}" for number in range(1, phones + 1)))
        return AlignedSpeech(Inventory(names), FrontendConfig(), tuple(made))

    return make


@pytest.fixture(scope="session")
def speech(make_speech: MakeSpeech) -> AlignedSpeech:
    return make_speech()
