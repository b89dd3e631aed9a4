"""The .tflite and .onnx files of a model: what each is for, which engines verify it, and the memory that it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from firmware_export import exported_file, verify
from firmware_export.engines.arena import Arena, measure_arena_bytes
from firmware_export.onnx import opset
from firmware_export.onnx import writer as onnx_writer
from firmware_export.tflite import writer as tflite
from kws.detector.model_file import KwsModel, digest
from kws.system import files
from kws.system.packages import NotInstalledError


@dataclass(frozen=True, eq=False)
class RuntimeFile:
    """A file that was written, the engines that verify it, the oldest runtime for it, and a note on what it is for."""

    path: Path
    candidates: tuple[verify.Candidate, ...]
    oldest_runtime: str
    note: str
    arena: Arena | None = None


def write_tflite(model: KwsModel, name: str, work: Path) -> list[RuntimeFile]:
    """Write ``name.tflite``, with its state in resource variables, and ``name_stateless.tflite``, without."""
    written = []
    for stateless, path in ((False, work / f"{name}.tflite"), (True, work / f"{name}_stateless.tflite")):
        write = partial(tflite.to_bytes, model.graph, model.detector.title, streaming=not stateless)
        arena, note = _arena(write())
        entries = arena.metadata() if arena else {}
        files.replace_file(path, write(metadata={**_about(model), **entries}))
        # Without a state both files are the same, and the engines keep their plain names.
        stateful = bool(model.graph.states)
        engines = verify.tflite_candidates(partial(Path, path), stateless and stateful)
        if stateful and not stateless:
            note += f"; to start a new stream in LiteRT, run the signature {exported_file.RESET_SIGNATURE}"
        written.append(RuntimeFile(path, engines, tflite.oldest_runtime(model.graph), note, arena))
    return written


def write_onnx(model: KwsModel, name: str, work: Path) -> list[RuntimeFile]:
    """Write ``name.onnx`` and ``name_qdq.onnx``, and ``name_audio.onnx`` where the frontend can be inside."""
    write = partial(onnx_writer.write, model.graph, description=model.detector.title, metadata=_about(model))
    exact, fused, audio = (work / f"{name}{suffix}.onnx" for suffix in ("", "_qdq", "_audio"))
    write(path=exact)
    write(path=fused, form="qdq")
    written = [
        _onnx_file(exact, "", "the graph's numbers, on int8 features"),
        _onnx_file(fused, ", QDQ", "for accelerators, which round differently"),
    ]
    if model.frontend.kind == "lfbe":
        write(path=audio, frontend=model.frontend)
        written.append(_onnx_file(audio, ", audio", "the graph's numbers, on int16 samples"))
    return written


def _onnx_file(path: Path, engine_suffix: str, note: str) -> RuntimeFile:
    engines = verify.onnx_candidates(partial(Path, path), engine_suffix)
    return RuntimeFile(path, engines, f"ONNX Runtime {opset.oldest_runtime(path.read_bytes())}", note)


WRITERS: dict[str, Callable[[KwsModel, str, Path], list[RuntimeFile]]] = {"tflite": write_tflite, "onnx": write_onnx}


def _about(model: KwsModel) -> dict[str, str]:
    """Return metadata that says which model a file was made from."""
    return {"kws.recipe_hash": model.recipe_hash, exported_file.MODEL_KEY: digest(model)}


def _arena(content: bytes) -> tuple[Arena | None, str]:
    """Return the arena that TFLite Micro takes, if it is installed, and a note about it."""
    try:
        arena = Arena(measure_arena_bytes(content))
    except NotInstalledError:
        return None, "tensor arena not measured: tflite-micro is not installed here"
    return arena, arena.text()
