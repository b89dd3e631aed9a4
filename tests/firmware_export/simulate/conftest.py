"""Graphs and models for the emulated processors: the random ones of the tests of the graph, and a small detector."""

from collections.abc import Callable

import pytest

from firmware_export.simulate.targets import TARGETS
from kws.detector.decision import DetectorConfig
from kws.detector.model_file import KwsModel
from kws.frontend.config import FrontendConfig
from kws.graph.ir import QuantGraph


@pytest.fixture(scope="session")
def model(small_graph: Callable[[int, int], QuantGraph]) -> KwsModel:
    """A detector of two phrases that takes two frames a step; its weights mean nothing."""
    detector = DetectorConfig(("hey kws", "stop"), ("filler", "hey", "kws", "stop"), ((1, 2), (3,)), 7, 20, 300)
    return KwsModel(small_graph(4, 2), FrontendConfig(), detector, (20_000, 15_000), recipe={"seed": 1})


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    """Every emulated processor in turn."""
    name: str = request.param
    return name
