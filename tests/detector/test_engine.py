"""The engines' interface, the choice among them, and what the C runtime refuses."""

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from kws import runtime as compiled
from kws.detector.engine import CEngine, GraphEngine, make_engine
from kws.errors import KwsError
from kws.graph.arithmetic import quantize_features, requantize
from kws.graph.ir import QuantGraph
from kws.graph.plan import plan
from kws.graph.records import records

native = pytest.mark.skipif(not compiled.available(), reason=compiled.reason() or "built")


@pytest.mark.parametrize("name", ["graph", pytest.param("c", marks=native)])
def test_an_engine_streams_and_resets(rng: np.random.Generator, deepkws_graph: QuantGraph, name: str) -> None:
    engine = make_engine(deepkws_graph, name)
    assert (engine.name, engine.stride, engine.outputs) == (name, 1, 3)
    features = rng.integers(-128, 128, (100, 40)).astype(np.int8)
    whole = engine.run(features)
    assert whole.dtype == np.int8
    assert whole.shape == (100, 3)
    assert len(np.unique(whole, axis=0)) > 50  # it hears something
    assert not np.array_equal(engine.run(features), whole)  # the state went on
    engine.reset()
    parts = [engine.run(part) for part in np.split(features, [0, 1, 2, 50])]
    assert np.array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("name", ["graph", pytest.param("c", marks=native)])
def test_an_engine_refuses_other_features(deepkws_graph: QuantGraph, name: str) -> None:
    engine = make_engine(deepkws_graph, name)
    for features in (np.zeros((3, 40), np.int16), np.zeros((3, 20), np.int8), np.zeros(40, np.int8)):
        with pytest.raises(ValueError, match="give int8"):
            engine.run(features)  # type: ignore[arg-type]  # the case


@native
def test_c_takes_features_that_are_not_contiguous(rng: np.random.Generator, deepkws_graph: QuantGraph) -> None:
    features = rng.integers(-128, 128, (80, 80)).astype(np.int8)
    for part in (features[:, ::2], features[::2, 40:], np.asfortranarray(features[:, :40])):
        assert np.array_equal(CEngine(deepkws_graph).run(part), GraphEngine(deepkws_graph).run(part.copy()))


@native
def test_c_equals_the_graph_over_a_minute(rng: np.random.Generator, deepkws_graph: QuantGraph) -> None:
    """Noise whose level wanders, so that layers saturate and fall silent."""
    level = np.repeat(rng.integers(1, 128, 60), 100)[:, None]
    features = np.clip(rng.normal(0, 1, (6000, 40)) * level, -128, 127).astype(np.int8)
    assert np.array_equal(CEngine(deepkws_graph).run(features), GraphEngine(deepkws_graph).run(features))


@native
def test_c_runs_five_hours_in_minutes(rng: np.random.Generator, deepkws_graph: QuantGraph) -> None:
    """1.8 million steps of 243,072 multiply-accumulates at no less than 2 GMAC/s, on any machine that runs tests."""
    engine = CEngine(deepkws_graph)
    features = rng.integers(-128, 128, (3000, 40)).astype(np.int8)
    start = time.process_time()
    engine.run(features)
    assert time.process_time() - start < 3000 * 243_072 / 2e9


def test_auto_falls_back_to_numpy(monkeypatch: pytest.MonkeyPatch, deepkws_graph: QuantGraph) -> None:
    monkeypatch.setenv("KWS_NO_NATIVE", "1")
    assert make_engine(deepkws_graph).name == "graph"
    with pytest.raises(KwsError, match=r"engine c: .* \(turned off by KWS_NO_NATIVE\); choose graph"):
        make_engine(deepkws_graph, "c")


def test_a_missing_extension_is_said(monkeypatch: pytest.MonkeyPatch, deepkws_graph: QuantGraph) -> None:
    monkeypatch.delenv("KWS_NO_NATIVE", raising=False)
    monkeypatch.setitem(sys.modules, "kws._runtime", None)
    assert make_engine(deepkws_graph, "auto").name == "graph"
    with pytest.raises(KwsError, match=r"engine c: .*install kws again with a C compiler"):
        make_engine(deepkws_graph, "c")


@native
def test_auto_takes_c(deepkws_graph: QuantGraph) -> None:
    assert make_engine(deepkws_graph).name == "c"


def test_an_unknown_engine_is_refused(deepkws_graph: QuantGraph) -> None:
    with pytest.raises(KwsError, match="engine 'gpu' is unknown; give one of auto, c, graph"):
        make_engine(deepkws_graph, "gpu")


# ---- the C functions one by one ----


@pytest.fixture
def runtime() -> Any:
    if not compiled.available():
        pytest.skip(compiled.reason())
    return importlib.import_module("kws._runtime")


def test_kws_requantize_is_requantize(runtime: Any, rng: np.random.Generator) -> None:
    values = rng.integers(-(2**31), 2**31, 20_000) >> rng.integers(0, 31, 20_000)
    multipliers = rng.integers(2**30, 2**31, 20_000)
    shifts = rng.integers(-31, 31, 20_000)
    values >>= np.maximum(shifts, 0)
    results = [
        runtime.lib.kws_requantize(*case)
        for case in zip(values.tolist(), multipliers.tolist(), shifts.tolist(), strict=True)
    ]
    assert results == requantize(values, multipliers, shifts).tolist()


def test_kws_requantize_rounds_ties_alike(runtime: Any) -> None:
    """A multiplier of a half, and shifts by whole bits: both roundings meet their ties."""
    values = np.arange(-200, 201)
    for shift in range(-10, 4):
        results = [runtime.lib.kws_requantize(value, 2**30, shift) for value in values.tolist()]
        assert results == requantize(values, 2**30, shift).tolist()


