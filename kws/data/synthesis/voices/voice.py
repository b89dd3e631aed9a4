"""What every speech synthesizer gives: a voice that says a text in a style, with the time of every word."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kws.data.manifest import Word

SAMPLE_RATE_HZ = 16000

Emphasis = Literal["plain", "exclaim", "question", "pause", "strong", "moderate", "reduced"]
EMPHASES: tuple[Emphasis, ...] = ("plain", "exclaim", "question", "pause", "strong", "moderate", "reduced")


@dataclass(frozen=True)
class Style:
    """How a text is pronounced. Pitch and pitch range are percent of espeak-ng's scale; 50 is the voice's own."""

    rate_wpm: float = 175.0
    pitch_percent: float = 50.0
    pitch_range_percent: float = 50.0
    word_gap_ms: float = 0.0
    emphasis: Emphasis = "plain"


@dataclass(frozen=True, eq=False)
class Utterance:
    """Speech: int16 [n] at 16 kHz, and its words in order, seconds from the first sample."""

    samples: NDArray[np.int16]
    words: tuple[Word, ...]


@runtime_checkable
class Voice(Protocol):
    """One speaker. A voice is small and picklable, so that worker processes can use it."""

    @property
    def name(self) -> str:
        """The synthesizer: "espeak", "flite", "festival", "piper" or "command"."""

    @property
    def speaker(self) -> str:
        """Identifies the speaker in the manifest; two voices of one person share it."""

    @property
    def language(self) -> str:
        """A language code such as "en-us"."""

    @property
    def source(self) -> str:
        """What the manifest names as source."""

    @property
    def licence(self) -> str:
        """The terms of the voice's sound."""

    @property
    def speaks_phonemes(self) -> bool:
        """Whether a text may be phonemes in espeak-ng's notation: ``[[k@mpj'u:t3]]``."""

    def say(self, text: str, style: Style) -> Utterance:
        """Say ``text``; ``KwsError`` when the synthesizer fails or gives no sound."""


def has_phonemes(text: str) -> bool:
    """Whether the text holds phonemes in espeak-ng's notation."""
    return "[[" in text


def punctuated(text: str, emphasis: Emphasis) -> str:
    """Return the text with the sign at its end that asks for this intonation."""
    return text.rstrip(".,!?") + {"exclaim": "!", "question": "?", "pause": ","}.get(emphasis, ".")
