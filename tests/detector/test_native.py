"""The whole detector in C against the stages in numpy: equal scores, detections and peaks, whatever the chunks."""

import os
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws import runtime
from kws.detector import native, pipeline
from kws.detector.decision import SCORE_ONE, Detection, DetectorConfig
from kws.detector.model_file import KwsModel
from kws.detector.native import NativeDetector
from kws.detector.pipeline import Pipeline
from kws.errors import KwsError
from kws.frontend.config import FrontendConfig
from kws.graph.ir import QuantGraph

MakeGraph = Callable[[int, int], QuantGraph]
FRONTENDS = (FrontendConfig(), FrontendConfig(window_ms=20, hop_ms=16, fft_size=512, bands=40))

if not runtime.available() and not os.environ.get("CI"):  # there it must have been built: load says why not
    pytest.skip(runtime.reason(), allow_module_level=True)
ffi, lib = runtime.load()


def bursts(seconds: float, seed: int) -> NDArray[np.int16]:
    rng = np.random.default_rng(seed)
    levels = np.repeat(2.0 ** rng.uniform(0, 14, int(seconds * 10) + 1), 1600)[: int(seconds * 16000)]
    return np.clip(rng.standard_normal(len(levels)) * levels, -32768, 32767).astype(np.int16)


def several(graph: QuantGraph, frontend: FrontendConfig, smooth: int, most: int, refractory_ms: int) -> KwsModel:
    """Three phrases that share labels, one of them heard by a single label."""
    keywords = ((1, 2), (3, 1), (3,))
    detector = DetectorConfig(("a b", "c a", "c"), ("_", "a", "b", "c"), keywords, smooth, most, refractory_ms)
    return KwsModel(graph, frontend, detector, (SCORE_ONE,) * 3)


Heard = tuple[list[Detection], list[Detection], list[list[int]]]


def heard(listening: Pipeline, samples: NDArray[np.int16], cuts: list[int]) -> Heard:
    made: list[Detection] = []
    settled: list[Detection] = []
    scores: list[list[int]] = []
    for chunk in np.split(samples, sorted(cuts)):
        made += listening.push(chunk)
        settled += listening.settled
        scores += listening.scores.tolist()
    return made, settled + listening.finish(), scores


@pytest.mark.parametrize("stride", [1, 2, 3])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1000),
    cuts=st.lists(st.integers(0, 40_000), max_size=25),
    smooth=st.integers(1, 9),
    most=st.integers(1, 20),
    refractory_ms=st.sampled_from([0, 10, 170, 700]),
    frontend=st.sampled_from(FRONTENDS),
)
def test_c_equals_numpy(
    small_graph: MakeGraph,
    stride: int,
    seed: int,
    cuts: list[int],
    smooth: int,
    most: int,
    refractory_ms: int,
    frontend: FrontendConfig,
) -> None:
    model = several(small_graph(4, stride), frontend, smooth, most, refractory_ms)
    samples = bursts(2.5, seed)
    levels = [max(1, int(np.quantile(one, 0.7))) for one in pipeline.scores(model, samples, "graph").T]
    compiled, staged = Pipeline(model, "c", levels), Pipeline(model, "graph", levels)
    wanted = heard(staged, samples, [])
    assert (compiled.engine, staged.engine) == ("c", "graph")
    assert heard(compiled, samples, cuts) == wanted
    for one in (compiled, staged):
        one.reset()
        assert len(one.scores) == 0
        assert heard(one, samples, cuts[::2]) == wanted


def test_detections_are_what_is_compared(small_graph: MakeGraph) -> None:
    """The drawn models fire, and their scores go on rising: a comparison of nothing would pass as well."""
    model = several(small_graph(4, 1), FRONTENDS[0], 5, 10, 170)
    samples = bursts(6.0, 1)
    levels = [int(np.quantile(one, 0.7)) for one in pipeline.scores(model, samples, "graph").T]
    made, settled, _ = heard(Pipeline(model, "c", levels), samples, [])
    assert {one.phrase for one in made} == {"a b", "c a", "c"}
    assert all(one.peak is None for one in made)
    assert all(one.peak is not None and one.peak >= one.score for one in settled)
    assert any(one.peak is not None and one.peak > one.score for one in settled)


