"""Where the words of an utterance stand, from its energy, where the synthesizer does not say."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kws.data.manifest import Word

FRAME_S = 0.005
FLOOR_DB = 35.0


def frame_energies(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float64]:
    """Return the mean square of each 5 ms frame, [n] -> [n // frame]; a last partial frame counts as whole."""
    size = max(1, round(rate_hz * FRAME_S))
    frames = -(-len(samples) // size)
    padded = np.zeros(frames * size, dtype=np.float64)
    padded[: len(samples)] = samples
    return np.asarray((padded.reshape(frames, size) ** 2).mean(axis=1))


def loud_span(
    energies: NDArray[np.float64], begin_s: float, end_s: float, floor_db: float = FLOOR_DB
) -> tuple[float, float] | None:
    """Return the first and last moment in the span within ``floor_db`` of its loudest frame, or None if silent."""
    first = max(0, int(begin_s / FRAME_S + 1e-6))
    last = min(len(energies), max(first + 1, int(np.ceil(end_s / FRAME_S - 1e-6))))
    part = energies[first:last]
    if part.size == 0 or part.max() <= 0.0:
        return None
    loud = np.flatnonzero(part >= part.max() * 10.0 ** (-floor_db / 10.0))
    return max(begin_s, (first + int(loud[0])) * FRAME_S), min(end_s, (first + int(loud[-1]) + 1) * FRAME_S)


def proportional(words: Sequence[str], weights: Sequence[float], begin_s: float, end_s: float) -> tuple[Word, ...]:
    """Share the span among the words by their weights (phoneme counts).

    >>> [(word.text, word.end_s) for word in proportional(["hey", "marvin"], [2, 6], 0.0, 0.8)]
    [('hey', 0.2), ('marvin', 0.8)]
    """
    edges = begin_s + (end_s - begin_s) * np.cumsum([0.0, *weights]) / max(sum(weights), 1e-9)
    return tuple(Word(word, float(edges[i]), float(edges[i + 1])) for i, word in enumerate(words))
