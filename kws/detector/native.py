"""The whole detector in C: a chunk of samples in one call, scores and decisions out (``kws.runtime`` says where it is).

It is the code that ships to devices (kws.h) on the model's own constants; ``pipeline`` in numpy gives the same numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.detector.decision import exp_table
from kws.detector.engine import Structs
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.frontend import framing, native
from kws.graph.plan import plan
from kws.graph.records import records

PIECE = 1 << 14
"""Samples in one call at most, which bounds memory: longer chunks are passed in pieces."""


class NativeDetector:
    """``kws_t``: samples in, scores and detections out. Any chunking of the same samples gives the same.

    ``thresholds`` are Q15, one for each of the model's phrases. The model has passed ``check``; its frontend is in C.
    """

    engine = "c"

    def __init__(self, model: KwsModel, thresholds: Sequence[int]) -> None:
        """Raise ``KwsError`` when the runtime refuses the model, which is a bug."""
        self._constants = _Constants(model, thresholds)
        self._ffi, self._lib = self._constants.ffi, self._constants.lib
        self._samples_type = self._ffi.typeof("int16_t[]")
        size = self._lib.kws_memory_bytes(self._constants.model)
        self._memory = self._ffi.new("uint64_t[]", (size + 7) // 8)
        handle = self._ffi.new("kws_t **")
        code = self._lib.kws_init(handle, self._constants.model, self._memory, size)
        if code != self._lib.KWS_OK:
            raise KwsError(f"engine c: the runtime refused the model (kws_init gave {code}); this is a bug")
        self._kws = handle[0]
        self._make_buffers(model)
        self.steps = self._new = 0

    def _make_buffers(self, model: KwsModel) -> None:
        """Make buffers for the most that a piece can give: a step each frame, every phrase firing every second step."""
        frames = framing.count_frames(model.frontend.window_samples - 1 + PIECE, model.frontend)
        self._capacity = len(model.detector.phrases) * (frames // 2 + 1)
        self._features = self._ffi.new("int16_t[]", frames * model.frontend.bands)
        self._scores_buffer = np.zeros((frames, len(model.detector.phrases)), np.uint16)
        self._scores_pointer = self._ffi.from_buffer("uint16_t[]", self._scores_buffer)
        self._detections = self._ffi.new("kws_detection_t[]", self._capacity)
        self._earlier: list[NDArray[np.int32]] = []

    @property
    def scores(self) -> NDArray[np.int32]:
        """Each phrase's confidence in each step that the last push completed: int32 [steps, phrases], Q15."""
        return np.concatenate([*self._earlier, self._scores_buffer[: self._new].astype(np.int32)])

    def push(self, samples: NDArray[np.int16]) -> list[tuple[int, int]]:
        """Take int16 [n], return (step, phrase) of each detection, in order; steps count from the stream's start."""
        framing.check_samples(samples)
        self._earlier = []
        if len(samples) <= PIECE:
            return self._feed(samples)
        fired = []
        for start in range(0, len(samples) - PIECE, PIECE):
            fired += self._feed(samples[start : start + PIECE])
            self._earlier.append(self._scores_buffer[: self._new].astype(np.int32))
        return fired + self._feed(samples[start + PIECE :])

    def _feed(self, samples: NDArray[np.int16]) -> list[tuple[int, int]]:
        pointer = self._ffi.from_buffer(self._samples_type, np.ascontiguousarray(samples))
        detections = self._detections
        made = self._lib.kws_host_feed(
            self._kws, pointer, len(samples), self._features, self._scores_pointer, detections, self._capacity
        )
        first = self.steps
        # the runtime's counter has 32 bits
        self._new = (self._lib.kws_steps(self._kws) - first) & 0xFFFFFFFF
        self.steps += self._new
        if not made:
            return []
        return [(first + ((one.step - first) & 0xFFFFFFFF), one.phrase) for one in detections[0:made]]

    def reset(self) -> None:
        """Start a new stream."""
        self._lib.kws_reset(self._kws)
        self.steps = self._new = 0
        self._earlier = []


class _Constants:
    """``kws_model_t`` and all it points to, alive as long as this object."""

    def __init__(self, model: KwsModel, thresholds: Sequence[int]) -> None:
        self._frontend = native.binding(model.frontend)
        self.ffi, self.lib = self._frontend.ffi, self._frontend.lib
        self._structs = Structs(self.ffi, self.lib, records(model.graph, plan(model.graph)))
        self._kept: list[Any] = []
        # names and hashes are for programs on a device; the runtime only requires that the array exists
        phrases = self._keep("char *[]", [self.ffi.NULL] * len(model.detector.phrases))
        self.model = self._keep(
            "kws_model_t *",
            {
                "phrases": phrases,
                "frontend": self._frontend.tables,
                "graph": self._structs.graph,
                "detector": self._detector(model, thresholds),
            },
        )

    def _detector(self, model: KwsModel, thresholds: Sequence[int]) -> Any:
        config = model.detector
        table = exp_table(model.graph.tensor(model.graph.output).quant.scale)
        return self._keep(
            "kws_detector_config_t *",
            {
                "exp_table": self._keep("uint16_t[]", table.tolist()),
                "keywords": self._keep("uint8_t[]", [index for indices in config.keywords for index in indices]),
                "keyword_counts": self._keep("uint8_t[]", [len(indices) for indices in config.keywords]),
                "thresholds": self._keep("uint16_t[]", list(thresholds)),
                "phrases": len(config.phrases),
                "labels": len(config.labels),
                "smooth_frames": config.smooth_frames,
                "max_frames": config.max_frames,
                "refractory_steps": config.refractory_steps(model.step_ms),
            },
        )

    def _keep(self, kind: str, value: Any) -> Any:
        self._kept.append(self.ffi.new(kind, value))
        return self._kept[-1]
