"""Audio to detections in one: the parts in a row, whatever the chunks, the engine and the stride."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws import frontend, runtime
from kws.detector import pipeline
from kws.detector.decision import SCORE_ONE, Detection, DetectorConfig, Scorer, decide
from kws.detector.model_file import KwsModel
from kws.detector.pipeline import Pipeline
from kws.errors import KwsError
from kws.frontend.config import FrontendConfig
from kws.graph.arithmetic import quantize_features
from kws.graph.interpret import Interpreter
from kws.graph.ir import QuantGraph

MakeGraph = Callable[[int, int], QuantGraph]
ENGINES = ["graph", "c"] if runtime.available() else ["graph"]


def bursts(seconds: float, seed: int = 0) -> NDArray[np.int16]:
    """Noise that comes and goes at every level: something for random weights to react to."""
    rng = np.random.default_rng(seed)
    levels = np.repeat(2.0 ** rng.uniform(0, 14, int(seconds * 10) + 1), 1600)[: int(seconds * 16000)]
    return np.clip(rng.standard_normal(len(levels)) * levels, -32768, 32767).astype(np.int16)


def make_model(graph: QuantGraph, threshold: int = SCORE_ONE) -> KwsModel:
    labels = ("filler", "hey", "marvin")[: graph.outputs]
    return KwsModel(graph, FrontendConfig(), DetectorConfig.single("hey marvin", labels, 5, 10, 200), (threshold,))


def firing(model: KwsModel, samples: NDArray[np.int16]) -> int:
    """A threshold at which the samples give several detections."""
    scores = pipeline.scores(model, samples, "graph")[:, 0]
    candidates: list[int] = np.unique(scores).tolist()
    return max(candidates, key=lambda score: (min(len(decide(scores, score, 20)), 5), score))


@pytest.fixture(params=[1, 3], ids=["stride 1", "stride 3"])
def model(request: pytest.FixtureRequest, small_graph: MakeGraph) -> KwsModel:
    return make_model(small_graph(3, request.param))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_pipeline_is_its_parts_in_a_row(model: KwsModel, engine: str) -> None:
    samples = bursts(4.0)
    stride = model.graph.stride
    lfbe = frontend.compute(samples, model.frontend, "numpy")
    features = quantize_features(lfbe, model.graph.tensor(model.graph.input).quant)
    logits = Interpreter(model.graph).run(features[: len(features) // stride * stride])
    scores = Scorer(model.detector, model.graph.tensor(model.graph.output).quant.scale, 10 * stride).push(logits)
    threshold = firing(model, samples)
    steps = decide(scores[:, 0], threshold, -(-200 // (10 * stride)))
    listening = Pipeline(model, engine, threshold)
    found = listening.push(samples)
    assert np.array_equal(listening.scores, scores)
    assert len(steps) >= 2
    assert found == [
        Detection("hey marvin", step, ((step + 1) * stride * 160 + 240) / 16000, scores[step, 0] / SCORE_ONE)
        for step in steps.tolist()
    ]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 32000), max_size=30), engine=st.sampled_from(ENGINES))
def test_any_chunking_gives_the_same(model: KwsModel, cuts: list[int], engine: str) -> None:
    samples = bursts(2.0)
    threshold = firing(model, samples)
    whole = Pipeline(model, engine, threshold)
    wanted = whole.push(samples)
    chunked = Pipeline(model, engine, threshold)
    found, scores = [], []
    for chunk in np.split(samples, sorted(cuts)):
        found += chunked.push(chunk)
        scores += chunked.scores.tolist()
    assert found == wanted
    assert scores == whole.scores.tolist()


def test_a_detection_is_made_when_its_last_frame_is_complete(model: KwsModel) -> None:
    """No sample after a detection's time was needed for it, and every sample before it was."""
    samples = bursts(3.0)
    threshold = firing(model, samples)
    first = Pipeline(model, "graph", threshold).push(samples)[0]
    needed = round(first.time_s * 16000)
    assert needed == first.time_s * 16000
    assert Pipeline(model, "graph", threshold).push(samples[:needed]) == [first]
    assert Pipeline(model, "graph", threshold).push(samples[: needed - 1]) == []


def test_whole_recordings_are_scored_in_bounded_chunks(model: KwsModel, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = bursts(7.3)
    wanted = pipeline.scores(model, samples, "graph")
    monkeypatch.setattr(pipeline, "_CHUNK_SECONDS", 1)
    assert np.array_equal(pipeline.scores(model, samples, "graph"), wanted)
    listening = Pipeline(model, "graph")
    listening.push(samples)
    assert np.array_equal(listening.scores, wanted)


@pytest.mark.parametrize("count", [0, 1, 399])
def test_too_short_for_a_frame_is_no_score(model: KwsModel, count: int) -> None:
    samples = np.zeros(count, np.int16)
    assert pipeline.scores(model, samples, "graph").shape == (0, 1)
    assert pipeline.logits(model, samples, "graph").shape == (0, 3)
    assert Pipeline(model, "graph").push(samples) == []


def test_phrases_decide_each_by_itself_in_any_chunks(small_graph: MakeGraph) -> None:
    phrases, keywords = ("hey marvin", "hey alexa"), ((1, 2), (1, 3))
    detector = DetectorConfig(phrases, ("filler", "hey", "marvin", "alexa"), keywords, 5, 10, 200)
    model = KwsModel(small_graph(4, 1), FrontendConfig(), detector, (SCORE_ONE, SCORE_ONE))
    samples = bursts(4.0)
    scores = pipeline.scores(model, samples, "graph")
    assert scores.shape[1] == 2
    thresholds = tuple(int(np.quantile(column, 0.8)) for column in scores.T)
    model = KwsModel(model.graph, model.frontend, detector, thresholds)
    found = Pipeline(model, "graph").push(samples)
    for index, phrase in enumerate(phrases):
        steps = decide(scores[:, index], thresholds[index], 20).tolist()
        assert [detection.step for detection in found if detection.phrase == phrase] == steps
        assert [detection.score for detection in found if detection.phrase == phrase] == [
            scores[step, index] / SCORE_ONE for step in steps
        ]
        assert len(steps) >= 2
    assert [detection.step for detection in found] == sorted(detection.step for detection in found)
    chunked = Pipeline(model, "graph")
    assert [one for chunk in np.split(samples, [77, 5000, 40001]) for one in chunked.push(chunk)] == found


def test_a_reset_pipeline_starts_a_new_stream(model: KwsModel) -> None:
    samples = bursts(2.0)[:-77]
    listening = Pipeline(model, "graph", firing(model, samples))
    first = listening.push(samples)
    assert first
    listening.reset()
    assert len(listening.scores) == 0
    assert listening.push(samples) == first


def test_the_models_threshold_is_the_default(small_graph: MakeGraph) -> None:
    graph = small_graph(2, 1)
    samples = bursts(3.0)
    threshold = firing(make_model(graph), samples)
    found = Pipeline(make_model(graph, threshold), "graph").push(samples)
    assert found
    assert found == Pipeline(make_model(graph, 1), "graph", threshold).push(samples)
    assert Pipeline(make_model(graph, threshold), "graph", SCORE_ONE + 1).push(samples) == []


def test_an_unknown_engine_is_refused(model: KwsModel) -> None:
    with pytest.raises(KwsError, match="engine"):
        Pipeline(model, "gpu")
