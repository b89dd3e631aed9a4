"""Write what devices run from a `.kws` file, prove every file equal to the graph, and only then put it in place."""

import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_export import bundle, bundle_engine, onnx_writer, tflite, verify
from firmware_export.probe import probe_audio
from kws import files, frontend
from kws.errors import KwsError
from kws.graph.arithmetic import quantize_features
from kws.model_file import KwsModel, digest

TARGETS = ("tflite", "onnx", "c")


@dataclass(frozen=True)
class ExportReport:
    """The files that were written and the proof that they agree."""

    files: tuple[Path, ...]
    verified: verify.Report

    @property
    def bundle(self) -> Path | None:
        """The C99 bundle's directory, where one was written."""
        return next((path for path in self.files if path.is_dir()), None)

    def to_data(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        files = {str(path): _size_bytes(path) for path in self.files}
        return {"files_bytes": files, "verify": self.verified.to_data()}

    def text(self) -> str:
        """Return the files with their sizes, then the table of engines."""
        lines = [f"{path}  ({_size_bytes(path):,} bytes)" for path in self.files]
        return "\n".join([*lines, "", self.verified.table()])


def export(model: KwsModel, name: str, target: str, out: Path, verify_seconds: float) -> ExportReport:
    """Write ``target`` (tflite, onnx, c or all) for ``model`` as ``out/name.*``.

    Everything is written into a hidden directory beside, runs on every engine against the graph over
    ``verify_seconds`` of audio, and is renamed into place when all agree.

    Raises:
        KwsError: the directory cannot be written, a graph cannot be expressed, or an engine differs.
    """
    targets = TARGETS if target == "all" else (target,)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as work:
            written = {kind: _write(model, kind, name, Path(work)) for kind in targets}
            candidates = _candidates(model, written, Path(work))
            report = verify.verify(model.graph, probe_features(model, verify_seconds), candidates)
            places = [_place(kind, path, out) for kind, path in written.items()]
    except OSError as error:
        raise files.unwritable(out, error) from error
    return ExportReport(tuple(places), report)


def probe_features(model: KwsModel, seconds: float) -> NDArray[np.int8]:
    """Return int8 [frames, bands]: the probe audio as the model's own frontend and input quantization see it."""
    graph = model.graph
    lfbe = frontend.compute(probe_audio(seconds), model.frontend)
    features = quantize_features(lfbe, graph.tensor(graph.input).quant)
    return features[: len(features) // graph.stride * graph.stride]


def _write(model: KwsModel, kind: str, name: str, work: Path) -> Path:
    if kind == "c":
        path = work / f"{name}_c"
        bundle.write_c(model, path)
        return path
    path = work / f"{name}.{kind}"
    writer = tflite.write if kind == "tflite" else onnx_writer.write
    # Whoever finds the file later can tell which model it is.
    metadata = {"kws.recipe_hash": model.recipe_hash, "kws.model_sha256": digest(model)}
    writer(model.graph, path, description=model.detector.title, metadata=metadata)
    return path


def _candidates(model: KwsModel, written: dict[str, Path], work: Path) -> list[verify.Candidate]:
    """Return the engines that prove what was written: the files themselves are run, not what they were made from."""
    found = [verify.host_candidate(model.graph)]
    if "tflite" in written:
        found += verify.tflite_candidates(lambda: written["tflite"])
    if "onnx" in written:
        found += verify.onnx_candidates(lambda: written["onnx"])
    if "c" in written:
        build = partial(bundle_engine.build_host_engine, written["c"], work / "build")
        found.append(verify.Candidate(bundle_engine.BundleEngine.name, build))
    return found


def _place(kind: str, path: Path, out: Path) -> Path:
    place = out / path.name
    if kind == "c":
        bundle.replace_bundle(path, place)
        return place
    if place.is_dir():
        raise KwsError(f"{place}: is a directory; move it away or export to another --out")
    os.replace(path, place)
    return place


def _size_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
