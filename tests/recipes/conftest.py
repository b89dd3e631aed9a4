"""Tiny trees for every recipe: synthetic clips, recordings, transcribed speech, Speech Commands."""

import csv
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from kws.audio import write_audio
from kws.data import manifest
from kws.data.corpora.build import build
from kws.data.corpora.registry import ADAPTERS
from kws.data.manifest import Clip, slug
from kws.data.synthesis.config import SynthesisConfig
from kws.data.synthesis.voices.find import find_voices
from kws.data.synthesis.voices.voice import Style
from kws.train.phones import align as phones
from kws.train.phones import recognizer
from kws.train.phones.recognizer import Effort

RATE = 16000
SAID = (
    "the computer stands on a table in the kitchen",
    "please open the window and close the door",
    "computers and computing became newer and better",
    "commuters compute what is later in the winter",
    "she sells many good things to young people",
    "turn the music down before you leave the house",
)
"""The first says "computer"; the others have its sounds."""

MakeClips = Callable[..., Path]


def write_noise(path: Path, seconds: float = 0.75) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(str(path).encode()))
    write_audio(path, rng.integers(-3000, 3000, round(seconds * RATE)).astype(np.int16))


@pytest.fixture
def clips() -> MakeClips:
    """Write noise bursts with these labels as a corpus, three of each in train and dev; return its manifest."""

    def make(folder: Path, labels: Sequence[str], source: str = "made", times: bool = True) -> Path:
        found = []
        for split in ("train", "dev"):
            for label in labels:
                for number in range(3):
                    path = folder / f"{split}_{label}_{number}.wav"
                    write_noise(path)
                    span = (0.1, 0.6) if times and not label.startswith("n") else (None, None)
                    found.append(Clip(str(path), split, label, f"{source} {split}", source, "CC0", 0.75, *span))
        manifest.write(found, folder / "manifest.csv")
        return folder / "manifest.csv"

    return make


@pytest.fixture
def transcribed(clips: MakeClips, monkeypatch: pytest.MonkeyPatch) -> MakeClips:
    """Write the same and spoken sentences with their transcripts; so few of them are enough in this test."""
    monkeypatch.setattr(phones, "LEAST_HOURS", 0.001)
    monkeypatch.setattr(phones, "EFFORT", Effort(channels=16, blocks=1, rounds=(4, 4)))
    monkeypatch.setattr(recognizer, "LEAST_SCORE", -1e9)  # it has learned next to nothing

    def make(folder: Path, labels: Sequence[str], source: str = "made") -> Path:
        path = clips(folder, labels, source)
        found, rows = manifest.read(path), []
        voices = find_voices(SynthesisConfig(backends=("espeak",)))
        for number, text in enumerate(SAID):
            spoken = voices[number].say(text, Style()).samples
            sound = folder / f"sentence_{number}.wav"
            write_audio(sound, spoken)
            seconds = len(spoken) / RATE
            split = "dev" if number == 1 else "train"
            found.append(Clip(str(sound), split, "neg_speech", f"reader {number}", source, "CC0", seconds))
            rows.append((sound.name, 0.0, seconds, number, text))
        manifest.write(found, path)
        with (folder / "utterances.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "start_s", "end_s", "utt", "transcript"), *rows])
        return path

    return make


@pytest.fixture
def speech_commands() -> MakeClips:
    """Write Speech Commands as it is unpacked, with these words, and let its adapter write the manifest."""

    def make(folder: Path, words: Sequence[str]) -> Path:
        lists: dict[str, list[str]] = {"validation_list.txt": [], "testing_list.txt": []}
        for word in words:
            for number, name in enumerate(("", "", *lists)):
                path = f"{slug(word)}/{number:08x}_nohash_0.wav"
                write_noise(folder / path)
                if name:
                    lists[name].append(path)
        for name, lines in lists.items():
            (folder / name).write_text("\n".join(lines) + "\n")
        write_noise(folder / "_background_noise_" / "pink.wav", 2.0)
        return build(ADAPTERS["speech_commands"], folder).manifest

    return make
