"""benchmarks/listening.py measures what it says: both sides hear the whole sound, and the ratio is theirs."""

import json
from collections.abc import Callable
from types import ModuleType

import pytest
from click.testing import CliRunner

from kws.detector.config import DetectorConfig
from kws.graph.cost import cost


@pytest.fixture
def listening(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("listening")


def test_the_default_model_is_the_recipes_wren(listening: ModuleType) -> None:
    model = listening.default_model()
    assert model.detector == DetectorConfig.single("computer", ("filler", "computer"))
    assert 20_000 < cost(model.graph).parameters < 26_000
    assert model.graph.stride == 3


def test_it_prints_the_ratio(listening: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pymicro_wakeword")
    monkeypatch.setattr(listening, "SECONDS", 1)
    monkeypatch.setattr("os.sched_setaffinity", lambda *_: None)
    done = CliRunner().invoke(listening.main, ["tests/golden/computer.kws", "--rounds", "1", "--json"])
    assert done.exit_code == 0, done.output
    data = json.loads(done.output)
    mine, peers = data["times_real_time"].values()
    assert data["ratio"] == mine / peers
    table = CliRunner().invoke(listening.main, ["tests/golden/computer.kws", "--rounds", "1"]).output
    assert "pymicro-wakeword, alexa" in table
    assert "times as much" in table
