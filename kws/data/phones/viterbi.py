"""The phone of each frame: the best path through the transcript's phones (forced alignment).

Between words, and before and after them, there may be silence or none. Viterbi 1967; Rabiner, "A tutorial on hidden
Markov models", Proc. IEEE 77, 1989, section III.B, with no transition probabilities: each phone lasts as long as the
sound fits it, at least one frame.
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
    return align_together([scores], [words])[0]


def align_together(scores: Sequence[NDArray[np.float32]], words: Sequence[Sequence[Sequence[int]]]) -> list[Path]:
    """Return what ``align`` does of each, of all at once: fastest where they are about equally long.

    Raises:
        ValueError: one has fewer frames than phones, or none at all.
    """
    sequences = [_sequence(one) for one in words]
    for frames, (phones, optional) in zip(scores, sequences, strict=True):
        if len(frames) < max(len(phones) - optional.sum(), 1):
            raise ValueError(f"{len(frames)} frames are too few for {len(phones) - optional.sum()} phones")
    lengths = np.array([len(frames) for frames in scores])
    emitted = np.full((lengths.max(), len(scores), max(len(phones) for phones, _ in sequences)), _NEVER)
    # Past a pause that is left out: from the phone before it straight to the one after it.
    skipping = np.full(emitted.shape[1:], _NEVER)
    for number, (frames, (phones, optional)) in enumerate(zip(scores, sequences, strict=True)):
        emitted[: len(frames), number, : len(phones)] = frames[:, phones]
        skipping[number, 2 : len(phones)][optional[1:-1]] = 0.0
    back, ends = _forward(emitted, skipping, lengths)
    lasts = np.array([len(phones) - 1 for phones, _ in sequences])
    rows = np.arange(len(scores))
    lasts -= (lasts > 0) & (ends[rows, lasts - 1] > ends[rows, lasts])
    places = _places(back, lasts, lengths)
    return [
        Path(phones[path], path, float(end[last]) / len(path))
        for (phones, _), path, end, last in zip(sequences, places, ends, lasts, strict=True)
    ]


def _forward(
    emitted: NDArray[np.float64], skipping: NDArray[np.float64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return how many places each best path came from back, [frames, paths, places], and each path's last scores."""
    padded = np.full((skipping.shape[0], skipping.shape[1] + 2), _NEVER)
    stay, one, two = padded[:, 2:], padded[:, 1:-1], padded[:, :-2]
    stay[:, :2] = emitted[0, :, :2]
    back = np.zeros(emitted.shape, np.int8)
    ends = stay.copy()
    for frame in range(1, len(emitted)):
        leap = two + skipping
        value = np.maximum(stay, one)
        np.greater(one, stay, out=back[frame], casting="unsafe")
        back[frame][leap > value] = 2
        stay[:] = np.maximum(value, leap) + emitted[frame]
        ended = lengths == frame + 1
        if ended.any():
            ends[ended] = stay[ended]
    return back, ends


def _places(back: NDArray[np.int8], lasts: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return each path, followed back from its last place."""
    paths, rows = np.zeros(back.shape[:2], np.int64), np.arange(len(lasts))
    place = lasts.copy()
    for frame in range(len(back) - 1, -1, -1):
        paths[frame] = place
        place -= np.where(frame < lengths, back[frame, rows, place], 0)
    return [paths[:length, number] for number, length in enumerate(lengths)]


def _sequence(words: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the phones with a pause around each word, and which of them may be left out."""
    phones, optional = [SILENCE], [True]
    for word in filter(len, words):  # two pauses in a row could not both be left out
        phones += [*word, SILENCE]
        optional += [*[False] * len(word), True]
    return np.array(phones), np.array(optional)
