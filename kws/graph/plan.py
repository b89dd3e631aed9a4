"""Where every tensor of a step lies in one int8 arena, and what is executed: for both the C engine and the C writer.

Persistent buffers (those that hold a state) come first, then scratch, whose bytes are used again when the tensors in
them are no longer needed. Reshapes and slices are views of their input. A concatenation's inputs are written
straight into their rows of its output where they can be, states included: DeepKWS's delay line and its window share
1640 bytes, and the end of a step is one move within them. Operators that treat each channel by itself write over an
input that nobody reads after them.

The plan of a graph is always the same.
"""

from dataclasses import dataclass

from kws.graph.ir import Add, AveragePool2D, Concat, Conv2D, DepthwiseConv2D, MaxPool2D, Op, QuantGraph, Reshape, Slice
from kws.graph.layout import scratch_bytes
from kws.graph.wiring import by_name, inputs, row_bytes, size

ALIGNMENT = 4
"""Every buffer starts at a multiple of this many bytes (a tensor inside another may not)."""

_INPUT_TIME = -1

VIEWS = (Reshape, Slice)
"""Operators of which nothing is left at run time: another look at bytes of their input."""

MOVES = (*VIEWS, Concat)
"""Operators that compute nothing, and are views or copies. Every other one is a step, with a struct in ``records``."""

_IN_PLACE = DepthwiseConv2D | Add | MaxPool2D | AveragePool2D
"""They give position i, channel by channel, from the same channel of positions i and later of an input that is as
large or larger: in ascending order no byte is written that is still to be read."""

Key = str | int
"""A buffer: the name of the tensor that is as large as it, or the number of a temporary copy or of scratch."""


@dataclass(frozen=True)
class Copy:
    """Move ``bytes`` from offset ``source`` to offset ``target`` in the arena; they may overlap."""

    source: int
    target: int
    bytes: int


@dataclass(frozen=True)
class Plan:
    """Byte offsets in the arena.

    ``offsets`` has every tensor of the graph. ``instructions`` are one step in order: copies and the operators that
    compute. Before a step the features go to ``input``, after it the logits lie at ``output`` (which is not
    ``offsets[graph.output]`` when the hand-over of the states overwrites that). The states, at
    ``offsets[state.read]``, lie in the first ``persistent_bytes`` of the ``arena_bytes``. ``scratch`` has, by the name
    of its output, where a convolution computes.
    """

    offsets: dict[str, int]
    scratch: dict[str, int]
    instructions: tuple[Copy | Op, ...]
    input: int
    output: int
    persistent_bytes: int
    arena_bytes: int


def plan(graph: QuantGraph) -> Plan:
    """Lay out a checked graph's arena."""
    layout = _Layout(graph)
    for op in graph.ops:
        layout.add(op)
    output = layout.keep_output()
    layout.hand_over_states()
    layout.write_over_inputs(output)
    starts, persistent_bytes, arena_bytes = layout.allocate(output)

    def offset(region: _Region) -> int:
        region = layout.settled(region)
        return starts[region.key] + region.begin

    instructions = tuple(
        Copy(offset(step.source), offset(step.target), step.source.bytes) if isinstance(step, _Move) else step
        for step in layout.steps
    )
    offsets = {tensor.name: offset(layout.region(tensor.name)) for tensor in graph.tensors}
    scratch = {output: starts[key] for output, key in layout.scratch.items()}
    return Plan(offsets, scratch, instructions, offsets[graph.input], offset(output), persistent_bytes, arena_bytes)


@dataclass(frozen=True)
class _Region:
    """Bytes ``begin .. begin + bytes`` of the buffer ``key``."""

    key: Key
    begin: int
    bytes: int

    def overlaps(self, other: "_Region") -> bool:
        apart = self.begin + self.bytes <= other.begin or other.begin + other.bytes <= self.begin
        return self.key == other.key and not apart


@dataclass(frozen=True)
class _Move:
    source: _Region
    target: _Region


