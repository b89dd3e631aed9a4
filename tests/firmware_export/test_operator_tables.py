"""Every operator of the graph is in every table that has a line for each: what is missing names the file to edit.

Add a dataclass to ``Op`` in kws/graph/ir.py and run this file; each failure is a place where the new operator goes.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from firmware_export.onnx import integer, lowering, qdq
from firmware_export.tflite.lowering import LOWERINGS as TFLITE
from firmware_export.verify.float_kernels import FLOAT_KERNELS
from firmware_export.verify.rounding import WORST
from kws.graph import plan, serialize, wiring
from kws.graph.cost import COUNTS
from kws.graph.ir import Op, QuantGraph
from kws.graph.kernels import KERNELS
from kws.graph.records import STRUCTS
from kws.graph.rules import RULES

OPERATORS: tuple[type[Any], ...] = get_args(Op)
RUNTIME = Path(lowering.__file__).parents[1] / "runtime"


@dataclass(frozen=True)
class Swirl:
    """An operator that nothing knows."""

    inputs: tuple[str, ...]
    output: str


def is_read(op: type[Any]) -> bool:
    """Do the passes find what it reads?"""
    made = object.__new__(op)
    field = "inputs" if "inputs" in op.__annotations__ else "input"
    object.__setattr__(made, field, ("x", "y") if field == "inputs" else "x")
    try:
        return wiring.inputs(made) == (("x", "y") if field == "inputs" else ("x",))
    except AttributeError:
        return False


def is_a_float_kernel(op: type[Any]) -> bool:
    """One of its own where the operator computes; what only moves or compares values is the same everywhere."""
    kernel = FLOAT_KERNELS.get(op)
    return kernel is not None and (kernel is KERNELS[op]) == (op in lowering.LOWERINGS.functions)


def in_c(pattern: str, *files: str) -> Callable[[type[Any]], bool]:
    """Is there such a line for each operator that is a step in C? {name} is max_pool2d, {NAME} is MAX_POOL2D."""

    def found(op: type[Any]) -> bool:
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", op.__name__).lower()
        text = "\n".join(path.read_text() for file in files for path in sorted(RUNTIME.glob(file)))
        line = pattern.format(name=name, NAME=name.upper())
        return op in plan.MOVES or re.search(line, text, re.DOTALL) is not None

    return found


PLACES: dict[str, Callable[[type[Any]], bool]] = {
    "kws/graph/wiring.py (inputs: what it reads)": is_read,
    "kws/graph/serialize.py (in .kws files)": lambda op: op.__name__ in serialize._OPS,
    "kws/graph/rules.py (RULES: what must hold of it)": RULES.__contains__,
    "kws/graph/kernels.py (KERNELS: what it computes, by definition)": KERNELS.__contains__,
    "kws/graph/cost.py (COUNTS: parameters and multiply-accumulates)": COUNTS.__contains__,
    "kws/graph/records.py (STRUCTS: its constants in C), or plan.py (MOVES) if it computes nothing": (
        lambda op: op in STRUCTS or op in plan.MOVES
    ),
    "firmware_export/runtime/kws_ops.h (its kind)": in_c(r"#define KWS_OP_{NAME} \d", "kws_ops.h"),
    "firmware_export/runtime/ops.c (run_op and check_op)": in_c("case KWS_OP_{NAME}:.*case KWS_OP_{NAME}:", "ops.c"),
    "firmware_export/runtime/ops_*.c (kws_run_*: what it computes)": in_c(r"\bkws_run_{name}\(", "ops_*.c"),
    "firmware_export/runtime/ops_*.c (kws_check_*: what must hold)": in_c(r"\bkws_check_{name}\(", "ops_*.c"),
    "firmware_export/runtime/kws_ops_kernels.h (both declared)": in_c(
        r"\bkws_run_{name}\(.*\bkws_check_{name}\(", "kws_ops_kernels.h"
    ),
    "firmware_export/tflite/lowering.py": TFLITE.functions.__contains__,
    "firmware_export/onnx/integer.py, or lowering.py if it only moves or compares values": (
        integer.LOWERINGS.functions.__contains__
    ),
    "firmware_export/onnx/qdq.py, or lowering.py if it only moves or compares values": (
        qdq.LOWERINGS.functions.__contains__
    ),
    "firmware_export/verify/rounding.py (WORST: what it makes of differences)": WORST.__contains__,
    "firmware_export/verify/float_kernels.py (FLOAT_KERNELS: rounded once), where it computes": is_a_float_kernel,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("op", OPERATORS)
def test_every_operator_is_there(op: type[Any], place: str) -> None:
    assert PLACES[place](op), f"{op.__name__} is missing in {place}"


@pytest.mark.parametrize("place", PLACES)
def test_an_unknown_operator_is_missing_everywhere(place: str) -> None:
    """So every lookup here can fail."""
    assert not PLACES[place](Swirl)


@pytest.mark.parametrize("op", OPERATORS)
def test_every_operator_is_drawn(op: type[Any], random_graphs: st.SearchStrategy[QuantGraph]) -> None:
    assert op in drawn(random_graphs), f"{op.__name__} is missing in tests/graph/conftest.py (BLOCKS: random graphs)"


@functools.cache
def drawn(random_graphs: st.SearchStrategy[QuantGraph]) -> set[type[Any]]:
    """The operators of some random graphs."""
    found: set[type[Any]] = set()

    @settings(max_examples=60, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(graph=random_graphs)
    def draw(graph: QuantGraph) -> None:
        found.update(map(type, graph.ops))

    draw()
    return found


@pytest.mark.parametrize("op", OPERATORS)
def test_every_operator_is_in_the_deep_graph(op: type[Any], residual_like: Callable[..., QuantGraph]) -> None:
    """What is tried in older runtimes, over many steps, on emulated processors."""
    graph = residual_like(np.random.default_rng(0))
    assert op in map(type, graph.ops), f"{op.__name__} is missing in tests/firmware_export/conftest.py (make_residual)"
