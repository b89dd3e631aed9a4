"""Distillation: what a model has yet to learn of a larger one's posteriors (Hinton, Vinyals, Dean 2015, section 2)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def distillation_terms(logits: Tensor, teacher: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return two sums of the divergence of the model's posteriors from the teacher's, and what to divide them by.

    Both are logits [clips, outputs, labels]. The first is over all outputs; in the second each counts by the teacher's
    posterior of all keywords, for these are few. Sums and divisors may be added up over parts of a batch.
    """
    targets = torch.log_softmax(teacher, dim=-1)
    divergence = F.kl_div(torch.log_softmax(logits, dim=-1), targets, reduction="none", log_target=True).sum(dim=-1)
    keyword = 1.0 - targets[:, :, 0].exp()
    everywhere = divergence.sum(), divergence.new_tensor(divergence.numel())
    return everywhere, ((divergence * keyword).sum(), keyword.sum())
