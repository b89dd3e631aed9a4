"""The figures of models against independent counts: torch's, the state itself, the integer graph's cost."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from kws.cli import command
from kws.compress.quantize.calibrate import calibrate
from kws.compress.quantize.from_modules import stages
from kws.compress.quantize.lower import lower
from kws.graph.cost import cost
from kws.models.figures import figures_of
from kws.models.layers import BatchNorm, Sequential
from kws.models.registry import BUILDERS
from kws.models.table import PUBLISHED, describe, text

Small = Callable[..., Sequential]


class Counter(TorchFunctionMode):
    """Counts what torch's convolutions and matrix products multiply: a filter's weights for each output value."""

    macs = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (F.conv1d, F.conv2d, F.linear):
            self.macs += result.numel() * args[1][0].numel()
        return result


@pytest.mark.parametrize("name", BUILDERS)
def test_the_declared_work_is_what_torch_counts(name: str, small: Small) -> None:
    """Over 120 frames from the initial state; the norms of sub-bands, which are not folded, are added."""
    model = small(name).eval()
    with Counter() as counter, torch.no_grad():
        outputs = model(torch.zeros(1, 120, 40)).shape[1]
    sub_bands = sum(part.macs for part in model.modules() if isinstance(part, BatchNorm))
    assert model.macs * outputs == counter.macs + sub_bands * outputs


@pytest.mark.parametrize("name", BUILDERS)
def test_work_and_state_are_those_of_the_integer_graph(name: str, small: Small) -> None:
    model = small(name).eval()
    drawn = torch.Generator().manual_seed(2)
    for part in model.modules():
        if isinstance(part, BatchNorm):  # as after training: all different, so that none folds by chance
            part.running_var.uniform_(0.5, 2.0, generator=drawn)
    parts = stages(model)
    features = np.random.default_rng(0).uniform(0.0, 25.0, (1, 48, 40))
    found = cost(lower(parts, calibrate(parts, features), model.latency))
    assert found.macs_per_step == model.macs
    assert found.state_bytes == figures_of(model, hop_ms=10).state_bytes


@pytest.mark.parametrize("name", BUILDERS)
def test_figures_in_milliseconds(name: str, small: Small) -> None:
    model = small(name)
    found = figures_of(model, hop_ms=20)
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert found.receptive_field_ms == 20 * model.receptive_field
    assert found.latency_ms == 20 * model.latency
    assert found.step_ms == 20 * model.stride
    assert found.macs_per_second == pytest.approx(model.macs * 50 / model.stride)


def test_the_table_has_every_family_and_what_is_computed() -> None:
    rows = describe()
    assert {row["model"]["name"] for row in rows} == set(BUILDERS)
    assert [row["title"] for row in rows] == [title for title, _ in PUBLISHED]
    by_title = {row["title"]: row for row in rows}
    assert by_title["deepkws 3 x 128"]["parameters"] == 243_072 + 2 * 129
    assert by_title["mixednet"]["state_bytes"] == 3472
    lines = text(rows).splitlines()
    assert len(lines) == 3 + len(rows)
    assert any("bc-resnet-8" in line and "318,498" in line for line in lines)


def test_the_command_prints_both_forms() -> None:
    plain = CliRunner().invoke(command, ["models"])
    data = CliRunner().invoke(command, ["models", "--json"])
    assert (plain.exit_code, data.exit_code) == (0, 0)
    for row in json.loads(data.output):
        assert f" {row['title']} " in plain.output
        assert f" {row['parameters']:,} " in plain.output
