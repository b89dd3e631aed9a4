"""New speech from pieces of recorded speech: diphones of many speakers, chosen to fit, joined in mid-phone.

A phrase that nobody recorded, in real voices: unit selection (Hunt and Black, "Unit selection in a concatenative
speech synthesis system using a large speech database", ICASSP 1996) with joins in mid-phone. A clip is drawn around one
speaker; where that speaker lacks two phones in a row, the nearest voices lend them. Every draw considers other
candidates, so that no two clips are alike.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws.data.phones.inventory import SILENCE
from kws.data.phones.speech import AlignedSpeech, Segment, middles, pairs, speakers, voice_distances

CANDIDATES = 30
JOIN_COST = 0.3
OTHER_SPEAKER_COST = 0.3
VOICE_WEIGHT = 0.8
LUCK = 0.5
"""Up to this much is added to a candidate's cost, so that the choice varies."""
SPREAD_OF_RANK = 12.0

CROSSFADE = 160
"""Samples over which pieces are joined: 10 ms."""
PAUSE_FRAMES = 5
"""Of a pause this much is kept after what is before it and before what is after it: at most 0.1 s each."""


@dataclass(frozen=True)
class Run:
    """Successive segments ``first`` .. ``last`` of one utterance, from the middle of one to the middle of the other."""

    utterance: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Sound:
    """float32 [n], peak 1, and the samples from which to before which the phrase stands in it, without its pauses."""

    samples: NDArray[np.float32]
    begin: int
    end: int


