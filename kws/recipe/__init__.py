"""A recipe: all settings of a detector and its training, in one TOML file.

``phrase = "computer"`` alone is a recipe, as is ``phrases = ["yes", "no"]``; the defaults make a good
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
from kws.data.examples.draw import ExampleConfig
from kws.data.letters import contains
from kws.data.manifest import slug
from kws.data.phones.config import PhonesConfig
from kws.data.phrases import check_written, phrase_words
from kws.data.synthesis.config import SynthesisConfig
from kws.detector.decision import MAX_LABELS, DetectorConfig
from kws.errors import KwsError
from kws.frontend.config import FrontendConfig
from kws.models.configs import ModelConfig
from kws.recipe.train import TeacherConfig, TrainConfig


@dataclass(frozen=True)
class QuantizeConfig:
    """Quantization after training; the same training serves several.

    ``calibration_clips``: on how many drawn examples the activation ranges are chosen. ``weight_bits`` 4: most weights
    take half a byte on the device (see ``kws.compress.quantize.lower.four_bits``).
    """

    calibration_clips: int = 256
    weight_bits: Literal[8, 4] = 8

    def __post_init__(self) -> None:
        """Check the bound."""
        check_range("calibration_clips", self.calibration_clips, 1, 100_000)


@dataclass(frozen=True)
class DetectorSettings:
    """Smoothing and confidence windows in the model's steps, the refractory period (kws.detector.decision)."""

    smooth_frames: int = 3
    max_frames: int = 1
    refractory_ms: int = 1000


NAMED_PHRASES = 3
"""A model for more phrases than this is named after the first one."""


@dataclass(frozen=True)
class DataConfig:
    """One more manifest to learn from: its path, and which labels to use (none named: all).

    ``positives = false`` leaves out recordings of the phrases; neither training nor the choice of states and thresholds
    uses them. ``other_words = false`` leaves out recordings of single other words: ``neg_word`` and every label that is
    not a phrase of this recipe. If the phrase is only synthesized, the model would tell such words by their recording.
    """

    manifest: str
    labels: tuple[str, ...] = ()
    positives: bool = True
    other_words: bool = True


@dataclass(frozen=True)
class Recipe:
    """What to detect (either ``phrase`` or ``phrases``), and a table of settings for every part.

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
        """Check what no table can check by itself."""
        self._check_phrases()
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be 0 to {2**32 - 1}")
        self._check_lessons()
        if not self.synthesis.positives and not any(entry.positives for entry in self.data):
            raise ValueError("synthesis.positives is 0 and no [[data]] gives the phrase; change one of them")
        labels = len(self.labels())
        if labels > MAX_LABELS:
            what = f"{labels - 1} words" if self.label_unit == "words" else f"{labels - 1} phrases"
            raise ValueError(f"phrases have {what} in all; give at most {MAX_LABELS - 1}")
        if self.detector.max_frames == 1 and any(len(labels) > 1 for labels in self.keywords()):
            raise ValueError(
                'detector.max_frames must be above 1 with label_unit = "words": the words come one after another'
            )
        try:
            self.detector_config()
        except ValueError as error:
            raise ValueError(f"detector.{error}") from error

    def _check_lessons(self) -> None:
        if (self.phones.weight > 0.0 or self.teacher.steps) and self.train.frame_step != 1:
            raise ValueError("train.frame_step must be 1 with phones.weight or a teacher: they learn from every step")
        if self.phones.is_used and self.train.shards:
            raise ValueError(
                "train.shards cannot be used with phones or pieces; remove train.shards or the table [phones]"
            )
        if self.phones.pretrain_steps and self.phones.weight == 0.0:
            raise ValueError("phones.pretrain_steps needs phones.weight above 0")
        if self.phones.pretrain_steps >= min(self.train.steps, self.teacher.steps or self.train.steps):
            raise ValueError(
                "phones.pretrain_steps must be less than train.steps and teacher.steps, which include them"
            )

    def _check_phrases(self) -> None:
        if bool(self.phrase) == bool(self.phrases):
            what = "and phrases are both given" if self.phrase else "is missing"
            raise ValueError(f'phrase {what}; give phrase = "computer", or phrases = ["yes", "no"]')
        try:
            words = {phrase: phrase_words(phrase) for phrase in self.wake_phrases}
            for phrase in self.wake_phrases:
                check_written(phrase)
        except KwsError as error:
            raise ValueError(str(error)) from error
        for one, other in itertools.permutations(self.wake_phrases, 2):
            if contains(one, other):
                raise ValueError(f"phrases: {other!r} is part of {one!r}, so it would be detected in it; remove one")
        if self.label_unit == "words" and len({frozenset(one) for one in words.values()}) < len(words):
            raise ValueError('phrases have the same words in another order; set label_unit = "phrase"')

    @property
    def wake_phrases(self) -> tuple[str, ...]:
        """Every phrase to detect, as written.

        >>> Recipe("computer").wake_phrases, Recipe(phrases=("yes", "no")).wake_phrases
        (('computer',), ('yes', 'no'))
        """
        return self.phrases or (self.phrase,)

    @property
    def name(self) -> str:
        """The name of the model and its directory: the phrases' slugs; of more than three the first and a count.

        >>> Recipe("Hey Marvin").name, Recipe(phrases=("yes", "no")).name, Recipe(phrases=tuple("abcd")).name
        ('hey_marvin', 'yes+no', 'a+3')
        """
        slugs = [slug(phrase) for phrase in self.wake_phrases]
        return "+".join(slugs) if len(slugs) <= NAMED_PHRASES else f"{slugs[0]}+{len(slugs) - 1}"

    @property
    def model_name(self) -> str:
        """The name of the model's file, without the extension.

        >>> Recipe("Hey Marvin", quantize=QuantizeConfig(weight_bits=4)).model_name
        'hey_marvin_int4'
        """
        return self.name if self.quantize.weight_bits == 8 else f"{self.name}_int{self.quantize.weight_bits}"

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
        """Return each phrase's labels: one for each of its words in order, or one for the phrase.

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
        places: dict[tuple[str, int], int] = {}  # (word, how often it came before in the phrase) -> its label
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
    """Read a recipe; its paths are returned relative to the working directory.

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
