"""The bars of the emulated Cortex-M4: counts are exact, so that a test can hold the runtime to them."""

from collections.abc import Callable
from types import ModuleType

import pytest

pytestmark = pytest.mark.emulator

BARS = {
    "pointwise 64 -> 64, one position": 1.4,
    "dense 1640 -> 12": 1.3,
    "dense 1640 -> 128": 1.3,
    "depthwise 3 x 3 over 25 x 5, 64 channels": 4.0,
    "depthwise over time, Wren's four": 4.0,
}
"""Instructions for a multiply-accumulate with 8-bit weights, at most."""

FRAME_BAR = 25_000


@pytest.fixture(scope="module")
def benchmark(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("instructions")


@pytest.mark.parametrize("name", BARS)
def test_an_operator_takes_no_more_than_its_bar(benchmark: ModuleType, name: str) -> None:
    """And with 4-bit weights no more than 15 % over that; ``count`` compares the numbers with the graph's."""
    (case,) = (case for case in benchmark.CASES if case.name == name)
    eight, four = (benchmark.count(case, "cortex-m4", bits) for bits in (8, 4))
    assert 0 < eight.each <= BARS[name]
    assert four.instructions <= 1.15 * eight.instructions


def test_every_case_has_a_bar(benchmark: ModuleType) -> None:
    assert {case.name for case in benchmark.CASES} == set(BARS)


def test_a_frame_of_the_frontend_takes_no_more_than_its_bar(benchmark: ModuleType) -> None:
    assert 0 < benchmark.count_frame("cortex-m4") <= FRAME_BAR
