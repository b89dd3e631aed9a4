"""Export as a whole: what is written names its model, and what does not agree with the graph is not written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from firmware_export import exported_file
from firmware_export.c.marker import read_marker
from firmware_export.engines.arena import Arena, measure_arena_bytes
from firmware_export.tflite import writer as tflite
from firmware_export.verify import VerifyError
from firmware_export.write import export
from kws.detector.model_file import KwsModel, digest
from kws.graph.ir import Conv2D, QuantGraph


def test_every_file_names_its_model(tone_model: KwsModel, tmp_path: Path) -> None:
    report = export(tone_model, "beep", "all", tmp_path, verify_seconds=1.0)
    lite, onnxes = ("beep.tflite", "beep_stateless.tflite"), ("beep.onnx", "beep_qdq.onnx", "beep_audio.onnx")
    assert {path.name for path in report.files} == {*lite, *onnxes, "beep_c"}
    wanted = {"kws.recipe_hash": tone_model.recipe_hash, "kws.model_sha256": digest(tone_model)}
    for name in (*lite, *onnxes):
        assert wanted.items() <= exported_file.read(tmp_path / name).metadata.items()
    marker = read_marker(tmp_path / "beep_c")
    assert (marker["config_hash"], marker["model_sha256"]) == tuple(wanted.values())


def test_the_arena_is_in_the_file_and_in_the_report(tone_model: KwsModel, tmp_path: Path) -> None:
    report = export(tone_model, "beep", "tflite", tmp_path, verify_seconds=1.0)
    assert len(report.files) == 2
    for path in report.files:
        arena = Arena(measure_arena_bytes(path))
        metadata = exported_file.read(path).metadata
        assert metadata["kws.arena_measured_bytes"] == str(arena.measured_bytes)
        assert metadata["kws.arena_bytes"] == str(arena.declared_bytes)
        assert f"{path}  ({path.stat().st_size:,} bytes)  {arena.text()}" in report.text()
        wanted = {"measured": arena.measured_bytes, "declared": arena.declared_bytes}
        assert report.to_data()["arena_bytes"][str(path)] == wanted


def test_the_report_says_which_runtimes_a_file_runs_in(
    tone_model: KwsModel, four_bits: Callable[[QuantGraph], QuantGraph], tmp_path: Path
) -> None:
    of_bits = {8: tone_model, 4: replace(tone_model, graph=four_bits(tone_model.graph))}
    for bits, (lite, fused) in {8: ("2.7", "1.14"), 4: ("2.13", "1.19")}.items():
        wanted = {
            "beep.tflite": f"tflite-runtime {lite}",
            "beep_stateless.tflite": f"tflite-runtime {lite}",
            "beep.onnx": "ONNX Runtime 1.14",
            "beep_qdq.onnx": f"ONNX Runtime {fused}",
            "beep_audio.onnx": "ONNX Runtime 1.14",
        }
        for target in ("tflite", "onnx"):
            report = export(of_bits[bits], "beep", target, tmp_path, verify_seconds=1.0)
            for path, line in zip(report.files, report.text().splitlines(), strict=False):
                assert line.startswith(f"{path}  (")
                assert line.endswith(f"; runs in {wanted[path.name]} and newer")
            said = report.to_data()["oldest_runtimes"]
            assert said == {str(path): wanted[path.name] for path in report.files}


def test_the_report_says_how_a_new_stream_starts_where_the_file_has_the_state(
    tone_model: KwsModel, deepkws_like: Callable[..., QuantGraph], tmp_path: Path
) -> None:
    graph = deepkws_like(np.random.default_rng(1), hidden=8, outputs=2)
    report = export(replace(tone_model, graph=graph), "beep", "tflite", tmp_path, verify_seconds=1.0)
    lines = report.text().splitlines()
    assert "; to start a new stream in LiteRT, run the signature reset_state; " in lines[0]
    assert "reset_state" not in lines[1]


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
