"""Export as a whole: what is written names its model, and what does not agree with the graph is not written."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from firmware_export import tflite
from firmware_export.export import export
from firmware_export.marker import read_marker
from firmware_export.verify import VerifyError
from kws.graph.ir import Conv2D, QuantGraph
from kws.model_file import KwsModel, digest


def test_every_file_names_its_model(tone_model: KwsModel, tmp_path: Path) -> None:
    report = export(tone_model, "beep", "all", tmp_path, verify_seconds=1.0)
    assert {path.name for path in report.files} == {"beep.tflite", "beep.onnx", "beep_c"}
    wanted = {"kws.recipe_hash": tone_model.recipe_hash, "kws.model_sha256": digest(tone_model)}
    lite = schema.ModelT.InitFromPackedBuf((tmp_path / "beep.tflite").read_bytes())
    found = {entry.name.decode(): bytes(lite.buffers[entry.buffer].data).decode() for entry in lite.metadata}
    assert found == wanted
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "beep.onnx").metadata_props}
    assert wanted.items() <= properties.items()
    marker = read_marker(tmp_path / "beep_c")
    assert (marker["config_hash"], marker["model_sha256"]) == tuple(wanted.values())


def test_a_file_that_differs_from_the_graph_is_not_written(
    tone_model: KwsModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The .tflite holds another bias than the graph: nothing of the export stays, what was there before does."""
    original = tflite.to_bytes

    def of_another(graph: QuantGraph, *arguments: Any, **options: Any) -> bytes:
        last = graph.ops[-1]
        assert isinstance(last, Conv2D)
        return original(
            replace(graph, ops=(*graph.ops[:-1], replace(last, bias=last.bias + 1000))), *arguments, **options
        )

    monkeypatch.setattr(tflite, "to_bytes", of_another)
    (tmp_path / "beep.onnx").write_bytes(b"older")
    with pytest.raises(VerifyError, match="at step"):
        export(tone_model, "beep", "all", tmp_path, verify_seconds=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["beep.onnx"]
    assert (tmp_path / "beep.onnx").read_bytes() == b"older"
