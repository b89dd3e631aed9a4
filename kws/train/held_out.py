"""How good a model is on voices that training never heard: the choice among its states on the way.

Each held-out clip is a short stream of its own. Its score is the highest confidence that the shipped decision
logic reaches in it, so that what is chosen by is what the detector does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kws.compress.calibrate import quantized_input
from kws.data.dataset import Batch
from kws.detect import SCORE_ONE, DetectorConfig, Scorer
from kws.models.layers import Sequential
from kws.train.loss import frame_loss, targets

FALSE_ACCEPTS_AT_MOST = 0.01
"""Share of the negative clips that may fire where the false reject rate and the threshold are read."""

COMPARED_AT = (0.01, 0.02, 0.05, 0.1)
"""Shares at which false rejects are averaged to compare states: one share of few clips is a matter of luck."""

LOGIT_STEPS = 12.0
"""Steps of one unit of a centred float logit, for the integer decision logic: range +-10.6, difference 1/12."""


@dataclass(frozen=True)
class Trial:
    """One look at the held-out clips.

    ``false_reject_rate`` is at ``FALSE_ACCEPTS_AT_MOST``, ``mean_false_reject_rate`` over ``COMPARED_AT``, ``loss`` per
    frame, ``threshold`` in Q15.
    """

    step: int
    false_reject_rate: float
    mean_false_reject_rate: float
    loss: float
    threshold: int

    def key(self) -> tuple[float, float]:
        """Return what trials are compared by: the mean false rejects, then the loss; the least is the best."""
        return self.mean_false_reject_rate, self.loss


def trial(
    model: Sequential, batches: Sequence[Batch], detector: DetectorConfig, step_ms: int, edge_frames: int, step: int
) -> Trial:
    """Measure the model: false rejects where 1 % of the negative clips fire, and the mean loss per frame.

    A positive clip holds the phrase whole; it is a hit when its score is at or above the threshold.
    """
    positives: list[int] = []
    negatives: list[int] = []
    losses = []
    for batch in batches:
        with torch.no_grad():
            logits = model(quantized_input(batch.features))
            losses.append(float(frame_loss(logits, targets(batch.labels, model.latency, edge_frames), 1.0)))
        for clip, kind in zip(logits, batch.kinds, strict=True):
            (positives if kind == "positive" else negatives).append(clip_score(clip, detector, step_ms))
    return Trial(
        step=step,
        false_reject_rate=false_rejects(positives, negatives, FALSE_ACCEPTS_AT_MOST),
        mean_false_reject_rate=float(np.mean([false_rejects(positives, negatives, share) for share in COMPARED_AT])),
        loss=float(np.mean(losses)),
        threshold=threshold_at(negatives, FALSE_ACCEPTS_AT_MOST),
    )


def false_rejects(positives: Sequence[int], negatives: Sequence[int], share: float) -> float:
    """Return the share of positives below the threshold that lets ``share`` of the negatives fire.

    >>> false_rejects([5, 35], [10, 20, 30, 40], 0.25)
    0.5
    """
    threshold = threshold_at(negatives, share)
    return sum(score < threshold for score in positives) / max(len(positives), 1)


def clip_score(logits: Tensor, detector: DetectorConfig, step_ms: int) -> int:
    """Return the highest confidence (Q15) in one clip's float logits [steps, outputs], by the shipped arithmetic."""
    centred = (logits - logits.mean(dim=-1, keepdim=True)).numpy() * LOGIT_STEPS
    steps = np.clip(np.rint(centred), -128, 127).astype(np.int8)
    return int(Scorer(detector, 1.0 / LOGIT_STEPS, step_ms).push(steps).max(initial=0))


def threshold_at(negatives: Sequence[int], share: float) -> int:
    """Return the lowest threshold at which at most ``share`` of the negatives' scores fire.

    >>> threshold_at([10, 20, 30, 40], 0.25)
    31
    """
    allowed = int(share * len(negatives))
    ordered = sorted(negatives, reverse=True)
    return min(ordered[allowed] + 1, SCORE_ONE) if allowed < len(ordered) else 0
