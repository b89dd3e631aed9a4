"""Which phone is said in which frame: the best path through the transcript's phones (forced alignment).

Between words, and before and after them, there may be silence or none. Viterbi 1967; Rabiner, "A tutorial on hidden
Markov models", Proc. IEEE 77, 1989, section III.B, with no transition probabilities: each phone lasts as long as the
sound says, at least one frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws.data.phones.inventory import SILENCE

_NEVER = -1e9


@dataclass(frozen=True, eq=False)
class Path:
    """The phone of each frame int64 [frames], its place among the transcript's phones and pauses, the mean score."""

    phones: NDArray[np.int64]
    places: NDArray[np.int64]
    score: float


def align(scores: NDArray[np.float32], words: Sequence[Sequence[int]]) -> Path:
    """Return the best path; ``scores`` [frames, phones] are log likelihoods (log posteriors less log priors).

    >>> path = align(np.log(np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.1]], np.float32)), [[1]])
    >>> path.phones.tolist()
    [0, 1, 0]

    Raises:
        ValueError: there are fewer frames than phones, or none at all.
    """
    sequence, optional = _sequence(words)
    if len(scores) < max(len(sequence) - optional.sum(), 1):
        raise ValueError(f"{len(scores)} frames are too few for {len(sequence) - optional.sum()} phones")
    emitted = scores[:, sequence]
    # Past a pause that is left out: from the phone before it straight to the one after it.
    may_skip = np.zeros(len(sequence), bool)
    may_skip[2:] = optional[1:-1]
    best = np.full(len(sequence), _NEVER)
    best[:2] = emitted[0, :2]
    back = np.zeros(emitted.shape, np.int8)
    padded = np.full(len(sequence) + 2, _NEVER)
    for frame in range(1, len(emitted)):
        padded[2:] = best
        one, two = padded[1:-1], np.where(may_skip, padded[:-2], _NEVER)
        steps = np.where(one > best, 1, 0)
        value = np.maximum(best, one)
        back[frame] = np.where(two > value, 2, steps)
        best = np.maximum(value, two) + emitted[frame]
    last = len(sequence) - 1
    if last and best[last - 1] > best[last]:
        last -= 1
    places = np.zeros(len(emitted), np.int64)
    place = last
    for frame in range(len(emitted) - 1, -1, -1):
        places[frame] = place
        place -= int(back[frame, place])
    return Path(sequence[places], places, float(best[last]) / len(emitted))


def _sequence(words: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the phones with a pause around each word, and which of them may be left out."""
    phones, optional = [SILENCE], [True]
    for word in filter(len, words):  # two pauses in a row could not both be left out
        phones += [*word, SILENCE]
        optional += [*[False] * len(word), True]
    return np.array(phones), np.array(optional)
