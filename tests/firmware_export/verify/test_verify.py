"""Verification: ten minutes equal everywhere, and every way in which an engine can be wrong is an error."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_export import seal, verify
from firmware_export.engines.runtimes import TfliteMicroEngine
from firmware_export.probe import probe_audio
from firmware_export.tflite import writer as tflite
from firmware_export.verify import rounding
from kws import frontend
from kws.detector.engine import GraphEngine
from kws.errors import KwsError
from kws.graph.arithmetic import quantize_features
from kws.graph.ir import Conv2D, QuantGraph

Maker = Callable[..., QuantGraph]
EXACT = ("c", "TFLite Micro", "LiteRT reference", "ONNX Runtime")
ROUNDED = ("LiteRT XNNPACK", "ONNX Runtime, QDQ")


@pytest.fixture
def graph(deepkws_like: Maker) -> QuantGraph:
    return deepkws_like(np.random.default_rng(1), hidden=8)


def noise(steps: int, seed: int = 0) -> NDArray[np.int8]:
    return np.random.default_rng(seed).integers(-128, 128, (steps, 40)).astype(np.int8)


def allowed(graph: QuantGraph, steps: int) -> int:
    """What an engine may differ over ``noise(steps)`` that rounds otherwise."""
    return rounding.bound_lsb(graph, noise(steps), GraphEngine(graph).run(noise(steps)))


class WrongEngine(GraphEngine):
    """The graph's numbers, but for one logit of one step."""

    name = "wrong"

    def __init__(self, graph: QuantGraph, step: int, add: int) -> None:
        super().__init__(graph)
        self.step, self.add, self.done = step, add, 0

    def run(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
        logits = super().run(features)
        if 0 <= self.step - self.done < len(logits):
            logits[self.step - self.done, 1] += np.int8(self.add)
        self.done += len(logits)
        return logits


class RoundedEngine(WrongEngine):
    """One of those that may round otherwise."""

    exact = False


def heard(graph: QuantGraph, seconds: float) -> NDArray[np.int8]:
    """The probe audio (speech-like bursts, noise of every level, tones, clicks, clipping, silence) as ``graph`` gets it
    from the frontend; the frames that the last window lacks are silence.
    """
    lfbe = frontend.compute(probe_audio(seconds))
    frames = np.zeros((round(100 * seconds), lfbe.shape[1]), np.int16)
    frames[: len(lfbe)] = lfbe
    return quantize_features(frames, graph.tensor(graph.input).quant)


@pytest.mark.slow
def test_ten_minutes_of_audio_are_equal_in_every_step(deepkws_like: Maker) -> None:
    """60,000 steps of 10 ms from samples through the frontend and 11 x 40 -> 3 x 128 -> 3.

    As many values are requantized as with DeepKWS's 41 frames (the next test has them), in a third of the time.
    """
    graph = deepkws_like(np.random.default_rng(1), frames=11)
    engines = [found for found in verify.candidates(graph) if not found.name.startswith(("ONNX", "tflite-runtime"))]
    agree_everywhere(graph, heard(graph, 600), 60_000, engines)


@pytest.mark.slow
def test_noise_over_the_whole_range_of_the_input_is_equal_in_every_step(deepkws_like: Maker) -> None:
    graph = deepkws_like(np.random.default_rng(1))
    agree_everywhere(graph, noise(3000), 3000, verify.candidates(graph))


def agree_everywhere(
    graph: QuantGraph, features: NDArray[np.int8], steps: int, engines: Sequence[verify.Candidate]
) -> None:
    report = verify.verify(graph, features, engines)
    asked = {engine.name for engine in engines}
    results = {result.name: result for result in report.results}
    assert (report.steps, report.values) == (steps, 3 * steps)
    assert report.not_installed == ()
    for name in asked.intersection(EXACT):
        assert (results[name].status, results[name].steps, results[name].differing_values) == ("equal", steps, 0)
    for name in asked.intersection(ROUNDED):
        assert results[name].steps == steps
        assert 1 <= results[name].max_difference_lsb <= results[name].bound_lsb <= 8
        assert results[name].differing_values < 0.05 * report.values


def test_the_logits_of_that_graph_say_something(deepkws_like: Maker) -> None:
    """Equality of engines that all give a constant would prove nothing."""
    graph = deepkws_like(np.random.default_rng(1))
    for features in (noise(2000), heard(graph, 20)):
        logits = GraphEngine(graph).run(features)
        assert (logits.std(axis=0) > 5).all()
        assert ((logits == 127) | (logits == -128)).mean() < 0.05


def test_the_first_wrong_step_is_named_with_both_values(graph: QuantGraph) -> None:
    wanted = int(GraphEngine(graph).run(noise(1300))[1234, 1])
    sentence = f"^wrong: at step 1234 logit 1 is {wanted + 1}, but the graph gives {wanted}; they must be equal"
    with pytest.raises(verify.VerifyError, match=sentence):
        verify.verify(graph, noise(1300), [WrongEngine(graph, 1234, 1)])


def test_the_bound_is_kept_for_engines_that_round_otherwise(graph: QuantGraph) -> None:
    bound = allowed(graph, 20)
    result = verify.verify(graph, noise(20), [RoundedEngine(graph, 7, bound)]).results[1]
    assert (result.status, result.max_difference_lsb, result.differing_values) == ("within bound", bound, 1)
    with pytest.raises(verify.VerifyError, match=f"wrong: at step 7 logit 1 .* {bound} LSB are allowed"):
        verify.verify(graph, noise(20), [RoundedEngine(graph, 7, bound + 1)])


@pytest.mark.parametrize("name", [*EXACT, *ROUNDED])
def test_a_file_of_another_graph_is_found(graph: QuantGraph, name: str) -> None:
    """One bias of the last layer off by 12 LSB of the logits, in the exported graph only."""
    last = graph.ops[-1]
    assert isinstance(last, Conv2D)
    scale = graph.tensor(last.input).quant.scale * float(last.weight_scales[1])
    step = np.array([0, round(12 * graph.tensor(graph.output).quant.scale / scale), 0], np.int32)
    other = replace(graph, ops=(*graph.ops[:-1], replace(last, bias=last.bias + step)))
    (candidate,) = [found for found in verify.candidates(other) if found.name == name]
    with pytest.raises(verify.VerifyError, match=f"^{name}: at step 0 logit 1 is"):
        verify.verify(graph, noise(20), [candidate])


def test_a_state_that_starts_wrong_is_found(graph: QuantGraph) -> None:
    """The file's variable holds 0 at first, in place of the zero point."""
    content = tflite.to_bytes(graph)
    start = bytes(np.full(40 * 40, -37, np.int8))
    assert content.count(start) == 1
    broken = TfliteMicroEngine(seal.seal(content.replace(start, bytes(1600))))
    with pytest.raises(verify.VerifyError, match="TFLite Micro: at step"):
        verify.verify(graph, noise(50), [broken])


def test_an_engine_that_is_not_installed_is_said_to_be(graph: QuantGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tflite_micro.python.tflite_micro.runtime", None)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setenv("KWS_NO_NATIVE", "1")
    report = verify.verify(graph, noise(20))
    assert report.not_installed == ("c", "TFLite Micro", "ONNX Runtime", "ONNX Runtime, QDQ")
    missing = next(result for result in report.results if result.name == "TFLite Micro")
    assert (missing.status, missing.steps) == ("not installed", 0)
    assert 'tflite-micro is not installed here; pip install "kws[export]"' in report.table()
    assert [
        line for line in report.table().splitlines() if line.startswith("TFLite Micro  ") and "not installed" in line
    ]


def test_an_engine_that_breaks_is_not_taken_for_a_missing_one(graph: QuantGraph) -> None:
    def fail() -> Any:
        raise KwsError("half.tflite: cannot be loaded")

    with pytest.raises(KwsError, match="cannot be loaded"):
        verify.verify(graph, noise(20), [verify.Candidate("broken", fail)])


def test_an_engine_of_another_shape_is_refused(graph: QuantGraph, deepkws_like: Maker) -> None:
    other = GraphEngine(deepkws_like(np.random.default_rng(1), hidden=8, outputs=2))
    with pytest.raises(
        verify.VerifyError, match="graph: takes 1 frames and gives 2 logits per step, but the graph has 1 and 3"
    ):
        verify.verify(graph, noise(20), [other])


def test_an_engine_that_gives_too_few_decisions_is_refused(graph: QuantGraph) -> None:
    class Short(GraphEngine):
        name = "short"

        def run(self, features: NDArray[np.int8]) -> NDArray[np.int8]:
            return super().run(features)[:-1]

    with pytest.raises(verify.VerifyError, match=r"short: gives \[19, 3\] logits for 20 frames"):
        verify.verify(graph, noise(20), [Short(graph)])


def test_nothing_to_verify_is_no_success(graph: QuantGraph) -> None:
    with pytest.raises(verify.VerifyError, match="nothing to verify"):
        verify.verify(graph, noise(0), [GraphEngine(graph)])
    with pytest.raises(KwsError, match=r"give int8 \[frames, 40\]"):
        verify.verify(graph, noise(20)[:, :39], [GraphEngine(graph)])


def test_an_engine_is_started_anew(graph: QuantGraph) -> None:
    used = TfliteMicroEngine(tflite.to_bytes(graph))
    used.run(noise(60, seed=9))
    assert verify.verify(graph, noise(60), [used]).results[1].status == "equal"


def test_the_report_as_text_and_data(graph: QuantGraph) -> None:
    report = verify.verify(graph, noise(30), [GraphEngine(graph), RoundedEngine(graph, 3, 2)])
    bound = allowed(graph, 30)
    lines = [line.split() for line in report.table().splitlines()]
    assert lines[0][:3] == ["engine", "steps", "result"]
    assert lines[1][:3] == ["graph", "30", "reference"]
    assert lines[2][:5] == ["graph", "30", "equal", "0", "LSB"]
    assert lines[3][:-1] == ["wrong", "30", "within", "bound", "2", "LSB", "1", "of", "90", str(bound), "LSB"]
    data = json.loads(json.dumps(report.to_data()))
    assert (data["steps"], data["values"]) == (30, 90)
    assert data["engines"][2] | {"seconds": 0} == {
        "name": "wrong",
        "status": "within bound",
        "steps": 30,
        "max_difference_lsb": 2,
        "differing_values": 1,
        "bound_lsb": bound,
        "seconds": 0,
        "note": "",
    }


def test_long_runs_tell_how_far_they_are(graph: QuantGraph, capsys: pytest.CaptureFixture[str]) -> None:
    verify.verify(graph, noise(100), [GraphEngine(graph)])
    assert capsys.readouterr().err == ""
    verify.verify(graph, noise(8000), [GraphEngine(graph)])
    assert "Verifying: 100 %" in capsys.readouterr().err