def test_a_chunk_longer_than_a_call(small_graph: MakeGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    model = several(small_graph(4, 1), FRONTENDS[0], 5, 10, 0)
    samples = bursts(3.0, 2)
    wanted = heard(Pipeline(model, "graph", 3000), samples, [])
    assert wanted[0]
    for piece in (1, 160, 1023, 16_000, 48_000):
        monkeypatch.setattr(native, "PIECE", piece)
        assert heard(Pipeline(model, "c", 3000), samples, []) == wanted


def test_a_detection_in_every_second_step_finds_room(tone_model: KwsModel) -> None:
    """The buffer holds the most detections that there can be; C would count the others and leave them out."""
    frontend = FrontendConfig(window_ms=16, hop_ms=16, fft_size=256)
    detector = DetectorConfig.single("beep", ("filler", "beep"), smooth_frames=1, max_frames=1, refractory_ms=0)
    model = KwsModel(tone_model.graph, frontend, detector, tone_model.thresholds)
    tone = 6000 * np.sin(2 * np.pi * 1000 * np.arange(256) / 16000)
    samples = np.tile(np.concatenate([tone, np.zeros(256)]), 200).astype(np.int16)
    wanted = heard(Pipeline(model, "graph"), samples, [])
    assert len(wanted[0]) == 200
    assert heard(Pipeline(model, "c"), samples, []) == wanted


def test_it_is_the_devices_own_kws_feed(small_graph: MakeGraph) -> None:
    """kws_feed, as firmware calls it, on the same constants."""
    model = several(small_graph(4, 2), FRONTENDS[0], 5, 10, 170)
    samples = bursts(4.0, 5)
    levels = [int(np.quantile(one, 0.7)) for one in pipeline.scores(model, samples, "graph").T]
    detector = NativeDetector(model, levels)
    wanted = detector.push(samples)
    detector.reset()
    out = ffi.new("kws_detection_t[]", 100)
    made = lib.kws_feed(detector._kws, ffi.from_buffer("int16_t[]", samples), len(samples), out, 100)
    assert [(one.step, one.phrase) for one in out[0:made]] == wanted
    assert [model.step_end(step) for step, _ in wanted] == [one.sample for one in out[0:made]]
    assert made > 3


def test_a_strided_view_is_read_as_it_is(small_graph: MakeGraph) -> None:
    model = several(small_graph(4, 1), FRONTENDS[0], 5, 10, 170)
    samples = bursts(2.0, 7)
    stereo = np.stack([samples, -(samples // 2)], axis=1)
    assert heard(Pipeline(model, "c", 3000), stereo[:, 0], [999]) == heard(Pipeline(model, "c", 3000), samples, [])


@pytest.mark.parametrize("samples", [np.zeros(10, np.float32), np.zeros((10, 1), np.int16)])
def test_what_are_no_samples_is_refused(small_graph: MakeGraph, samples: NDArray[np.int16]) -> None:
    model = several(small_graph(4, 1), FRONTENDS[0], 5, 10, 170)
    with pytest.raises(KwsError, match="give one channel of int16 samples"):
        Pipeline(model, "c").push(samples)


def test_another_frontend_is_staged(micro_tone_model: KwsModel, burst_sound: NDArray[np.int16]) -> None:
    """There is no C of ESPHome's here: the engine alone is compiled."""
    pytest.importorskip("pymicro_features")
    listening = Pipeline(micro_tone_model)
    assert listening.engine == "c"
    assert heard(listening, burst_sound, [5000]) == heard(Pipeline(micro_tone_model, "graph"), burst_sound, [])


def test_without_the_compiled_runtime_numpy_serves(
    tone_model: KwsModel, burst_sound: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = heard(Pipeline(tone_model), burst_sound, [])
    monkeypatch.setenv(runtime.OFF, "1")
    listening = Pipeline(tone_model)
    assert listening.engine == "graph"
    assert heard(listening, burst_sound, []) == wanted
