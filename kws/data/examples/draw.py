"""Training examples drawn anew each time: a few seconds with positives or negatives in them, and a label per frame.

Silence around the phrase must not be what gives it away: a positive is often preceded or followed by other speech,
and a phrase that is cut off in the middle is a negative.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kws.audio import Samples
from kws.data.augment import (
    Augmentation,
    AugmentConfig,
    Backgrounds,
    VoiceChange,
    apply,
    change_voice,
    draw,
    draw_voice,
)
from kws.data.examples.pool import SAMPLE_RATE_HZ, UNKNOWN_PHONE, ClipPool, Item, Sounds
from kws.data.manifest import Word
from kws.data.sounds import simulated_rooms
from kws.data.sounds.rooms import RecordedRooms

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
    # Of the positives: how many are recordings, where a manifest of the recipe's data has any; the rest is synthetic
    # or from pieces. 0: as many as there are clips, each clip as often as any other.
    recorded_share: float = 0.0
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
        for name in ("recorded_share", "before_share", "after_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be 0 to 1")


@dataclass(frozen=True, eq=False)
class Example:
    """Sound int16 [n], where keyword words stand in it (phrase, word in it, start, end in seconds), the kind.

    ``voices`` are the changes of its clips, in the order they were picked; ``drawn`` the augmentation of the whole.
    ``phones`` int8 [n / pool.phone_hop] has the phone of each LFBE frame, -1 where it is not known; None: of none.
    """

    samples: Samples
    words: tuple[tuple[int, int, float, float], ...]
    kind: Kind
    voices: tuple[VoiceChange, ...] = ()
    drawn: Augmentation = field(default_factory=Augmentation)
    phones: NDArray[np.int8] | None = None


@dataclass(eq=False)
class _Scene:
    """A window being filled; what falls outside it is lost."""

    samples: NDArray[np.int32]
    phone_hop: int
    words: list[tuple[int, int, float, float]] = field(default_factory=list)
    phones: NDArray[np.int8] | None = None

    def place_phones(self, phones: NDArray[np.int8], at: int, length: int, begin: int, factor: float) -> None:
        """Note the phones of a recording: from sample ``at`` on ``length`` samples of it stand in the scene.

        They were ``factor`` times as many in the recording, from ``begin`` on. ``phones`` has one for each hop of it.
        """
        hop = self.phone_hop
        if self.phones is None:
            self.phones = np.full(len(self.samples) // hop, UNKNOWN_PHONE, np.int8)
        first, after = max(-(-at // hop), 0), min((at + length) // hop, len(self.phones))
        places = (begin + (np.arange(first, after) * hop - at) * factor) / hop
        inside = np.rint(places).astype(np.int64)
        known = (inside >= 0) & (inside < len(phones))
        self.phones[first:after][known] = phones[inside[known]]

    def place(self, clip: Samples, at: int, words: tuple[Word, ...] = (), phrase: int = 0) -> None:
        """Add a clip with its first sample at ``at`` (may be negative) and note its keyword words, of one phrase."""
        begin, end = max(at, 0), min(at + len(clip), len(self.samples))
        if begin < end:
            self.samples[begin:end] += clip[begin - at : end - at]
        for index, word in enumerate(words):
            begin_s = at / SAMPLE_RATE_HZ
            self.words.append((phrase, index, begin_s + word.start_s, begin_s + word.end_s))

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
    scene = _Scene(np.zeros(config.window_ms * SAMPLE_RATE_HZ // 1000, np.int32), pool.phone_hop)
    filler = _Filler(scene, pool, config, augmentation, rng)
    if what in ("positive", "cut"):
        filler.positive(cut=what == "cut")
    elif what != "noise":
        filler.negative(pool.near if what == "near" else pool.speech)
    samples = np.clip(scene.samples, -32768, 32767).astype(np.int16)
    around = backgrounds(pool, augmentation)
    drawn = draw(augmentation, rng, around, config.window_ms / 1000.0)
    augmented = apply(samples, drawn, around)
    return Example(augmented, tuple(scene.words), what, tuple(filler.voices), drawn, scene.phones)


def backgrounds(pool: ClipPool, augmentation: AugmentConfig) -> Backgrounds:
    """Return what the pool's clips and the config's simulated rooms give to augmentation."""
    rooms: tuple[NDArray[np.float32], ...] = ()
    if augmentation.room_share > 0.0 and augmentation.simulated_room_share > 0.0:
        rooms = simulated_rooms.bank(
            augmentation.simulated_rooms,
            augmentation.rooms_seed,
            (augmentation.reverberation_s_min, augmentation.reverberation_s_max),
            (augmentation.distance_m_min, augmentation.distance_m_max),
        )
    return Backgrounds(
        speech=Sounds(pool, pool.speech or pool.near),
        noise=Sounds(pool, pool.recorded),
        music=Sounds(pool, pool.music),
        rooms=RecordedRooms([(item.clip.path, item.clip.channel) for item in pool.rooms]),
        simulated=rooms,
    )


def _draw_kind(pool: ClipPool, config: ExampleConfig, rng: np.random.Generator) -> Kind:
    weights = np.array([getattr(config, f"{kind}_weight") for kind in KINDS])
    weights *= [True, True, bool(pool.near), bool(pool.speech), True]
    return str(rng.choice(KINDS, p=weights / weights.sum()))


@dataclass(eq=False)
class _Filler:
    """Puts clips into a scene, each in a voice of its own."""

    scene: _Scene
    pool: ClipPool
    config: ExampleConfig
    augmentation: AugmentConfig
    rng: np.random.Generator
    voices: list[VoiceChange] = field(default_factory=list)

    def positive(self, cut: bool) -> None:
        """The phrase, whole or cut off, and often other speech around it."""
        item, clip, factor, _ = self._pick(self._of_a_phrase(), whole=True)
        words = tuple(Word(w.text, w.start_s / factor, w.end_s / factor) for w in self.pool.keyword(item))
        begin, end = (int(time_s * SAMPLE_RATE_HZ) for time_s in (words[0].start_s, words[-1].end_s))
        # The phrase's first sample: anywhere that it fits; a phrase longer than the window loses its beginning.
        room = len(self.scene.samples) - (end - begin)
        at = int(self.rng.integers(0, room + 1)) if room > 0 else room
        if self.rng.random() >= self.augmentation.shift_share:
            at = room // 2
        self.scene.place(clip, at - begin, () if cut else words, item.phrase)
        if cut:
            self._cut(at, at + end - begin)
        first, last = _loud(clip)
        self._add_neighbours(clip, at - begin + first, at - begin + (end if cut else last))

    def negative(self, items: tuple[Item, ...]) -> None:
        """One clip after the other until the window is full, sometimes only one or two; long ones begin anywhere."""
        length = len(self.scene.samples)
        at = int(self.rng.integers(-(length // 2), length // 2))
        for _ in range(8):
            item, clip, factor, begin = self._pick(items)
            self.scene.place(clip, at)
            if item.clip.path in self.pool.phones:
                self.scene.place_phones(self.pool.phones[item.clip.path], at, len(clip), begin, factor)
            at += len(clip) + int(self.rng.uniform(-0.1, 0.4) * SAMPLE_RATE_HZ)
            items = self.pool.speech  # two near phrases in a row could make the phrase
            if at >= length or not items or self.rng.random() < 0.15:
                return

    def _of_a_phrase(self) -> tuple[Item, ...]:
        """Return positives of a phrase drawn among all: phrases come equally often, however many clips they have."""
        phrases = self.pool.of_phrase
        phrase = int(self.rng.integers(len(phrases))) if len(phrases) > 1 else 0
        if self.config.recorded_share > 0.0:
            recorded, made = self.pool.recorded_of_phrase[phrase]
            if recorded and made:
                return recorded if self.rng.random() < self.config.recorded_share else made
        return phrases[phrase]

    def _pick(self, items: tuple[Item, ...], whole: bool = False) -> tuple[Item, Samples, float, int]:
        """Return a clip, its changed sound, how many times as fast it is, and where in the clip it was cut out.

        Of a long recording that is one window's worth.
        """
        is_speech = items is self.pool.speech
        item = self.pool.any_speech(self.rng) if is_speech else items[int(self.rng.integers(len(items)))]
        voice = draw_voice(self.augmentation, self.rng)
        self.voices.append(voice)
        samples = self.pool.audio(item)
        begin, enough = 0, int(len(self.scene.samples) * voice.speed * voice.tempo)
        if len(samples) > enough and not whole:  # changing the voice of a whole minute would cost most of the time
            begin = int(self.rng.integers(0, len(samples) - enough + 1))
            samples = samples[begin : begin + enough]
        changed, factor = change_voice(samples, voice)
        return item, changed, factor, begin

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
    peak, target = (max(float(np.abs(part.astype(np.int32)).max(initial=0)), 1.0) for part in (samples, like))
    gain = target / peak * 10.0 ** (rng.uniform(-6.0, 6.0) / 20.0)
    return np.asarray(np.clip(samples * gain, -32768, 32767)).astype(np.int16)
