"""A graph on an emulated processor: the graph's numbers, and counts that an independent one confirms."""

import os
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import unicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_export.simulate.graph import SimulatedEngine, runtime_machine
from firmware_export.simulate.machine import FLASH, RAM, Machine, SimulationError
from firmware_export.simulate.targets import TARGETS, Target
from kws.detector.engine import GraphEngine
from kws.errors import KwsError
from kws.graph.arithmetic import requantize
from kws.graph.ir import QuantGraph

pytestmark = pytest.mark.emulator

MakeGraph = Callable[[int, int], QuantGraph]
GRAPHS = int(os.environ.get("KWS_RANDOM_GRAPHS", "25"))  # `make random-graphs` draws more
QUICK = settings(max_examples=GRAPHS, deadline=None, suppress_health_check=list(HealthCheck))


@cache
def machine(name: str) -> Machine:
    """One processor for all examples."""
    return runtime_machine(TARGETS[name])


def noise(graph: QuantGraph, steps: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.int8]]:
    bands = graph.tensor(graph.input).shape[1]
    return np.random.default_rng(seed).integers(-128, 128, (steps * graph.stride, bands)).astype(np.int8)


@given(data=st.data())
@QUICK
def test_random_graphs_give_the_graphs_numbers(
    target: str, random_graphs: st.SearchStrategy[QuantGraph], data: st.DataObject
) -> None:
    graph = data.draw(random_graphs)
    features = noise(graph, 12)
    assert np.array_equal(SimulatedEngine(graph, target).run(features), GraphEngine(graph).run(features))


class Portable(Target):
    """A processor whose firmware is built without the instructions of kws_dsp.h."""

    @property
    def flags(self) -> tuple[str, ...]:
        return (*super().flags, "-DKWS_NO_DSP")


@pytest.mark.parametrize("name", ["cortex-m4", "cortex-m33"])
@given(data=st.data())
@QUICK
def test_without_dsp_instructions_the_numbers_are_the_same(
    name: str, random_graphs: st.SearchStrategy[QuantGraph], data: st.DataObject
) -> None:
    graph, portable = data.draw(random_graphs), Portable(**vars(TARGETS[name]))
    features = noise(graph, 12)
    assert np.array_equal(SimulatedEngine(graph, portable).run(features), GraphEngine(graph).run(features))


def test_without_dsp_instructions_more_are_needed(small_graph: MakeGraph) -> None:
    """So the define does something: the build is another one."""
    graph = small_graph(3, 1)
    features = noise(graph, 5)
    fast, portable = TARGETS["cortex-m4"], Portable(**vars(TARGETS["cortex-m4"]))
    counts = [SimulatedEngine(graph, target).count(features)[1].instructions for target in (fast, portable)]
    assert counts[0] < counts[1]


def test_it_is_an_engine(target: str, small_graph: MakeGraph) -> None:
    """Any chunking gives the same, and a reset starts a new stream."""
    graph = small_graph(3, 2)
    engine, features = SimulatedEngine(graph, target), noise(graph, 30)
    wanted = GraphEngine(graph).run(features)
    parts = [engine.run(part) for part in np.split(features, [2, 2, 20, 44])]
    assert np.array_equal(np.concatenate(parts), wanted)
    engine.reset()
    assert np.array_equal(engine.run(features), wanted)
    assert (engine.name, engine.exact, engine.stride, engine.outputs) == (f"C on {target}", True, 2, 3)


def test_counts_are_the_same_each_time_and_of_the_same_numbers(target: str, small_graph: MakeGraph) -> None:
    graph = small_graph(3, 1)
    features = noise(graph, 5)
    first, again = (SimulatedEngine(graph, target).count(features) for _ in range(2))
    assert first[1] == again[1]
    assert np.array_equal(first[0], GraphEngine(graph).run(features))
    counted = first[1]
    assert counted.instructions == sum(counted.functions.values()) == sum(counted.parts.values()) > 1000
    assert set(counted.parts) == {"network"}
    assert "?" not in counted.functions


def test_a_count_is_that_of_single_instructions(target: str, small_graph: MakeGraph) -> None:
    """Unicorn can call for every instruction, too: slowly, and without our reading of blocks."""
    graph = small_graph(3, 1)
    engine, trace = SimulatedEngine(graph, target), []
    begin, code = engine.machine.image.code()

    def step(_: object, address: int, *__: object) -> None:
        trace.append(address - begin)

    engine.machine._emulator.hook_add(unicorn.UC_HOOK_CODE, step, None, begin, begin + len(code))
    engine.machine._emulator.ctl_flush_tb()  # what was translated before would not call
    _, counted = engine.count_step(noise(graph, 1))
    skipped = skipped_instructions(trace, code) if target.startswith("cortex") else 0
    assert counted.instructions == len(trace) + skipped > 500