def test_kws_quantize_features_is_quantize_features(runtime: Any, deepkws_graph: QuantGraph) -> None:
    every = np.arange(-(2**15), 2**15, dtype=np.int16)
    features = np.empty(every.shape, np.int8)
    source = runtime.ffi.from_buffer("int16_t[]", every)
    target = runtime.ffi.from_buffer("int8_t[]", features, require_writable=True)
    runtime.lib.kws_quantize_features(CEngine(deepkws_graph)._pointer, source, len(every), target)
    assert np.array_equal(features, quantize_features(every, deepkws_graph.tensor("features").quant))


BREAK_GRAPH: dict[str, tuple[str, int, str]] = {
    "no arena": ("arena_bytes", 0, "INCOMPLETE"),
    "no stride": ("stride", 0, "INCOMPLETE"),
    "no bands": ("bands", -1, "INCOMPLETE"),
    "no outputs": ("outputs", 0, "INCOMPLETE"),
    "negative op count": ("op_count", -1, "INCOMPLETE"),
    "negative state count": ("state_count", -1, "INCOMPLETE"),
    "small arena": ("arena_bytes", 2791, "BOUNDS"),
    "input before": ("input", -1, "BOUNDS"),
    "input after": ("input", 2753, "BOUNDS"),
    "output after": ("output", 2790, "BOUNDS"),
    "huge stride": ("stride", 2**31 - 1, "BOUNDS"),
    "negative multiplier": ("input_multiplier", -1, "VALUES"),
    "large shift": ("input_shift", 16, "VALUES"),
    "small shift": ("input_shift", -32, "VALUES"),
    "zero point": ("input_zero_point", 128, "VALUES"),
}
BREAK_CONV: dict[str, tuple[str, int, str]] = {
    "input before": ("input", -1, "BOUNDS"),
    "input after": ("input", 1153, "BOUNDS"),
    "output after": ("output", 2665, "BOUNDS"),
    "rows": ("output_time", 9, "BOUNDS"),
    "columns": ("output_frequency", 2**31 - 1, "BOUNDS"),
    "runs": ("runs", 2, "BOUNDS"),
    "many runs": ("runs", 2**31 - 1, "BOUNDS"),
    "negative step": ("step_time", -1, "BOUNDS"),
    "no runs": ("runs", 0, "INCOMPLETE"),
    "no bytes": ("run_bytes", 0, "INCOMPLETE"),
    "no channels": ("output_channels", 0, "INCOMPLETE"),
    "zero point": ("output_zero_point", -129, "VALUES"),
    "clamp": ("output_minimum", 128, "VALUES"),
    "clamp turned": ("output_maximum", -128, "VALUES"),
}
BREAK_COPY: dict[str, tuple[str, int, str]] = {
    "source": ("source", 1193, "BOUNDS"),
    "target": ("target", -1, "BOUNDS"),
    "bytes": ("bytes", 2793, "BOUNDS"),
    "no bytes": ("bytes", 0, "BOUNDS"),
}


def checked(runtime: Any, engine: CEngine, struct: Any, case: tuple[str, int, str]) -> tuple[int, int]:
    """Return what kws_graph_check says with one field changed, and what it should."""
    field, value, code = case
    before = getattr(struct, field)
    setattr(struct, field, value)
    found = runtime.lib.kws_graph_check(engine._pointer)
    setattr(struct, field, before)
    return found, getattr(runtime.lib, f"KWS_GRAPH_{code}")


def test_kws_graph_check_refuses_each_broken_field(runtime: Any, deepkws_graph: QuantGraph) -> None:
    engine = CEngine(deepkws_graph)
    graph = engine._pointer
    graph_ops = runtime.ffi.cast("kws_op_t *", graph.ops)
    conv = runtime.ffi.cast("kws_conv2d_t *", graph_ops[0].fields)
    conv.output_minimum, conv.plain = -127, 0  # so that a maximum of -128 is below it
    copy = runtime.ffi.cast("kws_copy_t *", graph_ops[4].fields)
    state = runtime.ffi.cast("kws_state_t *", graph.states)
    for struct, cases in ((graph, BREAK_GRAPH), (conv, BREAK_CONV), (copy, BREAK_COPY)):
        for name, case in cases.items():
            found, expected = checked(runtime, engine, struct, case)
            assert found == expected, f"{runtime.ffi.typeof(struct).cname} {name}"
    for target, case in (
        (graph_ops[0], ("kind", 99, "KIND")),
        (state[0], ("bytes", 2793, "BOUNDS")),
        (state[0], ("zero_point", 200, "VALUES")),
    ):
        found, expected = checked(runtime, engine, target, case)
        assert found == expected, case
    for pointer in ("weights", "bias", "multipliers", "right_shifts"):
        kept = getattr(conv, pointer)
        setattr(conv, pointer, runtime.ffi.NULL)
        assert runtime.lib.kws_graph_check(graph) == runtime.lib.KWS_GRAPH_INCOMPLETE, pointer
        setattr(conv, pointer, kept)
    assert runtime.lib.kws_graph_check(graph) == runtime.lib.KWS_GRAPH_OK


def test_records_have_the_fields_of_the_structs_in_order(
    runtime: Any, rng: np.random.Generator, deepkws_like_graph: Callable[..., QuantGraph]
) -> None:
    graph = deepkws_like_graph(rng, hidden=4)
    constants = records(graph, plan(graph))
    for record in (*constants.ops, *constants.states, constants.graph):
        fields = [name for name, _ in runtime.ffi.typeof(record.struct).fields]
        assert [name for name in fields if name not in ("ops", "states")] == list(record.fields)
