"""Engines run a quantized graph: int8 features in, int8 logits out. All of them give the same numbers."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kws import runtime
from kws.errors import KwsError
from kws.graph.check import check
from kws.graph.interpret import Interpreter
from kws.graph.ir import QuantGraph
from kws.graph.plan import plan
from kws.graph.records import Record, Records, records
from kws.graph.wiring import as_steps


class Engine(Protocol):
    """Something that runs one graph, step after step."""

    @property
    def name(self) -> str:
        """Its name in reports."""

    @property
    def stride(self) -> int:
        """LFBE frames taken by one step."""

    @property
    def outputs(self) -> int:
        """Logits given by one step."""

    def run(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        """Take int8 [n * stride, bands], return int8 [n, outputs]; it goes on from where the last call ended.

        Raises:
            ValueError: the features have another type or shape, or do not fill the last step.
        """

    def reset(self) -> None:
        """Start a new stream: every state is the real value 0."""


class GraphEngine:
    """The numpy interpreter, which defines the numbers."""

    name = "graph"

    def __init__(self, graph: QuantGraph) -> None:
        """Raise ``GraphError`` when the graph does not pass ``check``."""
        self._interpreter = Interpreter(graph)
        self.stride, self.outputs = graph.stride, graph.outputs

    def run(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        """Take int8 [n * stride, bands], return int8 [n, outputs]."""
        return self._interpreter.run(features)

    def reset(self) -> None:
        """Start a new stream."""
        self._interpreter.reset()


class CEngine:
    """The C99 runtime that ships to devices, compiled into ``kws._runtime`` when the package was built."""

    name = "c"

    def __init__(self, graph: QuantGraph) -> None:
        """Raise ``GraphError`` for a graph that fails ``check``, ``KwsError`` where the extension is missing."""
        if reason := runtime.reason():
            raise KwsError(f"engine c: the compiled runtime is missing ({reason}); choose graph or auto")
        self._ffi, self._lib = runtime.load()
        check(graph)
        self.stride, self.bands = graph.tensor(graph.input).shape
        self.outputs = graph.outputs
        self._structs = Structs(self._ffi, self._lib, records(graph, plan(graph)))
        self._pointer = self._structs.graph
        code = self._lib.kws_graph_check(self._pointer)
        if code != self._lib.KWS_GRAPH_OK:
            raise KwsError(f"engine c: the runtime refused the graph (kws_graph_check gave {code}); this is a bug")
        self._arena = self._ffi.new("int8_t[]", self._pointer.arena_bytes)
        self.reset()

    def run(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        """Take int8 [n * stride, bands], return int8 [n, outputs]; C is called once."""
        steps = np.ascontiguousarray(as_steps(features, self.stride, self.bands))
        logits = np.empty((len(steps), self.outputs), np.int8)
        source = self._ffi.from_buffer("int8_t[]", steps.reshape(-1))
        target = self._ffi.from_buffer("int8_t[]", logits.reshape(-1), require_writable=True)
        self._lib.kws_graph_run(self._pointer, self._arena, source, len(steps), target)
        return logits

    def reset(self) -> None:
        """Start a new stream."""
        self._lib.kws_graph_reset(self._pointer, self._arena)


class Structs:
    """The records of a graph as C structs; they live as long as this object."""

    def __init__(self, ffi: Any, lib: Any, constants: Records) -> None:
        self._ffi = ffi
        self._kept: list[Any] = []
        ops = [{"kind": getattr(lib, record.kind), "fields": self._struct(record)} for record in constants.ops]
        states = [record.fields for record in constants.states]
        self.graph = self._struct(constants.graph)
        self.graph.ops = self._keep(ffi.new("kws_op_t[]", ops))
        self.graph.states = self._keep(ffi.new("kws_state_t[]", states))

    def _keep(self, value: Any) -> Any:
        self._kept.append(value)
        return value

    def _struct(self, record: Record) -> Any:
        pointer = self._keep(self._ffi.new(f"{record.struct} *"))
        for name, value in record.fields.items():
            if isinstance(value, np.ndarray):
                array = np.ascontiguousarray(value)
                setattr(pointer, name, self._keep(self._ffi.from_buffer(f"{array.dtype}_t[]", array)))
            else:
                setattr(pointer, name, value)
        return pointer


ENGINES: dict[str, Callable[[QuantGraph], Engine]] = {"c": CEngine, "graph": GraphEngine}


def make_engine(graph: QuantGraph, name: str = "auto") -> Engine:
    """Return an engine at the graph's initial state; "auto" is "c" where it was built, else "graph".

    Raises:
        KwsError: no such engine, the C runtime is missing, or the graph does not pass ``check``.
    """
    if name == "auto":
        name = "c" if runtime.available() else "graph"
    if name not in ENGINES:
        raise KwsError(f"engine {name!r} is unknown; give one of auto, {', '.join(ENGINES)}")
    return ENGINES[name](graph)
