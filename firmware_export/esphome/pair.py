"""A model as ESPHome's micro_wake_word takes it: a .tflite that gives one uint8 probability, and its manifest.

Input int8 [1, stride, 40], the firmware's own features; output uint8 [1, 1], scale 1 / 256 and zero point 0; state in
resource variables; the firmware's operators alone (``tflite.writer.MICRO_OPERATORS``).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from firmware_export.engines.arena import Arena, measure_arena_bytes
from firmware_export.esphome.graph import PROBABILITY_STEPS, Detector, derive
from firmware_export.esphome.verify import verify_pair
from firmware_export.exported_file import MODEL_KEY
from firmware_export.tflite import writer as tflite
from firmware_export.tflite.lowering import Lowering
from firmware_export.verify import Report
from kws.config import check_range
from kws.detector.model_file import KwsModel, digest
from kws.graph.ir import Conv2D, Quant, QuantGraph, Tensor
from kws.graph.wiring import by_name, size
from kws.system.files import replace_file

OUTPUT_NAME = "probability"
LOGISTIC_QUANT = Quant(1.0 / PROBABILITY_STEPS, -128)
"""TensorFlow Lite requires this of an int8 LOGISTIC's output."""

MINIMUM_ESPHOME_VERSION = "2024.7.0"
"""The first one that reads version 2 of the manifest."""
MANIFEST_VERSION = 2
CUTOFF_STEPS = 255
"""ESPHome stores ``int(probability_cutoff * 255)``."""
CUTOFF_DIGITS = 5


@dataclass(frozen=True)
class About:
    """Who made the model, for the manifest. A website may be left out.

    Raises:
        ValueError: the author is empty, or the website is not a URL; the message starts with the field's name.
    """

    author: str = "kws"
    website: str = ""

    def __post_init__(self) -> None:
        """Check what ESPHome's schema requires."""
        if not self.author.strip():
            raise ValueError("author must be a name")
        if self.website and not self.website.startswith(("https://", "http://")):
            raise ValueError("website must begin with https:// or http://")


@dataclass(frozen=True)
class DeviceArena:
    """The arena that TFLite Micro took here, and the one that the manifest declares, in bytes."""

    measured_bytes: int
    declared_bytes: int


@dataclass(frozen=True)
class Pair:
    """What was written: both files, the decision in the firmware's integers, the arena, and every runtime's result."""

    tflite: Path
    manifest: Path
    cutoff: int
    window: int
    moved: float
    arena: DeviceArena
    verified: Report

    def to_data(self) -> dict[str, Any]:
        """Return everything but the paths as JSON-ready data."""
        decision = {"cutoff": self.cutoff, "probability_cutoff": probability_cutoff(self.cutoff), "window": self.window}
        return {
            **decision,
            "logit_moved_by": -self.moved,
            "arena": asdict(self.arena),
            "verify": self.verified.to_data(),
        }

    def text(self) -> str:
        """Return the figures and the table of runtimes."""
        moved = [f"the logit is {self.moved:.2f} lower than the .kws's, because its threshold leaves no room above it;"]
        return "\n".join(
            [
                f"ESPHome {MINIMUM_ESPHOME_VERSION} and newer: fires when the last {self.window} probabilities "
                f"(0 to 255) sum to more than {self.cutoff} * {self.window};",
                *(moved if self.moved else []),
                f"tensor_arena_size {self.arena.declared_bytes:,} bytes, of which TFLite Micro used "
                f"{self.arena.measured_bytes:,} on this machine",
                self.verified.table(),
            ]
        )


def export_pair(model: KwsModel, name: str, folder: Path, about: About, verify_seconds: float) -> Pair:
    """Write ``folder/name.tflite`` and ``folder/name.json``, and verify them.

    Raises:
        KwsError: the firmware cannot run the model, a package is missing, or a runtime differs.
    """
    detector = derive(model)
    path = folder / f"{name}.tflite"
    write(model, detector, path)
    arena = write_manifest(model, detector, path, about)
    report = verify_pair(model, detector, path, verify_seconds)
    return Pair(path, path.with_suffix(".json"), detector.cutoff, detector.window, detector.moved, arena, report)


def to_bytes(detector: Detector, description: str = "", metadata: dict[str, str] | None = None) -> bytes:
    """Return the .tflite; ``KwsError`` where an operator cannot be written or a package is missing."""
    return tflite.to_bytes(detector.graph, description, metadata=metadata, head=_probability)


