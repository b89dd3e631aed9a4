"""What distillation asks of a model: the teacher's posteriors, those of keywords above all."""

import pytest
import torch
from torch import Tensor

from kws.compress.distill import distillation_terms


def test_a_model_with_its_teachers_posteriors_has_nothing_to_learn() -> None:
    teacher = torch.randn(3, 10, 4)
    for total, _ in distillation_terms(teacher + 2.5, teacher):  # a constant changes no posterior
        assert float(total) == pytest.approx(0.0, abs=1e-5)
    (everywhere, count), (keyword, weight) = distillation_terms(torch.randn(3, 10, 4), teacher)
    assert everywhere > 0.0
    assert keyword > 0.0
    assert count == 30
    assert float(weight) == pytest.approx(float((1.0 - torch.softmax(teacher, -1)[:, :, 0]).sum()), rel=1e-5)


def test_outputs_with_a_keyword_count_as_much_as_all_of_them() -> None:
    """One output in a hundred has one: half of the loss is about it."""
    teacher = torch.zeros(1, 100, 2)
    teacher[:, :, 0] = 30.0
    teacher[0, 50] = torch.tensor([0.0, 30.0])
    wrong_there, wrong_elsewhere = teacher.clone(), teacher.clone()
    wrong_there[0, 50] = torch.tensor([1.0, 0.0])
    wrong_elsewhere[0, 20] = torch.tensor([0.0, 1.0])

    def loss(logits: Tensor) -> float:
        return sum(0.5 * float(total / divisor) for total, divisor in distillation_terms(logits, teacher))

    assert loss(wrong_there) == pytest.approx(50.5 * loss(wrong_elsewhere) / 0.5, rel=0.01)
