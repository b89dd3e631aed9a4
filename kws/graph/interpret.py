"""The interpreter: it defines what a quantized graph computes. Every other engine is compared with it by ``==``.

An operator's arithmetic is its kernel in ``kws.graph.kernels``. Kernels take and give arrays whose first axis is
steps, so that many steps are computed at once wherever no operator needs its own earlier output; only cycles through
states (for DeepKWS the two operators of its delay line) go step by step. The result is the same by construction: a
step is a pure function of its inputs.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from kws.graph.check import check
from kws.graph.ir import Op, QuantGraph, State
from kws.graph.kernels import KERNELS, Array, KernelMaker
from kws.graph.wiring import as_steps, by_name, inputs

_CHUNK_STEPS = 512  # steps computed at once: bounds the memory


class Interpreter:
    """A graph with its states.

    >>> from kws.graph.ir import Concat, Quant, Tensor
    >>> frame, pair = Tensor("frame", (1, 2), Quant(0.5, -3)), Tensor("pair", (2, 2), Quant(0.5, -3))
    >>> last = Tensor("last", (1, 2), Quant(0.5, -3))
    >>> join = Concat(("last", "frame"), "pair")
    >>> graph = QuantGraph((frame, last, pair), (join,), (State("last", "frame"),), "frame", "pair")
    >>> Interpreter(graph).run(np.array([[1, 2], [3, 4]], np.int8))
    array([[-3, -3,  1,  2],
           [ 1,  2,  3,  4]], dtype=int8)
    """

    def __init__(self, graph: QuantGraph, kernels: Mapping[type[Op], KernelMaker] = KERNELS) -> None:
        """Check the graph (``GraphError``) and start from its initial state; ``kernels`` other than the definition's
        show what another arithmetic comes to.
        """
        check(graph)
        self.graph = graph
        self._tensors = by_name(graph)
        self._kernels = {op.output: kernels[type(op)](graph, op) for op in graph.ops}
        self._groups = _groups(graph)
        self.reset()

    def reset(self) -> None:
        """Set every state to its zero point, the real value 0."""
        reads = [self._tensors[state.read] for state in self.graph.states]
        self._stored = {read.name: np.full((1, *read.shape), read.quant.zero_point, np.int8) for read in reads}

    def step(self, features: Array) -> Array:
        """Take int8 [stride, bands], return int8 [outputs]."""
        logits: Array = self.run(features)[0]
        return logits

    def run(self, features: Array) -> Array:
        """Take int8 [n * stride, bands], return int8 [n, outputs]: n steps, going on from the state before.

        Raises:
            ValueError: the features have another type or shape.
        """
        steps = as_steps(features, *self._tensors[self.graph.input].shape)
        logits = np.empty((len(steps), self.graph.outputs), np.int8)
        for start in range(0, len(steps), _CHUNK_STEPS):
            chunk = steps[start : start + _CHUNK_STEPS]
            logits[start : start + len(chunk)] = self._run_chunk(chunk)
        return logits

    def _run_chunk(self, chunk: Array) -> Array:
        values = {self.graph.input: chunk}
        for states, ops in self._groups:
            if len(states) + len(ops) > 1:
                self._run_cycle(states, ops, values, len(chunk))
            for state in states if not ops else ():
                values[state.read] = np.concatenate([self._stored[state.read], values[state.write][:-1]])
            for op in ops if not states else ():
                values[op.output] = self._kernels[op.output]([values[name] for name in inputs(op)])
        for state in self.graph.states:
            self._stored[state.read] = values[state.write][-1:].copy()
        return values[self.graph.output].reshape(len(chunk), -1)

    def _run_cycle(self, states: Sequence[State], ops: Sequence[Op], values: dict[str, Array], steps: int) -> None:
        """Compute operators that need what they gave a step earlier, one step after the other."""
        for name in [state.read for state in states] + [op.output for op in ops]:
            values[name] = np.empty((steps, *self._tensors[name].shape), np.int8)
        work = [(values[op.output], self._kernels[op.output], [values[name] for name in inputs(op)]) for op in ops]
        handed = [(values[state.read], self._stored[state.read], values[state.write]) for state in states]
        for now in range(steps):
            for read, stored, write in handed:
                read[now] = write[now - 1] if now else stored[0]
            for output, kernel, sources in work:
                output[now] = kernel([source[now : now + 1] for source in sources])[0]


def _groups(graph: QuantGraph) -> list[tuple[tuple[State, ...], tuple[Op, ...]]]:
    """Return states and operators in groups, in an order in which each needs only itself and earlier groups.

    A group is a strongly connected component: a single operator, a single state, or a cycle. A state counts as a node
    that turns ``write`` into ``read`` one step later.
    """
    nodes: list[State | Op] = [*graph.states, *graph.ops]
    needs = [(node.write,) if isinstance(node, State) else inputs(node) for node in nodes]
    gives = [node.read if isinstance(node, State) else node.output for node in nodes]
    reach = np.array([[gives[a] in needs[b] or a == b for b in range(len(nodes))] for a in range(len(nodes))])
    for middle in range(len(nodes)):
        reach |= reach[:, middle, None] & reach[middle]
    # Whatever needs a node is reached from more nodes than it, and nodes of one cycle from equally many.
    ancestors = reach.sum(axis=0) if nodes else np.zeros(0, int)
    groups, seen = [], set()
    for first in np.argsort(ancestors, kind="stable").tolist():
        if first in seen:
            continue
        members = np.flatnonzero(reach[first] & reach[:, first]).tolist()
        seen.update(members)
        states = tuple(node for node in map(nodes.__getitem__, members) if isinstance(node, State))
        ops = tuple(node for node in map(nodes.__getitem__, members) if not isinstance(node, State))
        groups.append((states, ops))
    return groups
