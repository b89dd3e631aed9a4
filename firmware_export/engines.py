"""The runtimes that exported files meet in the field, behind the protocol of ``kws.engine``.

Each takes the file itself (a path, or its bytes), so that what is verified is what was written.
"""

import contextlib
import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from firmware_export.onnx_writer import INPUT_NAME, STATE_KEY
from firmware_export.packages import NotInstalledError, need
from kws.errors import KwsError
from kws.graph.wiring import as_steps
from kws.quiet import quiet_libraries

ARENA_FLOOR_BYTES = 16 << 20
"""TFLite Micro gets far more than any microcontroller has; ``tflite_arena`` measures what it really takes."""


class RuntimeEngine(ABC):
    """A streaming engine around another project's runtime: one step at a time, from the initial state.

    Attributes:
        name: as it stands in reports.
        stride: LFBE frames of one step.
        bands: values of one LFBE frame.
        outputs: logits of one step.
        exact: whether the runtime must give the graph's integers, bit for bit.
    """

    name: str
    stride: int
    bands: int
    outputs: int
    exact: bool

    @abstractmethod
    def reset(self) -> None:
        """Return to the initial state."""

    @abstractmethod
    def _step(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        """Take int8 [1, stride, bands], return int8 [1, outputs]."""

    def run(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        """Take n steps, going on from the last ones: int8 [n * stride, bands] -> int8 [n, outputs].

        Raises:
            ValueError: the features have another type or shape, or do not fill the last step.
            KwsError: the runtime gave up.
        """
        steps = as_steps(features, self.stride, self.bands)
        logits = np.empty((len(steps), self.outputs), np.int8)
        with _refused(f"{self.name} cannot run the model"):
            for index, step in enumerate(steps):
                logits[index] = self._step(step[None])[0]
        return logits

    def _take_shapes(self, input_shape: Any, output_shape: Any) -> None:
        if len(input_shape) != 3 or len(output_shape) != 2:
            raise KwsError(f"{self.name}: the model is no streaming model of kws; export it again")
        self.stride, self.bands, self.outputs = int(input_shape[1]), int(input_shape[2]), int(output_shape[1])


class TfliteMicroEngine(RuntimeEngine):
    """TFLite Micro's own interpreter and reference kernels, compiled for this machine."""

    name = "TFLite Micro"
    exact = True

    def __init__(self, model: Path | bytes) -> None:
        runtime = need("tflite_micro.python.tflite_micro.runtime", "tflite-micro")
        content = _content(model)
        with _refused(f"{_where(model)}: {self.name} cannot load it"):
            self._interpreter = runtime.Interpreter.from_bytes(
                content, arena_size=ARENA_FLOOR_BYTES + 10 * len(content)
            )
        shapes = self._interpreter.get_input_details(0)["shape"], self._interpreter.get_output_details(0)["shape"]
        self._take_shapes(*shapes)

    def reset(self) -> None:
        """Return to the initial state: TFLite Micro zeroes its variables, and CALL_ONCE runs again on the next step."""
        self._interpreter.reset()

    def print_allocations(self) -> None:
        """Have TFLite Micro write what its arena holds to file descriptor 2."""
        self._interpreter.print_allocations()

    def _step(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        self._interpreter.set_input(features, 0)
        self._interpreter.invoke()
        return cast(NDArray[np.int8], self._interpreter.get_output(0))


class LiteRtEngine(RuntimeEngine):
    """LiteRT on the CPU: the reference kernels, or what it takes by default (XNNPACK, which rounds once only)."""

    def __init__(self, model: Path | bytes, reference: bool = False) -> None:
        self.name = "LiteRT reference" if reference else "LiteRT XNNPACK"
        self.exact = reference
        self._content = _content(model)
        self._package = _litert()
        kinds = self._package.OpResolverType
        self._kernels = kinds.BUILTIN_REF if reference else kinds.AUTO
        with _refused(f"{_where(model)}: {self.name} cannot load it"):
            self.reset()
        details = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        self._take_shapes(*(detail["shape"] for detail in details))
        self._input, self._output = (detail["index"] for detail in details)

    def reset(self) -> None:
        """Return to the initial state, by a fresh interpreter: LiteRT's own reset leaves resource variables alone."""
        with quiet_libraries():  # every interpreter says on standard error that it made an XNNPACK delegate
            self._interpreter = self._package.Interpreter(
                model_content=self._content, num_threads=1, experimental_op_resolver_type=self._kernels
            )
            self._interpreter.allocate_tensors()

    def _step(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        self._interpreter.set_tensor(self._input, features)
        self._interpreter.invoke()
        return cast(NDArray[np.int8], self._interpreter.get_tensor(self._output))


class OnnxEngine(RuntimeEngine):
    """ONNX Runtime on the CPU, feeding a model of ``onnx_writer`` its own state."""

    name = "ONNX Runtime"
    exact = False

    def __init__(self, model: Path | bytes) -> None:
        package = need("onnxruntime", "onnxruntime")
        options = package.SessionOptions()
        options.intra_op_num_threads = 1
        with _refused(f"{_where(model)}: {self.name} cannot load it"):
            self._session = package.InferenceSession(_content(model), options, providers=["CPUExecutionProvider"])
        shapes = {value.name: value.shape for value in self._session.get_inputs()}
        properties = self._session.get_modelmeta().custom_metadata_map
        if STATE_KEY not in properties or INPUT_NAME not in shapes:
            raise KwsError(f"{self.name}: the model has no metadata '{STATE_KEY}'; export it with kws")
        states = json.loads(properties[STATE_KEY])
        self._initial = {state["input"]: np.full(shapes[state["input"]], state["initial"], np.int8) for state in states}
        # The logits come first, then each state's successor, in the same order.
        self._take_shapes(shapes[INPUT_NAME], self._session.get_outputs()[0].shape)
        self.reset()

    def reset(self) -> None:
        """Return to the initial state."""
        self._state = dict(self._initial)

    def _step(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        logits, *following = self._session.run(None, {INPUT_NAME: features, **self._state})
        self._state = dict(zip(self._state, following, strict=True))
        return cast(NDArray[np.int8], logits)


def _litert() -> Any:
    """Return LiteRT's interpreter module; tflite-runtime is its older name with the same interface."""
    try:
        return need("ai_edge_litert.interpreter", "ai-edge-litert")
    except NotInstalledError as error:
        with contextlib.suppress(NotInstalledError):
            return need("tflite_runtime.interpreter", "tflite-runtime")
        raise error


def _content(model: Path | bytes) -> bytes:
    if isinstance(model, bytes):
        return model
    try:
        return model.read_bytes()
    except OSError as error:
        raise KwsError(f"{model}: cannot be read ({error.strerror}); check the path") from error


def _where(model: Path | bytes) -> str:
    return "the model" if isinstance(model, bytes) else str(model)


@contextlib.contextmanager
def _refused(sentence: str) -> Iterator[None]:
    """Turn a runtime's own exceptions into one sentence."""
    try:
        yield
    except Exception as error:
        # onnxruntime's classes come straight from Exception.
        foreign = type(error).__module__.startswith("onnxruntime")
        if not (foreign or isinstance(error, RuntimeError | ValueError | TypeError | AttributeError | struct.error)):
            raise
        reason = str(error).strip().split("\n")[0]
        raise KwsError(f"{sentence} ({reason}); export it again") from error
