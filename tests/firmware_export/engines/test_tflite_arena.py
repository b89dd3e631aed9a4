"""The measured arena is the smallest one that works."""

from collections.abc import Callable

import numpy as np
import pytest
from tflite_micro.python.tflite_micro import runtime

from firmware_export.engines.arena import Arena, measure_arena_bytes
from firmware_export.tflite import writer as tflite
from kws.errors import KwsError
from kws.graph.ir import QuantGraph

Maker = Callable[..., QuantGraph]


def runs_in(content: bytes, arena_bytes: int) -> bool:
    try:
        interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
    except RuntimeError:
        return False
    interpreter.set_input(np.zeros((1, 1, 40), np.int8), 0)
    interpreter.invoke()
    return True


def test_it_runs_in_that_much_and_not_in_less(deepkws_like: Maker) -> None:
    content = tflite.to_bytes(deepkws_like(np.random.default_rng(0)))
    measured = measure_arena_bytes(content)
    assert runs_in(content, measured)
    assert not runs_in(content, measured - 16)


def test_it_holds_the_state_and_grows_with_the_layers(deepkws_like: Maker) -> None:
    small, large = (
        measure_arena_bytes(tflite.to_bytes(deepkws_like(np.random.default_rng(0), hidden=hidden)))
        for hidden in (8, 256)
    )
    assert 40 * 40 + 41 * 40 < small < large - 2 * 248  # state, window; at least two layers at a time


def test_a_file_that_is_no_model_is_refused() -> None:
    with pytest.raises(KwsError, match="the model: was not written by kws export"):
        measure_arena_bytes(b"no model at all")


def test_the_report_does_not_reach_the_terminal(deepkws_like: Maker, capfd: pytest.CaptureFixture[str]) -> None:
    measure_arena_bytes(tflite.to_bytes(deepkws_like(np.random.default_rng(0), hidden=8)))
    assert "RecordingMicroAllocator" not in capfd.readouterr().err


def test_what_is_declared_has_head_room() -> None:
    for measured in (1, 1000, 10_240, 26_080, 300_001):
        declared = Arena(measured).declared_bytes
        assert 1.1 * measured <= declared + 0.5
        assert declared <= 1.1 * measured + 1024
        assert declared % 1024 == 0
