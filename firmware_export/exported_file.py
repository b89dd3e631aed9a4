"""A .tflite or .onnx that kws export wrote, read with care: whole and ours before a native runtime sees it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from firmware_export import seal
from kws.errors import KwsError
from kws.system.packages import need

Kind = Literal["tflite", "onnx"]

MODEL_KEY = "kws.model_sha256"
"""Metadata entry: the SHA-256 of the .kws file that a file was made from."""

STATE_KEY = "kws.states"
"""Metadata entry: JSON list of {"input", "output", "initial"}: the states' tensors and what fills them at first."""

FORM_KEY = "kws.form"
"""Metadata entry: of a .onnx "integer" or "qdq"; of a .tflite "streaming", "stateless", or "head" where something else
comes out than the logits."""

HOP_KEY = "kws.hop_samples"
"""Metadata entry of a .onnx that takes samples: how many a frame adds."""

RESET_SIGNATURE = "reset_state"
"""A signature of a .tflite that keeps its state itself, without inputs and outputs: to run it starts a new stream."""


@dataclass(frozen=True, eq=False)
class ExportedFile:
    """A file's name for errors, its bytes, which are as they were written, and its metadata."""

    where: str
    content: bytes
    kind: Kind
    metadata: Mapping[str, str]

    @property
    def states(self) -> list[dict[str, Any]]:
        """The states that the caller carries: "input" and "output" name tensors, "initial" fills them at first."""
        found: list[dict[str, Any]] = json.loads(self.metadata.get(STATE_KEY, "[]"))
        return found

    @property
    def form(self) -> str:
        """What ``FORM_KEY`` says."""
        return self.metadata.get(FORM_KEY, "")


def read(model: Path | bytes, kind: Kind | None = None) -> ExportedFile:
    """Read a file, or take its bytes; ``kind`` is what it must be, if one alone will do.

    Raises:
        KwsError: it cannot be read, is damaged, no file of kws export, or of another kind.
        NotInstalledError: the package that reads its kind is missing.
    """
    where = "the model" if isinstance(model, bytes) else str(model)
    content = _content(model)
    seal.check(content, where)
    found: Kind = "tflite" if content[4:8] == b"TFL3" else "onnx"
    if kind not in (None, found):
        raise KwsError(f"{where}: is a .{found}, where a .{kind} is needed; give the other file")
    metadata = _tflite_metadata if found == "tflite" else _onnx_metadata
    return ExportedFile(where, content, found, metadata(content))


def _content(model: Path | bytes) -> bytes:
    if isinstance(model, bytes):
        return model
    try:
        return model.read_bytes()
    except OSError as error:
        raise KwsError(f"{model}: cannot be read ({error.strerror}); check the path") from error


def _tflite_metadata(content: bytes) -> dict[str, str]:
    model = need("ai_edge_litert.schema_py_generated", "ai-edge-litert").Model.GetRootAs(content)
    entries = [model.Metadata(index) for index in range(model.MetadataLength())]
    return {entry.Name().decode(): model.Buffers(entry.Buffer()).DataAsNumpy().tobytes().decode() for entry in entries}


def _onnx_metadata(content: bytes) -> dict[str, str]:
    model = need("onnx", "onnx").load_model_from_string(content)
    return {entry.key: entry.value for entry in model.metadata_props}
