"""An exported pair in pymicro-wakeword beside our own evaluation: the same audio, the same detections."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from firmware_export.esphome.graph import Detector, derive, features_of
from firmware_export.esphome.verify import BuiltInEngine
from kws.cli import command
from kws.detector import micro_wake_word as runtime
from kws.detector import pipeline
from kws.detector.decision import Decision, decide
from kws.detector.model_file import KwsModel, save
from kws.errors import KwsError
from kws.evaluate import compare, micro_wake_word
from kws.evaluate.scoring import Options, Subject, subject


@pytest.fixture(scope="module")
def pair(micro_tone_model: KwsModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest beside its .tflite and its .kws, as ``kws export`` writes them."""
    folder = tmp_path_factory.mktemp("pair")
    save(micro_tone_model, folder / "beep.kws")
    result = run("export", folder / "beep.kws", "--to", "esphome", "--verify-seconds", "4", "--author", "Ann")
    assert result.exit_code == 0, result.output
    assert "pymicro-wakeword" in result.output
    assert "tensor_arena_size" in result.output
    return folder / "beep_esphome.json"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)), catch_exceptions=False)


def as_the_firmware(model: KwsModel) -> tuple[Detector, Subject]:
    """The derived probabilities through our own decision."""
    detector, ours = derive(model), subject(model, name="firmware")

    def score(samples: NDArray[np.int16]) -> NDArray[np.int32]:
        return detector.scores(detector.sums(detector.steps(features_of(model, samples))))[:, None]

    return detector, replace(ours, thresholds=(detector.threshold,), score=score)


def test_the_desktop_decides_as_we_do(
    pair: Path, micro_tone_model: KwsModel, burst_sound: NDArray[np.int16], burst_times_s: tuple[float, ...]
) -> None:
    """Features, probabilities, sums and detections; the model itself, with its finer posteriors, detects the same."""
    detector, ours = as_the_firmware(micro_tone_model)
    theirs = micro_wake_word.subject(pair)
    mine, yours = ours.score(burst_sound), theirs.score(burst_sound)
    begin = detector.window - 1
    assert mine.shape == yours.shape
    assert np.abs(mine - yours)[begin:].max() <= 128, "a step of a probability at most, by its rounding"
    same_kernels = BuiltInEngine(pair.with_suffix(".tflite")).probabilities(features_of(micro_tone_model, burst_sound))
    assert np.array_equal(detector.scores(detector.sums(same_kernels))[begin:], yours[begin:, 0])
    found = [
        decide(scores[:, 0], subject.thresholds[0], ours.refractory_steps)
        for scores, subject in ((mine, ours), (yours, theirs))
    ]
    assert found[0].tolist() == found[1].tolist()
    assert len(found[0]) == len(burst_times_s)
    whole = pipeline.Pipeline(micro_tone_model, engine="graph")
    assert [one.step for one in whole.push(burst_sound)] == found[0].tolist()


def test_the_runtime_itself_fires_at_the_threshold_we_give_it(pair: Path, burst_sound: NDArray[np.int16]) -> None:
    """``process_streaming`` of the package against the subject's threshold on its scores."""
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures

    model, published = MicroWakeWord.from_config(pair), runtime.read(pair)
    frames = MicroWakeWordFeatures().process_streaming(burst_sound.tobytes())
    fired = [model.process_streaming(frame) for frame in frames][published.stride - 1 :: published.stride]
    one = micro_wake_word.subject(pair)
    assert fired == (one.score(burst_sound)[:, 0] >= one.thresholds[0]).tolist()
    assert 0 < sum(map(bool, fired)) < len(fired)
    assert one.thresholds[0] == math.floor(published.least_sum * 128 / published.window)


