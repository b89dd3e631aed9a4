"""Write files for devices from a `.kws` file; put them in place only when every engine agrees with the graph."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_export import verify
from firmware_export.c import bundle
from firmware_export.c import engine as bundle_engine
from firmware_export.engines.arena import Arena
from firmware_export.esphome.pair import About, Pair, export_pair
from firmware_export.files import WRITERS, RuntimeFile
from firmware_export.probe import probe_audio
from firmware_export.simulate import bundle_check
from kws import frontend
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.graph.arithmetic import quantize_features
from kws.system import files
from kws.system.lock import locked

TARGETS = ("tflite", "onnx", "c", "esphome")
OF_FRONTEND = {"lfbe": ("tflite", "onnx", "c"), "micro": ("tflite", "onnx", "esphome")}
"""What "all" means: the targets that a model with this frontend can be exported to."""


@dataclass(frozen=True)
class ExportReport:
    """The files that were written, and the comparison of every engine with the graph."""

    files: tuple[Path, ...]
    verified: verify.Report
    esphome: Pair | None = None
    notes: Mapping[Path, str] = field(default_factory=dict)
    oldest_runtimes: Mapping[Path, str] = field(default_factory=dict)
    arenas: Mapping[Path, Arena] = field(default_factory=dict)

    @property
    def bundle(self) -> Path | None:
        """The C99 bundle's directory, where one was written."""
        return next((path for path in self.files if path.is_dir()), None)

    def to_data(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        files = {str(path): _size_bytes(path) for path in self.files}
        pair = {} if self.esphome is None else {"esphome": self.esphome.to_data()}
        arenas = {
            str(path): {"measured": arena.measured_bytes, "declared": arena.declared_bytes}
            for path, arena in self.arenas.items()
        }
        runtimes = {str(path): runtime for path, runtime in self.oldest_runtimes.items()}
        return {
            "files_bytes": files,
            "arena_bytes": arenas,
            "oldest_runtimes": runtimes,
            "verify": self.verified.to_data(),
            **pair,
        }

    def text(self) -> str:
        """Return the files with their sizes, then the table of engines."""
        lines = [f"{path}  ({_size_bytes(path):,} bytes){self._note(path)}" for path in self.files]
        pair = [] if self.esphome is None else ["", self.esphome.text()]
        return "\n".join([*lines, "", self.verified.table(), *pair])

    def _note(self, path: Path) -> str:
        runtime = f"; runs in {self.oldest_runtimes[path]} and newer" if path in self.oldest_runtimes else ""
        return f"  {self.notes[path]}{runtime}" if path in self.notes else ""


def export(
    model: KwsModel, name: str, target: str, out: Path, verify_seconds: float, about: About | None = None
) -> ExportReport:
    """Write ``target`` (tflite, onnx, c, esphome or all) for ``model`` as ``out/name.*``, ``out/name_*``.

    Everything is written into a hidden directory in ``out``, compared with the graph in every engine over
    ``verify_seconds`` of audio, and renamed into place when all agree. ``about`` goes into ESPHome's manifest.

    Raises:
        KwsError: the directory cannot be written, a graph cannot be expressed, or an engine differs.
    """
    targets = targets_of(model, target)
    try:
        with locked(out), tempfile.TemporaryDirectory(prefix=".export-", dir=out) as work:
            written = [file for kind in targets if kind in WRITERS for file in WRITERS[kind](model, name, Path(work))]
            bundle_path = _write_bundle(model, name, Path(work)) if "c" in targets else None
            pair = None
            if "esphome" in targets:
                about = about or About()
                pair = export_pair(model, f"{name}_esphome", Path(work), about, verify_seconds)
            candidates = _candidates(model, written, bundle_path, Path(work))
            samples, features = probe(model, verify_seconds)
            report = verify.verify(model.graph, features, candidates, samples)
            placed = {file.path: _place(file.path, out) for file in written}
            paths = [*placed.values(), *([_place(bundle_path, out)] if bundle_path else [])]
            if pair is not None:
                paths += [_place(path, out) for path in (pair.tflite, pair.manifest)]
    except OSError as error:
        raise files.unwritable(out, error) from error
    notes = {placed[file.path]: file.note for file in written}
    runtimes = {placed[file.path]: file.oldest_runtime for file in written}
    arenas = {placed[file.path]: file.arena for file in written if file.arena}
    return ExportReport(tuple(paths), report, pair, notes, runtimes, arenas)


def targets_of(model: KwsModel, target: str) -> tuple[str, ...]:
    """Return the formats to write for ``target``; "all" means those that support the model's frontend."""
    return OF_FRONTEND[model.frontend.kind] if target == "all" else (target,)


def probe(model: KwsModel, seconds: float) -> tuple[NDArray[np.int16], NDArray[np.int8]]:
    """Return probe audio, int16 [frames * hop], and its features, int8 [frames, bands], in whole steps.

    Silence comes before the audio, so that each hop ends the window of its own frame, as in an engine that takes
    samples.
    """
    graph, config = model.graph, model.frontend
    silence = np.zeros(config.window_samples - config.hop_samples, np.int16)
    samples = probe_audio(seconds)
    lfbe = frontend.compute(np.concatenate([silence, samples]), config)
    frames = min(len(lfbe), len(samples) // config.hop_samples) // graph.stride * graph.stride
    features = quantize_features(lfbe[:frames], graph.tensor(graph.input).quant)
    return samples[: frames * config.hop_samples], features


def _write_bundle(model: KwsModel, name: str, work: Path) -> Path:
    path = work / f"{name}_c"
    bundle.write_c(model, path)
    return path


def _candidates(
    model: KwsModel, written: list[RuntimeFile], bundle_path: Path | None, work: Path
) -> list[verify.Candidate]:
    """Return the engines that run what was written: the files themselves, not what they were made from."""
    candidates = [verify.host_candidate(model.graph)]
    for file in written:
        candidates += file.candidates
    if bundle_path is not None:
        build = partial(bundle_engine.build_host_engine, bundle_path, work / "build")
        candidates.append(verify.Candidate(bundle_engine.BundleEngine.name, build))
        candidates += bundle_check.candidates(bundle_path, model.graph)
    return candidates


def _place(path: Path, out: Path) -> Path:
    place = out / path.name
    if path.is_dir():
        bundle.replace_bundle(path, place)
        return place
    if place.is_dir():
        raise KwsError(f"{place}: is a directory; move it away or export to another --out")
    os.replace(path, place)
    return place


def _size_bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
