"""The ``.kws`` file, the result of training: everything that detection, evaluation and export need, in one file.

It is a safetensors file. The tensors are the graph's weights and biases; the header's metadata has one key, ``kws``,
with JSON: format name and version, a SHA-256, the graph's structure, the configs, the operating points, the ledger
of the data's licences, the recipe and its hash. The SHA-256 is over every byte of the file with its own 64 digits
set to 0, so a change anywhere is detected. The same model always gives the same bytes.
"""

import dataclasses
import hashlib
import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from kws import config
from kws.detector.decision import DetectorConfig, OperatingPoint, check_threshold
from kws.errors import KwsError
from kws.frontend.config import FrontendConfig
from kws.graph import serialize
from kws.graph.cost import cost
from kws.graph.ir import QuantGraph
from kws.system import files

FORMAT = "kws"
VERSION = 2
"""Version 1 had one phrase; its files are still read, and converted to version 2 in memory."""

_OPENING = b'{"__metadata__":{"kws":'
_NO_DIGEST = "0" * 64
# The exceptions that wrong contents of a file with a valid SHA-256 can raise.
_DAMAGE = (
    *(safetensors.SafetensorError, LookupError, TypeError, ValueError),
    *(AttributeError, ArithmeticError, MemoryError, RecursionError),
)
_MAX_HEADER_BYTES = 100_000_000  # safetensors' own bound


@dataclass(frozen=True)
class Source:
    """One source of the data that a model learned from, and its terms."""

    name: str
    licence: str
    clips: int
    hours: float


@dataclass(frozen=True, eq=False)
class KwsModel:
    """A trained, quantized detector; ``thresholds`` (Q15) has one for each of the detector's phrases.

    ``operating_points`` are in the phrases' order, a phrase's by false accepts per hour. ``recipe`` is the resolved
    plain data that the model was trained with.

    Raises:
        ValueError: two parts do not fit together; the sentence starts with the field's name.
    """

    graph: QuantGraph
    frontend: FrontendConfig
    detector: DetectorConfig
    thresholds: tuple[int, ...]
    operating_points: tuple[OperatingPoint, ...] = ()
    licences: tuple[Source, ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what the parts must agree on."""
        bands = self.graph.tensor(self.graph.input).shape[-1]
        if bands != self.frontend.bands:
            raise ValueError(f"graph takes {bands} bands, but frontend.bands is {self.frontend.bands}")
        if self.graph.outputs != len(self.detector.labels):
            raise ValueError(f"graph gives {self.graph.outputs} logits for {len(self.detector.labels)} detector.labels")
        if len(self.thresholds) != len(self.detector.phrases):
            raise ValueError(f"thresholds are {len(self.thresholds)} for {len(self.detector.phrases)} detector.phrases")
        for threshold in self.thresholds:
            check_threshold(threshold)
        self._check_operating_points()

    def _check_operating_points(self) -> None:
        unknown = {point.phrase for point in self.operating_points} - set(self.detector.phrases)
        if unknown:
            raise ValueError(f"operating_points name {min(unknown)!r}, which is none of detector.phrases")
        order = {phrase: index for index, phrase in enumerate(self.detector.phrases)}
        keys = [(order[point.phrase], point.false_accepts_per_hour) for point in self.operating_points]
        if keys != sorted(keys):
            raise ValueError("operating_points must be sorted by phrase, then by false_accepts_per_hour")

    @property
    def recipe_hash(self) -> str:
        """16 hexadecimal digits over the resolved recipe, as ``config.config_hash`` gives them."""
        text = json.dumps(self.recipe, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def step_ms(self) -> int:
        """Milliseconds of audio that one step of the graph takes."""
        return self.graph.stride * self.frontend.hop_ms

    def step_end(self, step: int) -> int:
        """Return how many samples of a stream step ``step`` (from 0) needs: to the end of its last LFBE frame."""
        last_frame = (step + 1) * self.graph.stride - 1
        return last_frame * self.frontend.hop_samples + self.frontend.window_samples


def save(model: KwsModel, path: Path) -> None:
    """Write the model to ``path`` (replaced only when the new file is whole); ``KwsError`` if that cannot be done."""
    files.replace_file(path, to_bytes(model))


def load(path: Path) -> KwsModel:
    """Read a model.

    Raises:
        KwsError: the file is missing, empty, cut short, damaged, from a newer kws, or not a .kws file.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8 + len(_OPENING))
            _check_kind(start, str(path))
            content = start + file.read()
    except OSError as error:
        raise KwsError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except ValueError as error:  # a null character
        raise KwsError(f"{str(path)!r}: is not a path; name a .kws file") from error
    return from_bytes(content, str(path))


def to_bytes(model: KwsModel) -> bytes:
    """Return the content of the model's ``.kws`` file; the same for the same model, whenever and wherever."""
    tensors, graph = serialize.to_data(model.graph)
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "sha256": _NO_DIGEST,
        "graph": graph,
        "frontend": config.to_data(model.frontend),
        "detector": config.to_data(model.detector),
        "thresholds": list(model.thresholds),
        "operating_points": [config.to_data(point) for point in model.operating_points],
        "licences": [config.to_data(source) for source in model.licences],
        "recipe": model.recipe,
        "recipe_hash": model.recipe_hash,
    }
    text = json.dumps(metadata, separators=(",", ":"), allow_nan=False)
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    content = safetensors.numpy.save(contiguous, metadata={FORMAT: text})
    place = content.index(_NO_DIGEST.encode())
    return content[:place] + hashlib.sha256(content).hexdigest().encode() + content[place + 64 :]


