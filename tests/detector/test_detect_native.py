"""detector.c, through the compiled runtime, against kws/detector/decision.py: the same numbers with ==."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws import runtime
from kws.detector.decision import MAX_LABELS, Decision, DetectorConfig, Scorer

if not runtime.available() and not os.environ.get("CI"):  # there it must have been built: load says why not
    pytest.skip(runtime.reason(), allow_module_level=True)
ffi, lib = runtime.load()


class NativeDetector:
    """kws_detector_t and the memory it stands on."""

    def __init__(self, config: DetectorConfig, logit_scale: float, step_ms: int, thresholds: Sequence[int]) -> None:
        reference = Scorer(config, logit_scale, step_ms)
        self.phrases = len(config.phrases)
        self.arrays = [
            ffi.new("uint16_t[]", reference.table.tolist()),
            ffi.new("uint8_t[]", [index for indices in config.keywords for index in indices]),
            ffi.new("uint8_t[]", [len(indices) for indices in config.keywords]),
            ffi.new("uint16_t[]", list(thresholds)),
        ]
        self.config = ffi.new(
            "kws_detector_config_t *",
            {
                **dict(zip(("exp_table", "keywords", "keyword_counts", "thresholds"), self.arrays, strict=True)),
                "phrases": self.phrases,
                "labels": len(config.labels),
                "smooth_frames": config.smooth_frames,
                "max_frames": config.max_frames,
                "refractory_steps": reference.refractory_steps,
            },
        )
        assert lib.kws_detector_check(self.config) == 1
        self.bytes = lib.kws_detector_memory_bytes(self.config)
        # what is written past the end would be seen in the fence
        self.memory = ffi.new("uint32_t[]", self.bytes // 4 + 16)
        ffi.memmove(self.memory, b"\xa5" * (self.bytes + 64), self.bytes + 64)
        self.state = ffi.new("kws_detector_t *")
        lib.kws_detector_init(self.state, self.config, self.memory)

    def run(self, logits: NDArray[np.int8]) -> tuple[list[list[int]], list[tuple[int, int]]]:
        """Each step's scores, and (step, phrase) of what fired."""
        scores, fired = [], []
        for step, row in enumerate(logits):
            lib.kws_detector_update(self.state, ffi.from_buffer("int8_t[]", row.tobytes()))
            scores.append(ffi.unpack(self.state.scores, self.phrases))
            fired += [(step, phrase) for phrase in range(self.phrases) if self.decides(phrase)]
        return scores, fired

    def decides(self, phrase: int) -> bool:
        return bool(lib.kws_detector_decide(self.state, phrase))

    def fence_is_whole(self) -> bool:
        return bytes(ffi.buffer(self.memory))[self.bytes :] == b"\xa5" * 64


def logits_of(rng: np.random.Generator, steps: int, labels: int, volatility: float) -> NDArray[np.int8]:
    walk = np.cumsum(rng.normal(0, volatility, (steps, labels)), axis=0)
    folded: NDArray[np.float64] = 300 * np.abs((walk / 512) % 2 - 1) - 150
    return np.clip(folded, -128, 127).astype(np.int8)


@st.composite
def configs(draw: st.DrawFn) -> DetectorConfig:
    """Any number of labels, and phrases that are heard by any of them, in any order, shared or not."""
    labels = draw(st.one_of(st.integers(2, 8), st.integers(2, MAX_LABELS)))
    sets = st.frozensets(st.integers(1, labels - 1), min_size=1, max_size=min(labels - 1, 6))
    chosen = draw(st.sets(sets, min_size=1, max_size=min(labels - 1, 10)))
    keywords = tuple(tuple(draw(st.permutations(sorted(one)))) for one in sorted(chosen, key=sorted))
    return DetectorConfig(
        tuple(f"phrase {index}" for index in range(len(keywords))),
        tuple(f"label {index}" for index in range(labels)),
        keywords,
        smooth_frames=draw(st.integers(1, 60)),
        max_frames=draw(st.integers(1, 120)),
        refractory_ms=170,
    )