class Pieces:
    """Where every pair of phones occurs, and which speakers sound alike."""

    def __init__(self, speech: AlignedSpeech) -> None:
        self.speech = speech
        self.names, self.number_of = speakers(speech)
        self.distances = voice_distances(speech, self.number_of, len(self.names))
        # A segment's number counts through all utterances: what is looked up for every candidate is an array of them.
        counts = [len(one.segments) for one in speech.utterances]
        self.first_of = np.concatenate([[0], np.cumsum(counts)])
        self.utterance_of = np.repeat(np.arange(len(counts)), counts)
        self.speaker_of = self.number_of[self.utterance_of]
        self.middles = middles(speech)
        self.levels: dict[int, float] = {}
        self.pairs = {
            pair: np.array([self.first_of[utterance] + at for utterance, at in places])
            for pair, places in pairs(speech).items()
        }

    def choose(self, phones: list[int], rng: np.random.Generator) -> tuple[list[Run], float] | None:
        """Return the pieces for ``phones`` (silence at both ends) and their cost per phone; None: a pair is missing."""
        home = int(rng.integers(len(self.names)))
        order = np.argsort(self.distances[home] + rng.normal(0.0, 0.05, len(self.names)))
        rank = np.empty(len(order))
        rank[order] = np.arange(len(order))
        candidates = []
        for pair in itertools.pairwise(phones):
            places = self.pairs.get(pair)
            if places is None:
                return None
            near = np.argsort(rank[self.speaker_of[places]] + rng.uniform(0.0, SPREAD_OF_RANK, len(places)))[
                :CANDIDATES
            ]
            candidates.append(places[near])
        chosen, cost = self._best_path(phones, candidates, home, rng)
        return self._runs([self._place(segment) for segment in chosen]), cost / len(phones)

    def _best_path(
        self, phones: list[int], candidates: list[NDArray[np.int64]], home: int, rng: np.random.Generator
    ) -> tuple[list[int], float]:
        """Return the first segment of each pair that is taken, and what all of them cost."""
        costs, back = np.zeros(0), []
        for place, options in enumerate(candidates):
            own = VOICE_WEIGHT * self.distances[home][self.speaker_of[options]]
            own = own + rng.uniform(0.0, LUCK, len(options))
            if place == 0:
                costs = own
            else:
                joins = self._joins(candidates[place - 1], options) * (phones[place] != SILENCE)
                total = costs[:, None] + joins
                back.append(total.argmin(axis=0))
                costs = total.min(axis=0) + own
        at = int(costs.argmin())
        path = [at]
        for pointers in reversed(back):
            path.append(int(pointers[path[-1]]))
        return [int(options[at]) for options, at in zip(candidates, reversed(path), strict=True)], float(costs.min())

    def _joins(self, before: NDArray[np.int64], after: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what each join costs: the spectra's distance in mid-phone, other voices more, what was one nothing."""
        apart = self.middles[before + 1][:, None] - self.middles[after][None]
        costs = np.sqrt((apart**2).mean(axis=-1)).astype(np.float64) + JOIN_COST
        costs += OTHER_SPEAKER_COST * (self.speaker_of[before][:, None] != self.speaker_of[after][None])
        costs[(before + 1)[:, None] == after[None]] = 0.0
        return np.asarray(costs)

    def _place(self, segment: int) -> tuple[int, int]:
        """Return the segment's utterance and its number there."""
        utterance = int(self.utterance_of[segment])
        return utterance, segment - int(self.first_of[utterance])

    def _runs(self, chosen: list[tuple[int, int]]) -> list[Run]:
        """Return what is taken in one go; all pauses are cut, for nobody knows how long they are."""
        runs: list[Run] = []
        for utterance, at in chosen:
            goes_on = runs and runs[-1].utterance == utterance and runs[-1].last == at
            if goes_on and self._phone(utterance, at) != SILENCE:
                runs[-1] = Run(utterance, runs[-1].first, at + 1)
            else:
                runs.append(Run(utterance, at, at + 1))
        return runs

    def _phone(self, utterance: int, segment: int) -> int:
        return self.speech.utterances[utterance].segments[segment].phone

    def render(self, runs: list[Run]) -> Sound:
        """Return the sound of the pieces: levels matched, crossfaded over 10 ms at joins."""
        sound = self._piece(runs[0])
        for run in runs[1:]:
            is_pause = self._phone(run.utterance, run.first) == SILENCE
            sound = _joined(sound, self._piece(run), not is_pause)
        first, last = runs[0], runs[-1]
        before = self.speech.utterances[first.utterance].segments[first.first]
        after = self.speech.utterances[last.utterance].segments[last.last]
        begin = self.speech.sample(before.after) - self._span(first)[0]
        end = len(sound) - (self._span(last)[1] - self.speech.sample(after.first))
        return Sound(sound / np.float32(max(float(np.abs(sound).max()), 1e-9)), begin, max(end, begin))

    def _piece(self, run: Run) -> NDArray[np.float32]:
        part = self.speech.utterances[run.utterance].utterance.samples[slice(*self._span(run))]
        return part.astype(np.float32) / np.float32(self._level(run.utterance))

    def _level(self, utterance: int) -> float:
        """Return the utterance's root mean square, computed once."""
        if utterance not in self.levels:
            samples = self.speech.utterances[utterance].utterance.samples.astype(np.float32)
            self.levels[utterance] = float(np.sqrt(np.mean(samples**2))) + 1.0
        return self.levels[utterance]

    def _span(self, run: Run) -> tuple[int, int]:
        """Return the utterance's samples that a piece has, half a crossfade more at both ends than it is cut to."""
        one = self.speech.utterances[run.utterance]
        begin = self.speech.sample(_edge(one.segments[run.first], True))
        end = self.speech.sample(_edge(one.segments[run.last], False))
        half, length = CROSSFADE // 2, len(one.utterance.samples)
        return max(begin - half, 0), min(max(end, begin + CROSSFADE) + half, length)


def _edge(segment: Segment, is_first: bool) -> float:
    """Return where a piece is cut, in frames: in mid-phone, or a little way into a pause."""
    if segment.phone != SILENCE:
        return (segment.first + segment.after) / 2.0
    if is_first:  # half a frame holds what is crossfaded, so that nothing of the next word is left
        return max(segment.after - PAUSE_FRAMES, segment.first + 0.5)
    return min(segment.first + PAUSE_FRAMES, segment.after - 0.5)


def _joined(sound: NDArray[np.float32], piece: NDArray[np.float32], is_levelled: bool) -> NDArray[np.float32]:
    """Crossfade at constant power; the piece starts near the level that the sound ends with where ``is_levelled``."""
    count = min(CROSSFADE, len(sound), len(piece))
    ratio = (np.mean(sound[-count:] ** 2) + 1e-6) / (np.mean(piece[:count] ** 2) + 1e-6)
    gain = float(np.clip(np.sqrt(ratio), 0.3, 3.0)) ** 0.7 if is_levelled else 1.0
    ramp = np.ones(len(piece), np.float32)
    settled = min(len(piece), 1600)
    ramp[:settled] = np.linspace(gain, 1.0, settled)
    piece = piece * ramp
    turn = np.linspace(0.0, np.pi / 2.0, count, dtype=np.float32)
    overlap = sound[-count:] * np.cos(turn) + piece[:count] * np.sin(turn)
    return np.concatenate([sound[:-count], overlap, piece[count:]])
