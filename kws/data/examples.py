"""Training examples drawn anew each time: a few seconds with positives or negatives in them, and a label per frame.

Silence around the phrase must not be what gives it away: a positive is often preceded or followed by other speech,
and a phrase that is cut off in the middle is a negative.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kws.data.augment import AugmentConfig, Backgrounds, Samples, apply, change_speed, draw
from kws.data.manifest import Word
from kws.data.pool import SAMPLE_RATE_HZ, ClipPool, Item, Sounds

Kind = str
KINDS: tuple[Kind, ...] = ("positive", "cut", "near", "speech", "noise")


@dataclass(frozen=True)
class ExampleConfig:
    """How examples are put together. The weights are relative; a kind that no clip can fill goes to the others."""

    window_ms: int = 2400
    positive_weight: float = 0.4
    # The phrase cut off in its middle: filler.
    cut_weight: float = 0.05
    near_weight: float = 0.1
    speech_weight: float = 0.4
    noise_weight: float = 0.05
    # How often other speech stands right before a positive, and right after it.
    before_share: float = 0.4
    after_share: float = 0.4

    def __post_init__(self) -> None:
        """Check every bound."""
        if not 1000 <= self.window_ms <= 20000:
            raise ValueError("window_ms must be 1000 to 20000")
        for name in ("positive_weight", "cut_weight", "near_weight", "speech_weight", "noise_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"{name} must be a number of at least 0")
        if self.positive_weight <= 0.0 or self.near_weight + self.speech_weight <= 0.0:
            raise ValueError("positive_weight and one of near_weight and speech_weight must be above 0")
        for name in ("before_share", "after_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be 0 to 1")


@dataclass(frozen=True, eq=False)
class Example:
    """Sound int16 [n], where the phrase's words stand in it (index of the word, start, end in seconds), the kind."""

    samples: Samples
    words: tuple[tuple[int, float, float], ...]
    kind: Kind


@dataclass(eq=False)
class _Scene:
    """A window being filled; what falls outside it is lost."""

    samples: NDArray[np.int32]
    words: list[tuple[int, float, float]] = field(default_factory=list)

    def place(self, clip: Samples, at: int, words: tuple[Word, ...] = ()) -> None:
        """Add a clip with its first sample at ``at`` (may be negative) and note its keyword words."""
        begin, end = max(at, 0), min(at + len(clip), len(self.samples))
        if begin < end:
            self.samples[begin:end] += clip[begin - at : end - at]
        for index, word in enumerate(words):
            self.words.append((index, at / SAMPLE_RATE_HZ + word.start_s, at / SAMPLE_RATE_HZ + word.end_s))

    def keep(self, begin: int, end: int) -> None:
        """Wipe everything but the samples from ``begin`` to ``end``, with fades of 5 ms inside."""
        begin, end = max(begin, 0), min(max(end, 0), len(self.samples))
        places = np.arange(len(self.samples))
        self.samples *= (places >= begin) & (places < end)
        for fade in (self.samples[begin : begin + 80], self.samples[max(end - 80, 0) : end][::-1]):
            fade[:] = fade * np.linspace(0.0, 1.0, len(fade))


