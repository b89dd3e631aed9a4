"""The losses: cross-entropy at every frame, or at the best frame of each keyword (max-pooling).

Max-pooling: Sun et al., "Max-pooling loss training of LSTM networks for small-footprint keyword spotting" (SLT 2016),
section 3.2: within a keyword's window only the frame with the highest posterior of its label learns; the model itself
finds out when it knows best. Filler frames learn as in the frame loss. wekws trains with the same idea.

A loss is a weighted sum of means. ``Terms`` keeps sums and counts apart: processes that share a batch add up their
counts first, and each then has its exact part of the loss of the whole batch.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from kws.recipe.train import TrainConfig
from kws.train.labels import UNKNOWN, Targets


@dataclass(frozen=True, eq=False)
class Terms:
    """``weights[i] * sums[i] / counts[i]``, summed over i, is the loss; tensors [terms] each."""

    sums: Tensor
    counts: Tensor
    weights: Tensor

    def loss(self, counts: Tensor | None = None) -> Tensor:
        """Return the loss; ``counts`` of the whole batch where these are the sums of a part of it."""
        divisors = self.counts if counts is None else counts
        return (self.weights * self.sums / divisors.clamp(min=1e-6)).sum()

    def with_term(self, total: Tensor, count: Tensor, weight: float) -> "Terms":
        """Return these terms and one more."""
        more = (total, count.to(self.counts.dtype), self.weights.new_tensor(weight))
        old = (self.sums, self.counts, self.weights)
        return Terms(*(torch.cat([part, one[None]]) for part, one in zip(old, more, strict=True)))

    def scaled(self, factor: float) -> "Terms":
        """Return the terms with all weights times ``factor``."""
        return Terms(self.sums, self.counts, self.weights * factor)


def terms(logits: Tensor, targets: Targets, config: TrainConfig) -> Terms:
    """Return the terms of ``config.loss`` for logits [clips, outputs, labels]."""
    return (frame_terms if config.loss == "frame" else max_pool_terms)(logits, targets, config)


def frame_terms(logits: Tensor, targets: Targets, config: TrainConfig) -> Terms:
    """Return the mean cross-entropy over all outputs with a target, keywords weighing ``keyword_weight``.

    Chen, Parada, Heigold 2014, section 3.2.
    """
    logs = torch.log_softmax(logits, dim=-1)
    labels = targets.labels.clamp(min=0)
    errors = _smoothed(logs, logs.gather(-1, labels[:, :, None])[:, :, 0], config.label_smoothing)
    weights = torch.where(labels > 0, config.keyword_weight, 1.0) * (targets.labels != UNKNOWN)
    return _join(((errors * weights).sum(), weights.sum(), 1.0), _hard(errors, targets, config))


def max_pool_terms(logits: Tensor, targets: Targets, config: TrainConfig) -> Terms:
    """Return the mean cross-entropy over filler outputs, and that of each keyword at its best output."""
    logs = torch.log_softmax(logits, dim=-1)
    is_filler = targets.labels == 0
    filler = _smoothed(logs, logs[:, :, 0], config.label_smoothing)
    labels = targets.keywords[:, None, :].expand(-1, logs.shape[1], -1)
    own = logs.gather(-1, labels).transpose(1, 2)  # [clips, windows, outputs]
    best = own.detach().masked_fill(~targets.inside, -math.inf).argmax(dim=-1, keepdim=True)
    errors = _smoothed(logs[:, None], own, config.label_smoothing).gather(-1, best)[:, :, 0]
    seen = targets.inside.any(dim=-1)  # a window that lies outside the clip teaches nothing
    return _join(
        ((filler * is_filler).sum(), is_filler.sum(), 1.0),
        ((errors * seen).sum(), seen.sum(), config.keyword_weight),
        _hard(filler, targets, config),
    )


def _smoothed(logs: Tensor, own: Tensor, smoothing: float) -> Tensor:
    """Return the cross-entropy with a target of which ``smoothing`` is shared out evenly over all labels."""
    return -own if smoothing == 0.0 else -(1.0 - smoothing) * own - smoothing * logs.mean(dim=-1)


def _hard(errors: Tensor, targets: Targets, config: TrainConfig) -> tuple[Tensor, Tensor, float]:
    """Return sum and count of the filler errors that are the largest of their clip, and their weight.

    The mean over a clip is carried by silence; what fires on other speech is the few outputs at its worst place.
    """
    if config.hard_weight == 0.0:
        return errors.new_zeros(()), errors.new_zeros(()), 0.0
    count = math.ceil(config.hard_share * errors.shape[1])
    largest = errors.masked_fill(targets.labels != 0, -1.0).topk(count, dim=1).values
    return largest.clamp(min=0.0).sum(), (largest >= 0.0).sum(), config.hard_weight


def _join(*parts: tuple[Tensor, Tensor, float]) -> Terms:
    sums, counts, weights = zip(*parts, strict=True)
    stacked = torch.stack(sums)
    return Terms(stacked, torch.stack([count.to(stacked.dtype) for count in counts]), stacked.new_tensor(weights))
