"""Models of ESPHome's micro_wake_word as what is measured, in the desktop's runtime, beside models of ours."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kws.detector import micro_wake_word
from kws.detector.decision import SCORE_ONE
from kws.evaluate.scoring import Subject

REFRACTORY_S = 1.0
_Q15_PER_STEP = SCORE_ONE // micro_wake_word.STEPS


def subject(manifest: Path, name: str = "", phrase: str = "") -> Subject:
    """Return the model of a manifest; ``score`` gives int32 [steps, 1], its mean probability in Q15, rounded down.

    ``phrase`` is what it is measured on, by default the manifest's own.

    Raises:
        KwsError: as ``micro_wake_word.read``.
    """
    published = micro_wake_word.read(manifest)

    def score(samples: NDArray[np.int16]) -> NDArray[np.int32]:
        return in_q15(micro_wake_word.sums(published, samples), published.window)[:, None]

    return Subject(
        name or manifest.stem,
        (phrase or published.phrase,),
        (int(in_q15(np.array([published.least_sum]), published.window)[0]),),
        score,
        published.first_s,
        published.step_s,
        math.ceil(REFRACTORY_S / published.step_s),
    )


def in_q15(sums: NDArray[np.int64], window: int) -> NDArray[np.int32]:
    """Return the means of ``window`` probabilities (0..255) in Q15; each sum is another score, for windows up to 128.

    >>> in_q15(np.array([0, 1, 1275]), 5).tolist()
    [0, 25, 32640]
    """
    return np.asarray(sums * _Q15_PER_STEP // window, np.int32).clip(0, SCORE_ONE)
