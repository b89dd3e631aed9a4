"""A recipe: everything that decides what a detector becomes, in one TOML file.

``phrase = "computer"`` alone is a recipe, as is ``phrases = ["yes", "no"]``; every default is meant to make a good
detector. Unknown keys are refused.
Paths in a recipe are relative to its file.
"""

import dataclasses
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kws import config
from kws.config import check_range
from kws.data.augment import AugmentConfig
from kws.data.examples import ExampleConfig
from kws.data.manifest import slug
from kws.data.phones.config import PhonesConfig
from kws.data.pool import find, phrase_words
from kws.data.synthesis.config import SynthesisConfig
from kws.detect import MAX_LABELS, DetectorConfig
from kws.errors import KwsError
from kws.frontend.config import FrontendConfig
from kws.models.configs import ModelConfig


@dataclass(frozen=True)
class TrainConfig:
    """How the model is fitted. Steps, not minutes, so that a seed gives the same model on the same machine."""

    steps: int = 3000
    # Of all processes together, where there are several.
    batch_clips: int = 128
    learning_rate: float = 4e-3
    warmup_share: float = 0.05
    weight_decay: float = 1e-2
    # The gradient's norm is cut down to this; 0: never.
    gradient_norm: float = 5.0
    # The model that is tried and kept is a mean of the weights over the last 1 / (1 - decay) steps; 0: the last ones.
    average_decay: float = 0.998
    # Every how many steps of the model the loss is taken, from another first one each time: neighbours are nearly
    # alike, so more clips in the same time teach more. Max-pooling looks for the best of them all.
    frame_step: int = 1
    # frame: cross-entropy of every frame's label. max_pool: of the best frame in the label's window alone, for words
    # whose end is only roughly known (see kws.train.loss).
    loss: Literal["frame", "max_pool"] = "max_pool"
    # The window around a phrase's end (max_pool: a label's end) in which the detector should say it, and how far
    # before and after it nothing is asked.
    label_before_ms: int = 100
    label_after_ms: int = 300
    label_guard_ms: int = 250
    # Frames this close to a keyword word's edge are left out of the frame loss: nobody knows the label there.
    edge_ms: int = 20
    label_smoothing: float = 0.0
    # Weight of a keyword frame (max_pool: of a keyword) beside filler in the loss.
    keyword_weight: float = 1.0
    # The filler frames of each clip that the model gets most wrong: their share, and their weight beside all of them.
    hard_share: float = 0.05
    hard_weight: float = 0.3
    # How many times on the way the model is tried on streams of held-out voices; the best state is kept. It is judged
    # by the misses around this many false accepts per hour.
    trials: int = 10
    select_false_accepts_per_hour: float = 1.0
    # Of the held-out clips at most: recordings of the phrase, hours of other speech, examples for the held-out loss.
    dev_positives: int = 300
    dev_hours: float = 1.0
    dev_clips: int = 256
    # How many steps train on a drawn batch, each time at another level, in another colour, with more noise.
    reuse: int = 1
    # What the teacher's posteriors count beside the labels, where the recipe has a teacher.
    teacher_weight: float = 1.0
    # Feature shards to train from (a path with * and ?), instead of drawing examples while training.
    shards: str = ""
    # A checkpoint is written after each trial, after this many seconds, and when the run is stopped.
    checkpoint_every_s: float = 120.0
    # Logs for TensorBoard beside the checkpoint, where the package is installed.
    tensorboard: bool = True
    # auto: a GPU where there is one.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # Workers that prepare examples, and threads of torch; 0: share the processors between them.
    workers: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        """Check every bound."""
        for name, low, high in _TRAIN_BOUNDS:
            check_range(name, getattr(self, name), low, high)


_TRAIN_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("steps", 1, 10_000_000),
    ("batch_clips", 1, 65_536),
    ("learning_rate", 1e-7, 1.0),
    ("warmup_share", 0.0, 0.9),
    ("weight_decay", 0.0, 10.0),
    ("gradient_norm", 0.0, 1e6),
    ("average_decay", 0.0, 0.99999),
    ("frame_step", 1, 100),
    ("label_before_ms", 0, 2000),
    ("label_after_ms", 10, 2000),
    ("label_guard_ms", 0, 5000),
    ("edge_ms", 0, 200),
    ("label_smoothing", 0.0, 0.5),
    ("keyword_weight", 0.01, 100.0),
    ("hard_share", 0.001, 1.0),
    ("hard_weight", 0.0, 100.0),
    ("reuse", 1, 100),
    ("teacher_weight", 0.0, 100.0),
    ("trials", 1, 1000),
    ("select_false_accepts_per_hour", 0.01, 1000.0),
    ("dev_positives", 10, 100_000),
    ("dev_hours", 0.001, 1000.0),
    ("dev_clips", 16, 100_000),
    ("checkpoint_every_s", 1.0, 1e6),
    ("workers", 0, 64),
    ("threads", 0, 256),
)