def draw_example(
    pool: ClipPool, config: ExampleConfig, augmentation: AugmentConfig, rng: np.random.Generator
) -> Example:
    """Draw one example: a kind, its clips and their places, then the augmentation of the whole window."""
    what = _draw_kind(pool, config, rng)
    scene = _Scene(np.zeros(config.window_ms * SAMPLE_RATE_HZ // 1000, np.int32))
    filler = _Filler(scene, pool, config, augmentation, rng)
    if what in ("positive", "cut"):
        filler.positive(cut=what == "cut")
    elif what != "noise":
        filler.negative(pool.near if what == "near" else pool.speech)
    samples = np.clip(scene.samples, -32768, 32767).astype(np.int16)
    backgrounds = Backgrounds(Sounds(pool, pool.speech or pool.near), Sounds(pool, pool.noise))
    drawn = draw(augmentation, rng, backgrounds)
    return Example(apply(samples, drawn, backgrounds), tuple(scene.words), what)


def frame_labels(example: Example, frames: int, window_samples: int, hop_samples: int) -> NDArray[np.int64]:
    """Return each frame's label, int64 [frames]: i + 1 where its centre lies in keyword word i, else 0 (filler)."""
    centres = (np.arange(frames) * hop_samples + window_samples / 2) / SAMPLE_RATE_HZ
    labels = np.zeros(frames, np.int64)
    for index, start_s, end_s in example.words:
        labels[(centres >= start_s) & (centres < end_s)] = index + 1
    return labels


def _draw_kind(pool: ClipPool, config: ExampleConfig, rng: np.random.Generator) -> Kind:
    weights = np.array([getattr(config, f"{kind}_weight") for kind in KINDS])
    weights *= [True, True, bool(pool.near), bool(pool.speech), True]
    return str(rng.choice(KINDS, p=weights / weights.sum()))


@dataclass(eq=False)
class _Filler:
    """Puts clips into a scene, each at a speed of its own."""

    scene: _Scene
    pool: ClipPool
    config: ExampleConfig
    augmentation: AugmentConfig
    rng: np.random.Generator

    def positive(self, cut: bool) -> None:
        """The phrase, whole or cut off, and often other speech around it."""
        item, clip, factor = self._pick(self.pool.positives)
        words = tuple(Word(w.text, w.start_s / factor, w.end_s / factor) for w in self.pool.keyword(item))
        begin, end = (int(time_s * SAMPLE_RATE_HZ) for time_s in (words[0].start_s, words[-1].end_s))
        # The phrase's first sample: anywhere that it fits; a phrase longer than the window loses its beginning.
        room = len(self.scene.samples) - (end - begin)
        at = int(self.rng.integers(0, room + 1)) if room > 0 else room
        self.scene.place(clip, at - begin, () if cut else words)
        if cut:
            self._cut(at, at + end - begin)
        first, last = _loud(clip)
        self._add_neighbours(clip, at - begin + first, at - begin + (end if cut else last))

    def negative(self, items: tuple[Item, ...]) -> None:
        """One clip after the other until the window is full, sometimes only one or two; long ones begin anywhere."""
        length = len(self.scene.samples)
        at = int(self.rng.integers(-(length // 2), length // 2))
        for _ in range(8):
            _, clip, _ = self._pick(items)
            if len(clip) > length:
                begin = int(self.rng.integers(0, len(clip) - length // 2))
                clip = clip[begin : begin + length]
            self.scene.place(clip, at)
            at += len(clip) + int(self.rng.uniform(-0.1, 0.4) * SAMPLE_RATE_HZ)
            items = self.pool.speech  # two near phrases in a row could make the phrase
            if at >= length or not items or self.rng.random() < 0.15:
                return

    def _pick(self, items: tuple[Item, ...]) -> tuple[Item, Samples, float]:
        item = items[int(self.rng.integers(len(items)))]
        spread = self.augmentation.speed_percent / 100.0
        factor = float(self.rng.uniform(1.0 - spread, 1.0 + spread))
        return item, change_speed(self.pool.audio(item), factor), factor

    def _cut(self, begin: int, end: int) -> None:
        """Leave the phrase's first part (20 to 65 %) and what stands before it, or its last and what stands after."""
        part = int(self.rng.uniform(0.2, 0.65) * (end - begin))
        if self.rng.random() < 0.7:
            self.scene.keep(0, begin + part)
        else:
            self.scene.keep(end - part, len(self.scene.samples))

    def _add_neighbours(self, clip: Samples, begin: int, end: int) -> None:
        """Other speech that ends shortly before sample ``begin``, or starts shortly after ``end``, or both."""
        if self.rng.random() < self.config.before_share:
            other = self._neighbour(clip)
            self.scene.place(other, begin - len(other) - int(self.rng.uniform(-0.02, 0.5) * SAMPLE_RATE_HZ))
        if self.rng.random() < self.config.after_share:
            self.scene.place(self._neighbour(clip), end + int(self.rng.uniform(-0.02, 0.5) * SAMPLE_RATE_HZ))

    def _neighbour(self, clip: Samples) -> Samples:
        """Return other speech, without silence around it, about as loud as ``clip``."""
        other = self._pick(self.pool.speech or self.pool.near)[1]
        first, last = _loud(other)
        return _to_level(other[first:last], clip, self.rng)


def _loud(samples: Samples, quiet: int = 100) -> tuple[int, int]:
    """Return where the clip's sound begins and ends: all but the nearly silent samples at both ends."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > quiet)
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(samples))


def _to_level(samples: Samples, like: Samples, rng: np.random.Generator) -> Samples:
    """Return the samples at the peak of ``like``, give or take 6 dB."""
    peak, wanted = (max(float(np.abs(part.astype(np.int32)).max(initial=0)), 1.0) for part in (samples, like))
    gain = wanted / peak * 10.0 ** (rng.uniform(-6.0, 6.0) / 20.0)
    return np.asarray(np.clip(samples * gain, -32768, 32767)).astype(np.int16)
