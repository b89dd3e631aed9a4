"""detector.c, through the compiled runtime, against kws/detect.py: the same numbers with ==."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws import runtime
from kws.detect import Decision, DetectorConfig, Scorer

if not runtime.available():
    pytest.skip(runtime.reason(), allow_module_level=True)
ffi, lib = runtime.load()


class NativeDetector:
    """kws_detector_t and the memory it stands on."""

    def __init__(self, config: DetectorConfig, logit_scale: float, step_ms: int) -> None:
        reference = Scorer(config, logit_scale, step_ms)
        self.table = ffi.new("uint16_t[]", reference.table.tolist())
        self.config = ffi.new(
            "kws_detector_config_t *",
            {
                "exp_table": self.table,
                "labels": len(config.labels),
                "smooth_frames": config.smooth_frames,
                "max_frames": config.max_frames,
                "refractory_steps": reference.refractory_steps,
            },
        )
        self.bytes = lib.kws_detector_memory_bytes(self.config)
        # what is written past the end would be seen in the fence
        self.memory = ffi.new("uint32_t[]", self.bytes // 4 + 16)
        ffi.memmove(self.memory, b"\xa5" * (self.bytes + 64), self.bytes + 64)
        self.state = ffi.new("kws_detector_t *")
        lib.kws_detector_init(self.state, self.config, self.memory)

    def scores(self, logits: NDArray[np.int8]) -> Iterator[int]:
        for row in logits:
            yield lib.kws_detector_score(self.state, ffi.from_buffer("int8_t[]", row.tobytes()))

    def fence_is_whole(self) -> bool:
        return bytes(ffi.buffer(self.memory))[self.bytes :] == b"\xa5" * 64


def logits_of(rng: np.random.Generator, steps: int, labels: int, volatility: float) -> NDArray[np.int8]:
    walk = np.cumsum(rng.normal(0, volatility, (steps, labels)), axis=0)
    folded: NDArray[np.float64] = 300 * np.abs((walk / 512) % 2 - 1) - 150
    return np.clip(folded, -128, 127).astype(np.int8)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    labels=st.integers(2, 16),
    smooth_frames=st.integers(1, 60),
    max_frames=st.integers(1, 120),
    logit_scale=st.floats(1e-4, 2.0),
    volatility=st.sampled_from([0.5, 5.0, 500.0]),
)
def test_c_scores_and_decisions_equal_python(
    seed: int, labels: int, smooth_frames: int, max_frames: int, logit_scale: float, volatility: float
) -> None:
    names = tuple(f"label {index}" for index in range(labels))
    config = DetectorConfig("phrase", names, smooth_frames, max_frames, refractory_ms=170)
    logits = logits_of(np.random.default_rng(seed), 300, labels, volatility)
    wanted = Scorer(config, logit_scale, 10).push(logits)
    native = NativeDetector(config, logit_scale, 10)
    assert list(native.scores(logits)) == wanted.tolist()
    threshold = int(np.quantile(wanted, 0.6))
    fired = [
        step
        for step, score in enumerate(wanted.tolist())
        if lib.kws_detector_decide(native.state, score, threshold) == 1
    ]
    assert fired == Decision(threshold, config.refractory_steps(10)).push(wanted)
    assert native.fence_is_whole()


@pytest.mark.parametrize(("smooth_frames", "max_frames"), [(30, 100), (1000, 4000)])
def test_a_long_stream_with_rings_of_every_size(smooth_frames: int, max_frames: int) -> None:
    config = DetectorConfig("hey marvin", ("filler", "hey", "marvin"), smooth_frames, max_frames)
    logits = logits_of(np.random.default_rng(5), 30_000, 3, 4.0)
    native = NativeDetector(config, 0.05, 10)
    assert list(native.scores(logits)) == Scorer(config, 0.05, 10).push(logits).tolist()
    assert native.fence_is_whole()


def test_reset_starts_a_new_stream() -> None:
    config = DetectorConfig("computer", ("filler", "computer"), 20, 50)
    logits = logits_of(np.random.default_rng(6), 200, 2, 5.0)
    native = NativeDetector(config, 0.08, 10)
    first = list(native.scores(logits))
    assert lib.kws_detector_decide(native.state, 1, 1) == 1
    assert lib.kws_detector_decide(native.state, 1, 1) == 0
    lib.kws_detector_reset(native.state)
    assert lib.kws_detector_decide(native.state, 1, 1) == 1
    assert list(native.scores(logits)) == first


def test_the_memory_it_asks_for_is_what_the_header_says() -> None:
    native = NativeDetector(DetectorConfig("hey marvin", ("filler", "hey", "marvin"), 30, 100), 0.05, 10)
    assert native.bytes == 532
