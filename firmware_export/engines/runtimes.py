"""The runtimes that users run exported files in, behind the protocol of ``kws.detector.engine``.

Each takes the file itself (a path, or its bytes), so that what is verified is what was written. A damaged or foreign
file is refused before the runtime sees it.
"""

import contextlib
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from firmware_export import exported_file
from firmware_export.exported_file import ExportedFile
from kws.errors import KwsError
from kws.graph.wiring import as_steps
from kws.system.packages import NotInstalledError, need
from kws.system.quiet import quiet_libraries

ARENA_FLOOR_BYTES = 16 << 20
"""Far more than any microcontroller has; ``arena`` measures what a model really takes."""

_NUMPY_TYPES = {"tensor(int8)": np.int8, "tensor(uint8)": np.uint8, "tensor(int16)": np.int16}


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
            KwsError: the runtime failed.
        """
        return self._run(as_steps(features, self.stride, self.bands))

    def _run(self, steps: NDArray[Any]) -> NDArray[np.int8]:
        logits = np.empty((len(steps), self.outputs), np.int8)
        with refused(f"{self.name} cannot run the model"):
            for index, step in enumerate(steps):
                logits[index] = self._step(step[None])[0]
        return logits

    def _take_shapes(self, input_shape: Sequence[int], output_shape: Sequence[int]) -> None:
        if len(input_shape) != 3 or len(output_shape) != 2:
            raise KwsError(f"{self.name}: this is not a streaming model written by kws export; export it again")
        self.stride, self.bands, self.outputs = int(input_shape[1]), int(input_shape[2]), int(output_shape[1])


class _TfliteEngine(RuntimeEngine):
    """A .tflite's tensors in order: features (or logits) first, then the states that the caller carries, if any."""

    def __init__(self, name: str, model: Path | bytes) -> None:
        self._file = exported_file.read(model, "tflite")
        self.name = f"{name}, stateless" if self._file.states else name
        self._initial: list[NDArray[np.int8]] = []

    def _take_initial(self, shapes: Sequence[Sequence[int]]) -> None:
        """Keep the initial values of the states' inputs, which have these shapes."""
        states = self._file.states
        self._initial = [np.full(shape, state["initial"], np.int8) for shape, state in zip(shapes, states, strict=True)]
        self._states = list(self._initial)

    def _step(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        logits, *self._states = self._invoke([features, *self._states], 1 + len(self._states))
        return logits

    @abstractmethod
    def _invoke(self, sources: list[NDArray[np.int8]], outputs: int) -> list[NDArray[np.int8]]:
        """Run one step with these inputs; return the first ``outputs`` outputs."""


class TfliteMicroEngine(_TfliteEngine):
    """TFLite Micro's own interpreter and reference kernels, compiled for this machine."""

    name = "TFLite Micro"
    exact = True

    def __init__(self, model: Path | bytes) -> None:
        runtime = need("tflite_micro.python.tflite_micro.runtime", "tflite-micro")
        super().__init__(TfliteMicroEngine.name, model)
        content = self._file.content
        with refused(f"{self._file.where}: {self.name} cannot load it"):
            self._interpreter = runtime.Interpreter.from_bytes(
                content, arena_size=ARENA_FLOOR_BYTES + 10 * len(content)
            )
        details = self._interpreter.get_input_details
        self._take_shapes(details(0)["shape"], self._interpreter.get_output_details(0)["shape"])
        self._take_initial([details(1 + index)["shape"] for index in range(len(self._file.states))])

    def reset(self) -> None:
        """Return to the initial state: TFLite Micro zeroes its variables, and CALL_ONCE runs again on the next step."""
        self._interpreter.reset()
        self._states = list(self._initial)

    def print_allocations(self) -> None:
        """Let TFLite Micro write what its arena holds to file descriptor 2."""
        self._interpreter.print_allocations()

    def _invoke(self, sources: list[NDArray[np.int8]], outputs: int) -> list[NDArray[np.int8]]:
        for index, source in enumerate(sources):
            self._interpreter.set_input(source, index)
        self._interpreter.invoke()
        return [self._interpreter.get_output(index) for index in range(outputs)]


class LiteRtEngine(_TfliteEngine):
    """LiteRT, with its default kernels (XNNPACK), its reference kernels, or its own ones without a delegate."""

    def __init__(self, model: Path | bytes, reference: bool = False, delegates: bool = True) -> None:
        self.exact = reference
        self._package = _litert()
        super().__init__("LiteRT reference" if reference else "LiteRT XNNPACK", model)
        kinds = self._package.OpResolverType
        optimized = kinds.AUTO if delegates else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._kernels = kinds.BUILTIN_REF if reference else optimized
        with refused(f"{self._file.where}: {self.name} cannot load it"):
            self._load()
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._take_shapes(inputs[0]["shape"], outputs[0]["shape"])
        self._take_initial([detail["shape"] for detail in inputs[1:]])
        self._inputs, self._outputs = ([detail["index"] for detail in details] for details in (inputs, outputs))

    def reset(self) -> None:
        """Return to the initial state by the file's own signature, or with a new interpreter if it has none.

        LiteRT's ``reset_all_variables`` does not reset resource variables.
        """
        if exported_file.RESET_SIGNATURE in self._interpreter.get_signature_list():
            # The runner is not kept: while it lives, the interpreter refuses to run.
            self._interpreter.get_signature_runner(exported_file.RESET_SIGNATURE)()
        else:
            self._load()
        self._states = list(self._initial)

    def _load(self) -> None:
        with quiet_libraries():  # every interpreter reports its XNNPACK delegate on standard error
            self._interpreter = self._package.Interpreter(
                model_content=self._file.content, num_threads=1, experimental_op_resolver_type=self._kernels
            )
            self._interpreter.allocate_tensors()

    def _invoke(self, sources: list[NDArray[np.int8]], outputs: int) -> list[NDArray[np.int8]]:
        for index, source in zip(self._inputs, sources, strict=True):
            self._interpreter.set_tensor(index, source)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class OnnxEngine(RuntimeEngine):
    """ONNX Runtime on the CPU; it carries the state of a model of ``firmware_export.onnx`` from step to step.

    A model with the frontend inside takes samples: ``hop_samples`` is then the samples per frame, and ``run`` takes
    int16 [n * stride * hop_samples].
    """

    name = "ONNX Runtime"

    def __init__(self, model: Path | bytes) -> None:
        package = need("onnxruntime", "onnxruntime")
        file = exported_file.read(model, "onnx")
        options = package.SessionOptions()
        options.intra_op_num_threads = 1
        with refused(f"{file.where}: {self.name} cannot load it"):
            self._session = package.InferenceSession(file.content, options, providers=["CPUExecutionProvider"])
        inputs = {value.name: value for value in self._session.get_inputs()}
        self._initial = {
            state["input"]: np.full(
                inputs[state["input"]].shape, state["initial"], _NUMPY_TYPES[inputs[state["input"]].type]
            )
            for state in file.states
        }
        # Inputs: features or samples, then the states; outputs: logits, then the next states, in the same order.
        self._source = next(iter(inputs))
        self.exact = file.form == "integer"
        self._take_source(file, inputs[self._source].shape, self._session.get_outputs()[0].shape)
        self.reset()

    def _take_source(self, file: ExportedFile, input_shape: Sequence[int], output_shape: Sequence[int]) -> None:
        self.hop_samples = int(file.metadata.get(exported_file.HOP_KEY, "0"))
        if not self.hop_samples:
            self.name = self.name if self.exact else f"{self.name}, QDQ"
            self._take_shapes(input_shape, output_shape)
            return
        self.name = f"{self.name}, audio"
        self.bands = 0
        self.stride, self.outputs = int(input_shape[1]) // self.hop_samples, int(output_shape[1])

    def reset(self) -> None:
        """Return to the initial state."""
        self._state = dict(self._initial)

    def run(self, features: NDArray[Any]) -> NDArray[np.int8]:
        """Take n steps of int8 features or int16 samples, going on from the last ones; return int8 [n, outputs]."""
        if not self.hop_samples:
            return super().run(features)
        step = self.stride * self.hop_samples
        if features.dtype != np.int16 or features.ndim != 1 or len(features) % step:
            raise ValueError(f"samples are {features.dtype}{list(features.shape)}; give int16[n * {step}], whole steps")
        return self._run(features.reshape(-1, step))

    def _step(self, features: NDArray[Any]) -> NDArray[np.int8]:
        logits, *following = self._session.run(None, {self._source: features, **self._state})
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


@contextlib.contextmanager
def refused(sentence: str) -> Iterator[None]:
    """Turn a runtime's own exceptions into one ``KwsError`` that begins with ``sentence``."""
    try:
        yield
    except Exception as error:
        # onnxruntime's classes come straight from Exception.
        foreign = type(error).__module__.startswith("onnxruntime")
        if not (foreign or isinstance(error, RuntimeError | ValueError | TypeError | AttributeError | struct.error)):
            raise
        reason = str(error).strip().split("\n")[0]
        raise KwsError(f"{sentence} ({reason}); export it again") from error
