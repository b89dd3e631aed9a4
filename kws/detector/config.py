"""The settings of the decision, its operating points and its detections: frozen, checked data."""

import math
from dataclasses import dataclass

SCORE_ONE = 1 << 15
"""Posteriors and confidences are Q15: this is 1.0."""

MAX_LABELS = 64
MAX_PHRASES = MAX_LABELS - 1
MAX_SMOOTH_FRAMES = 1000
MAX_MAX_FRAMES = 4000
MAX_REFRACTORY_MS = 60_000

_TITLE_PHRASES = 3


@dataclass(frozen=True)
class DetectorConfig:
    """The posterior handling of DeepKWS (Chen et al. 2014, section 3.3), for one phrase or several.

    ``labels`` are the model's outputs; labels[0] is the filler. ``phrases[i]`` is detected when all the labels with the
    indices ``keywords[i]`` are; phrases may share labels. ``smooth_frames`` (w_smooth) and ``max_frames`` (w_max) count
    posteriors: one per step of the model; 1 is no smoothing, no memory. With ``refractory_ms`` 0 a phrase may be
    detected again as soon as its score has been below the threshold.

    Raises:
        ValueError: a value is outside its checked bounds; the sentence starts with the field's name.
    """

    phrases: tuple[str, ...]
    labels: tuple[str, ...]
    keywords: tuple[tuple[int, ...], ...]
    smooth_frames: int = 30
    max_frames: int = 100
    refractory_ms: int = 1000

    @classmethod
    def single(
        cls,
        phrase: str,
        labels: tuple[str, ...],
        smooth_frames: int = 30,
        max_frames: int = 100,
        refractory_ms: int = 1000,
    ) -> "DetectorConfig":
        """Return the config of one phrase that every label but the filler is a keyword of.

        >>> DetectorConfig.single("hey marvin", ("filler", "hey", "marvin")).keywords
        ((1, 2),)
        """
        return cls((phrase,), labels, (tuple(range(1, len(labels))),), smooth_frames, max_frames, refractory_ms)

    def __post_init__(self) -> None:
        """Check the bounds within which the fixed-point arithmetic is proven."""
        if not 1 <= len(self.phrases) <= MAX_PHRASES:
            raise ValueError(f"phrases must be 1 to {MAX_PHRASES} phrases")
        if not all(phrase.strip() and phrase.isprintable() for phrase in self.phrases):
            raise ValueError("phrases must be lines of printable text with at least one letter")
        if len({phrase.casefold() for phrase in self.phrases}) != len(self.phrases):
            raise ValueError("phrases must be different from one another")
        if not 2 <= len(self.labels) <= MAX_LABELS:
            raise ValueError(f"labels must be the filler and 1 to {MAX_LABELS - 1} keyword labels")
        if len(set(self.labels)) != len(self.labels) or not all(label.isprintable() and label for label in self.labels):
            raise ValueError("labels must be printable and different from one another")
        self._check_keywords()
        if not 1 <= self.smooth_frames <= MAX_SMOOTH_FRAMES:
            raise ValueError(f"smooth_frames must be 1 to {MAX_SMOOTH_FRAMES}")
        if not 1 <= self.max_frames <= MAX_MAX_FRAMES:
            raise ValueError(f"max_frames must be 1 to {MAX_MAX_FRAMES}")
        if not 0 <= self.refractory_ms <= MAX_REFRACTORY_MS:
            raise ValueError(f"refractory_ms must be 0 to {MAX_REFRACTORY_MS}")

    def _check_keywords(self) -> None:
        if len(self.keywords) != len(self.phrases):
            raise ValueError("keywords must have one list of label indices per phrase")
        for indices in self.keywords:
            inside = all(type(index) is int and 1 <= index < len(self.labels) for index in indices)
            if not indices or not inside or len(set(indices)) != len(indices):
                raise ValueError(f"keywords must be lists of different indices, each 1 to {len(self.labels) - 1}")
        if len({frozenset(indices) for indices in self.keywords}) != len(self.keywords):
            raise ValueError(
                "keywords must differ between phrases: two with the same labels are always detected together"
            )

    @property
    def title(self) -> str:
        """The phrases in one line for people, the first few of many.

        >>> DetectorConfig(tuple("abcde"), tuple("_abcde"), ((1,), (2,), (3,), (4,), (5,))).title
        'a, b, c and 2 more'
        """
        more = len(self.phrases) - _TITLE_PHRASES
        return ", ".join(self.phrases[:_TITLE_PHRASES]) + (f" and {more} more" if more > 0 else "")

    def refractory_steps(self, step_ms: int) -> int:
        """Return the fewest steps of ``step_ms`` that last at least ``refractory_ms``."""
        return -(-self.refractory_ms // step_ms)


@dataclass(frozen=True)
class OperatingPoint:
    """One phrase's threshold (Q15; ``SCORE_ONE + 1`` never fires), the error rates measured with it, and on what.

    Raises:
        ValueError: a value is outside its bounds; the sentence starts with the field's name.
    """

    threshold: int
    false_accepts_per_hour: float
    false_reject_rate: float
    measured_on: str
    phrase: str

    def __post_init__(self) -> None:
        """Refuse values that cannot have been measured."""
        check_threshold(self.threshold)
        if not (math.isfinite(self.false_accepts_per_hour) and self.false_accepts_per_hour >= 0.0):
            raise ValueError("false_accepts_per_hour must be a finite number of at least 0")
        if not 0.0 <= self.false_reject_rate <= 1.0:
            raise ValueError("false_reject_rate must be 0 to 1")


@dataclass(frozen=True)
class Detection:
    """One detection of a phrase in a stream, made when its score reached the threshold.

    ``time_s`` is when the decision was made: the end of the last LFBE frame it needed, in seconds of the stream;
    ``step`` is the model's step, counted from 0. ``score`` (0..1) is the confidence in that step, at the threshold or
    just above it; ``peak`` the highest until the refractory period or the stream ended, None until then.
    """

    phrase: str
    step: int
    time_s: float
    score: float
    peak: float | None = None


def check_threshold(threshold: int) -> None:
    """Raise ``ValueError`` unless ``threshold`` is a Q15 confidence or ``SCORE_ONE + 1`` (never fires).

    0 is refused: no score is below it, so a phrase would fire in the first step and never be armed again.
    """
    if type(threshold) is not int or not 1 <= threshold <= SCORE_ONE + 1:
        raise ValueError(
            f"threshold must be a whole number of 1 to {SCORE_ONE} (Q15), or {SCORE_ONE + 1} to never fire"
        )