@settings(max_examples=80, deadline=None)
@given(
    config=configs(),
    seed=st.integers(0, 2**32 - 1),
    logit_scale=st.floats(1e-4, 2.0),
    volatility=st.sampled_from([0.5, 5.0, 500.0]),
)
def test_c_scores_and_decisions_equal_python(
    config: DetectorConfig, seed: int, logit_scale: float, volatility: float
) -> None:
    logits = logits_of(np.random.default_rng(seed), 200, len(config.labels), volatility)
    wanted = Scorer(config, logit_scale, 10).push(logits)
    thresholds = np.maximum(np.quantile(wanted, 0.6, axis=0), 1).astype(int).tolist()
    native = NativeDetector(config, logit_scale, 10, thresholds)
    scores, fired = native.run(logits)
    assert scores == wanted.tolist()
    assert fired == Decision(thresholds, config.refractory_steps(10)).push(wanted)
    assert native.fence_is_whole()


def test_the_most_phrases_that_are_possible() -> None:
    """Speech Commands and more: each label is a phrase of its own."""
    labels = tuple(f"label {index}" for index in range(MAX_LABELS))
    config = DetectorConfig(labels[1:], labels, tuple((index,) for index in range(1, MAX_LABELS)))
    logits = logits_of(np.random.default_rng(8), 300, MAX_LABELS, 9.0)
    wanted = Scorer(config, 0.05, 10).push(logits)
    thresholds = np.quantile(wanted, 0.7, axis=0).astype(int).tolist()
    native = NativeDetector(config, 0.05, 10, thresholds)
    scores, fired = native.run(logits)
    assert scores == wanted.tolist()
    assert fired == Decision(thresholds, config.refractory_steps(10)).push(wanted)
    assert len({phrase for _, phrase in fired}) > 50


@pytest.mark.parametrize(("smooth_frames", "max_frames"), [(30, 100), (1000, 4000)])
def test_a_long_stream_with_rings_of_every_size(smooth_frames: int, max_frames: int) -> None:
    config = DetectorConfig.single("hey marvin", ("filler", "hey", "marvin"), smooth_frames, max_frames)
    logits = logits_of(np.random.default_rng(5), 30_000, 3, 4.0)
    native = NativeDetector(config, 0.05, 10, [1])
    assert native.run(logits)[0] == Scorer(config, 0.05, 10).push(logits).tolist()
    assert native.fence_is_whole()


def test_reset_starts_a_new_stream_and_keeps_the_thresholds() -> None:
    config = DetectorConfig(("a", "b"), ("filler", "a", "b"), ((1,), (2,)), 20, 50)
    logits = logits_of(np.random.default_rng(6), 200, 3, 5.0)
    native = NativeDetector(config, 0.08, 10, [40, 32769])
    first = native.run(logits)
    assert first[1]
    assert {phrase for _, phrase in first[1]} == {0}, "32769 never fires"
    native.state.thresholds[1] = 40
    lib.kws_detector_reset(native.state)
    scores, fired = native.run(logits)
    assert scores == first[0]
    assert [one for one in fired if one[1] == 0] == first[1]
    assert {phrase for _, phrase in fired} == {0, 1}


def test_the_memory_it_asks_for_is_what_the_header_says() -> None:
    config = DetectorConfig.single("hey marvin", ("filler", "hey", "marvin"), 30, 100)
    assert NativeDetector(config, 0.05, 10, [1]).bytes == 540


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("labels", 1), ("labels", 65), ("labels", 2), ("phrases", 0), ("phrases", 64), ("smooth_frames", 0),
        ("max_frames", 0), ("exp_table", ffi.NULL), ("keywords", ffi.NULL), ("keyword_counts", ffi.NULL),
        ("thresholds", ffi.NULL), ("keywords", [0, 1]), ("keywords", [1, 3]), ("keyword_counts", [0, 2]),
        ("keyword_counts", [1, 3]), ("thresholds", [1, 32770]), ("thresholds", [1, 0]),
    ],
)  # fmt: skip
def test_constants_out_of_bounds_are_seen(field: str, value: Any) -> None:
    """A model.c that somebody has changed: nothing is read or written outside its arrays."""
    native = NativeDetector(DetectorConfig(("a", "b"), ("filler", "a", "b"), ((1,), (2,)), 3, 4), 0.1, 10, [1, 2])
    kinds = {"keywords": "uint8_t[]", "keyword_counts": "uint8_t[]", "thresholds": "uint16_t[]"}
    kept = ffi.new(kinds[field], value) if isinstance(value, list) else value
    setattr(native.config, field, kept)
    assert lib.kws_detector_check(native.config) == 0