def skipped_instructions(trace: list[int], code: bytes) -> int:
    """Return how many instructions under an IT were not executed, as unicorn does not call for them.

    A processor fetches them, and QEMU counts them like any other.
    """
    skipped = 0
    for index, at in enumerate(trace):
        if code[at + 1] != 0xBF or code[at] & 15 == 0:  # Thumb's IT: 1011 1111 condition mask, the mask not 0
            continue
        mask, places, place = code[at] & 15, [], at + 2
        for _ in range(4 - (mask & -mask).bit_length() + 1):
            places.append(place)
            place += 4 if code[place + 1] >= 0xE8 else 2
        skipped += sum(place not in trace[index + 1 : index + 5] for place in places)
    return skipped


def test_operators_add_up_to_the_step(target: str, small_graph: MakeGraph) -> None:
    graph = small_graph(3, 2)
    features = noise(graph, 1)
    logits, whole = SimulatedEngine(graph, target).count_step(features)
    engine = SimulatedEngine(graph, target)
    again, ops = engine.count_ops(features)
    assert np.array_equal(logits, again)
    loops = sum(op.instructions for op in ops) - whole.instructions  # each runs in a loop of its own
    assert 0 <= loops <= 60 * len(ops)
    after = noise(graph, 3, seed=1)
    assert np.array_equal(engine.run(after), GraphEngine(graph).run(np.concatenate([features, after]))[1:])


def test_the_stack_is_followed(target: str, small_graph: MakeGraph) -> None:
    """As deep as the deepest call, and no deeper than kws.h says: some hundred bytes."""
    graph = small_graph(3, 1)
    engine = SimulatedEngine(graph, target)
    _, step = engine.count_step(noise(graph, 1))
    with engine.machine.counting() as found:
        engine.machine.call("kws_requantize", 100, 2**30, 0)
    assert 0 <= found[0].stack_bytes < step.stack_bytes <= 600


@given(value=st.integers(-(2**31), 2**31 - 1), multiplier=st.integers(2**30, 2**31 - 1), shift=st.integers(-31, 0))
@QUICK
def test_wide_arithmetic_is_right_without_wide_multipliers(value: int, multiplier: int, shift: int) -> None:
    """A Cortex-M0+ multiplies 32 bits to 32: the helpers of support.c make 64 of them."""
    got = machine("cortex-m0plus").call("kws_requantize", value, multiplier, shift)
    assert got == int(requantize(np.array([value]), multiplier, shift)[0]) & 0xFFFFFFFF


@given(
    data=st.binary(min_size=1, max_size=90),
    at=st.integers(0, 60),
    to=st.integers(0, 60),
    fill=st.integers(0, 255),
    name=st.sampled_from(["cortex-m0plus", "rv32imc"]),
)
@QUICK
def test_the_memory_functions(data: bytes, at: int, to: int, fill: int, name: str) -> None:
    """memcpy and memmove of any alignment and overlap, memset; and nothing beside is written."""
    processor, place = machine(name), RAM + 0x8000
    before = bytes(range(160))
    content = before[:at] + data + before[at + len(data) :]
    for function, arguments, wanted in (
        ("memmove", (place + to, place + at, len(data)), content[:to] + data + content[to + len(data) :]),
        ("memset", (place + to, fill, len(data)), content[:to] + bytes([fill]) * len(data) + content[to + len(data) :]),
    ):
        processor.write(place, content)
        assert processor.call(function, *arguments) == place + to
        assert processor.read(place, len(content)) == wanted
    processor.write(place, content + bytes(200))
    processor.call("memcpy", place + 200 + to, place + at, len(data))
    assert processor.read(place + 200 + to, len(data)) == data


@given(dividend=st.integers(-(2**31), 2**31 - 1), divisor=st.integers(-(2**31), 2**31 - 1).filter(bool))
@QUICK
def test_a_cortex_m0plus_divides_by_our_helper(dividend: int, divisor: int) -> None:
    processor = machine("cortex-m0plus")
    quotient = abs(dividend) // abs(divisor) * (1 if (dividend < 0) == (divisor < 0) else -1)
    assert processor.call("__aeabi_idiv", dividend, divisor) == quotient & 0xFFFFFFFF
    unsigned = dividend & 0xFFFFFFFF, divisor & 0xFFFFFFFF
    assert processor.call("__aeabi_uidiv", *unsigned) == unsigned[0] // unsigned[1]
    assert processor.call("__clzsi2", unsigned[0]) == 32 - unsigned[0].bit_length()


@pytest.mark.parametrize("address", [0, FLASH, RAM - 4])
def test_what_the_processor_refuses_is_said_in_a_sentence(target: str, address: int) -> None:
    """Nothing at 0, flash cannot be written, nothing below the RAM."""
    with pytest.raises(SimulationError, match=rf"^{target}: memset stopped at 0x\w+ in memset \(.+\); "):
        machine(target).call("memset", address, 1, 4)


def test_memory_ends(target: str) -> None:
    with pytest.raises(KwsError, match="do not fit"):
        machine(target).allocate(2**30)
