"""What is synthesized: how many clips, by which voices, how fast, how high."""

import math
from dataclasses import dataclass

from kws.config import check_range

BACKENDS = ("espeak", "flite", "festival", "piper", "command")
"""Names of the speech synthesizers; "auto" stands for every one that is installed."""


@dataclass(frozen=True)
class SynthesisConfig:
    """Positives (the phrase, alone and in running speech) and negatives, spread over many voices.

    Where there are several phrases, the counts are for each; with both counts 0 nothing is synthesized.

    ``backends``, ``accents`` and ``variants`` take names or the single word "auto". An accent is a voice of
    espeak-ng for ``language`` ("en-us", "en-gb-scotland"; see ``kws synth --list-voices``), a variant a speaker
    ("Alex", "f3"). Pitch and pitch range are in percent of espeak-ng's scale, 50 being the voice's own.
    The shares of the negatives are relative weights; what a phrase cannot fill goes to sentences.

    Raises:
        ValueError: a value is outside its bounds; the sentence starts with the field's name.

    >>> SynthesisConfig(positives=100, negatives=200).dev_share
    0.1
    >>> SynthesisConfig(rate_wpm_min=20)
    Traceback (most recent call last):
    ValueError: rate_wpm_min must be 80 to 450 and at most rate_wpm_max
    """

    language: str = "en"
    backends: tuple[str, ...] = ("auto",)
    accents: tuple[str, ...] = ("auto",)
    variants: tuple[str, ...] = ("auto",)
    positives: int = 3000
    negatives: int = 6000
    dev_share: float = 0.1
    test_share: float = 0.1
    # Of the positives: how many stand in running speech ("computer, turn on the light").
    carrier_share: float = 0.3
    # Of the negatives: near phrases, parts of the phrase, its words in other order, ordinary sentences.
    near_weight: float = 0.35
    part_weight: float = 0.15
    order_weight: float = 0.1
    sentence_weight: float = 0.4
    near_phrases: int = 120
    # Of the clips: how many come from the backends other than espeak-ng, where any are installed.
    other_backends_share: float = 0.3
    rate_wpm_min: float = 110.0
    rate_wpm_max: float = 240.0
    pitch_percent_min: float = 15.0
    pitch_percent_max: float = 85.0
    pitch_range_percent_min: float = 20.0
    pitch_range_percent_max: float = 80.0
    word_gap_ms_max: float = 60.0
    emphasis_share: float = 0.4
    margin_ms_min: float = 100.0
    margin_ms_max: float = 400.0
    peak_dbfs_min: float = -20.0
    peak_dbfs_max: float = -3.0
    # A file of sentences of the user's own, one a line, UTF-8; they join the built-in ones.
    sentences_path: str = ""
    piper_models: tuple[str, ...] = ()
    # A synthesizer of the user's own: a program that writes {output} (WAV) from {text}, once per speaker.
    command: str = ""
    command_speakers: tuple[str, ...] = ("default",)
    command_licence: str = "unknown"

    def __post_init__(self) -> None:
        """Check every bound."""
        self._check_names()
        self._check_counts()
        self._check_pair("rate_wpm", 80.0, 450.0)
        self._check_pair("pitch_percent", 0.0, 100.0)
        self._check_pair("pitch_range_percent", 0.0, 100.0)
        self._check_pair("margin_ms", 0.0, 5000.0)
        self._check_pair("peak_dbfs", -60.0, 0.0)
        self._check_one("word_gap_ms_max", 0.0, 500.0)
        for name in ("carrier_share", "emphasis_share", "other_backends_share"):
            self._check_one(name, 0.0, 1.0)
        for name in ("near_weight", "part_weight", "order_weight", "sentence_weight"):
            self._check_one(name, 0.0, 1e6)
        if self.near_weight + self.part_weight + self.order_weight + self.sentence_weight <= 0.0:
            raise ValueError("sentence_weight and the three other weights must not all be 0")

    def _check_names(self) -> None:
        if not self.language.strip():
            raise ValueError("language must be a code such as 'en' or 'de'")
        if self.backends != ("auto",):
            unknown = [name for name in self.backends if name not in BACKENDS]
            if unknown or not self.backends:
                raise ValueError(f"backends must be ['auto'] or some of {', '.join(BACKENDS)}")
        for name in ("accents", "variants", "command_speakers"):
            if not getattr(self, name):
                raise ValueError(f"{name} must not be empty; leave it out for all")
        if "command" in self.backends and not self.command:
            raise ValueError("command must be set when backends names 'command'")
        if self.command and not ("{text}" in self.command and "{output}" in self.command):
            raise ValueError("command must contain {text} and {output}")
        if len(set(self.command_speakers)) > 1 and "{speaker}" not in self.command:
            raise ValueError("command must contain {speaker} when command_speakers names several")

    def _check_counts(self) -> None:
        for name, low in (("positives", 0), ("negatives", 0), ("near_phrases", 1)):
            if not low <= getattr(self, name) <= 1_000_000:
                raise ValueError(f"{name} must be {low} to 1000000")
        self._check_one("dev_share", 0.0, 0.9)
        self._check_one("test_share", 0.0, 0.9)
        if self.dev_share + self.test_share > 0.9:
            raise ValueError("dev_share and test_share together must be at most 0.9")

    def _check_one(self, name: str, low: float, high: float) -> None:
        check_range(name, getattr(self, name), low, high)

    def _check_pair(self, name: str, low: float, high: float) -> None:
        least, most = getattr(self, f"{name}_min"), getattr(self, f"{name}_max")
        if not (math.isfinite(least) and low <= least <= high and least <= most):
            raise ValueError(f"{name}_min must be {low:g} to {high:g} and at most {name}_max")
        if not (math.isfinite(most) and most <= high):
            raise ValueError(f"{name}_max must be {low:g} to {high:g}")
