"""The C99 bundle: the runtime, one model and its self-test in a directory that builds by itself."""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_export.c import arduino, figures, golden, marker
from firmware_export.c import source as c_source
from firmware_export.c.engine import BundleEngine, build_host_engine
from firmware_export.c.marker import check_whole, read_marker, replace_bundle
from kws.detector.model_file import KwsModel, digest
from kws.errors import KwsError
from kws.system import files

__all__ = ["BundleEngine", "build_host_engine", "check_whole", "read_marker", "replace_bundle", "write_c"]

_HERE = Path(__file__).parent
_NOT_SHIPPED = "engine_main.c"  # what verify compiles a bundle's network with

GENERATED = ("src/kws_golden.h", "src/kws_model.h", "src/model.c")
"""What ``model.sha256`` is over: `make test` refuses a bundle in which one of them was changed."""


def write_c(model: KwsModel, directory: Path, audio: NDArray[np.int16] | None = None) -> None:
    """Write the bundle of ``model`` into ``directory``: `make`, `make test`, CMake there need a C99 compiler.

    ``audio`` int16 [n] is what the self-test runs on (by default some seconds of synthetic sound). A bundle that was
    written before and not changed by hand is replaced; until the new one is whole the old one stays.

    Raises:
        KwsError: the directory holds something else, or cannot be written; the model's frontend is not in C.
    """
    marker.check_replaceable(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as work:
            new = Path(work) / "new"
            new.mkdir()
            for name, content in contents(model, audio).items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes(content)
            replace_bundle(new, directory)
    except OSError as error:
        raise files.unwritable(directory, error) from error


def contents(model: KwsModel, audio: NDArray[np.int16] | None = None) -> dict[str, bytes]:
    """Return every file of the bundle by its path in it; the same for the same model and audio.

    Raises:
        KwsError: the model's frontend is not in the C runtime.
    """
    if model.frontend.kind != "lfbe":
        raise KwsError(
            f'frontend.kind: the C99 bundle has no "{model.frontend.kind}"; export --to esphome or tflite, or train '
            "with the default frontend"
        )
    generated = {
        "src/kws_model.h": c_source.model_header(model, figures.memory_bytes(model)),
        "src/model.c": c_source.model_source(model),
        "src/kws_golden.h": golden.header(golden.compute(model, audio), digest(model)),
        "README.txt": figures.readme(model),
        "library.properties": arduino.library_properties(model),
    }
    whole = _fixed() | {name: text.encode() for name, text in generated.items()}
    whole["model.sha256"] = marker.sums({name: whole[name] for name in GENERATED}).encode()
    facts = {
        "phrases": list(model.detector.phrases),
        "config_hash": model.recipe_hash,
        "model_sha256": digest(model),
        "stride": model.graph.stride,
        "bands": model.frontend.bands,
        "outputs": model.graph.outputs,
        "memory_bytes": figures.memory_bytes(model),
    }
    return whole | {marker.NAME: marker.text(whole, facts).encode()}


def _fixed() -> dict[str, bytes]:
    """Return what is the same for every model: the runtime, and what builds and tests it."""
    runtime = {f"src/{path.name}": path.read_bytes() for path in sorted((_HERE.parent / "runtime").glob("*.[ch]"))}
    beside = _HERE / "files"
    paths = [path for path in sorted(beside.rglob("*")) if path.is_file() and path.name != _NOT_SHIPPED]
    return runtime | {path.relative_to(beside).as_posix(): path.read_bytes() for path in paths}
