"""Two phrases that share a word are learned in one model, and each is told from the other."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.data import manifest
from kws.data.manifest import Clip, Word
from kws.detector.pipeline import Pipeline, scores
from kws.recipe import Recipe
from kws.train.recipe_data import read_data
from kws.train.run import train

pytestmark = pytest.mark.train

RATE = 16000
TONES_HZ = {"hey": 500.0, "marvin": 1200.0, "alexa": 3500.0}
PHRASES = ("hey marvin", "hey alexa")


def spoken(phrase: str, rng: np.random.Generator) -> tuple[NDArray[np.int16], tuple[Word, ...]]:
    """A tone for each word; of no phrase: tones of other pitches."""
    hertz = [TONES_HZ[word] for word in phrase.split()] or [float(one) for one in rng.choice((800, 2000, 5500), 3)]
    parts = [np.zeros(RATE // 10)]
    for one in hertz:
        parts.append(6000.0 * np.sin(2 * np.pi * one * rng.uniform(0.95, 1.05) * np.arange(RATE // 4) / RATE))
    words = tuple(Word(word, 0.1 + 0.25 * i, 0.35 + 0.25 * i) for i, word in enumerate(phrase.split()))
    return np.concatenate([*parts, np.zeros(RATE // 10)]).astype(np.int16), words


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phrases")
    rng, clips = np.random.default_rng(0), []
    kinds = {"hey_marvin": PHRASES[0], "hey_alexa": PHRASES[1], "neg_speech": ""}
    for split, count in (("train", 12), ("dev", 6)):
        for label, phrase in kinds.items():
            for number in range(count):
                samples, words = spoken(phrase, rng)
                path = folder / f"{split}_{label}_{number}.wav"
                write_audio(path, samples)
                seconds = len(samples) / RATE
                clips.append(Clip(str(path), split, label, f"{split} ann", "tones", "CC0", seconds, words=words))
    manifest.write(clips, folder / "manifest.csv")
    return folder / "manifest.csv"


@pytest.mark.parametrize("label_unit", ["words", "phrase"])
def test_each_phrase_is_told_from_the_other(
    tiny: Recipe, clips: Path, tmp_path: Path, label_unit: Literal["words", "phrase"]
) -> None:
    quick = dataclasses.replace(tiny.train, steps=100, trials=1)
    recipe = dataclasses.replace(tiny, phrase="", phrases=PHRASES, label_unit=label_unit, train=quick)
    model = train(recipe, read_data(recipe, [clips]), tmp_path / "run")
    rng, gap = np.random.default_rng(9), np.zeros(RATE, np.int16)
    for index, phrase in enumerate(PHRASES):
        heard = [np.concatenate([gap, spoken(phrase, rng)[0], gap]) for _ in range(6)]
        peaks = np.median([scores(model, samples).max(axis=0) for samples in heard], axis=0)
        assert peaks[index] > 1.5 * peaks[1 - index], (phrase, peaks)
        found = {one.phrase for samples in heard for one in Pipeline(model, threshold=int(peaks.mean())).push(samples)}
        assert found == {phrase}