def digest(model: KwsModel) -> str:
    """Return the SHA-256 that ``save`` writes into the file: 64 hexadecimal digits that identify this model.

    A model that was read from a file of an older version has the digest of the file that ``save`` would write now.
    """
    return str(_metadata(to_bytes(model), "model")["sha256"])


def from_bytes(content: bytes, where: str) -> KwsModel:
    """Read the content of a ``.kws`` file; ``where`` names it in errors."""
    _check_kind(content, where)
    metadata = _metadata(content, where)
    _check_version(metadata, where)
    _check_digest(content, metadata, where)
    try:
        tensors = safetensors.numpy.load(content)
        return _model(_upgraded(metadata), tensors, where)
    except _DAMAGE as error:
        raise KwsError(
            f"{where}: the parts of the model do not fit together ({error}); train or copy it again"
        ) from error


def _upgraded(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata in the form of ``VERSION``; a file of version 1 has one phrase with all its labels."""
    if metadata["version"] > 1:
        return metadata
    detector = dict(metadata["detector"])
    phrase, labels = detector.pop("phrase"), detector["labels"]
    return {
        **metadata,
        "detector": {**detector, "phrases": [phrase], "keywords": [list(range(1, len(labels)))]},
        "thresholds": [metadata["threshold"]],
        "operating_points": [{**point, "phrase": phrase} for point in metadata["operating_points"]],
    }


def _model(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]], where: str) -> KwsModel:
    model = KwsModel(
        graph=serialize.from_data(tensors, metadata["graph"], where),
        frontend=config.load(FrontendConfig, metadata["frontend"], where),
        detector=config.load(DetectorConfig, metadata["detector"], where),
        thresholds=tuple(metadata["thresholds"]),
        operating_points=tuple(config.load(OperatingPoint, point, where) for point in metadata["operating_points"]),
        licences=tuple(config.load(Source, source, where) for source in metadata["licences"]),
        recipe=metadata["recipe"],
    )
    if model.recipe_hash != metadata["recipe_hash"]:
        raise KwsError(
            f"{where}: the recipe's hash does not match the recipe; the file was altered: train or copy it again"
        )
    return model


def _check_kind(content: bytes, where: str) -> None:
    if not content:
        raise KwsError(f"{where}: the file is empty; train or copy it again")
    opening = content[8 : 8 + len(_OPENING)]
    if opening != _OPENING[: len(opening)]:
        kind = "a safetensors file, but not a .kws file" if opening[:2] == b'{"' else "not a .kws file"
        raise KwsError(f"{where}: this is {kind}; give a file that kws quickstart or kws train wrote")


def _metadata(content: bytes, where: str) -> dict[str, Any]:
    cut_short = KwsError(f"{where}: the file is cut short; copy it again in full")
    if len(content) < 8 + len(_OPENING):
        raise cut_short
    (header_bytes,) = struct.unpack("<Q", content[:8])
    damaged = KwsError(f"{where}: the file is damaged; copy or train it again")
    if header_bytes > _MAX_HEADER_BYTES:
        raise damaged
    if len(content) < 8 + header_bytes:
        raise cut_short
    try:
        header = json.loads(content[8 : 8 + header_bytes])
        metadata = json.loads(header.pop("__metadata__")[FORMAT])
        end = max((int(tensor["data_offsets"][1]) for tensor in header.values()), default=0)
        version, stored = metadata["version"], metadata["sha256"]
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise damaged from error
    if not (isinstance(version, int) and isinstance(stored, str) and metadata.get("format") == FORMAT):
        raise damaged
    if len(content) < 8 + header_bytes + end:
        raise cut_short
    return cast(dict[str, Any], metadata)


def _check_version(metadata: dict[str, Any], where: str) -> None:
    if metadata["version"] > VERSION:
        raise KwsError(
            f"{where}: the file was made by a newer kws (format {metadata['version']}, this one reads {VERSION}); "
            "upgrade with: pip install --upgrade kws"
        )
    if metadata["version"] < 1:
        raise KwsError(f"{where}: the file is damaged; copy or train it again")


def _check_digest(content: bytes, metadata: dict[str, Any], where: str) -> None:
    stored = str(metadata["sha256"]).encode()
    place = content.find(stored)
    blanked = content[:place] + _NO_DIGEST.encode() + content[place + 64 :]
    if len(stored) != 64 or place < 0 or hashlib.sha256(blanked).hexdigest().encode() != stored:
        raise KwsError(f"{where}: the content does not match its SHA-256; copy or train it again")


def summary(model: KwsModel) -> dict[str, Any]:
    """Return what ``kws info`` shows, as plain JSON-ready data; the keys name the units."""
    figures = cost(model.graph)
    return {
        "phrases": list(model.detector.phrases),
        "labels": list(model.detector.labels),
        "frontend": config.to_data(model.frontend),
        "detector": config.to_data(model.detector),
        "parameters": figures.parameters,
        "macs_per_second": round(figures.macs_per_step * 1000 / model.step_ms),
        "weight_bytes": figures.weight_bytes,
        "state_bytes": figures.state_bytes,
        "latency_frames": model.graph.latency_frames,
        "latency_ms": model.graph.latency_frames * model.frontend.hop_ms,
        "thresholds": list(model.thresholds),
        "operating_points": [dataclasses.asdict(point) for point in model.operating_points],
        "licences": [dataclasses.asdict(source) for source in model.licences],
        "recipe_hash": model.recipe_hash,
        "sha256": digest(model),
    }
