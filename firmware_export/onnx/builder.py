"""Nodes and constants of one ONNX graph, and the layouts in which each tensor of the quantized graph exists."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.graph.ir import Quant, QuantGraph
from kws.graph.packing import pack_int4
from kws.system.packages import need


class Writer:
    """Nodes and constants of one ONNX graph, and the names and layouts of each tensor in it.

    The graph's feature maps are [time, frequency, channels], ONNX convolves [batch, channels, height, width]: both
    layouts of a tensor exist only if both are read. A tensor gets a batch axis of 1 in front. A value's name is its
    kind, a slash, and the name of the graph's tensor that it belongs to, so that names are unique whatever the graph
    calls its tensors.

    ``offset``: an activation q of the graph is stored as q + offset; the offset is 0 for int8 and 128 for uint8.
    """

    def __init__(self, graph: QuantGraph, offset: int = 0) -> None:
        self.graph = graph
        self.offset = offset
        self.onnx = need("onnx", "onnx")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._last: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._shared: dict[tuple[Any, ...], str] = {}

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type that activations are stored in."""
        return np.dtype(np.uint8 if self.offset else np.int8)

    def stored(self, value: int) -> NDArray[Any]:
        """Return the activation ``value`` of the graph (-128..127) as it is stored, a scalar."""
        return np.array(value + self.offset, self.dtype)

    def value_info(self, name: str, shape: Sequence[int], dtype: Any = None) -> Any:
        """Describe an input or output [1, *shape], of the activations' type or another."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype or self.dtype))
        return self.onnx.helper.make_tensor_value_info(name, kind, [1, *shape])

    def define(self, tensor: str, name: str, channels_first: bool = False) -> None:
        """Record that the ONNX value ``name`` holds the graph's ``tensor``."""
        (self._first if channels_first else self._last)[tensor] = name

    def channels_last(self, tensor: str) -> str:
        """Return the value that holds ``tensor`` as [1, time, frequency, channels]."""
        if tensor not in self._last:
            first = self._first[tensor]
            self._last[tensor] = self.node("Transpose", [first], f"channels_last/{tensor}", perm=[0, 2, 3, 1])
        return self._last[tensor]

    def channels_first(self, tensor: str) -> str:
        """Return the value that holds ``tensor`` as [1, channels, time, frequency]."""
        if tensor not in self._first:
            last = self._last[tensor]
            self._first[tensor] = self.node("Transpose", [last], f"channels_first/{tensor}", perm=[0, 3, 1, 2])
        return self._first[tensor]

    def is_first(self, tensor: str) -> bool:
        """Return whether ``tensor`` exists with the channels first, so that reading it so needs no transpose."""
        return tensor in self._first

    def value(self, tensor: str, channels_first: bool) -> str:
        """Return the value that holds ``tensor`` in this layout."""
        return self.channels_first(tensor) if channels_first else self.channels_last(tensor)

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node, named after its output; return the output."""
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], name=f"{kind}:{output}", **attributes))
        return output

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        # numpy's ascontiguousarray would make a scalar a vector, which ONNX Runtime's integer operators refuse.
        self.constants.append(self.onnx.numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def shared(self, values: NDArray[Any]) -> str:
        """Return the name of a constant with these values; equal ones are stored once."""
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._shared:
            self._shared[key] = self.constant(f"constant/{len(self._shared)}", values)
        return self._shared[key]

    def weights(self, name: str, values: NDArray[np.int8], bits: int) -> str:
        """Add weights, int8 or packed to four bits, and return their name."""
        if bits == 8:
            return self.constant(name, values)
        kind = self.onnx.TensorProto.INT4
        tensor = self.onnx.helper.make_tensor(name, kind, values.shape, pack_int4(values).tobytes(), raw=True)
        self.constants.append(tensor)
        return name

    def reshape(self, source: str, target: str, shape: Sequence[int]) -> str:
        """Add a Reshape of value ``source`` to ``target``, [1, *shape]; return the target."""
        return self.node("Reshape", [source, self.shared(np.array([1, *shape], np.int64))], target)

    def quant(self, target: str, quant: Quant) -> list[str]:
        """Add the scale and zero point that value ``target`` is made with as constants; return their names."""
        scale = self.constant(f"scale/{target}", np.array(quant.scale, np.float32))
        return [scale, self.constant(f"zero_point/{target}", np.array(quant.zero_point, np.int8))]


def name_of(tensor: str, channels_first: bool) -> str:
    """Return the name of the value that an operator makes for the graph's ``tensor``."""
    return f"channels_{'first' if channels_first else 'last'}/{tensor}"
