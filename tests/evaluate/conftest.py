"""A corpus of tones for the models of ``tests/conftest.py``, and curves made by hand: costs written, not measured."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.data import manifest
from kws.data.manifest import Clip
from kws.detector.decision import SCORE_ONE
from kws.evaluate.curve import Curve
from kws.streams.sweep import DetPoint, Measured

RATE = 16000
MakeCurve = Callable[..., Curve]


def tones(seconds: float, *bursts: tuple[float, float]) -> NDArray[np.int16]:
    """Soft noise with 0.4 s of a tone at each (start in seconds, hertz)."""
    sound = np.random.default_rng(5).standard_normal(round(seconds * RATE)) * 20
    for start_s, hz in bursts:
        first = round(start_s * RATE)
        sound[first : first + 6400] += 6000 * np.sin(2 * np.pi * hz * np.arange(6400) / RATE)
    return sound.round().astype(np.int16)


@pytest.fixture(scope="session")
def tone_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test split: four "beep" by two speakers (one is high by mistake), three "high chirp", speech with two of these,
    noise, a room; returns the manifest's path.
    """
    folder = tmp_path_factory.mktemp("tones")
    clips = []

    def add(name: str, label: str, speaker: str, samples: NDArray[np.int16], *times_s: float) -> None:
        write_audio(folder / name, samples)
        length_s = len(samples) / RATE
        clips.append(
            Clip(str(folder / name), "test", label, speaker, "made", "CC0", length_s, *times_s or (None, None))
        )

    for number, hz in enumerate((1000, 1000, 1000, 3000)):
        add(f"low{number}.wav", "beep", f"ann{number % 2}", tones(1.2, (0.4, hz)), 0.4, 0.8)
    for number in range(3):
        add(f"high{number}.wav", "high_chirp", "bob", tones(1.2, (0.4, 3000)), 0.4, 0.8)
    add("speech.wav", "neg_speech", "sue", tones(36.0, (20.0, 3000), (30.0, 3000)))
    add("fan.wav", "noise", "", tones(6.0))
    room = np.zeros(4000, np.int16)
    room[[100, 900, 2500]] = 20000, 6000, 3000
    add("room.wav", "rir", "", room)
    manifest.write(clips, folder / "manifest.csv")
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def make_curve() -> MakeCurve:
    """``make_curve(phrase, {speaker: words}, [(false accepts, {speaker: misses}), ...])``, by threshold ascending."""

    def make(
        phrase: str,
        said: Mapping[str, int],
        steps: Sequence[tuple[int, Mapping[str, int]]],
        hours: float = 2.0,
        shipped: int = 0,
        name: str = "m",
    ) -> Curve:
        speakers = tuple(sorted(said))
        words = tuple(said[one] for one in speakers)
        measured = []
        for number, (accepts, missed) in enumerate([*steps, (0, said)]):
            threshold = SCORE_ONE + 1 if number == len(steps) else 1000 * (number + 1)
            point = DetPoint(threshold, sum(missed.values()), sum(words), accepts, hours)
            measured.append(Measured(point, tuple(missed.get(one, 0) for one in speakers)))
        return Curve(name, phrase, speakers, words, tuple(measured), measured[shipped])

    return make
