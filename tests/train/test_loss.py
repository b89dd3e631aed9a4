"""Both losses against a plain computation of what they are said to be, and that parts add up to the whole."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from kws.recipe.train import TrainConfig
from kws.train.labels import UNKNOWN, Targets
from kws.train.loss import Terms, frame_terms, max_pool_terms, terms

FRAME = TrainConfig(loss="frame", keyword_weight=3.0, hard_weight=0.0)
POOL = TrainConfig(loss="max_pool", keyword_weight=2.0, hard_weight=0.0)


def targets(labels: list[list[int]], windows: list[list[tuple[int, int, int]]]) -> Targets:
    """Windows per clip: label, first output, output after the last; no window: (0, 0, 0)."""
    keywords = torch.tensor([[label for label, _, _ in clip] for clip in windows]).reshape(len(labels), -1)
    inside = torch.zeros(*keywords.shape, len(labels[0]), dtype=torch.bool)
    for clip, row in enumerate(windows):
        for place, (_, first, after) in enumerate(row):
            inside[clip, place, first:after] = True
    return Targets(torch.tensor(labels), keywords, inside)


def random_logits(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), requires_grad=True)


def test_the_frame_loss_is_the_weighted_cross_entropy() -> None:
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0], [5.0, 5.0]]])
    losses = -torch.log_softmax(logits, dim=-1)
    wanted = (losses[0, 0, 0] + 3.0 * losses[0, 1, 1]) / 4.0
    found = frame_terms(logits, targets([[0, 1, UNKNOWN]], [[]]), FRAME).loss()
    assert torch.allclose(found, wanted)


def test_the_frame_loss_is_torchs_with_smoothing() -> None:
    logits = random_logits(2, 5, 4)
    labels = [[0, 0, 2, 3, UNKNOWN], [1, 1, 0, UNKNOWN, 0]]
    config = TrainConfig(loss="frame", label_smoothing=0.1, hard_weight=0.0)
    wanted = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), torch.tensor(labels).flatten(), ignore_index=UNKNOWN, label_smoothing=0.1
    )
    assert torch.allclose(frame_terms(logits, targets(labels, [[], []]), config).loss(), wanted)


def test_max_pooling_learns_from_the_best_output_of_each_window_alone() -> None:
    logits = random_logits(2, 6, 3)
    labels = [[0, UNKNOWN, 1, 1, 2, 2], [0] * 6]
    windows = [[(1, 2, 4), (2, 4, 6)], [(0, 0, 0), (0, 0, 0)]]
    logs = torch.log_softmax(logits, dim=-1)
    best = [max(logs[0, n, 1] for n in (2, 3)), max(logs[0, n, 2] for n in (4, 5))]
    filler = [logs[0, 0, 0], *logs[1, :, 0]]
    wanted = -2.0 * sum(best) / 2 - sum(filler) / len(filler)
    found = max_pool_terms(logits, targets(labels, windows), POOL).loss()
    assert torch.allclose(found, wanted)
    found.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    touched = (logits.grad.abs().sum(dim=-1) > 0)[0].tolist()
    first, second = (max((2, 3), key=lambda n: logs[0, n, 1]), max((4, 5), key=lambda n: logs[0, n, 2]))
    assert touched == [n in {0, first, second} for n in range(6)]


def test_a_window_outside_the_clip_teaches_nothing() -> None:
    logits = random_logits(1, 4, 2)
    empty = max_pool_terms(logits, targets([[0, 0, 0, 0]], [[(1, 4, 4)]]), POOL)
    none = max_pool_terms(logits, targets([[0, 0, 0, 0]], [[]]), POOL)
    assert torch.equal(empty.loss(), none.loss())
    assert empty.counts.tolist()[:2] == [4.0, 0.0]


@pytest.mark.parametrize("config", [FRAME, POOL])
def test_the_hardest_filler_outputs_of_each_clip_weigh_more(config: TrainConfig) -> None:
    logits = random_logits(2, 10, 2)
    wanted = targets([[0] * 10, [0] * 5 + [UNKNOWN] * 5], [[], []])
    hard = dataclasses.replace(config, hard_share=0.2, hard_weight=0.7)
    errors = -torch.log_softmax(logits, dim=-1)[:, :, 0]
    hardest = torch.cat([errors[0].topk(2).values, errors[1, :5].topk(2).values]).mean()
    assert torch.allclose(terms(logits, wanted, hard).loss(), terms(logits, wanted, config).loss() + 0.7 * hardest)


def test_parts_of_a_batch_with_the_whole_counts_add_up_to_its_loss() -> None:
    logits = random_logits(4, 8, 3)
    labels = torch.randint(-1, 3, (4, 8), generator=torch.Generator().manual_seed(2)).tolist()
    wanted = targets([[UNKNOWN if n < 0 else n for n in row] for row in labels], [[(1, 0, 3)], [(0, 0, 0)]] * 2)
    for config in (FRAME, dataclasses.replace(POOL, hard_weight=1.0, label_smoothing=0.1)):
        whole = terms(logits, wanted, config)
        parts = [
            terms(logits[part], Targets(wanted.labels[part], wanted.keywords[part], wanted.inside[part]), config)
            for part in (slice(0, 1), slice(1, 4))
        ]
        counts = parts[0].counts + parts[1].counts
        assert torch.equal(counts, whole.counts)
        assert torch.allclose(parts[0].loss(counts) + parts[1].loss(counts), whole.loss())


def test_nothing_to_learn_from_is_no_error() -> None:
    logits = random_logits(1, 4, 2)
    for config in (FRAME, POOL):
        loss = terms(logits, targets([[UNKNOWN] * 4], [[]]), config).loss()
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.item() == 0.0
    assert math.isfinite(Terms(torch.zeros(1), torch.zeros(1), torch.ones(1)).loss().item())