class _Layout:
    """Tensors in buffers, and the steps, while the plan is made."""

    def __init__(self, graph: QuantGraph) -> None:
        self.graph = graph
        self.tensors = by_name(graph)
        self.parents: dict[str, tuple[str, int]] = {}  # a tensor inside another one, at this byte
        self.steps: list[_Move | Op] = []
        self.temporaries: list[int] = []  # sizes of the temporary copies and of scratch
        self.scratch: dict[str, int] = {}  # of the convolution with this output: which of them
        self.merged: dict[Key, _Region] = {}  # a buffer that lies on this region of an earlier one
        self._place_all()

    def region(self, name: str) -> _Region:
        """Return where a tensor lies."""
        buffer, begin = name, 0
        while buffer in self.parents:
            buffer, shift = self.parents[buffer]
            begin += shift
        return self.settled(_Region(buffer, begin, size(self.tensors[name])))

    def settled(self, region: _Region) -> _Region:
        """Return where a region lies now that buffers were merged."""
        while region.key in self.merged:
            place = self.merged[region.key]
            region = _Region(place.key, place.begin + region.begin, region.bytes)
        return region

    def _place_all(self) -> None:
        for op in self.graph.ops:
            if isinstance(op, Reshape):
                self.parents[op.output] = (op.input, 0)
            elif isinstance(op, Slice):
                self.parents[op.output] = (op.input, op.begin * row_bytes(self.tensors[op.input]))
            elif isinstance(op, Concat):
                for name, begin in self._rows(op):
                    self._place(name, op.output, begin)

    def _place(self, name: str, output: str, begin: int) -> None:
        """Let a tensor that has a buffer to itself move into the concatenation; any other will be copied."""
        region = self.region(name)
        if isinstance(region.key, str) and region.key != output and region.bytes == size(self.tensors[region.key]):
            self.parents[region.key] = (output, begin)

    def _rows(self, op: Concat) -> list[tuple[str, int]]:
        """Return a concatenation's inputs, and at which byte of the output each one starts."""
        begins = [0]
        for name in op.inputs:
            begins.append(begins[-1] + size(self.tensors[name]))
        return list(zip(op.inputs, begins, strict=False))

    def add(self, op: Op) -> None:
        """Append what an operator has to do at run time: for a view nothing."""
        if isinstance(op, Concat):
            output = self.region(op.output)
            for name, begin in self._rows(op):
                source = self.region(name)
                self.move(source, _Region(output.key, output.begin + begin, source.bytes))
        elif not isinstance(op, VIEWS):
            self.steps.append(op)
            if isinstance(op, Conv2D | DepthwiseConv2D):
                rows, columns, _ = self.tensors[op.output].shape
                self.scratch[op.output] = len(self.temporaries)
                self.temporaries.append(scratch_bytes(op, rows * columns))

    def move(self, source: _Region, target: _Region) -> None:
        """Append a copy, unless the bytes are there already."""
        if source != target:
            self.steps.append(_Move(source, target))

    def temporary(self, source: _Region) -> _Region:
        """Append a copy to a buffer of its own and return that."""
        self.temporaries.append(source.bytes)
        target = _Region(len(self.temporaries) - 1, 0, source.bytes)
        self.move(source, target)
        return target

    def keep_output(self) -> _Region:
        """Return where the logits lie after the step: copied away if the states' hand-over would overwrite them."""
        output = self.region(self.graph.output)
        if any(output.overlaps(self.region(state.read)) for state in self.graph.states):
            return self.temporary(output)
        return output

    def hand_over_states(self) -> None:
        """Append the copies of what states leave to what they read in the next step, as if all at once."""
        moves = []
        for state in self.graph.states:
            source = self.region(state.write)
            others = [self.region(other.read) for other in self.graph.states if other is not state]
            if any(source.overlaps(other) for other in others):
                source = self.temporary(source)
            moves.append((source, self.region(state.read)))
        for source, target in moves:
            self.move(source, target)

    def write_over_inputs(self, output: _Region) -> None:
        """Let operators that can write to the bytes of an input, where these are not needed any more."""
        holders = self._state_holders()
        for time, op in enumerate(self.steps):
            if not isinstance(op, _IN_PLACE) or self.region(op.output).key != op.output:
                continue
            lifetimes = self._lifetimes(output)
            read = [self.region(name) for name in inputs(op)]
            for source in read:
                place = _Region(source.key, source.begin, size(self.tensors[op.output]))
                last_use = lifetimes[source.key][1] == time and source.key not in holders
                shifted = any(other.overlaps(place) and other != place for other in read if other is not source)
                if last_use and place.bytes <= source.bytes and not shifted:
                    self.merged[op.output] = place
                    break

    def _state_holders(self) -> set[Key]:
        return {self.region(state.read).key for state in self.graph.states}

    def allocate(self, output: _Region) -> tuple[dict[Key, int], int, int]:
        """Return every buffer's offset, the persistent bytes and the arena's bytes."""
        roots = [name for name in self.tensors if name not in self.parents and name not in self.merged]
        sizes: dict[Key, int] = {name: size(self.tensors[name]) for name in roots}
        sizes.update(enumerate(self.temporaries))
        lifetimes = self._lifetimes(output)
        holders = self._state_holders()
        starts: dict[Key, int] = {}
        persistent_bytes = 0
        for key in sizes:
            if key in holders:
                starts[key] = persistent_bytes
                persistent_bytes += _aligned(sizes[key])
        arena_bytes = persistent_bytes
        scratch = sorted((key for key in sizes if key not in holders), key=lambda key: -sizes[key])  # large ones first
        for key in scratch:
            taken = [
                (starts[other], starts[other] + _aligned(sizes[other]))
                for other in scratch
                if other in starts and _meet(lifetimes[key], lifetimes[other])
            ]
            starts[key] = _first_gap(taken, persistent_bytes, sizes[key])
            arena_bytes = max(arena_bytes, starts[key] + _aligned(sizes[key]))
        return starts, persistent_bytes, arena_bytes

    def _lifetimes(self, output: _Region) -> dict[Key, tuple[int, int]]:
        """Return the first and last step that touches each buffer; the logits are read after the last one."""
        lifetimes: dict[Key, tuple[int, int]] = {}

        def touch(region: _Region, time: int) -> None:
            region = self.settled(region)
            first, last = lifetimes.get(region.key, (time, time))
            lifetimes[region.key] = (min(first, time), max(last, time))

        touch(self.region(self.graph.input), _INPUT_TIME)
        for state in self.graph.states:
            touch(self.region(state.read), _INPUT_TIME)
        for time, step in enumerate(self.steps):
            if isinstance(step, _Move):
                touched = [step.source, step.target]
            else:
                touched = [self.region(name) for name in (*inputs(step), step.output)]
                if step.output in self.scratch:
                    touched.append(_Region(self.scratch[step.output], 0, 0))
            for region in touched:
                touch(region, time)
        touch(output, len(self.steps))
        return lifetimes


def _aligned(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT


def _meet(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _first_gap(taken: list[tuple[int, int]], start: int, length: int) -> int:
    """Return the lowest offset from ``start`` on at which ``length`` bytes are free."""
    for begin, end in sorted(taken):
        if start + length <= begin:
            break
        start = max(start, end)
    return start