def write(model: KwsModel, detector: Detector, path: Path) -> None:
    """Write the .tflite to ``path``, named after the model that it was made of."""
    metadata = {"kws.recipe_hash": model.recipe_hash, MODEL_KEY: digest(model)}
    replace_file(path, to_bytes(detector, model.detector.title, metadata))


def write_manifest(model: KwsModel, detector: Detector, tflite_path: Path, about: About) -> DeviceArena:
    """Write the manifest beside the .tflite, its arena measured; return it."""
    arena = measure_arena(detector.graph, tflite_path)
    data = manifest(model, detector, tflite_path.name, arena, about)
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    replace_file(tflite_path.with_suffix(".json"), text.encode())
    return arena


def manifest(model: KwsModel, detector: Detector, file_name: str, arena: DeviceArena, about: About) -> dict[str, Any]:
    """Return the manifest, version 2, as JSON-ready data."""
    return {
        "type": "micro",
        "wake_word": model.detector.phrases[0],
        "author": about.author,
        **({"website": about.website} if about.website else {}),
        "model": file_name,
        "trained_languages": languages(model),
        "version": MANIFEST_VERSION,
        "micro": {
            "probability_cutoff": probability_cutoff(detector.cutoff),
            "feature_step_size": model.frontend.hop_ms,
            "sliding_window_size": detector.window,
            "tensor_arena_size": arena.declared_bytes,
            "minimum_esphome_version": MINIMUM_ESPHOME_VERSION,
        },
    }


def probability_cutoff(cutoff: int) -> float:
    """Return the least number with few digits that ESPHome stores as ``cutoff``, 0..254.

    The desktop's runtime compares means of ``probability / 256`` with the number itself; the least one is nearest to
    the firmware's, less than one step of a probability above it.

    >>> probability_cutoff(247), int(probability_cutoff(247) * 255)
    (0.96863, 247)
    """
    check_range("cutoff", cutoff, 0, CUTOFF_STEPS - 1)
    digits = int(10**CUTOFF_DIGITS)
    return -(-cutoff * digits // CUTOFF_STEPS) / digits


def languages(model: KwsModel) -> list[str]:
    """Return the languages of the recipe's phrases, as ESPHome writes them: ["en"]."""
    language = str(model.recipe.get("synthesis", {}).get("language", "en"))
    return [language.replace("_", "-").split("-")[0].lower()]


def measure_arena(graph: QuantGraph, path: Path) -> DeviceArena:
    """Return the arena that the .tflite takes in TFLite Micro, and the larger one for a device.

    Raises:
        KwsError: TFLite Micro is not installed or does not run the file.
    """
    arena = Arena(measure_arena_bytes(path))
    return DeviceArena(arena.measured_bytes, arena.declared_bytes + -(-head_room_bytes(graph) // 16) * 16)


def head_room_bytes(graph: QuantGraph) -> int:
    """Return what the ESP32's kernels take from the arena in addition to TFLite Micro's own.

    ESP-NN copies input and weights of a convolution that is larger than 1 x 1 to aligned places, one convolution at a
    time (``esp_nn_get_conv_scratch_size_esp32s3``).
    """
    tensors = by_name(graph)
    copied = [
        op.weights.size + size(tensors[op.input])
        for op in graph.ops
        if isinstance(op, Conv2D) and op.weights.shape[1:3] != (1, 1)
    ]
    return max(copied, default=0)


def _probability(context: Lowering) -> dict[str, int]:
    """Add LOGISTIC and QUANTIZE after the one logit."""
    subgraph = context.subgraph
    like = Tensor("logistic", (1,), LOGISTIC_QUANT)
    row = context.activation("logit", context.graph.tensor(context.graph.output), (1,))
    context.reshape(context.index(context.graph.output), row, "logit", (1,))
    logistic = context.activation(like.name, like)
    subgraph.operator("LOGISTIC", [row], [logistic])
    quantization = subgraph.quantization([LOGISTIC_QUANT.scale], [0])
    output = subgraph.tensor(OUTPUT_NAME, (1, 1), "UINT8", quantization)
    subgraph.operator("QUANTIZE", [logistic], [output], context.schema.QuantizeOptionsT())
    return {OUTPUT_NAME: output}
