"""The clips of one split, sorted by what they are to the phrases, and where their sounds are kept."""

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kws.audio import Samples
from kws.data import manifest
from kws.data.clip_sound import read_clip
from kws.data.manifest import Clip, Word
from kws.data.phrases import clip_contains, locate, phrase_words
from kws.errors import KwsError

NOISES = ("noise", "music")
ROOM = "rir"
NO_EXAMPLES = ("array",)
SAMPLE_RATE_HZ = 16000
UNKNOWN_PHONE = -1
"""The label of a frame whose phone is not known."""


@dataclass(frozen=True)
class Item:
    """One clip; ``key`` is its place in the pool, ``phrase`` the index of the phrase that a positive holds, else -1.

    ``recorded``: a recipe's data names it, as people's recordings; else it was synthesized or put together from pieces.
    """

    key: int
    clip: Clip
    phrase: int = -1
    recorded: bool = False


class SoundStore(Protocol):
    """Where a pool's sounds are kept. Threads may share it; other processes get it pickled, without the sounds."""

    def read(self, item: Item) -> Samples:
        """Return the clip's sound, int16 [n] at 16 kHz; it must not be written to."""


@dataclass(frozen=True, eq=False)
class ClipPool:
    """Clips by what they are: positives, near phrases, other speech, noise. All of one split.

    ``words`` are each phrase's words; ``rooms`` are room responses, which ``kws.data.sounds.rooms`` reads. ``phones``
    holds, by path, the phone of each LFBE frame of aligned recordings, one every ``phone_hop`` samples
    (``UNKNOWN_PHONE`` where it is not known).
    """

    words: tuple[tuple[str, ...], ...]
    positives: tuple[Item, ...]
    near: tuple[Item, ...]
    speech: tuple[Item, ...]
    noise: tuple[Item, ...]
    sounds: SoundStore = field(default_factory=lambda: Cache(), repr=False)
    rooms: tuple[Item, ...] = ()
    phones: Mapping[str, NDArray[np.int8]] = field(default_factory=dict, repr=False)
    phone_hop: int = 160

    def groups(self) -> tuple[tuple[Item, ...], ...]:
        """Return the four groups whose sounds are kept."""
        return self.positives, self.near, self.speech, self.noise

    def audio(self, item: Item) -> Samples:
        """Return the clip's sound, int16 [n] at 16 kHz, from where the pool's sounds are kept."""
        return self.sounds.read(item)

    def keyword(self, item: Item) -> tuple[Word, ...]:
        """Return where its phrase's words stand in a positive clip, one ``Word`` each, in order."""
        return locate(item.clip, self.words[item.phrase], self.audio(item))

    @cached_property
    def speech_ends_s(self) -> NDArray[np.float64]:
        """Return where each clip of speech would end if all were played one after the other, in seconds."""
        return np.cumsum([max(item.clip.duration_s, 0.01) for item in self.speech])

    def any_speech(self, rng: np.random.Generator) -> Item:
        """Return the clip of speech that is on at a random moment: each second counts, not each file.

        An hour of recordings in minute-long files would else be drowned by thousands of short synthetic clips.
        """
        at_s = rng.uniform(0.0, float(self.speech_ends_s[-1]))
        return self.speech[min(int(np.searchsorted(self.speech_ends_s, at_s, "right")), len(self.speech) - 1)]

    @cached_property
    def recorded(self) -> tuple[Item, ...]:
        """Return the noise that is no music."""
        return tuple(item for item in self.noise if item.clip.label != "music")

    @cached_property
    def music(self) -> tuple[Item, ...]:
        """Return the noise that is music."""
        return tuple(item for item in self.noise if item.clip.label == "music")

    @cached_property
    def of_phrase(self) -> tuple[tuple[Item, ...], ...]:
        """Return the positives of each phrase."""
        return tuple(
            tuple(item for item in self.positives if item.phrase == phrase) for phrase in range(len(self.words))
        )

    @cached_property
    def recorded_of_phrase(self) -> tuple[tuple[tuple[Item, ...], tuple[Item, ...]], ...]:
        """Return the same, in two: the recordings, and what is made."""
        return tuple(
            (tuple(item for item in items if item.recorded), tuple(item for item in items if not item.recorded))
            for items in self.of_phrase
        )


