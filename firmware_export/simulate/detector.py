"""A whole detector, samples to detections, through the calls of kws.h: on an emulated target or on this machine."""

import tempfile
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from firmware_export.c import figures
from firmware_export.c import source as c_source
from firmware_export.simulate import build, elf
from firmware_export.simulate.machine import Machine
from firmware_export.simulate.structs import runtime_structs
from firmware_export.simulate.targets import Target
from kws.detector.model_file import KwsModel
from kws.errors import KwsError

MOST_SAMPLES = 16000
"""The most that ``DeviceDetector.feed`` takes at once."""

_DETECTION = "kws_detection_t"


class Caller(Protocol):
    """Something whose functions can be called, and its memory read and written: a ``Machine``, or the host."""

    @property
    def pointer_bytes(self) -> int:
        """Bytes of a pointer there."""

    def address(self, name: str) -> int:
        """Return where a function or constant lies."""

    def pointer(self, struct: str, field: str, address: int) -> int:
        """Return a pointer of the ``struct`` at ``address``."""

    def call(self, name: str, *arguments: int) -> int:
        """Call a function; return what it returns."""

    def read(self, address: int, length: int) -> bytes:
        """Return ``length`` bytes of memory."""

    def write(self, address: int, content: bytes) -> None:
        """Write to memory."""

    def allocate(self, length: int) -> int:
        """Return the address of ``length`` bytes of RAM, aligned to 8."""


class DeviceDetector:
    """A model's detector where ``caller`` runs it, at the start of a stream.

    Raises:
        KwsError: ``kws_init`` refuses the model.
    """

    def __init__(self, model: KwsModel, caller: Caller) -> None:
        self.caller = caller
        self._labels, self._phrases = len(model.detector.labels), len(model.detector.phrases)
        self._room = 64 * self._phrases
        self._model = caller.address("kws_model")
        self.memory_bytes = caller.call("kws_memory_bytes", self._model)
        memory = caller.allocate(self.memory_bytes)
        caller.write(memory, b"\x5a" * self.memory_bytes)  # what the memory held before must not matter
        handle = caller.allocate(8)
        code = _int32(caller.call("kws_init", handle, self._model, memory, self.memory_bytes))
        if code != 0:
            raise KwsError(f"the runtime refuses the model (kws_init returned {code}); train or export it again")
        self._kws = int.from_bytes(caller.read(handle, caller.pointer_bytes), "little")
        self._samples = caller.allocate(MOST_SAMPLES * 2)
        self._structs = runtime_structs(caller.pointer_bytes)
        self._size = self._structs.size(_DETECTION)
        self._detections = caller.allocate(self._room * self._size)

    def set_thresholds(self, thresholds: tuple[int, ...]) -> None:
        """Give each phrase a threshold, Q15."""
        for phrase, threshold in enumerate(thresholds):
            self.caller.call("kws_set_threshold", self._kws, phrase, threshold)

    def feed(self, samples: NDArray[np.int16]) -> list[dict[str, int]]:
        """Take int16 [n], at most ``MOST_SAMPLES``; return the detections: the fields of ``kws_detection_t``."""
        self.caller.write(self._samples, samples.tobytes())
        arguments = (self._kws, self._samples, len(samples), self._detections, self._room)
        count = _int32(self.caller.call("kws_feed", *arguments))
        if not 0 <= count <= self._room:
            raise KwsError(f"kws_feed returned {count}; if the runtime is unchanged, report it with the model")
        content = self.caller.read(self._detections, count * self._size)
        parts = (content[index * self._size : (index + 1) * self._size] for index in range(count))
        return [self._structs.unpack(_DETECTION, part) for part in parts]

    def scratch_bytes(self) -> int:
        """Return what the frontend needs only while it computes a frame."""
        return self.caller.call("kws_lfbe_scratch_bytes", self.caller.pointer("kws_model_t", "frontend", self._model))

    @property
    def steps(self) -> int:
        """Steps of the model so far."""
        return self.caller.call("kws_steps", self._kws) & 0xFFFFFFFF

    def scores(self) -> list[int]:
        """Return each phrase's confidence in the last step, Q15."""
        return [_int32(self.caller.call("kws_score", self._kws, phrase)) for phrase in range(self._phrases)]

    def logits(self) -> NDArray[np.int8]:
        """Return the last step's logits, int8 [labels]."""
        return np.frombuffer(self.caller.read(self.caller.call("kws_logits", self._kws), self._labels), np.int8)


def device(model: KwsModel, target: Target) -> Machine:
    """Return an emulated target with the runtime and the model's generated source in its flash."""
    with tempfile.TemporaryDirectory(prefix="kws-profile-") as work:
        return Machine(target, elf.read(build.image(target, write_model(model, Path(work)))))


def write_model(model: KwsModel, directory: Path) -> Path:
    """Write model.c and kws_model.h into a directory; return the path of model.c."""
    (directory / "kws_model.h").write_text(c_source.model_header(model, figures.memory_bytes(model)))
    (directory / "model.c").write_text(c_source.model_source(model))
    return directory / "model.c"


def _int32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - 2**32 if value >= 2**31 else value
