"""What the passes over a graph share: an operator's inputs, tensors by name, bytes, and the shape of features."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws.graph.ir import Add, Concat, Op, QuantGraph, Tensor


def inputs(op: Op) -> tuple[str, ...]:
    """Return the names of the tensors that an operator reads, in order."""
    return op.inputs if isinstance(op, Concat | Add) else (op.input,)


def by_name(graph: QuantGraph) -> dict[str, Tensor]:
    """Return the graph's tensors by name."""
    return {tensor.name: tensor for tensor in graph.tensors}


def size(tensor: Tensor) -> int:
    """Return how many values, which is how many bytes, a tensor has."""
    return int(np.prod(tensor.shape, dtype=np.int64))


def row_bytes(tensor: Tensor) -> int:
    """Return the bytes of one row: one index of axis 0."""
    return size(tensor) // tensor.shape[0]


def as_steps(features: NDArray[Any], stride: int, bands: int) -> NDArray[np.int8]:
    """Return int8 features [n * stride, bands] as [n, stride, bands].

    Raises:
        ValueError: another type, another number of bands, or frames that do not fill the last step.
    """
    if features.dtype != np.int8 or features.ndim != 2 or features.shape[1] != bands or len(features) % stride:
        raise ValueError(
            f"features are {features.dtype}{list(features.shape)}; give int8[n * {stride}, {bands}], whole steps"
        )
    return features.reshape(-1, stride, bands)