class Cache:
    """Sounds decoded on first use and kept, up to a bound in memory; what comes later is decoded each time."""

    def __init__(self, bytes_at_most: int = 3 << 30) -> None:
        self.bytes_at_most = bytes_at_most
        self._kept: dict[int, Samples] = {}
        self._bytes_left = bytes_at_most
        self._lock = threading.Lock()

    def read(self, item: Item) -> Samples:
        """Return the clip's sound."""
        kept = self._kept.get(item.key)
        if kept is None:
            kept = read_clip(item.clip)
            with self._lock:
                if item.key not in self._kept and kept.nbytes <= self._bytes_left:
                    self._bytes_left -= kept.nbytes
                    self._kept[item.key] = kept
        return kept

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process empty."""
        return Cache, (self.bytes_at_most,)


class Sounds(Sequence[Samples]):
    """The sounds of some items, decoded on use."""

    def __init__(self, pool: ClipPool, items: Sequence[Item]) -> None:
        self.pool, self.items = pool, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # Sequence's overload; slices are not needed
        return self.pool.audio(self.items[index])


def read_pool(
    clips: Iterable[Clip], phrases: str | Sequence[str], split: str, recorded: Collection[str] = ()
) -> ClipPool:
    """Sort the clips of ``split`` by what they are to one phrase or several; ``recorded`` are recordings' paths.

    A positive has a phrase's slug as its label, or ``sentence:`` and the slug with the keyword's times. What else
    holds a phrase (another label around it, a text with it) is neither a positive nor a negative.

    Raises:
        KwsError: the split has no positive of a phrase, or no negative.
    """
    phrases = (phrases,) if isinstance(phrases, str) else tuple(phrases)
    words = tuple(map(phrase_words, phrases))
    groups: dict[str, list[Item]] = {"positives": [], "near": [], "speech": [], "noise": [], "rooms": []}
    for key, clip in enumerate(clips):
        if clip.split == split:
            group, phrase = kind_of_several(clip, phrases)
            if group:
                groups[group].append(Item(key, clip, phrase, clip.path in recorded))
    there = {item.phrase for item in groups["positives"]}
    missing = [manifest.slug(phrase) for index, phrase in enumerate(phrases) if index not in there]
    if missing:
        raise KwsError(
            f"the manifests have no {split} clip with label {missing[0]!r}; add some, or make them with `kws synth`"
        )
    if not groups["near"] and not groups["speech"]:
        what = repr(phrases[0]) if len(phrases) == 1 else "the phrases"
        raise KwsError(f"the manifests have no {split} clip of other speech than {what}; add negatives")
    positives, near, speech, noise, rooms = (tuple(items) for items in groups.values())
    return ClipPool(words, positives, near, speech, noise, rooms=rooms)


def kind_of_several(clip: Clip, phrases: Sequence[str]) -> tuple[str, int]:
    """Return the clip's group (see ``kind``) among several phrases, and whose positive it is or -1.

    What is a positive of one and holds another besides is not used: only one of them would be labelled.
    """
    kinds = [kind(clip, phrase) for phrase in phrases]
    if "" in kinds:
        return "", -1
    if "positives" in kinds:
        return "positives", kinds.index("positives")
    return kinds[0], -1


def kind(clip: Clip, phrase: str) -> str:
    """Return the group of ``ClipPool`` that a clip belongs to, or "" where it must not be used."""
    label = manifest.slug(phrase)
    if clip.label == label or (clip.label == f"sentence:{label}" and clip.kw_end_s is not None):
        return "positives"
    if clip.label in NOISES:
        return "noise"
    if clip.label == ROOM:
        return "rooms"
    if clip.label in NO_EXAMPLES or clip.duration_s <= 0.0 or clip_contains(clip, phrase):
        return ""
    return "near" if clip.label == manifest.NEAR_PHRASE else "speech"
