"""Fuzzing of the ``.kws`` loader: whatever a file holds, loading gives a model that runs, or a KwsError of a sentence.

Damage that the SHA-256 shows is one thing; here files are sealed again after it, as only a tool would make them, so
that what lies behind the hash is met, too. `make fuzz` draws more examples (`KWS_FUZZ_EXAMPLES`).
"""

import hashlib
import json
import os
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings

from kws.detector import model_file
from kws.detector.decision import DetectorConfig
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.frontend.config import FrontendConfig
from kws.graph.interpret import Interpreter
from kws.graph.ir import QuantGraph

EXAMPLES = int(os.environ.get("KWS_FUZZ_EXAMPLES", "60"))
QUICK = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WRONG = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.sampled_from([0, 1, -1, 127, 128, 2**31 - 1, 2**31]),
    st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5), st.sampled_from(["input", "conv2d", "relu"]),
    st.lists(st.integers(-5, 300), max_size=4), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def content(small_graph: Callable[[int, int], QuantGraph]) -> bytes:
    detector = DetectorConfig.single("hey marvin", ("filler", "hey", "marvin"))
    return model_file.to_bytes(KwsModel(small_graph(3, 1), FrontendConfig(), detector, (20_000,), recipe={"seed": 1}))


def load(content: bytes) -> KwsModel | None:
    """Return the model, which is to run, or None where it was refused as it should be."""
    try:
        model = model_file.from_bytes(content, "x.kws")
    except KwsError as error:
        if str(error).startswith("x.kws: ") and "\n" not in str(error):
            return None
        raise
    graph = model.graph
    logits = Interpreter(graph).run(np.zeros((2 * graph.stride, graph.tensor(graph.input).shape[-1]), np.int8))
    assert logits.shape == (2, len(model.detector.labels))
    return model


def sealed(tensors: dict[str, Any], metadata: dict[str, Any]) -> bytes:
    """A file of these parts whose hashes fit."""
    metadata = metadata | {"sha256": "0" * 64}
    blank = safetensors.numpy.save(tensors, metadata={"kws": json.dumps(metadata, separators=(",", ":"))})
    return blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1)


def damaged(value: Any, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    """The value with one thing in it, at any depth, replaced, dropped or doubled."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    if not keys or draw(st.integers(0, 9)) == 0:
        return draw(WRONG)
    key = draw(st.sampled_from(keys))
    how = draw(st.integers(0, 19))
    if isinstance(value, dict):
        rest = {name: entry for name, entry in value.items() if name != key}
        return rest if how == 0 else {**value, key: damaged(value[key], draw)}
    if how < 2:
        return value[:key] + (value[key:] * 2 if how else value[key + 1 :])
    return [*value[:key], damaged(value[key], draw), *value[key + 1 :]]


def test_what_is_not_damaged_loads(content: bytes) -> None:
    tensors, metadata = safetensors.numpy.load(content), model_file._metadata(content, "x.kws")
    assert load(sealed(tensors, metadata)) is not None


@pytest.mark.parametrize(
    ("table", "key"), [("tensors", "name"), ("ops", "input"), ("ops", "output"), ("states", "read"), ("", "output")]
)
def test_a_name_with_a_line_break_is_told_in_one_line(content: bytes, table: str, key: str) -> None:
    tensors, metadata = safetensors.numpy.load(content), model_file._metadata(content, "x.kws")
    graph = metadata["graph"]
    (graph[table][0] if table else graph)[key] = "a\nb"
    assert load(sealed(tensors, metadata)) is None


@QUICK
@given(data=st.data())
def test_any_bytes(content: bytes, data: st.DataObject) -> None:
    """Noise, noise behind a right beginning, and cuts with something else behind."""
    at = data.draw(st.integers(0, len(content)))
    assert load(content[:at] + data.draw(st.binary(max_size=200))) is None or at == len(content)


@QUICK
@given(data=st.data())
def test_flipped_bits(content: bytes, data: st.DataObject) -> None:
    bits = data.draw(st.sets(st.integers(0, 8 * len(content) - 1), min_size=1, max_size=20))
    array = np.frombuffer(content, np.uint8).copy()
    for bit in bits:
        array[bit // 8] ^= 1 << (bit % 8)
    assert load(array.tobytes()) is None


@QUICK
@given(data=st.data())
def test_metadata_that_was_damaged_and_sealed_again(content: bytes, data: st.DataObject) -> None:
    tensors, metadata = safetensors.numpy.load(content), model_file._metadata(content, "x.kws")
    for _ in range(data.draw(st.integers(1, 3))):
        part = data.draw(st.sampled_from([*metadata, "graph", "graph", "graph"]))
        if part in metadata:
            metadata = {**metadata, part: damaged(metadata[part], data.draw)}
    load(sealed(tensors, metadata))


@QUICK
@given(data=st.data())
def test_tensors_that_were_damaged_and_sealed_again(content: bytes, data: st.DataObject) -> None:
    tensors, metadata = safetensors.numpy.load(content), model_file._metadata(content, "x.kws")
    name = data.draw(st.sampled_from(sorted(tensors)))
    tensor = tensors[name]
    how = data.draw(st.sampled_from(["gone", "type", "shape", "cut", "values", "renamed"]))
    if how in ("gone", "renamed"):
        del tensors[name]
    if how == "type":
        tensors[name] = tensor.astype(data.draw(st.sampled_from([np.int8, np.uint8, np.int32, np.float32, np.int64])))
    elif how == "shape":
        tensors[name] = np.ascontiguousarray(tensor.reshape(1, -1))
    elif how == "cut":
        tensors[name] = tensor[: data.draw(st.integers(0, len(tensor)))]
    elif how == "values":
        extreme = np.iinfo(tensor.dtype) if tensor.dtype.kind in "iu" else np.finfo(tensor.dtype)
        tensors[name] = np.full_like(tensor, data.draw(st.sampled_from([extreme.max, extreme.min, 0])))
    elif how == "renamed":
        tensors[data.draw(st.text(st.characters(codec="ascii"), max_size=6))] = tensor
    load(sealed(tensors, metadata))
