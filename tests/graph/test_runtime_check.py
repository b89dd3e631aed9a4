"""kws_graph_check refuses every struct of an operator on maps that would leave the arena or its ranges."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws import runtime
from kws.engine import CEngine
from kws.graph.ir import (
    Add,
    AveragePool2D,
    DepthwiseConv2D,
    MaxPool2D,
    Op,
    Pad,
    Quant,
    QuantGraph,
    Reshape,
    Tensor,
)
from kws.graph.plan import plan
from kws.graph.records import records

pytestmark = pytest.mark.skipif(not runtime.available(), reason=runtime.reason() or "built")

Q = Quant(0.5, -3)
LARGEST = 2**31 - 1
CONSTANTS = (np.ones((2, 2, 2), np.int8), np.ones(2, np.float32), np.zeros(2, np.int32))
OPS: dict[type[Op], tuple[Op, tuple[int, ...]]] = {
    DepthwiseConv2D: (DepthwiseConv2D("x", "y", *CONSTANTS), (2, 4, 2)),
    Pad: (Pad("x", "y", 1, 2), (3, 8, 2)),
    Add: (Add(("x", "x"), "y"), (3, 5, 2)),
    MaxPool2D: (MaxPool2D("x", "y", 2, 2), (1, 2, 2)),
    AveragePool2D: (AveragePool2D("x", "y", 2, 2), (1, 2, 2)),
}
PLACES = [("input", -1), ("input", LARGEST), ("output", -1), ("output", LARGEST)]
CLAMP = [("output_zero_point", 128), ("output_minimum", -129), ("output_maximum", 128), ("output_maximum", -128)]
BOUNDS: dict[type[Op], list[tuple[str, int]]] = {
    DepthwiseConv2D: [
        *PLACES, ("output_time", 3), ("output_time", LARGEST), ("output_frequency", 6), ("output_frequency", LARGEST),
        ("channels", 8), ("channels", LARGEST), ("step_time", 30), ("step_time", -1), ("step_time", LARGEST),
        ("step_frequency", 8), ("step_frequency", -1), ("step_frequency", LARGEST), ("kernel_time", 4),
        ("kernel_time", LARGEST), ("kernel_frequency", 6), ("kernel_frequency", LARGEST), ("kernel_step", -1),
        ("kernel_step", 30), ("kernel_step", LARGEST),
    ],
    Pad: [
        *PLACES, ("rows", 5), ("rows", LARGEST), ("row_bytes", 21), ("row_bytes", LARGEST), ("before_bytes", -1),
        ("before_bytes", 100), ("before_bytes", LARGEST), ("after_bytes", -1), ("after_bytes", LARGEST),
    ],
    Add: [
        ("first", -1), ("first", LARGEST), ("second", -1), ("second", 3), ("output", -1), ("output", LARGEST),
        ("rows", 3), ("rows", LARGEST), ("repeats", 3), ("repeats", LARGEST), ("values", 33), ("values", LARGEST),
    ],
    MaxPool2D: [
        *PLACES, ("output_time", 4), ("output_time", LARGEST), ("output_frequency", 9), ("output_frequency", LARGEST),
        ("channels", 20), ("channels", LARGEST), ("window_time", 6), ("window_time", LARGEST), ("window_frequency", 14),
        ("window_frequency", LARGEST), ("row_bytes", 30), ("row_bytes", LARGEST),
    ],
}  # fmt: skip
BOUNDS[AveragePool2D] = BOUNDS[MaxPool2D]
VALUES: dict[type[Op], list[tuple[str, int]]] = {
    DepthwiseConv2D: CLAMP,
    Pad: [("zero_point", 128), ("zero_point", -129)],
    Add: [
        *CLAMP, ("first_zero_point", 128), ("second_zero_point", -129),
        *((f"{name}_{field}", value) for name in ("first", "second", "output")
          for field, value in (("multiplier", -1), ("shift", 1), ("shift", -32))),
    ],
}  # fmt: skip
COUNTS: dict[type[Op], list[str]] = {
    DepthwiseConv2D: ["output_time", "output_frequency", "channels", "kernel_time", "kernel_frequency"],
    Pad: ["rows", "row_bytes"],
    Add: ["rows", "repeats", "values"],
    MaxPool2D: ["output_time", "output_frequency", "channels", "window_time", "window_frequency", "row_bytes"],
}
COUNTS[AveragePool2D] = COUNTS[MaxPool2D]


def small_graph(kind: type[Op]) -> QuantGraph:
    op, shape = OPS[kind]
    tensors = (Tensor("features", (3, 10), Q), Tensor("x", (3, 5, 2), Q), Tensor("y", shape, Quant(4.0, -3)))
    if kind not in (Add, DepthwiseConv2D):
        tensors = (*tensors[:2], Tensor("y", shape, Q))
    return QuantGraph(tensors, (Reshape("features", "x"), op), (), "features", "y")


class Checked:
    """An engine's structs, the operator's open to be changed."""

    def __init__(self, kind: type[Op]) -> None:
        self.ffi, self.lib = runtime.load()
        graph = small_graph(kind)
        self._engine = CEngine(graph)
        self.graph = self._engine._pointer
        (record,) = records(graph, plan(graph)).ops
        self.fields = self.ffi.cast(f"{record.struct} *", self.graph.ops[0].fields)

    def code(self) -> int:
        return int(self.lib.kws_graph_check(self.graph))

    def code_with(self, field: str, value: Any) -> int:
        kept = getattr(self.fields, field)
        setattr(self.fields, field, value)
        code = self.code()
        setattr(self.fields, field, kept)
        return code


@pytest.mark.parametrize("kind", OPS)
def test_a_broken_struct_is_refused(kind: type[Op]) -> None:
    checked = Checked(kind)
    lib = checked.lib
    cases = [(name, value, lib.KWS_GRAPH_BOUNDS) for name, value in BOUNDS[kind]]
    cases += [(name, value, lib.KWS_GRAPH_VALUES) for name, value in VALUES.get(kind, [])]
    cases += [(name, value, lib.KWS_GRAPH_INCOMPLETE) for name in COUNTS[kind] for value in (0, -1)]
    if kind is DepthwiseConv2D:
        pointers = ("weights", "bias", "multipliers", "shifts")
        cases += [(name, checked.ffi.NULL, lib.KWS_GRAPH_INCOMPLETE) for name in pointers]
    if kind in (DepthwiseConv2D, Add):
        checked.fields.output_minimum = -127  # so that a maximum of -128 is below it
    assert checked.code() == lib.KWS_GRAPH_OK
    found = {(name, value): checked.code_with(name, value) for name, value, _ in cases}
    assert found == {(name, value): code for name, value, code in cases}
    assert checked.code() == lib.KWS_GRAPH_OK


def test_a_depthwise_multiplier_out_of_range_is_refused() -> None:
    checked = Checked(DepthwiseConv2D)
    for shift, code in ((30, checked.lib.KWS_GRAPH_OK), (31, checked.lib.KWS_GRAPH_VALUES)):
        shifts = checked.ffi.new("int8_t[]", [0, shift])
        assert checked.code_with("shifts", shifts) == code


def test_a_window_whose_sum_overflows_is_refused_for_the_mean_alone() -> None:
    for kind, code in ((MaxPool2D, "KWS_GRAPH_OK"), (AveragePool2D, "KWS_GRAPH_VALUES")):
        checked = Checked(kind)
        checked.graph.arena_bytes = LARGEST
        for name in ("output_time", "output_frequency", "channels", "window_frequency"):
            setattr(checked.fields, name, 1)
        checked.fields.window_time, checked.fields.row_bytes = 16_647_160, 1
        assert checked.code() == checked.lib.KWS_GRAPH_OK
        checked.fields.window_time = 16_647_161
        assert checked.code() == getattr(checked.lib, code)


@settings(deadline=None)
@given(data=st.data())
def test_records_have_the_fields_of_the_structs_in_order(
    graphs: st.SearchStrategy[QuantGraph], data: st.DataObject
) -> None:
    ffi, lib = runtime.load()
    graph = data.draw(graphs)
    for record in records(graph, plan(graph)).ops:
        assert [name for name, _ in ffi.typeof(record.struct).fields] == list(record.fields)
        assert isinstance(getattr(lib, record.kind), int)
