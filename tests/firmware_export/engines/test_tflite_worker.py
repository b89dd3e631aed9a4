"""tflite-runtime 2.14 in its own environment, which `make test` sets up where there is a build of it (Python 3.11)."""

import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from numpy.typing import NDArray

from firmware_export import verify
from firmware_export.engines import tflite_worker
from firmware_export.engines.tflite_worker import TfliteRuntimeEngine
from firmware_export.tflite import writer as tflite
from kws.errors import KwsError
from kws.graph.interpret import Interpreter
from kws.graph.ir import QuantGraph
from kws.system.packages import NotInstalledError

Maker = Callable[..., QuantGraph]


@pytest.fixture(autouse=True)
def environment(older_runtimes: Path) -> Path:
    """Every test here needs it."""
    return older_runtimes


def noise(graph: QuantGraph, steps: int) -> NDArray[np.int8]:
    stride, bands = graph.tensor(graph.input).shape
    return np.random.default_rng(0).integers(-128, 128, (steps * stride, bands)).astype(np.int8)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(data=st.data())
def test_small_graphs_are_equal(random_graphs: st.SearchStrategy[QuantGraph], data: st.DataObject) -> None:
    graph = data.draw(random_graphs)
    features = noise(graph, 12)
    for streaming in (True, False):
        engine = TfliteRuntimeEngine(tflite.to_bytes(graph, streaming=streaming))
        np.testing.assert_array_equal(engine.run(features), Interpreter(graph).run(features))
        engine.close()


def test_chunks_and_resets(residual_like: Maker) -> None:
    graph = residual_like(np.random.default_rng(0))
    features = noise(graph, 60)
    wanted = Interpreter(graph).run(features)
    for streaming in (True, False):
        engine = TfliteRuntimeEngine(tflite.to_bytes(graph, streaming=streaming))
        got = np.concatenate([engine.run(part) for part in np.split(features, [1, 1, 20])])
        np.testing.assert_array_equal(got, wanted)
        engine.reset()
        np.testing.assert_array_equal(engine.run(features[:30]), wanted[:30])
        engine.close()


def test_verify_asks_for_it_where_it_is_set_up(deepkws_like: Maker) -> None:
    graph = deepkws_like(np.random.default_rng(1), hidden=8)
    results = {result.name: result for result in verify.verify(graph, noise(graph, 30)).results}
    assert results["tflite-runtime"].status == "equal"


def test_another_python_is_no_such_environment(
    deepkws_like: Maker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = tflite.to_bytes(deepkws_like(np.random.default_rng(1), hidden=8))
    monkeypatch.setenv(tflite_worker.VARIABLE, str(tmp_path / "python"))
    with pytest.raises(NotInstalledError, match="python: cannot be run"):
        TfliteRuntimeEngine(content)
    monkeypatch.setenv(tflite_worker.VARIABLE, sys.executable)
    with pytest.raises(NotInstalledError, match="No module named 'tflite_runtime'"):
        TfliteRuntimeEngine(content)


def test_without_the_variable_only_this_python_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing beside the package is looked for."""
    monkeypatch.delenv(tflite_worker.VARIABLE)
    assert tflite_worker.interpreter() is None
    assert all("tflite-runtime" not in candidate.name for candidate in verify.tflite_candidates(lambda: b""))
    (tmp_path / "tflite_runtime").mkdir()
    (tmp_path / "tflite_runtime" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert tflite_worker.interpreter() == Path(sys.executable)
    assert any("tflite-runtime" in candidate.name for candidate in verify.tflite_candidates(lambda: b""))


def test_a_damaged_file_is_refused(deepkws_like: Maker) -> None:
    content = bytearray(tflite.to_bytes(deepkws_like(np.random.default_rng(1), hidden=8)))
    content[len(content) // 2] ^= 1
    with pytest.raises(KwsError, match="the content does not match its SHA-256"):
        TfliteRuntimeEngine(bytes(content))


def test_a_process_that_ended_is_a_sentence(deepkws_like: Maker) -> None:
    graph = deepkws_like(np.random.default_rng(1), hidden=8)
    engine = TfliteRuntimeEngine(tflite.to_bytes(graph))
    engine._process.kill()
    engine._process.wait()
    with pytest.raises(KwsError, match="tflite-runtime: failed"):
        engine.run(noise(graph, 1))
