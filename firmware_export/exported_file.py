"""Read a .tflite or .onnx of kws export, and refuse a damaged or foreign file before a native runtime sees it."""

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
"""Metadata entry: JSON list of {"input", "output", "initial"}: the states' tensors and their initial value."""

FORM_KEY = "kws.form"
"""Metadata entry: "integer" or "qdq" in a .onnx; "streaming", "stateless" or "head" (the output is not the logits) in
a .tflite."""

HOP_KEY = "kws.hop_samples"
"""Metadata entry of a .onnx that takes samples: how many samples a frame takes (the hop)."""

RESET_SIGNATURE = "reset_state"
"""A signature, without inputs and outputs, of a .tflite that keeps its own state: running it starts a new stream."""


@dataclass(frozen=True, eq=False)
class ExportedFile:
    """A file's name for error messages, its bytes, which are undamaged, and its metadata."""

    where: str
    content: bytes
    kind: Kind
    metadata: Mapping[str, str]

    @property
    def states(self) -> list[dict[str, Any]]:
        """The states that the caller carries: "input" and "output" name tensors, "initial" is their first value."""
        entries: list[dict[str, Any]] = json.loads(self.metadata.get(STATE_KEY, "[]"))
        return entries

    @property
    def form(self) -> str:
        """The entry ``FORM_KEY``; empty without one."""
        return self.metadata.get(FORM_KEY, "")


def read(model: Path | bytes, kind: Kind | None = None) -> ExportedFile:
    """Read a file, or take its bytes; ``kind`` is the kind that it must have, None for either.

    Raises:
        KwsError: it cannot be read, is damaged, was not written by kws export, or is of another kind.
        NotInstalledError: the package that reads its kind is missing.
    """
    where = "the model" if isinstance(model, bytes) else str(model)
    content = _content(model)
    seal.check(content, where)
    actual: Kind = "tflite" if content[4:8] == b"TFL3" else "onnx"
    if kind not in (None, actual):
        raise KwsError(f"{where}: is a .{actual} file, but a .{kind} file is needed; give that one")
    metadata = _tflite_metadata if actual == "tflite" else _onnx_metadata
    return ExportedFile(where, content, actual, metadata(content))


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