@dataclass(frozen=True)
class TeacherConfig:
    """A larger model, trained first on the same data, whose posteriors the model learns from; 0 steps: none.

    It must decide as often as the model does. It is dropped when training ends.
    """

    steps: int = 0
    learning_rate: float = 2e-3
    model: ModelConfig = field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_range("steps", self.steps, 0, 10_000_000)
        check_range("learning_rate", self.learning_rate, 1e-7, 1.0)


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

    smooth_frames: int = 3
    max_frames: int = 1
    refractory_ms: int = 1000


NAMED_PHRASES = 3
"""A model for more phrases is named by the first alone."""


@dataclass(frozen=True)
class DataConfig:
    """A further manifest to learn from: its path, and the labels to take from it (none named: all).

    ``positives = false``: everything but the recordings of the phrases themselves; they are neither learned from nor
    chosen by.
    """

    manifest: str
    labels: tuple[str, ...] = ()
    positives: bool = True


@dataclass(frozen=True)
class Recipe:
    """What is listened for (``phrase``, or ``phrases``: one of the two), and a table of settings for every part.

    ``label_unit`` says what the model's outputs beside the filler stand for: each distinct word (phrases may share
    words; a phrase's words count in any order), or each whole phrase.
    """

    phrase: str = ""
    phrases: tuple[str, ...] = ()
    label_unit: Literal["words", "phrase"] = "phrase"
    seed: int = 0
    frontend: FrontendConfig = field(default_factory=FrontendConfig)
    synthesis: SynthesisConfig = field(default_factory=SynthesisConfig)
    phones: PhonesConfig = field(default_factory=PhonesConfig)
    examples: ExampleConfig = field(default_factory=ExampleConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    data: tuple[DataConfig, ...] = ()

    def __post_init__(self) -> None:
        """Check what no part can check alone."""
        self._check_phrases()
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be 0 to {2**32 - 1}")
        self._check_lessons()
        if not self.synthesis.positives and not any(entry.positives for entry in self.data):
            raise ValueError("synthesis.positives is 0 and no [[data]] is named; let one of them give the phrase")
        labels = len(self.labels())
        if labels > MAX_LABELS:
            what = f"{labels - 1} words" if self.label_unit == "words" else f"{labels - 1} phrases"
            raise ValueError(f"phrases have {what} to tell apart; at most {MAX_LABELS - 1} are possible")
        if self.detector.max_frames == 1 and any(len(labels) > 1 for labels in self.keywords()):
            raise ValueError('detector.max_frames must be above 1 with label_unit = "words": words come one by one')
        try:
            self.detector_config()
        except ValueError as error:
            raise ValueError(f"detector.{error}") from error

    def _check_lessons(self) -> None:
        if (self.phones.weight > 0.0 or self.teacher.steps) and self.train.frame_step != 1:
            raise ValueError("train.frame_step must be 1 with phones.weight or a teacher: they learn from every step")
        if self.phones.is_used and self.train.shards:
            raise ValueError("train.shards hold neither phones nor pieces; drop them or the phones table")
        if self.phones.pretrain_steps and self.phones.weight == 0.0:
            raise ValueError("phones.pretrain_steps needs phones.weight above 0")
        if self.phones.pretrain_steps >= min(self.train.steps, self.teacher.steps or self.train.steps):
            raise ValueError("phones.pretrain_steps must be fewer than train.steps and teacher.steps, which hold them")

    def _check_phrases(self) -> None:
        if bool(self.phrase) == bool(self.phrases):
            what = "and phrases exclude one another" if self.phrase else "is missing"
            raise ValueError(f'phrase {what}; give phrase = "computer", or phrases = ["yes", "no"]')
        try:
            words = {phrase: phrase_words(phrase) for phrase in self.wake_phrases}
        except KwsError as error:
            raise ValueError(str(error)) from error
        for one, other in itertools.permutations(self.wake_phrases, 2):
            if find(words[one], words[other]) is not None:
                raise ValueError(f"phrases: {other!r} is heard in {one!r}, so they cannot be told apart; drop one")
        if self.label_unit == "words" and len({frozenset(one) for one in words.values()}) < len(words):
            raise ValueError('phrases have the same words in another order; set label_unit = "phrase"')

    @property
    def wake_phrases(self) -> tuple[str, ...]:
        """Every phrase that is listened for, as written.

        >>> Recipe("computer").wake_phrases, Recipe(phrases=("yes", "no")).wake_phrases
        (('computer',), ('yes', 'no'))
        """
        return self.phrases or (self.phrase,)

    @property
    def name(self) -> str:
        """What files of this recipe's model are called: the phrases' slugs, the first alone of more than three.

        >>> Recipe("Hey Marvin").name, Recipe(phrases=("yes", "no")).name, Recipe(phrases=tuple("abcd")).name
        ('hey_marvin', 'yes+no', 'a+3')
        """
        slugs = [slug(phrase) for phrase in self.wake_phrases]
        return "+".join(slugs) if len(slugs) <= NAMED_PHRASES else f"{slugs[0]}+{len(slugs) - 1}"

    def labels(self) -> tuple[str, ...]:
        """Return the model's outputs: filler, then one label per distinct word, or per phrase; all different.

        >>> Recipe(phrases=("hey marvin", "hey alexa")).labels()
        ('filler', 'hey_marvin', 'hey_alexa')
        >>> longer = DetectorSettings(max_frames=100)
        >>> Recipe(phrases=("hey marvin", "hey alexa"), label_unit="words", detector=longer).labels()
        ('filler', 'hey', 'marvin', 'alexa')
        >>> Recipe("no no", label_unit="words", detector=longer).labels()
        ('filler', 'no', 'no_2')
        """
        return self._outputs()[0]

    def keywords(self) -> tuple[tuple[int, ...], ...]:
        """Return which labels each phrase is heard by: for each of its words in order, or one.

        >>> longer = DetectorSettings(max_frames=100)
        >>> Recipe(phrases=("hey marvin", "hey alexa"), label_unit="words", detector=longer).keywords()
        ((1, 2), (1, 3))
        """
        return self._outputs()[1]

    def word_labels(self) -> tuple[tuple[int, ...], ...]:
        """Return which label each word of each phrase belongs to.

        >>> Recipe(phrases=("hey marvin", "hey alexa")).word_labels()
        ((1, 1), (2, 2))
        """
        if self.label_unit == "words":
            return self.keywords()
        counts = [len(phrase_words(phrase)) for phrase in self.wake_phrases]
        return tuple(labels * count for labels, count in zip(self.keywords(), counts, strict=True))

    def _outputs(self) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
        labels = ["filler"]
        places: dict[tuple[str, int], int] = {}  # a word and the how many-th time the phrase has it -> its label
        keywords = []
        for phrase in self.wake_phrases:
            units = phrase_words(phrase) if self.label_unit == "words" else (slug(phrase),)
            occurrences = [(unit, units[:index].count(unit)) for index, unit in enumerate(units)]
            for occurrence in occurrences:
                if occurrence not in places:
                    places[occurrence] = len(labels)
                    labels.append(_new_label(occurrence[0], labels))
            keywords.append(tuple(places[occurrence] for occurrence in occurrences))
        return tuple(labels), tuple(keywords)

    def detector_config(self) -> DetectorConfig:
        """Return the detector's config: the settings with the phrases and their labels."""
        labels, keywords = self._outputs()
        return DetectorConfig(self.wake_phrases, labels, keywords, **dataclasses.asdict(self.detector))


def _new_label(unit: str, labels: Sequence[str]) -> str:
    label, count = unit, 1
    while label in labels:
        count += 1
        label = f"{unit}_{count}"
    return label


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
    train = dataclasses.replace(recipe.train, shards=_beside(path, recipe.train.shards))
    return dataclasses.replace(recipe, synthesis=synthesis, train=train, data=data)


def _beside(recipe: Path, path: str) -> str:
    return os.path.normpath(recipe.parent / path) if path else ""
