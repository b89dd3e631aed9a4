"""The optimizers: who learns what by which, how far a step goes, and that they go on exactly where they stopped."""

import pytest
import torch
from torch import nn

from kws.config import load
from kws.models.configs import ModelConfig
from kws.models.layers import Dense, Sequential
from kws.models.registry import BUILDERS, build
from kws.recipe.train import TrainConfig
from kws.train.fit.optimizers import Optimizers, hidden_matrices, make_optimizers

LABELS = 7


def family_model(family: str) -> Sequential:
    config = load(ModelConfig, {"name": family})
    return build(config, 40, LABELS, torch.Generator().manual_seed(0))


def small_model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


def learn(model: nn.Module, optimizers: Optimizers, steps: range, rate: float = 0.01) -> None:
    """Take steps towards random targets; step n sees the same numbers whenever it is taken."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        optimizers.set_rate(rate)
        optimizers.zero_grad()
        x, wanted = torch.randn(16, 6, generator=generator), torch.randn(16, 3, generator=generator)
        (model(x) - wanted).square().mean().backward()
        optimizers.step()


def parameters_of(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(one) for group in optimizer.param_groups for one in group["params"]}


@pytest.mark.parametrize("family", sorted(BUILDERS))
def test_every_parameter_has_one_optimizer(family: str) -> None:
    model = family_model(family)
    other = nn.Parameter(torch.zeros(5, 5))
    taken = [parameters_of(one) for one in make_optimizers(model, [other], TrainConfig()).each]
    assert sum(map(len, taken)) == len(set.union(*taken))
    assert set.union(*taken) == {id(one) for one in (*model.parameters(), other)}
    assert id(other) in taken[0]


@pytest.mark.parametrize("family", sorted(BUILDERS))
def test_muon_has_the_matrices_of_dense_layers_but_not_the_logits(family: str) -> None:
    model = family_model(family)
    dense = [layer for layer in model.modules() if isinstance(layer, Dense)]
    hidden = {id(layer.weight) for layer in dense if layer.weight.shape[0] != LABELS}
    assert {id(one) for one in hidden_matrices(model)} == hidden


def test_adamw_alone_is_torchs() -> None:
    ours, theirs = small_model(), small_model()
    optimizers = make_optimizers(ours, [], TrainConfig(optimizer="adamw"))
    learn(ours, optimizers, range(5))
    learn(theirs, Optimizers([torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=1e-2)]), range(5))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_step_of_muon_goes_equally_far_in_every_direction_of_the_matrix() -> None:
    model = small_model()
    matrix = hidden_matrices(model)[1]
    before = matrix.detach().clone()
    learn(model, make_optimizers(model, [], TrainConfig(weight_decay=0.0)), range(1), rate=0.01)
    gradient = matrix.grad
    assert gradient is not None
    wanted = torch.linalg.svdvals(gradient)
    assert wanted[1] < 0.5 * wanted[0]  # AdamW and gradient descent go on along the first
    sizes = torch.linalg.svdvals(matrix.detach() - before)
    # As large as AdamW's: each entry 0.2 times the rate, so each direction of 8 x 8 that times the root of 8. The
    # iteration comes within 0.7 to 1.2 of it, in the directions that have a gradient at all.
    relative = sizes[wanted > 1e-6] / (0.2 * 0.01 * 8**0.5)
    assert len(relative) >= 3
    assert relative.min() > 0.65
    assert relative.max() < 1.25


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_they_go_on_exactly_where_they_stopped(name: str) -> None:
    config = load(TrainConfig, {"optimizer": name})
    whole = small_model()
    learn(whole, make_optimizers(whole, [], config), range(6))
    broken = small_model()
    first = make_optimizers(broken, [], config)
    learn(broken, first, range(3))
    later = make_optimizers(broken, [], config)
    later.restore(first.state())
    learn(broken, later, range(3, 6))
    for one, other in zip(whole.parameters(), broken.parameters(), strict=True):
        assert torch.equal(one, other)
