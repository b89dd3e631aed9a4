"""Transcribed speech with a phone for every 20 ms: what pieces are cut from and what phone labels are made of."""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kws.data.phones.inventory import SILENCE, Inventory
from kws.frontend.config import LFBE_FRACTION_BITS, FrontendConfig

FRAME_HOPS = 2
"""A phone frame is this many LFBE frames long."""


@dataclass(frozen=True, eq=False)
class Utterance:
    """Someone's words: int16 [n] at 16 kHz, LFBE int16 [frames, bands], and its transcript, as phones of its words.

    It stands in the recording ``path`` from LFBE hop ``first_hop`` on.
    """

    speaker: str
    source: str
    licence: str
    samples: NDArray[np.int16]
    features: NDArray[np.int16]
    words: tuple[tuple[int, ...], ...] = ()
    path: str = ""
    first_hop: int = 0
    text: str = ""


@dataclass(frozen=True)
class Segment:
    """A phone from frame ``first`` to before frame ``after``."""

    phone: int
    first: int
    after: int


@dataclass(frozen=True, eq=False)
class Aligned:
    """An utterance and the phone of every second LFBE frame, int64 [frames / 2, up]; higher scores fit better."""

    utterance: Utterance
    phones: NDArray[np.int64]
    segments: tuple[Segment, ...]
    score: float


@dataclass(frozen=True, eq=False)
class AlignedSpeech:
    """All of it, and the phones' names."""

    inventory: Inventory
    frontend: FrontendConfig
    utterances: tuple[Aligned, ...]

    @cached_property
    def means(self) -> tuple[NDArray[np.float32], ...]:
        """Each utterance's mean spectrum over its louder half, log2 units [bands]."""
        return tuple(loud_mean(one.utterance.features) for one in self.utterances)

    @property
    def seconds(self) -> float:
        """How long they last."""
        samples = sum(len(one.utterance.samples) for one in self.utterances)
        return samples / self.frontend.sample_rate_hz

    def sample(self, frame: float) -> int:
        """Return the utterance's sample at which a phone frame begins: its LFBE window's middle less half a frame."""
        size = FRAME_HOPS * self.frontend.hop_samples
        return round(frame * size) + (self.frontend.window_samples - size) // 2


def loud_mean(features: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return the mean spectrum of the frames above the median level: LFBE [frames, bands] -> log2 units [bands]."""
    levels = features.mean(axis=1)
    mean = features[levels >= np.median(levels)].mean(axis=0) * 2.0**-LFBE_FRACTION_BITS
    return np.asarray(mean, np.float32)


def segments(phones: NDArray[np.int64], places: NDArray[np.int64]) -> tuple[Segment, ...]:
    """Return the runs of one place in the transcript.

    >>> segments(np.array([0, 5, 5]), np.array([0, 1, 1]))
    (Segment(phone=0, first=0, after=1), Segment(phone=5, first=1, after=3))
    """
    edges = [0, *(np.flatnonzero(np.diff(places)) + 1).tolist(), len(phones)]
    return tuple(Segment(int(phones[a]), a, b) for a, b in itertools.pairwise(edges))


def middles(speech: AlignedSpeech) -> NDArray[np.float32]:
    """Return the LFBE in the middle of every segment of every utterance in turn: log2 units [segments, bands].

    Each is less its utterance's mean over the louder half.
    """
    normalised = []
    for one, mean in zip(speech.utterances, speech.means, strict=True):
        features = one.utterance.features
        frames = [FRAME_HOPS * ((part.first + part.after) // 2) for part in one.segments]
        rows = features[np.minimum(frames, len(features) - 1)].astype(np.float32)
        normalised.append(np.asarray(rows * 2.0**-LFBE_FRACTION_BITS - mean, np.float32))
    return np.concatenate(normalised)


Pair = tuple[int, int]
"""Two phones that follow each other."""


def pairs(speech: AlignedSpeech, frames_at_most: int = 14) -> dict[Pair, list[tuple[int, int]]]:
    """Return where each pair of phones occurs: (utterance, first of the two segments). Drawn-out phones are no use."""
    places: dict[Pair, list[tuple[int, int]]] = defaultdict(list)
    for index, one in enumerate(speech.utterances):
        for place, (first, second) in enumerate(itertools.pairwise(one.segments)):
            if all(part.phone == SILENCE or part.after - part.first <= frames_at_most for part in (first, second)):
                places[first.phone, second.phone].append((index, place))
    return places


def speakers(speech: AlignedSpeech) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the speakers' names, and the number of each utterance's."""
    names = tuple(sorted({one.utterance.speaker for one in speech.utterances}))
    numbers = {name: number for number, name in enumerate(names)}
    return names, np.array([numbers[one.utterance.speaker] for one in speech.utterances])


def voice_distances(speech: AlignedSpeech, number_of: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Return how different the speakers' mean spectra are, [speakers, speakers] in log2 units (root mean square)."""
    means: Sequence[NDArray[np.float32]] = [
        np.mean([speech.means[index] for index in np.flatnonzero(number_of == one)], axis=0) for one in range(count)
    ]
    shapes = np.stack([mean - mean.mean() for mean in means])
    return np.asarray(np.sqrt(((shapes[:, None] - shapes[None]) ** 2).mean(axis=-1)), np.float32)
