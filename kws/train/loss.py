"""What a model is fitted to: the label of every frame, given ``latency`` frames later."""

import torch
import torch.nn.functional as F
from torch import Tensor

UNKNOWN = -100
"""A target that counts for nothing."""


def targets(labels: Tensor, latency: int, edge_frames: int) -> Tensor:
    """Return what the model should say at each frame: int64 [clips, frames], the labels ``latency`` frames late.

    The first ``latency`` targets are about frames before the clip, ``UNKNOWN``, as are those within ``edge_frames``
    of a place where the label changes: nobody knows to the frame where a word begins.

    >>> targets(torch.tensor([[0, 0, 0, 1, 1, 1]]), latency=1, edge_frames=1).tolist()
    [[-100, 0, 0, -100, -100, 1]]
    """
    known = labels.clone()
    changes = labels[:, 1:] != labels[:, :-1]
    for distance in range(edge_frames):
        known[:, distance + 1 :][changes[:, : changes.shape[1] - distance]] = UNKNOWN
        known[:, : known.shape[1] - 1 - distance][changes[:, distance:]] = UNKNOWN
    late = torch.full_like(known, UNKNOWN)
    late[:, latency:] = known[:, : known.shape[1] - latency]
    return late


def frame_loss(logits: Tensor, wanted: Tensor, keyword_weight: float) -> Tensor:
    """Return the mean cross-entropy of logits [clips, frames, outputs] and targets [clips, frames].

    A keyword frame counts ``keyword_weight`` times a filler frame. Chen et al. 2014, section 3.2.
    """
    weights = torch.full((logits.shape[-1],), keyword_weight, dtype=logits.dtype, device=logits.device)
    weights[0] = 1.0
    return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), weights, ignore_index=UNKNOWN)
