"""Verify a graph: run after every pass that made or changed one, and after reading one from a file.

What passes here runs on every engine without an overflow and without leaving its tensors. An operator's own rule is
one function in ``_RULES``.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from kws.errors import KwsError
from kws.graph.arithmetic import channel_multipliers, feature_multiplier, float32_exact
from kws.graph.ir import Concat, Conv2D, Op, QuantGraph, Reshape, Slice, Tensor
from kws.graph.wiring import by_name, inputs, row_bytes, size

_INT32_MAX = (1 << 31) - 1
_GREATEST_OFFSET = 255  # |q - zero_point|


class GraphError(KwsError):
    """A graph that no engine could run as it says; the sentence names the tensor, state or operator."""


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
            _RULES[type(op)](graph, op, [tensors[name] for name in inputs(op)], tensors[op.output])
        except ValueError as error:
            raise GraphError(f"{_title(index, op)}: {error}") from error
    _check_states(graph)
    _check_reachable(graph)


def _title(index: int, op: Op) -> str:
    return f"operator {index} ({type(op).__name__} -> '{op.output}')"


def _fail(sentence: str) -> NoReturn:
    raise GraphError(sentence)


def _whole(value: Any, least: int, most: int = _INT32_MAX) -> bool:
    return type(value) is int and least <= value <= most


def _check_tensor(tensor: Tensor) -> None:
    title = f"tensor '{tensor.name}'"
    if not tensor.shape or not all(_whole(length, 1) for length in tensor.shape):
        _fail(f"{title}: the shape {tensor.shape} must be one or more positive whole numbers")
    if np.prod(tensor.shape, dtype=np.float64) > _INT32_MAX:
        _fail(f"{title}: the shape {tensor.shape} holds more than 2^31 - 1 values; make it smaller")
    scale = tensor.quant.scale
    if not (isinstance(scale, float) and 0.0 < scale < np.inf) or float32_exact(scale) != scale:
        _fail(f"{title}: the scale {scale!r} must be a positive finite float32; use arithmetic.float32_exact")
    if not _whole(tensor.quant.zero_point, -128, 127):
        _fail(f"{title}: the zero point {tensor.quant.zero_point!r} must be a whole number in -128..127")


def _check_names(graph: QuantGraph) -> None:
    names = [tensor.name for tensor in graph.tensors]
    for name in names:
        if names.count(name) > 1:
            _fail(f"tensor '{name}': the name is used twice; give every tensor its own")
    used = [graph.input, graph.output]
    used += [name for state in graph.states for name in (state.read, state.write)]
    used += [name for op in graph.ops for name in (*inputs(op), op.output)]
    for name in used:
        if name not in names:
            _fail(f"tensor '{name}': it is used, but not among the graph's tensors; add it")


def _check_order(graph: QuantGraph) -> None:
    """Every tensor has one source (the input, a state's read, an operator) and is read only after it."""
    defined: set[str] = set()
    for name in (graph.input, *(state.read for state in graph.states)):
        if name in defined:
            _fail(f"tensor '{name}': it is filled twice, as the input or as a state's read; give each its own")
        defined.add(name)
    for index, op in enumerate(graph.ops):
        if type(op) not in _RULES:
            _fail(f"operator {index} ({type(op).__name__}): it is not known; add its rule to every pass")
        for name in inputs(op):
            if name not in defined:
                _fail(f"{_title(index, op)}: '{name}' is read before it is written; reorder the operators")
        if op.output in defined:
            _fail(f"{_title(index, op)}: '{op.output}' is already written; an operator writes a tensor of its own")
        defined.add(op.output)
    for tensor in graph.tensors:
        if tensor.name not in defined:
            _fail(f"tensor '{tensor.name}': nothing writes it; remove it or add its operator")


def _check_input(graph: QuantGraph) -> None:
    tensor = graph.tensor(graph.input)
    if len(tensor.shape) != 2:
        _fail(f"input '{tensor.name}': the shape {tensor.shape} must be (stride, bands)")
    if not _whole(graph.latency_frames, 0):
        _fail(f"latency_frames is {graph.latency_frames!r}; it must be 0 or more frames")
    try:
        feature_multiplier(tensor.quant)
    except ValueError as error:
        raise GraphError(f"input '{tensor.name}': {error}; calibrate it on LFBE") from error


def _check_states(graph: QuantGraph) -> None:
    for state in graph.states:
        if state.read == state.write:
            _fail(f"state '{state.read}': it is written from itself and never changes; remove it")
        read, write = graph.tensor(state.read), graph.tensor(state.write)
        if read.shape != write.shape or read.quant != write.quant:
            _fail(
                f"state '{state.read}' <- '{state.write}': {read.shape} {read.quant} and {write.shape} {write.quant} "
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
        _fail(f"output '{graph.output}': it does not depend on the input '{graph.input}'; connect them")


# ---- a rule per operator: ValueError with what is wrong ----


def _same_quant(sources: list[Tensor], output: Tensor) -> None:
    for source in sources:
        if source.quant != output.quant:
            raise ValueError(f"'{source.name}' has {source.quant}, its output {output.quant}; they must be equal")


def _reshape(graph: QuantGraph, op: Reshape, sources: list[Tensor], output: Tensor) -> None:
    _same_quant(sources, output)
    if size(sources[0]) != size(output):
        raise ValueError(f"{sources[0].shape} does not hold as many values as {output.shape}")


def _concat(graph: QuantGraph, op: Concat, sources: list[Tensor], output: Tensor) -> None:
    _same_quant(sources, output)
    if not sources or any(source.shape[1:] != output.shape[1:] for source in sources):
        raise ValueError("the inputs (one or more) and the output must have the same shape from the second axis on")
    rows = sum(source.shape[0] for source in sources)
    if rows != output.shape[0]:
        raise ValueError(f"the inputs have {rows} rows together, the output {output.shape[0]}")


def _slice(graph: QuantGraph, op: Slice, sources: list[Tensor], output: Tensor) -> None:
    _same_quant(sources, output)
    source = sources[0]
    if source.shape[1:] != output.shape[1:]:
        raise ValueError(f"{source.shape} and {output.shape} must be equal from the second axis on")
    if not _whole(op.begin, 0) or op.begin + output.shape[0] > source.shape[0]:
        raise ValueError(f"rows {op.begin} .. {op.begin} + {output.shape[0]} are not all in {source.shape[0]} rows")


def _conv2d(graph: QuantGraph, op: Conv2D, sources: list[Tensor], output: Tensor) -> None:
    _conv2d_arrays(op)
    _conv2d_shapes(op, sources[0], output)
    if op.activation not in ("none", "relu"):
        raise ValueError(f"the activation {op.activation!r} is not 'none' or 'relu'")
    # |accumulator| on any input, in any order of summing, with or without the zero point folded in: this at most.
    weights = np.abs(op.weights.astype(np.int64)).reshape(len(op.weights), -1).sum(axis=1)
    bounds = weights * _GREATEST_OFFSET + np.abs(op.bias.astype(np.int64))
    _, shifts = channel_multipliers(graph, op)
    shifted = bounds << np.maximum(shifts.astype(np.int64), 0)
    for channel in np.flatnonzero((bounds > _INT32_MAX) | (shifted > _INT32_MAX)):
        raise ValueError(
            f"channel {channel}: an accumulator of up to {bounds[channel]}, shifted left by "
            f"{max(int(shifts[channel]), 0)}, overflows int32; use a greater output scale or smaller weights"
        )


def _conv2d_arrays(op: Conv2D) -> None:
    if op.weights.dtype != np.int8 or op.weights.ndim != 4 or 0 in op.weights.shape:
        raise ValueError(f"weights are {op.weights.dtype}{list(op.weights.shape)}, not int8 [out, time, frequency, in]")
    if op.weights.min() < -127:
        raise ValueError("the weights hold -128; keep them in -127..127")
    channels = (op.weights.shape[0],)
    if op.weight_scales.dtype != np.float32 or op.weight_scales.shape != channels:
        raise ValueError(f"weight_scales must be float32 [{channels[0]}]")
    if not (np.isfinite(op.weight_scales) & (op.weight_scales > 0)).all():
        raise ValueError("weight_scales must be positive and finite")
    if op.bias.dtype != np.int32 or op.bias.shape != channels:
        raise ValueError(f"bias must be int32 [{channels[0]}]")


def _conv2d_shapes(op: Conv2D, source: Tensor, output: Tensor) -> None:
    channels, kernel_time, kernel_frequency, depth = op.weights.shape
    if not _whole(op.stride_time, 1) or not _whole(op.stride_frequency, 1):
        raise ValueError(f"strides {op.stride_time!r} and {op.stride_frequency!r} must be whole numbers from 1 on")
    if len(source.shape) != 3 or source.shape[2] != depth:
        raise ValueError(f"the input {source.shape} must be (time, frequency, {depth})")
    time, frequency, _ = source.shape
    if kernel_time > time or kernel_frequency > frequency:
        raise ValueError(f"the kernel {kernel_time} x {kernel_frequency} is larger than the input {source.shape}")
    shape = (
        1 + (time - kernel_time) // op.stride_time,
        1 + (frequency - kernel_frequency) // op.stride_frequency,
        channels,
    )
    if output.shape != shape:
        raise ValueError(f"the output has the shape {output.shape}, not {shape}")
    if op.stride_time * row_bytes(source) > _INT32_MAX or op.stride_frequency * depth > _INT32_MAX:
        raise ValueError("the strides in bytes do not fit an int32; use smaller ones")


_RULES: dict[type[Op], Callable[[QuantGraph, Any, list[Tensor], Tensor], None]] = {
    Reshape: _reshape,
    Concat: _concat,
    Slice: _slice,
    Conv2D: _conv2d,
}
