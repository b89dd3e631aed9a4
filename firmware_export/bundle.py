"""The C99 bundle: the runtime, one model and its self-test in a directory that builds by itself."""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_export import c_source, figures, golden, marker
from firmware_export.bundle_engine import BundleEngine, build_host_engine
from firmware_export.marker import read_marker, replace_bundle
from kws import files
from kws.model_file import KwsModel, digest

__all__ = ["BundleEngine", "build_host_engine", "read_marker", "replace_bundle", "write_c"]

RUNTIME_FILES = (
    "kws.h",
    "kws.c",
    "lfbe.h",
    "lfbe.c",
    "lfbe_frame.h",
    "lfbe_frame.c",
    "ops.h",
    "ops.c",
    "ops_kernels.h",
    "ops_conv.c",
    "ops_map.c",
    "detector.h",
    "detector.c",
)
FIXED_FILES = ("example_main.c", "selftest.c", "Makefile")

_HERE = Path(__file__).parent


def write_c(model: KwsModel, directory: Path, audio: NDArray[np.int16] | None = None) -> None:
    """Write the bundle of ``model`` into ``directory``: `make`, `make test`, `make size` there need a C99 compiler.

    ``audio`` int16 [n] is what the self-test runs on (by default some seconds of synthetic sound). A bundle that was
    written before and not changed by hand is replaced; until the new one is whole the old one stays.

    Raises:
        KwsError: the directory holds something else, or cannot be written.
    """
    marker.check_replaceable(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as work:
            new = Path(work) / "new"
            new.mkdir()
            for name, content in contents(model, audio).items():
                (new / name).write_bytes(content)
            replace_bundle(new, directory)
    except OSError as error:
        raise files.unwritable(directory, error) from error


def contents(model: KwsModel, audio: NDArray[np.int16] | None = None) -> dict[str, bytes]:
    """Return every file of the bundle by name; the same for the same model and audio."""
    fixed = {name: (_HERE / "runtime" / name).read_bytes() for name in RUNTIME_FILES}
    fixed |= {name: (_HERE / "bundle_files" / name).read_bytes() for name in FIXED_FILES}
    generated = {
        "model.h": c_source.model_header(model, figures.memory_bytes(model)),
        "model.c": c_source.model_source(model),
        "golden.h": golden.header(golden.compute(model, audio)),
        "README.txt": figures.readme(model),
    }
    whole = fixed | {name: text.encode() for name, text in generated.items()}
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
