"""A recipe: everything that decides what a detector becomes, in one TOML file.

``phrase = "computer"`` alone is a recipe; every default is meant to make a good detector. Unknown keys are refused.
Paths in a recipe are relative to its file.
"""

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path

from kws import config
from kws.config import check_range
from kws.data.augment import AugmentConfig
from kws.data.examples import ExampleConfig
from kws.data.pool import phrase_words
from kws.data.synthesis.config import SynthesisConfig
from kws.detect import MAX_LABELS, DetectorConfig
from kws.errors import KwsError
from kws.frontend.config import FrontendConfig
from kws.models.configs import ModelConfig


@dataclass(frozen=True)
class TrainConfig:
    """How the model is fitted. Steps, not minutes, so that a seed gives the same model on the same machine."""

    steps: int = 3000
    batch_clips: int = 64
    learning_rate: float = 2e-3
    warmup_share: float = 0.05
    weight_decay: float = 1e-2
    # Every how many frames the loss is taken, from another first frame each step: neighbours are nearly alike, so
    # more clips in the same time teach more.
    frame_step: int = 4
    # Weight of a keyword frame beside a filler frame in the loss.
    keyword_weight: float = 1.0
    # Frames this close to a keyword word's edge are left out of the loss: nobody knows the label there.
    edge_ms: int = 20
    dev_clips: int = 1024
    # How many times on the way the model is tried on held-out voices; the best state is kept.
    trials: int = 10
    # Threads that prepare examples, and threads of torch; 0: share the processors between them.
    workers: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        """Check every bound."""
        for name, low, high in (
            ("steps", 1, 10_000_000),
            ("batch_clips", 1, 4096),
            ("frame_step", 1, 100),
            ("edge_ms", 0, 200),
            ("dev_clips", 16, 100_000),
            ("trials", 1, 1000),
            ("workers", 0, 64),
            ("threads", 0, 256),
        ):
            check_range(name, getattr(self, name), low, high)
        check_range("learning_rate", self.learning_rate, 1e-7, 1.0)
        check_range("warmup_share", self.warmup_share, 0.0, 0.9)
        check_range("weight_decay", self.weight_decay, 0.0, 10.0)
        check_range("keyword_weight", self.keyword_weight, 0.01, 100.0)


@dataclass(frozen=True)
class QuantizeConfig:
    """Post-training quantization: how many drawn examples the activation ranges are chosen on."""

    calibration_clips: int = 256

    def __post_init__(self) -> None:
        """Check the bound."""
        check_range("calibration_clips", self.calibration_clips, 1, 100_000)


@dataclass(frozen=True)
class DetectorSettings:
    """Smoothing and confidence windows in steps of the model, and the pause after a detection (see kws.detect)."""

    smooth_frames: int = 30
    max_frames: int = 100
    refractory_ms: int = 1000


@dataclass(frozen=True)
class DataConfig:
    """A further manifest to learn from: its path, and the labels to take from it (none named: all)."""

    manifest: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """The phrase and the settings of every part, each with its own table in the TOML file."""

    phrase: str
    seed: int = 0
    frontend: FrontendConfig = field(default_factory=FrontendConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    examples: ExampleConfig = field(default_factory=ExampleConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    data: tuple[DataConfig, ...] = ()

    def __post_init__(self) -> None:
        """Check what no part can check alone."""
        try:
            words = phrase_words(self.phrase)
        except KwsError as error:
            raise ValueError(str(error)) from error
        if len(words) >= MAX_LABELS:
            raise ValueError(f"phrase has {len(words)} words; at most {MAX_LABELS - 1} are told apart")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be 0 to {2**32 - 1}")
        try:
            self.detector_config()
        except ValueError as error:
            raise ValueError(f"detector.{error}") from error

    def labels(self) -> tuple[str, ...]:
        """Return the model's outputs: filler, then one label per word of the phrase, in order, all different.

        >>> Recipe("no no").labels()
        ('filler', 'no', 'no_2')
        """
        labels = ["filler"]
        for word in phrase_words(self.phrase):
            label, count = word, 1
            while label in labels:
                count += 1
                label = f"{word}_{count}"
            labels.append(label)
        return tuple(labels)

    def detector_config(self) -> DetectorConfig:
        """Return the detector's config: the settings with the phrase and its labels."""
        return DetectorConfig(self.phrase, self.labels(), **dataclasses.asdict(self.detector))


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; the paths in it come back as seen from the working directory.

    Raises:
        KwsError: the file cannot be read, a key is unknown or missing, or a value is wrong.
    """
    recipe = config.load_toml(Recipe, path)
    synthesis = dataclasses.replace(
        recipe.synthesis,
        sentences_path=_beside(path, recipe.synthesis.sentences_path),
        piper_models=tuple(_beside(path, model) for model in recipe.synthesis.piper_models),
    )
    data = tuple(dataclasses.replace(entry, manifest=_beside(path, entry.manifest)) for entry in recipe.data)
    return dataclasses.replace(recipe, synthesis=synthesis, data=data)


def _beside(recipe: Path, path: str) -> str:
    return os.path.normpath(recipe.parent / path) if path else ""
