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
_NOT_SHIPPED = "engine_main.c"  # verify compiles a bundle's network with it

GENERATED = ("src/kws_golden.h", "src/kws_model.h", "src/model.c")
"""The files that ``model.sha256`` covers: `make test` fails when one of them was changed."""


def write_c(model: KwsModel, directory: Path, audio: NDArray[np.int16] | None = None) -> None:
    """Write the bundle of ``model`` into ``directory``; to build it (make or CMake) takes only a C99 compiler.

    ``audio`` int16 [n] is the self-test's audio (by default some seconds of synthetic sound). A bundle that was written
    before and not changed by hand is replaced; it stays until the new one is complete.

    Raises:
        KwsError: the directory holds something else or cannot be written, or the C runtime lacks the model's frontend.
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
        KwsError: the C runtime lacks the model's frontend.
    """
    if model.frontend.kind != "lfbe":
        raise KwsError(
            f'frontend.kind: the C99 bundle has no "{model.frontend.kind}" frontend; export --to esphome or tflite, or '
            "train with the default frontend"
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
    """Return the files that are the same for every model: the runtime, and those that build and test it."""
    runtime = {f"src/{path.name}": path.read_bytes() for path in sorted((_HERE.parent / "runtime").glob("*.[ch]"))}
    beside = _HERE / "files"
    paths = [path for path in sorted(beside.rglob("*")) if path.is_file() and path.name != _NOT_SHIPPED]
    return runtime | {path.relative_to(beside).as_posix(): path.read_bytes() for path in paths}
