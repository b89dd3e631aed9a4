"""The runtimes behind the engine protocol: chunks, resets, refusals."""

import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from firmware_export.engines.runtimes import LiteRtEngine, OnnxEngine, RuntimeEngine, TfliteMicroEngine
from firmware_export.onnx import writer as onnx_writer
from firmware_export.tflite import writer as tflite
from kws.detector.engine import Engine
from kws.errors import KwsError
from kws.graph.ir import QuantGraph
from kws.system.packages import NotInstalledError

Maker = Callable[..., QuantGraph]
MAKERS: dict[str, Callable[[Path | bytes], RuntimeEngine]] = {
    "tflite_micro": TfliteMicroEngine,
    "tflite_micro, stateless": TfliteMicroEngine,
    "litert_reference": lambda model: LiteRtEngine(model, reference=True),
    "litert": LiteRtEngine,
    "litert, stateless": LiteRtEngine,
    "onnx": OnnxEngine,
    "onnx, qdq": OnnxEngine,
}


def file_of(kind: str, graph: QuantGraph) -> bytes:
    if kind.startswith("onnx"):
        return onnx_writer.to_bytes(graph, form="qdq" if "qdq" in kind else "integer")
    return tflite.to_bytes(graph, streaming="stateless" not in kind)


@pytest.fixture(params=MAKERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(kind: str, deepkws_like: Maker) -> RuntimeEngine:
    return MAKERS[kind](file_of(kind, deepkws_like(np.random.default_rng(2), hidden=8)))


@pytest.fixture(scope="module")
def damaged_sources(deepkws_like: Maker) -> dict[str, bytes]:
    """A whole file of each kind."""
    return {kind: file_of(kind, deepkws_like(np.random.default_rng(2), hidden=8)) for kind in MAKERS}


@pytest.fixture
def features() -> NDArray[np.int8]:
    return np.random.default_rng(3).integers(-128, 128, (400, 40)).astype(np.int8)


def test_it_follows_the_protocol(engine: RuntimeEngine) -> None:
    checked: Engine = engine
    assert (checked.stride, checked.outputs, engine.bands) == (1, 3, 40)
    assert checked.run(np.zeros((0, 40), np.int8)).shape == (0, 3)


def test_random_chunks_give_the_same(engine: RuntimeEngine, features: NDArray[np.int8]) -> None:
    whole = engine.run(features)
    engine.reset()
    cuts = np.sort(np.random.default_rng(4).integers(0, len(features), 30))
    parts = [engine.run(part) for part in np.split(features, cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_a_reset_forgets_everything(engine: RuntimeEngine, features: NDArray[np.int8]) -> None:
    """A state left over, or started from 0 in place of its zero point -37, shows in the first 40 steps."""
    first = engine.run(features[:100])
    assert (engine.run(features[:100])[:40] != first[:40]).any()
    for _ in range(3):
        engine.reset()
        np.testing.assert_array_equal(engine.run(features[:100]), first)


@pytest.mark.parametrize("shape", [(3, 39), (40,), (1, 1, 40)])
def test_features_of_another_shape_are_refused(engine: RuntimeEngine, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="give int8"):
        engine.run(np.zeros(shape, np.int8))


def test_features_of_another_type_are_refused(engine: RuntimeEngine) -> None:
    with pytest.raises(ValueError, match="features are float32"):
        engine.run(np.zeros((1, 40), np.float32))


def test_half_a_file_is_refused_by_name(kind: str, deepkws_like: Maker, tmp_path: Path) -> None:
    content = file_of(kind, deepkws_like(np.random.default_rng(2), hidden=8))
    path = tmp_path / "half.model"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        KwsError, match=r"half\.model: (was not written by kws export, or is cut short|the content does not match)"
    ):
        MAKERS[kind](path)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), end=st.floats(0, 1, exclude_max=True))
def test_a_damaged_file_never_reaches_the_runtime(
    kind: str, damaged_sources: dict[str, bytes], place: float, bit: int, end: float
) -> None:
    """One bit anywhere, or any end cut off: a sentence, where the runtimes may end the process."""
    content = bytearray(damaged_sources[kind])
    content[int(place * len(content))] ^= 1 << bit
    for damaged in (bytes(content), damaged_sources[kind][: int(end * len(content))]):
        with pytest.raises(KwsError, match=r"^the model: (was not written by kws export|the content does not match)"):
            MAKERS[kind](damaged)


def test_a_file_of_the_other_kind_is_refused(kind: str, damaged_sources: dict[str, bytes]) -> None:
    other = "tflite_micro" if kind.startswith("onnx") else "onnx"
    with pytest.raises(KwsError, match=r"^the model: is a \.(onnx|tflite) file, but a \.(tflite|onnx) file is needed"):
        MAKERS[kind](damaged_sources[other])


def test_a_missing_file_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(KwsError, match=r"none\.model: cannot be read"):
        MAKERS[kind](tmp_path / "none.model")


@pytest.mark.parametrize(
    ("kind", "modules", "package"),
    [
        ("tflite_micro", ["tflite_micro.python.tflite_micro.runtime"], "tflite-micro"),
        ("litert", ["ai_edge_litert.interpreter", "tflite_runtime.interpreter"], "ai-edge-litert"),
        ("onnx", ["onnxruntime"], "onnxruntime"),
    ],
)
def test_a_missing_package_names_the_extra(
    kind: str, modules: list[str], package: str, deepkws_like: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = file_of(kind, deepkws_like(np.random.default_rng(2), hidden=8))
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotInstalledError, match=rf'^{package} is not installed here; pip install "kws\[export\]"$'):
        MAKERS[kind](content)


def test_tflite_runtime_serves_where_its_successor_is_missing(
    deepkws_like: Maker, features: NDArray[np.int8], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ai_edge_litert import interpreter

    content = tflite.to_bytes(deepkws_like(np.random.default_rng(2), hidden=8))
    wanted = LiteRtEngine(content, reference=True).run(features[:10])
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", interpreter)
    np.testing.assert_array_equal(LiteRtEngine(content, reference=True).run(features[:10]), wanted)


def test_a_foreign_onnx_model_is_refused(deepkws_like: Maker) -> None:
    import onnx

    model = onnx.load_from_string(onnx_writer.to_bytes(deepkws_like(np.random.default_rng(2), hidden=8)))
    del model.metadata_props[:]
    with pytest.raises(KwsError, match=r"was not written by kws export"):
        OnnxEngine(model.SerializeToString())
