"""A quantized graph on an emulated target: its constants loaded as data, so that nothing is compiled for a graph."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_export.simulate import build, elf
from firmware_export.simulate.machine import CONSTANTS, Counted, Machine
from firmware_export.simulate.memory import Arena
from firmware_export.simulate.structs import Structs, runtime_structs
from firmware_export.simulate.targets import Target, find
from kws.errors import KwsError
from kws.graph.check import check
from kws.graph.ir import QuantGraph
from kws.graph.plan import Copy, Plan, plan
from kws.graph.records import records
from kws.graph.wiring import as_steps

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class OpCount:
    """What one instruction of the plan took in one step: the operator's type, its output tensor ("" for a copy)."""

    kind: str
    output: str
    instructions: int


class SimulatedNetwork:
    """A ``kws_graph_t`` in a machine's memory as an ``Engine``: it goes on from where the last call ended.

    Attributes:
        name: as it stands in reports.
        stride: LFBE frames of one step.
        bands: values of one LFBE frame.
        outputs: logits of one step.
        exact: it must give the graph's integers.
    """

    exact = True

    def __init__(self, machine: Machine, graph: int) -> None:
        """Take the graph at the address ``graph``.

        Raises:
            KwsError: the runtime refuses it, or it needs more memory than there is.
        """
        self.machine, self.name, self._graph = machine, f"C on {machine.target.name}", graph
        code = machine.call("kws_graph_check", graph)
        if code != 0:
            raise KwsError(
                f"{self.name}: the runtime refuses the graph (kws_graph_check: {code}); report it with the model"
            )
        structs = runtime_structs()
        self._fields = structs.unpack("kws_graph_t", machine.read(graph, structs.size("kws_graph_t")))
        self.stride, self.bands = self._fields["stride"], self._fields["bands"]
        self.outputs = self._fields["outputs"]
        self._arena = machine.allocate(self._fields["arena_bytes"])
        self._features, self._logits = machine.allocate(_CHUNK_BYTES), machine.allocate(_CHUNK_BYTES)
        self.reset()

    def reset(self) -> None:
        """Return to the initial state; the rest of the arena is overwritten, as it must not matter."""
        self.machine.write(self._arena, b"\x5a" * self._fields["arena_bytes"])
        self.machine.call("kws_graph_reset", self._graph, self._arena)

    def run(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        """Take n steps, going on from the last ones: int8 [n * stride, bands] -> int8 [n, outputs].

        Raises:
            ValueError: the features have another type or shape, or do not fill the last step.
            SimulationError: the emulated processor stopped.
        """
        steps = as_steps(features, self.stride, self.bands)
        chunk = max(1, _CHUNK_BYTES // max(self.stride * self.bands, self.outputs))
        parts = [self._run(steps[begin : begin + chunk]) for begin in range(0, len(steps), chunk)]
        return np.concatenate([np.empty((0, self.outputs), np.int8), *parts])

    def _run(self, steps: NDArray[np.int8]) -> NDArray[np.int8]:
        self.machine.write(self._features, steps.tobytes())
        self.machine.call("kws_graph_run", self._graph, self._arena, self._features, len(steps), self._logits)
        content = self.machine.read(self._logits, len(steps) * self.outputs)
        return np.frombuffer(content, np.int8).reshape(len(steps), self.outputs)


class SimulatedEngine(SimulatedNetwork):
    """A graph on a target, loaded as data into a processor with the package's runtime; it can be counted, too."""

    def __init__(self, graph: QuantGraph, target: str | Target) -> None:
        """Make a processor and load ``graph``.

        Raises:
            KwsError: a package is missing, the runtime refuses the graph, or it is larger than the memory.
        """
        check(graph)
        machine = runtime_machine(find(target) if isinstance(target, str) else target)
        self._plan = plan(graph)
        self._constants = _Constants(graph, self._plan, runtime_structs())
        machine.write(CONSTANTS, self._constants.content)
        super().__init__(machine, self._constants.graph)

    def count(self, features: NDArray[np.int8]) -> tuple[NDArray[np.int8], Counted]:
        """Like ``run``, with what it took; ``kws_graph_run``'s own copying of features and logits is in it."""
        with self.machine.counting() as counted:
            logits = self.run(features)
        return logits, counted[0]

    def count_step(self, features: NDArray[np.int8]) -> tuple[NDArray[np.int8], Counted]:
        """Take one step, int8 [stride, bands] -> int8 [1, outputs], and return what ``kws_graph_step`` took."""
        self._put(features)
        with self.machine.counting() as counted:
            self.machine.call("kws_graph_step", self._graph, self._arena)
        return self._take(), counted[0]

    def count_ops(self, features: NDArray[np.int8]) -> tuple[NDArray[np.int8], list[OpCount]]:
        """Take one step, int8 [stride, bands] -> int8 [1, outputs]; return the instructions of each operator.

        Each is called as a step of a graph that has only this one: the loop around it is in its count.
        """
        self._put(features)
        counts = []
        for instruction, graph in zip(self._plan.instructions, self._constants.single, strict=True):
            with self.machine.counting() as counted:
                self.machine.call("kws_graph_step", graph, self._arena)
            output = "" if isinstance(instruction, Copy) else instruction.output
            counts.append(OpCount(type(instruction).__name__, output, counted[0].instructions))
        return self._take(), counts

    def _put(self, features: NDArray[np.int8]) -> None:
        (step,) = as_steps(features, self.stride, self.bands)
        self.machine.write(self._arena + self._plan.input, step.tobytes())

    def _take(self) -> NDArray[np.int8]:
        content = self.machine.read(self._arena + self._plan.output, self.outputs)
        return np.frombuffer(content, np.int8).reshape(1, self.outputs)


class _Constants:
    """A graph's structs in the emulated memory: ``graph``, and for each of its operators a graph of only that one."""

    def __init__(self, graph: QuantGraph, layout: Plan, structs: Structs) -> None:
        constants, memory = records(graph, layout), Arena(CONSTANTS)
        kinds = [structs.constants[record.kind] for record in constants.ops]
        places = [memory.put_struct(structs, record.struct, record.fields) for record in constants.ops]
        ops = memory.put(
            b"".join(
                structs.pack("kws_op_t", {"kind": kind, "fields": place})
                for kind, place in zip(kinds, places, strict=True)
            )
        )
        states = memory.put(
            b"".join(memory.packed(structs, record.struct, record.fields) for record in constants.states)
        )
        whole = constants.graph.fields | {"ops": ops, "states": states}
        self.graph = memory.put_struct(structs, constants.graph.struct, whole)
        size = structs.size("kws_op_t")
        self.single = [
            memory.put_struct(structs, constants.graph.struct, whole | {"ops": ops + index * size, "op_count": 1})
            for index in range(len(places))
        ]
        self.content = memory.content


def runtime_machine(target: Target) -> Machine:
    """Return a new processor with the package's runtime in its flash."""
    return Machine(target, _image(build.image(target)))


@cache
def _image(path: Path) -> elf.Image:
    """A file of the cache never changes: its name is the hash of what it was made of."""
    return elf.read(path)
