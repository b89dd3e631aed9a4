"""The clips of one split, sorted by what they are to a phrase, decoded once and kept in memory."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws.audio import read_audio
from kws.data import manifest
from kws.data.manifest import Clip, Word
from kws.data.synthesis.voice import speakable, split_words
from kws.errors import KwsError

Samples = NDArray[np.int16]
NOISES = ("noise", "music")
NO_EXAMPLES = ("rir", "array")
SAMPLE_RATE_HZ = 16000


def phrase_words(phrase: str) -> tuple[str, ...]:
    """Return the phrase's words as they are compared and labelled: lower case, without punctuation around them.

    >>> phrase_words("Hey, Marvin!")
    ('hey', 'marvin')
    """
    words = tuple(word.casefold() for word in split_words(speakable(phrase)))
    if not words:
        raise KwsError(f"phrase {phrase!r}: it has no letter and no digit; give a phrase that can be spoken")
    return words


@dataclass(frozen=True)
class Item:
    """One clip and, where it is a positive, the phrase's words in it; ``key`` is its place in the pool."""

    key: int
    clip: Clip


@dataclass(frozen=True, eq=False)
class ClipPool:
    """Clips by what they are: positives, near phrases, other speech, noise. All of one split."""

    words: tuple[str, ...]
    positives: tuple[Item, ...]
    near: tuple[Item, ...]
    speech: tuple[Item, ...]
    noise: tuple[Item, ...]
    _cache: "_Cache" = field(default_factory=lambda: _Cache(), repr=False)

    def groups(self) -> tuple[tuple[Item, ...], ...]:
        """Return the four groups."""
        return self.positives, self.near, self.speech, self.noise

    def audio(self, item: Item) -> Samples:
        """Return the clip's sound, int16 [n] at 16 kHz; decoded at the first call, from memory at the next."""
        kept = self._cache.kept.get(item.key)
        if kept is None:
            kept = read_audio(Path(item.clip.path))
            self._cache.keep(item.key, kept)
        return kept

    def keyword(self, item: Item) -> tuple[Word, ...]:
        """Return where the phrase's words stand in a positive clip, one ``Word`` each, in order."""
        return locate(item.clip, self.words, self.audio(item))


class _Cache:
    """Decoded sounds up to a bound in memory; what comes later is decoded each time. Threads may share it."""

    def __init__(self, bytes_at_most: int = 3 << 30) -> None:
        self.kept: dict[int, Samples] = {}
        self._bytes_left = bytes_at_most
        self._lock = threading.Lock()

    def keep(self, key: int, samples: Samples) -> None:
        with self._lock:
            if key not in self.kept and samples.nbytes <= self._bytes_left:
                self._bytes_left -= samples.nbytes
                self.kept[key] = samples


class Sounds(Sequence[Samples]):
    """The sounds of some items, decoded as they are asked for."""

    def __init__(self, pool: ClipPool, items: Sequence[Item]) -> None:
        self.pool, self.items = pool, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]  # Sequence's overload; slices are not needed
        return self.pool.audio(self.items[index])


def read_pool(clips: Iterable[Clip], phrase: str, split: str) -> ClipPool:
    """Sort the clips of ``split`` by what they are to ``phrase``.

    A positive has the phrase's slug as its label, or ``sentence:`` and the slug with the keyword's times. What else
    holds the phrase (another label around it, a text that says it) is neither a positive nor a negative.

    Raises:
        KwsError: the split has no positive or no negative.
    """
    words = phrase_words(phrase)
    groups: dict[str, list[Item]] = {"positives": [], "near": [], "speech": [], "noise": []}
    for key, clip in enumerate(clips):
        group = kind(clip, manifest.slug(phrase), words)
        if clip.split == split and group:
            groups[group].append(Item(key, clip))
    if not groups["positives"]:
        raise KwsError(f"the manifests have no {split} clip with label {manifest.slug(phrase)!r}; add some")
    if not groups["near"] and not groups["speech"]:
        raise KwsError(f"the manifests have no {split} clip of other speech than {phrase!r}; add negatives")
    positives, near, speech, noise = (tuple(items) for items in groups.values())
    return ClipPool(words, positives, near, speech, noise)


def kind(clip: Clip, label: str, words: Sequence[str]) -> str:
    """Return the group of ``ClipPool`` that a clip belongs to, or "" where it must not be used."""
    if clip.label == label or (clip.label == f"sentence:{label}" and clip.kw_end_s is not None):
        return "positives"
    if clip.label in NOISES:
        return "noise"
    if clip.label in NO_EXAMPLES or clip.duration_s <= 0.0:
        return ""
    spoken = [word.casefold() for word in split_words(clip.text)]
    named = clip.label.replace(":", "_").split("_")
    if find(spoken, words) is not None or find(named, label.split("_")) is not None:
        return ""
    return "near" if clip.label == manifest.NEAR_PHRASE else "speech"


def find(spoken: Sequence[str], words: Sequence[str]) -> int | None:
    """Return where ``words`` stand one after the other in ``spoken``, or None.

    >>> find(["oh", "hey", "marvin"], ["hey", "marvin"])
    1
    """
    for begin in range(len(spoken) - len(words) + 1):
        if list(spoken[begin : begin + len(words)]) == list(words):
            return begin
    return None


def locate(clip: Clip, words: Sequence[str], samples: Samples) -> tuple[Word, ...]:
    """Return the phrase's words with their times in a positive clip.

    The best that is known: the clip's word times; else its keyword times; else the span within 25 dB of the loudest
    20 ms. A span without word times is shared out by the words' letters.
    """
    begin = find([word.text.casefold() for word in clip.words], words)
    if begin is not None:
        return clip.words[begin : begin + len(words)]
    if clip.kw_start_s is not None and clip.kw_end_s is not None:
        start_s, end_s = clip.kw_start_s, clip.kw_end_s
    else:
        start_s, end_s = loud_span(samples)
    edges = start_s + (end_s - start_s) * np.cumsum([0, *map(len, words)]) / sum(map(len, words))
    return tuple(Word(word, float(edges[i]), float(edges[i + 1])) for i, word in enumerate(words))


def loud_span(samples: Samples) -> tuple[float, float]:
    """Return the first and last second of what is within 25 dB of the loudest 20 ms."""
    size = SAMPLE_RATE_HZ // 50
    blocks = samples[: len(samples) - len(samples) % size].reshape(-1, size).astype(np.float32)
    powers = (blocks**2).mean(axis=1)
    loud = np.flatnonzero(powers > powers.max(initial=0.0) * 10.0**-2.5)
    if not len(loud):
        return 0.0, len(samples) / SAMPLE_RATE_HZ
    return float(loud[0]) * 0.02, float(loud[-1] + 1) * 0.02
