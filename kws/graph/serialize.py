"""A graph to and from named arrays and JSON-ready data: what a ``.kws`` file holds of it. The round trip is exact.

Scales are written as the shortest decimal that gives the same float64 back, which is the same float32 too.
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws import config
from kws.errors import KwsError
from kws.graph.check import GraphError, check
from kws.graph.ir import Conv2D, DepthwiseConv2D, Op, QuantGraph, State, Tensor
from kws.graph.packing import pack_int4, unpack_int4

_SHAPE = "weights_shape"
"""What an operator's data holds beside its fields: the shape of weights that are packed."""

_OPS: dict[str, type[Op]] = {cls.__name__: cls for cls in typing.get_args(Op)}


def to_data(graph: QuantGraph) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return ``(arrays, data)``: arrays by name ("op3.weights"), and everything else as JSON-ready data."""
    arrays: dict[str, NDArray[Any]] = {}
    ops = []
    for index, op in enumerate(graph.ops):
        entry: dict[str, Any] = {"op": type(op).__name__}
        for field in dataclasses.fields(op):
            value = getattr(op, field.name)
            if isinstance(value, np.ndarray):
                arrays[_array_name(index, field.name)] = np.ascontiguousarray(value)
            elif field.name != "weight_bits" or value != 8:  # files from before four bits keep their bytes
                entry[field.name] = list(value) if isinstance(value, tuple) else value
        if isinstance(op, Conv2D | DepthwiseConv2D) and op.weight_bits == 4:
            entry[_SHAPE] = list(op.weights.shape)
            arrays[_array_name(index, "weights")] = pack_int4(op.weights)
        ops.append(entry)
    data = {
        "tensors": [config.to_data(tensor) for tensor in graph.tensors],
        "ops": ops,
        "states": [config.to_data(state) for state in graph.states],
        "input": graph.input,
        "output": graph.output,
        "latency_frames": graph.latency_frames,
    }
    return arrays, data


def from_data(arrays: Mapping[str, NDArray[Any]], data: Mapping[str, Any], where: str = "graph") -> QuantGraph:
    """Return the checked graph; ``where`` names the file in errors.

    Raises:
        KwsError: a key or an array is missing, unknown or of the wrong type, or the graph does not pass ``check``.
    """
    skeleton = config.load(_Skeleton, data, where)
    names = {
        _array_name(index, field)
        for index, entry in enumerate(skeleton.ops)
        for field in _array_fields(_op_class(entry, where, index))
    }
    for name in sorted(names ^ set(arrays)):
        state = "missing" if name in names else "unknown"
        raise KwsError(f"{where}: the array {name!r} is {state}; the file is damaged or of another version")
    graph = QuantGraph(
        tensors=skeleton.tensors,
        ops=tuple(_op(entry, arrays, where, index) for index, entry in enumerate(skeleton.ops)),
        states=skeleton.states,
        input=skeleton.input,
        output=skeleton.output,
        latency_frames=skeleton.latency_frames,
    )
    try:
        check(graph)
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from error
    return graph


@dataclasses.dataclass(frozen=True)
class _Skeleton:
    """A ``QuantGraph`` with its operators still plain data."""

    tensors: tuple[Tensor, ...]
    ops: tuple[dict[str, Any], ...]
    states: tuple[State, ...]
    input: str
    output: str
    latency_frames: int


def _array_name(index: int, field: str) -> str:
    return f"op{index}.{field}"


def _array_fields(cls: type[Op]) -> list[str]:
    return [name for name, hint in typing.get_type_hints(cls).items() if _is_array(hint)]


def _is_array(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    # From numpy 2.5 on NDArray is a named alias where Python has those (3.12 and newer); it leads to the array itself.
    aliased = getattr(origin, "__value__", origin)
    return np.ndarray in (origin, typing.get_origin(aliased))


def _op_class(entry: dict[str, Any], where: str, index: int) -> type[Op]:
    name = entry.get("op")
    if not isinstance(name, str) or name not in _OPS:
        raise KwsError(f"{where}: key 'ops[{index}].op' is {name!r}; it must be one of {', '.join(_OPS)}")
    return _OPS[name]


def _op(entry: dict[str, Any], arrays: Mapping[str, NDArray[Any]], where: str, index: int) -> Op:
    cls = _op_class(entry, where, index)
    hints = typing.get_type_hints(cls)
    array_fields = _array_fields(cls)
    plain = {key: value for key, value in entry.items() if key not in ("op", _SHAPE)}
    # The strict loader reads the fields that are no arrays, by a dataclass of those alone.
    specification: list[Any] = [
        (field.name, hints[field.name], dataclasses.field(default=field.default))
        for field in dataclasses.fields(cls)
        if field.name not in array_fields
    ]
    values: Any = config.load(
        dataclasses.make_dataclass(cls.__name__, specification), plain, f"{where}: operator {index}"
    )
    fields: dict[str, Any] = {name: getattr(values, name) for name, _, _ in specification}
    fields.update({name: arrays[_array_name(index, name)] for name in array_fields})
    if fields.get("weight_bits") == 4:
        fields["weights"] = _unpacked(entry.get(_SHAPE), fields["weights"], f"{where}: operator {index}")
    return cls(**fields)


def _unpacked(shape: Any, packed: NDArray[Any], where: str) -> NDArray[np.int8]:
    if not isinstance(shape, list) or not all(type(length) is int and length > 0 for length in shape):
        raise KwsError(f"{where}: key '{_SHAPE}' is {shape!r}; it must be a list of positive whole numbers")
    try:
        return unpack_int4(packed, shape)
    except ValueError as error:
        raise KwsError(f"{where}: {error}; the file is damaged") from error
