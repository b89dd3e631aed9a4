"""Verify a graph: run after every pass that made or changed one, and after reading one from a file.

What passes here runs on every engine without an overflow and without leaving its tensors. An operator's own rule is
in ``kws.graph.rules``.
"""

from typing import NoReturn

import numpy as np

from kws.errors import KwsError
from kws.graph.arithmetic import INT32_MAX, feature_multiplier, float32_exact
from kws.graph.ir import Op, QuantGraph, Tensor
from kws.graph.rules import RULES, is_whole
from kws.graph.wiring import by_name, inputs


class GraphError(KwsError):
    """A graph that engines cannot run as defined; the message names the tensor, state or operator."""


def check(graph: QuantGraph) -> None:
    """Raise ``GraphError`` unless every engine can run the graph, and runs it alike.

    Checked are names, order of definition, shapes, quantizations, states, that the output depends on the input, that
    multipliers are in range, and that no int32 accumulator can overflow.
    """
    for tensor in graph.tensors:
        _check_tensor(tensor)
    _check_names(graph)
    _check_order(graph)
    _check_input(graph)
    tensors = by_name(graph)
    for index, op in enumerate(graph.ops):
        try:
            RULES[type(op)](graph, op, [tensors[name] for name in inputs(op)], tensors[op.output])
        except ValueError as error:
            raise GraphError(f"{_title(index, op)}: {error}") from error
    _check_states(graph)
    _check_reachable(graph)


def _title(index: int, op: Op) -> str:
    return f"operator {index} ({type(op).__name__} -> {op.output!r})"


def _fail(sentence: str) -> NoReturn:
    raise GraphError(sentence)


def _check_tensor(tensor: Tensor) -> None:
    title = f"tensor {tensor.name!r}"
    if not tensor.shape or not all(is_whole(length, 1) for length in tensor.shape):
        _fail(f"{title}: the shape {tensor.shape} must be one or more positive whole numbers")
    if np.prod(tensor.shape, dtype=np.float64) > INT32_MAX:
        _fail(f"{title}: the shape {tensor.shape} holds more than 2^31 - 1 values; make it smaller")
    scale = tensor.quant.scale
    if not (isinstance(scale, float) and 0.0 < scale < np.inf) or float32_exact(scale) != scale:
        _fail(f"{title}: the scale {scale!r} must be a positive finite float32; use arithmetic.float32_exact")
    if not is_whole(tensor.quant.zero_point, -128, 127):
        _fail(f"{title}: the zero point {tensor.quant.zero_point!r} must be a whole number in -128..127")


def _check_names(graph: QuantGraph) -> None:
    names = [tensor.name for tensor in graph.tensors]
    for name in names:
        if names.count(name) > 1:
            _fail(f"tensor {name!r}: the name is used twice; give every tensor its own")
    used = [graph.input, graph.output]
    used += [name for state in graph.states for name in (state.read, state.write)]
    used += [name for op in graph.ops for name in (*inputs(op), op.output)]
    for name in used:
        if name not in names:
            _fail(f"tensor {name!r}: it is used, but not among the graph's tensors; add it")


def _check_order(graph: QuantGraph) -> None:
    """Every tensor has one source (the input, a state's read, an operator) and is read only after it."""
    defined: set[str] = set()
    for name in (graph.input, *(state.read for state in graph.states)):
        if name in defined:
            _fail(f"tensor {name!r}: it is filled twice, as the input or as a state's read; give each its own")
        defined.add(name)
    for index, op in enumerate(graph.ops):
        if type(op) not in RULES:
            _fail(f"operator {index} ({type(op).__name__}): it is not known; add its rule to every pass")
        for name in inputs(op):
            if name not in defined:
                _fail(f"{_title(index, op)}: {name!r} is read before it is written; reorder the operators")
        if op.output in defined:
            _fail(f"{_title(index, op)}: {op.output!r} is already written; an operator writes a tensor of its own")
        defined.add(op.output)
    for tensor in graph.tensors:
        if tensor.name not in defined:
            _fail(f"tensor {tensor.name!r}: nothing writes it; remove it or add its operator")


def _check_input(graph: QuantGraph) -> None:
    tensor = graph.tensor(graph.input)
    if len(tensor.shape) != 2:
        _fail(f"input {tensor.name!r}: the shape {tensor.shape} must be (stride, bands)")
    if not is_whole(graph.latency_frames, 0):
        _fail(f"latency_frames is {graph.latency_frames!r}; it must be 0 or more frames")
    try:
        feature_multiplier(tensor.quant)
    except ValueError as error:
        raise GraphError(f"input {tensor.name!r}: {error}; calibrate it on LFBE") from error


def _check_states(graph: QuantGraph) -> None:
    for state in graph.states:
        if state.read == state.write:
            _fail(f"state {state.read!r}: it is written from itself and never changes; remove it")
        read, write = graph.tensor(state.read), graph.tensor(state.write)
        if read.shape != write.shape or read.quant != write.quant:
            _fail(
                f"state {state.read!r} <- {state.write!r}: {read.shape} {read.quant} and {write.shape} {write.quant} "
                "differ; a state keeps its shape and quantization"
            )


def _check_reachable(graph: QuantGraph) -> None:
    """The output depends on the input, in this step or, through states, in a later one."""
    reached: set[str] = {graph.input}
    before = 0
    while len(reached) > before:
        before = len(reached)
        reached |= {op.output for op in graph.ops if reached.intersection(inputs(op))}
        reached |= {state.read for state in graph.states if state.write in reached}
    if graph.output not in reached:
        _fail(f"output {graph.output!r}: it does not depend on the input {graph.input!r}; connect them")