def test_both_are_measured_alike(pair: Path, micro_tone_model: KwsModel, tone_corpus: Path) -> None:
    """Through ``kws.evaluate``: the same hits, misses and false accepts at every threshold that they ship."""
    _, ours = as_the_firmware(micro_tone_model)
    result = compare.evaluate_subjects([ours], [micro_wake_word.subject(pair)], tone_corpus, Options())
    sides = [side.results[0].shipped for side in (result.models, result.against)]
    assert [(one.positives, one.misses, one.false_accepts) for one in sides] == [(4, 1, 0)] * 2
    assert sides[0].by_speaker == sides[1].by_speaker


def test_an_esphome_model_is_compared_on_the_command_line(pair: Path, tone_corpus: Path) -> None:
    result = run(
        *("evaluate", pair.with_name("beep.kws"), "--manifest", tone_corpus.parent, "--engine", "graph"),
        *("--against", pair, "--json"),
    )
    data = json.loads(result.stdout)
    assert data["models"]["models"] == ["beep"]
    assert data["against"]["models"] == [str(pair)]
    shipped = [data[side]["conditions"][0]["shipped"]["misses"] for side in ("models", "against")]
    assert shipped == [1, 1], "the high beep"


def test_json_says_what_was_written(pair: Path, tmp_path: Path) -> None:
    result = run(
        *("export", pair.with_name("beep.kws"), "--to", "esphome", "--out", tmp_path),
        *("--verify-seconds", "2", "--json"),
    )
    data = json.loads(result.stdout)
    assert {Path(path).name for path in data["files_bytes"]} == {"beep_esphome.tflite", "beep_esphome.json"}
    assert data["esphome"]["cutoff"] == 230
    assert {"graph", "TFLite Micro", "LiteRT reference", "LiteRT XNNPACK", "LiteRT built-in", "pymicro-wakeword"} == {
        engine["name"] for engine in data["esphome"]["verify"]["engines"]
    }
    assert (tmp_path / "beep_esphome.tflite").read_bytes() == pair.with_suffix(".tflite").read_bytes()
    refused = CliRunner().invoke(command, ["export", str(pair.with_name("beep.kws")), "--website", "example.org"])
    assert "--website must begin with https://" in refused.output


def test_wrong_manifests_are_named(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "m.json"
    with pytest.raises(KwsError, match=r"m\.json: cannot be read"):
        runtime.read(broken)
    broken.write_text("{}")
    with pytest.raises(KwsError, match=r"m\.json: is not a manifest of micro_wake_word"):
        runtime.read(broken)
    data = json.loads(pair.read_text())
    (tmp_path / data["model"]).write_bytes(b"not a model")
    broken.write_text(json.dumps(data))
    with pytest.raises(KwsError, match=r"m\.json: its type is not micro or its model not a \.tflite"):
        runtime.read(broken)
    monkeypatch.setitem(sys.modules, "pymicro_wakeword", None)
    with pytest.raises(KwsError, match=r'pip install "kws\[esphome\]"'):
        runtime.read(pair)


def test_what_is_too_loud_is_clipped_as_in_the_firmware(pair: Path) -> None:
    published = runtime.read(pair)
    assert runtime.quantized(published, np.array([[0.0, 25.9, 26.1, 40.0]])).tolist() == [[-128, 127, 127, 127]]


def test_the_model_listens_with_its_own_frontend(
    micro_tone_model: KwsModel, burst_sound: NDArray[np.int16], burst_times_s: tuple[float, ...]
) -> None:
    """In chunks of any size, and over a whole recording, the same scores."""
    whole = pipeline.scores(micro_tone_model, burst_sound, "graph")
    stream = pipeline.Pipeline(micro_tone_model, "graph")
    parts = []
    for begin in range(0, len(burst_sound), 3777):
        stream.push(burst_sound[begin : begin + 3777])
        parts.append(stream.scores)
    assert np.array_equal(np.concatenate(parts), whole)
    decision = Decision(micro_tone_model.thresholds, micro_tone_model.detector.refractory_steps(30))
    assert len(decision.push(whole)) == len(burst_times_s)
