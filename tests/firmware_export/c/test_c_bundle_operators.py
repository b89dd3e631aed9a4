"""A bundle of a residual graph: every operator of the C runtime, built by itself, under sanitizers."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from firmware_export import verify
from firmware_export.c import bundle
from kws.detector.decision import DetectorConfig
from kws.detector.engine import GraphEngine
from kws.detector.model_file import KwsModel
from kws.frontend.config import FrontendConfig
from kws.graph.ir import Add, AveragePool2D, DepthwiseConv2D, MaxPool2D, Pad, QuantGraph

pytestmark = pytest.mark.slow

SANITIZE = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"


@pytest.fixture(scope="module")
def model(residual_like: Callable[..., QuantGraph]) -> KwsModel:
    graph = residual_like(np.random.default_rng(5))
    assert {Add, AveragePool2D, DepthwiseConv2D, MaxPool2D, Pad} <= {type(op) for op in graph.ops}
    return KwsModel(graph, FrontendConfig(), DetectorConfig.single("a b", ("filler", "a", "b"), 7, 20, 300), (20_000,))


@pytest.fixture(scope="module")
def built(model: KwsModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundle") / "out"
    bundle.write_c(model, directory)
    return directory


def test_its_self_test_passes_under_sanitizers(built: Path) -> None:
    done = subprocess.run(["make", "test", f"CFLAGS={SANITIZE}"], cwd=built, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_bundle_and_the_compiled_runtime_equal_the_graph(model: KwsModel, built: Path, tmp_path: Path) -> None:
    engine = bundle.build_host_engine(built, tmp_path)
    features = np.random.default_rng(0).integers(-128, 128, (800, 40)).astype(np.int8)
    assert (GraphEngine(model.graph).run(features).std(axis=0) > 2).all(), "logits that say something"
    report = verify.verify(model.graph, features, [engine, verify.host_candidate(model.graph)])
    assert [result.status for result in report.results] == ["reference", "equal", "equal"]
