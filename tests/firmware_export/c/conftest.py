"""What the tests of the C99 bundle share: the warnings that are errors, and graphs in which every operator stands."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kws.graph.ir import Conv2D, DepthwiseConv2D, QuantGraph

_WARNINGS = (
    *("-std=c99", "-Werror", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow"),
    *("-Wstrict-prototypes", "-Wmissing-prototypes", "-Wold-style-definition", "-Wcast-align", "-Wcast-qual"),
    *("-Wundef", "-Wdouble-promotion", "-Wfloat-conversion", "-Wvla", "-Wwrite-strings", "-Wnull-dereference"),
)


@pytest.fixture(scope="session")
def warnings() -> tuple[str, ...]:
    """C99, and every warning that a compiler is asked for; each of them is an error."""
    return _WARNINGS


@pytest.fixture(scope="session")
def mixed_graph(residual_like: Callable[..., QuantGraph]) -> QuantGraph:
    """A residual graph, every second convolution with weights of four bits: every operator in every form."""
    graph = residual_like(np.random.default_rng(5))
    ops = list(graph.ops)
    convolutions = [index for index, op in enumerate(ops) if isinstance(op, Conv2D | DepthwiseConv2D)]
    for index in convolutions[::2]:
        op = ops[index]
        assert isinstance(op, Conv2D | DepthwiseConv2D)
        ops[index] = replace(op, weights=np.clip(op.weights, -7, 7), weight_bits=4)
    return replace(graph, ops=tuple(ops))
