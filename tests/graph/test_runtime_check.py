"""kws_graph_check refuses every struct of an operator on maps that would leave the arena or its ranges."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kws import runtime
from kws.detector.engine import CEngine
from kws.graph.ir import (
    Add,
    AveragePool2D,
    Conv2D,
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
    Conv2D: (
        Conv2D("x", "y", np.ones((3, 2, 2, 2), np.int8), np.ones(3, np.float32), np.zeros(3, np.int32)),
        (2, 4, 3),
    ),
    DepthwiseConv2D: (DepthwiseConv2D("x", "y", *CONSTANTS), (2, 4, 2)),
    Pad: (Pad("x", "y", 1, 2), (3, 8, 2)),
    Add: (Add(("x", "x"), "y"), (3, 5, 2)),
    MaxPool2D: (MaxPool2D("x", "y", 2, 2), (1, 2, 2)),
    AveragePool2D: (AveragePool2D("x", "y", 2, 2), (1, 2, 2)),
}
PLACES = [("input", -1), ("input", LARGEST), ("output", -1), ("output", LARGEST)]
CLAMP = [("output_zero_point", 128), ("output_minimum", -129), ("output_maximum", 128), ("output_maximum", -128)]
BOUNDS: dict[type[Op], list[tuple[str, int]]] = {
    Conv2D: [
        *PLACES, ("scratch", -4), ("scratch", 2), ("scratch", LARGEST - 3), ("output_time", 30),
        ("output_time", LARGEST), ("output_frequency", 30), ("output_frequency", LARGEST), ("output_channels", 200),
        ("output_channels", LARGEST), ("step_time", 200), ("step_time", -1), ("step_time", LARGEST),
        ("step_frequency", 70), ("step_frequency", -1), ("step_frequency", LARGEST), ("runs", 20), ("runs", LARGEST),
        ("run_bytes", 200), ("run_bytes", LARGEST), ("run_step", 200), ("run_step", -1), ("run_step", LARGEST),
    ],
    DepthwiseConv2D: [
        *PLACES, ("scratch", -4), ("scratch", 2), ("scratch", LARGEST - 3), ("output_time", 30),
        ("output_time", LARGEST), ("output_frequency", 60), ("output_frequency", LARGEST), ("channels", 120),
        ("channels", LARGEST), ("step_time", 120), ("step_time", -1), ("step_time", LARGEST), ("step_frequency", 60),
        ("step_frequency", -1), ("step_frequency", LARGEST),
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
PACKED = [("weight_bits", 5), ("weight_bits", 0), ("plain", 2), ("plain", -1), ("plain", 1)]
VALUES: dict[type[Op], list[tuple[str, int]]] = {
    Conv2D: [
        *CLAMP, *PACKED, ("weight_bits", 4), ("rows", 1), ("rows", 3), ("row_inputs", 4), ("row_inputs", 7),
        ("row_inputs", 12),
    ],
    DepthwiseConv2D: [*CLAMP, *PACKED, ("pairs", 2 + (1 << 30)), ("pairs", LARGEST)],
    Pad: [("zero_point", 128), ("zero_point", -129)],
    Add: [
        *CLAMP, ("first_zero_point", 128), ("second_zero_point", -129),
        *((f"{name}_{field}", value) for name in ("first", "second", "output")
          for field, value in (("multiplier", -1), ("shift", 1), ("shift", -32))),
    ],
}  # fmt: skip
COUNTS: dict[type[Op], list[str]] = {
    Conv2D: ["output_time", "output_frequency", "output_channels", "runs", "run_bytes"],
    DepthwiseConv2D: ["output_time", "output_frequency", "channels"],
    Pad: ["rows", "row_bytes"],
    Add: ["rows", "repeats", "values"],
    MaxPool2D: ["output_time", "output_frequency", "channels", "window_time", "window_frequency", "row_bytes"],
}
COUNTS[AveragePool2D] = COUNTS[MaxPool2D]


def small_graph(kind: type[Op]) -> QuantGraph:
    op, shape = OPS[kind]
    tensors = (Tensor("features", (3, 10), Q), Tensor("x", (3, 5, 2), Q), Tensor("y", shape, Quant(4.0, -3)))
    if kind not in (Add, Conv2D, DepthwiseConv2D):
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
    if kind in (Conv2D, DepthwiseConv2D):
        checked.fields.plain = 0
        pointers = ("weights", "bias", "multipliers", "right_shifts")
        cases += [(name, checked.ffi.NULL, lib.KWS_GRAPH_INCOMPLETE) for name in pointers]
    if kind is DepthwiseConv2D:
        cases += [("offsets", checked.ffi.NULL, lib.KWS_GRAPH_INCOMPLETE)]
        cases += [(name, value, lib.KWS_GRAPH_INCOMPLETE) for name, value in (("odd", -1), ("odd", 2), ("pairs", -1))]
    if kind in (Conv2D, DepthwiseConv2D, Add):
        checked.fields.output_minimum = -127  # so that a maximum of -128 is below it
    assert checked.code() == lib.KWS_GRAPH_OK
    found = {(name, value): checked.code_with(name, value) for name, value, _ in cases}
    assert found == {(name, value): code for name, value, code in cases}
    assert checked.code() == lib.KWS_GRAPH_OK


def test_a_depthwise_multiplier_out_of_range_is_refused() -> None:
    checked = Checked(DepthwiseConv2D)
    checked.fields.plain = 0
    for shift, code in ((-30, checked.lib.KWS_GRAPH_OK), (-31, checked.lib.KWS_GRAPH_VALUES)):
        shifts = checked.ffi.new("int8_t[]", [0, shift])
        assert checked.code_with("right_shifts", shifts) == code


@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D])
def test_plain_promises_multipliers_shifts_and_no_clamp(kind: type[Op]) -> None:
    checked = Checked(kind)
    channels = 3 if kind is Conv2D else 2
    fields, ok, refused = checked.fields, checked.lib.KWS_GRAPH_OK, checked.lib.KWS_GRAPH_VALUES
    multipliers = checked.ffi.new("int32_t[]", [1 << 30] * channels)
    shifts = checked.ffi.new("int8_t[]", [2] * channels)
    fields.multipliers, fields.right_shifts, fields.plain = multipliers, shifts, 1
    assert checked.code() == ok
    for array, wrong in ((multipliers, (1 << 30) - 1), (shifts, 1)):
        kept, array[channels - 1] = array[channels - 1], wrong
        assert checked.code() == refused
        array[channels - 1] = kept
    assert checked.code_with("output_maximum", 126) == refused
    assert checked.code() == ok


@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D])
def test_weights_that_no_word_can_be_read_from_are_refused(kind: type[Op]) -> None:
    checked = Checked(kind)
    shifted = checked.ffi.cast(
        checked.ffi.typeof(checked.fields.weights), checked.ffi.cast("char *", checked.fields.weights) + 2
    )
    assert checked.code_with("weights", shifted) == checked.lib.KWS_GRAPH_VALUES


def test_offsets_of_a_depthwise_kernel_stay_in_the_arena_and_end() -> None:
    checked = Checked(DepthwiseConv2D)
    right = [checked.fields.offsets[index] for index in range(6)]
    assert right == [0, 2, 10, 12, -1, -1]
    for index, value in ((0, -1), (3, 1000), (2, LARGEST), (4, 0)):
        offsets = checked.ffi.new("int32_t[]", [*right[:index], value, *right[index + 1 :]])
        assert checked.code_with("offsets", offsets) == checked.lib.KWS_GRAPH_BOUNDS


@pytest.mark.parametrize(("bits", "longest"), [(4, 255), (8, 32767)])
def test_a_depthwise_kernel_too_long_for_its_sums_is_refused(bits: int, longest: int) -> None:
    checked = Checked(DepthwiseConv2D)
    checked.graph.arena_bytes = LARGEST
    checked.fields.weight_bits = bits
    for pairs, code in ((longest, checked.lib.KWS_GRAPH_OK), (longest + 1, checked.lib.KWS_GRAPH_VALUES)):
        offsets = checked.ffi.new("int32_t[]", [0] * (2 * pairs) + [-1, -1])
        checked.fields.pairs = pairs
        assert checked.code_with("offsets", offsets) == code


@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D])
def test_more_weights_than_can_be_counted_are_refused(kind: type[Op]) -> None:
    """So many channels at so large a kernel that their weights would fill more than 2^31 bytes."""
    checked = Checked(kind)
    fields, graph = checked.fields, checked.graph
    graph.arena_bytes = LARGEST
    fields.output_time = fields.output_frequency = 1
    if kind is DepthwiseConv2D:
        offsets = checked.ffi.new("int32_t[]", [0] * (2 * 32767) + [-1, -1])
        fields.offsets, fields.pairs, fields.channels = offsets, 32767, 1 << 15
    else:
        fields.runs, fields.run_bytes, fields.row_inputs = 1, 1 << 17, 1 << 17
        fields.output_channels, fields.rows = 1 << 14, 1 << 13
    assert checked.code() == checked.lib.KWS_GRAPH_VALUES


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
