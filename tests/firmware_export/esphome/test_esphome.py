"""Export for ESPHome: the derived graph, the file that the firmware takes, the manifest, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from firmware_export.engines.arena import measure_arena_bytes
from firmware_export.engines.runtimes import LiteRtEngine, TfliteMicroEngine
from firmware_export.esphome import pair as esphome
from firmware_export.esphome import verify as esphome_verify
from firmware_export.esphome.graph import Detector, cutoff_for, derive, difference, features_of, logistic_table
from firmware_export.esphome.pair import About, DeviceArena, export_pair, head_room_bytes, probability_cutoff
from firmware_export.tflite.writer import MICRO_OPERATORS
from firmware_export.verify import VerifyError
from firmware_export.write import export, targets_of
from kws.detector.decision import SCORE_ONE, DetectorConfig
from kws.detector.model_file import KwsModel, digest
from kws.errors import KwsError
from kws.frontend import FrontendConfig
from kws.graph.interpret import Interpreter
from kws.graph.ir import Add, Conv2D, Quant, QuantGraph, Reshape, State, Tensor

MakeGraph = Callable[..., QuantGraph]


@pytest.fixture(scope="module")
def pair(micro_tone_model: KwsModel, tmp_path_factory: pytest.TempPathFactory) -> esphome.Pair:
    folder = tmp_path_factory.mktemp("esphome")
    return export_pair(micro_tone_model, "beep_esphome", folder, About("Ann", "https://example.org"), 6.0)


def flatbuffer(content: bytes) -> Any:
    return schema.ModelT.InitFromPackedBuf(content)


def test_centred_logits_keep_every_integer(micro_tone_model: KwsModel, burst_sound: NDArray[np.int16]) -> None:
    """One row of weights is the other with its sign turned: the one logit is the keyword's, bit for bit."""
    derived = difference(micro_tone_model.graph)
    features = features_of(micro_tone_model, burst_sound)
    logits = Interpreter(micro_tone_model.graph).run(features)
    assert np.array_equal(Interpreter(derived).run(features), logits[:, 1:])
    assert len(np.unique(logits[:, 1])) > 20
    assert derived.tensor(derived.output) == Tensor("logits", (1, 1, 1), Quant(2.0 * float(np.float32(0.05)), 0))


def test_logits_that_are_not_centred_give_their_difference(deepkws_like: MakeGraph, rng: np.random.Generator) -> None:
    """The logistic function of the difference is the softmax's posterior, up to the rounding of weights."""
    graph = deepkws_like(rng, hidden=16, layers=2, outputs=2)
    derived = difference(graph)
    features = rng.integers(-128, 128, (600, 40)).astype(np.int8)
    both, one = (Interpreter(each).run(features).astype(np.int16) for each in (graph, derived))
    inside = (np.abs(both) < 127).all(axis=1)  # the difference itself is not clipped where one of the two is
    wanted = (both[:, 1] - both[:, 0]) / 2
    assert np.abs(one[:, 0] - wanted)[inside].max() < 2.5, "steps of the derived logit, twice as large"
    assert inside.sum() > 300
    assert wanted[inside].std() > 10


@pytest.mark.parametrize("scale", [0.02, 0.0866, 0.31, 1.7])
def test_the_table_is_tflites_logistic(scale: float) -> None:
    """All 256 logits through LOGISTIC and QUANTIZE of TFLite Micro and of LiteRT."""
    exact = float(np.float32(scale))
    graph = QuantGraph(
        (Tensor("features", (1, 40), Quant(exact, 0)), Tensor("map", (1, 1, 40), Quant(exact, 0))),
        (Reshape("features", "map"),), (), "features", "map",
    )  # fmt: skip
    weights = np.zeros((1, 1, 1, 40), np.int8)
    weights[..., 0] = 127
    picked = Conv2D("map", "logits", weights, np.array([1 / 127], np.float32), np.zeros(1, np.int32))
    graph = replace(
        graph, tensors=(*graph.tensors, Tensor("logits", (1, 1, 1), Quant(exact, 0))), ops=(*graph.ops, picked),
        output="logits",
    )  # fmt: skip
    features = np.zeros((256, 40), np.int8)
    features[:, 0] = np.arange(-128, 128)
    detector = Detector(graph, logistic_table(exact), 1, 0)
    content = esphome.to_bytes(detector)
    for engine in (TfliteMicroEngine(content), LiteRtEngine(content, reference=True)):
        assert np.array_equal(engine.run(features).view(np.uint8)[:, 0], detector.probabilities)
    assert np.array_equal(detector.steps(features), detector.probabilities)


def test_the_file_is_what_the_firmware_takes(pair: esphome.Pair, micro_tone_model: KwsModel) -> None:
    content = pair.tflite.read_bytes()
    model = flatbuffer(content)
    main, initial = model.subgraphs
    codes = {code.builtinCode: name for name in MICRO_OPERATORS for code in model.operatorCodes
             if code.builtinCode == getattr(schema.BuiltinOperator, name)}  # fmt: skip
    used = {codes.get(model.operatorCodes[op.opcodeIndex].builtinCode) for op in main.operators + initial.operators}
    assert used <= MICRO_OPERATORS
    assert {"CALL_ONCE", "VAR_HANDLE", "LOGISTIC", "QUANTIZE"} <= used
    given, taken = main.tensors[main.inputs[0]], main.tensors[main.outputs[0]]
    assert (list(given.shape), given.type) == ([1, 3, 40], schema.TensorType.INT8)
    assert (given.quantization.scale[0], given.quantization.zeroPoint[0]) == (666 / 256 / 25.6, -128)
    assert (list(taken.shape), taken.type) == ([1, 1], schema.TensorType.UINT8)
    assert (taken.quantization.scale[0], taken.quantization.zeroPoint[0]) == (1 / 256, 0)
    assert model.version == 3
    handles = [op.builtinOptions for op in main.operators if type(op.builtinOptions) is schema.VarHandleOptionsT]
    assert [(handle.container, handle.sharedName) for handle in handles] == [(b"", b"past")]
    found = {entry.name.decode(): bytes(model.buffers[entry.buffer].data).decode() for entry in model.metadata}
    assert found["kws.model_sha256"] == digest(micro_tone_model)


def test_the_manifest_has_every_field(pair: esphome.Pair) -> None:
    data = json.loads(pair.manifest.read_text())
    micro = data.pop("micro")
    assert data == {
        "type": "micro", "wake_word": "beep", "author": "Ann", "website": "https://example.org",
        "model": "beep_esphome.tflite", "trained_languages": ["en"], "version": 2,
    }  # fmt: skip
    measured = measure_arena_bytes(pair.tflite)
    assert pair.arena.measured_bytes == measured < pair.arena.declared_bytes == micro.pop("tensor_arena_size")
    assert int(micro.pop("probability_cutoff") * 255) == pair.cutoff == 230
    assert micro == {"feature_step_size": 10, "sliding_window_size": 3, "minimum_esphome_version": "2024.7.0"}
    assert "website" not in esphome.manifest(*_parts(), "x.tflite", DeviceArena(1, 2), About())


def _parts() -> tuple[KwsModel, Detector]:
    config = DetectorConfig.single("beep", ("filler", "beep"), 3, 1)
    quant = Quant(0.1, 0)
    graph = QuantGraph((Tensor("a", (1, 40), quant), Tensor("b", (1, 1, 2), quant)), (), (), "a", "b")
    return KwsModel(graph, FrontendConfig(), config, (1,)), Detector(graph, logistic_table(0.1), 3, 200)


def test_every_cutoff_is_stored_as_meant() -> None:
    for cutoff in range(255):
        number = probability_cutoff(cutoff)
        assert int(number * 255) == cutoff
        assert json.loads(json.dumps(number)) == number
    assert [cutoff_for(threshold, 5) for threshold in (0, SCORE_ONE // 2, SCORE_ONE)] == [0, 128, 254]


@pytest.mark.parametrize("threshold", [0.975, 0.9995, 1.0])
def test_a_threshold_near_one_is_moved_to_where_there_are_steps_above(
    micro_tone_model: KwsModel, burst_sound: NDArray[np.int16], threshold: float
) -> None:
    """A step's logit passes the cutoff where the .kws's posterior passes the threshold, to a step of the logit."""
    model = replace(micro_tone_model, thresholds=(round(threshold * SCORE_ONE),))
    model = replace(model, detector=replace(model.detector, smooth_frames=1))
    detector = derive(model)
    assert detector.cutoff == cutoff_for(round(0.9 * SCORE_ONE), 1)
    features = features_of(model, burst_sound)
    logits = (
        Interpreter(model.graph).run(features)[:, 1].astype(np.float64) * 2.0 * model.graph.tensor("logits").quant.scale
    )
    passed = detector.fires(detector.sums(detector.steps(features)))
    middle = np.log(9.0) + detector.moved
    near = np.abs(logits - middle) < 0.35
    assert np.array_equal(passed[~near], (logits > middle)[~near])
    assert threshold == 1.0 or middle == pytest.approx(np.log(threshold / (1.0 - threshold)), abs=0.03)
    assert detector.moved > 1.0
    if threshold < 1.0:
        assert 0 < passed.sum() < len(passed)


@pytest.mark.parametrize("window", [1, 3, 5, 128])
def test_the_firmwares_decision_is_a_threshold_of_ours(window: int) -> None:
    detector = Detector(_parts()[1].graph, logistic_table(0.1), window, 200)
    sums = np.arange(255 * window + 1)
    assert np.array_equal(detector.scores(sums) >= detector.threshold, detector.fires(sums))
    assert detector.sums(np.full(window + 1, 255, np.uint8)).tolist() == [
        255 * count for count in (*range(1, window + 1), window)
    ]


def test_head_room_is_the_largest_convolution_that_is_copied(micro_tone_model: KwsModel) -> None:
    derived = difference(micro_tone_model.graph)
    assert head_room_bytes(derived) == 6 * 40 + 6 * 40
    assert head_room_bytes(replace(derived, ops=derived.ops[:-1])) == 0


def variants(model: KwsModel) -> dict[str, tuple[KwsModel, str]]:
    """Models that the firmware cannot run, and what is said of each."""
    graph, quant = model.graph, model.graph.tensor("logits").quant
    many = replace(graph, states=graph.states * 21)
    added = replace(
        graph,
        tensors=(*graph.tensors, Tensor("sum", (1, 1, 2), quant)),
        ops=(*graph.ops, Add(("logits", "logits"), "sum")),
        output="sum",
    )
    twice = DetectorConfig.single("beep beep", ("filler", "beep", "beep_2"), 3, 4)
    two = DetectorConfig(("beep", "boop"), ("filler", "beep", "boop"), ((1,), (2,)), 3, 1)
    shape = Tensor("logits", (1, 1, 3), quant)
    three = replace(graph, tensors=(*graph.tensors[:-1], shape))
    other = Tensor("features", (3, 40), Quant(0.2, -128))
    return {
        "frontend": (replace(model, frontend=FrontendConfig()), 'train it with frontend = "micro"'),
        "quant": (replace(model, graph=replace(graph, tensors=(other, *graph.tensors[1:]))), "train it again"),
        "phrases": (replace(model, graph=three, detector=two, thresholds=(1, 1)), "this one has 2; train one for each"),
        "labels": (replace(model, graph=three, detector=twice), 'filler, beep, beep_2; use label_unit = "phrase"'),
        "states": (
            replace(model, graph=many),
            r"has 21 states \(the last is 'past'\), but the firmware takes at most 20",
        ),
        "smooth": (replace(model, detector=replace(model.detector, smooth_frames=129)), "use at most 128"),
        "last": (replace(model, graph=added), r"operator Add \('sum'\); end the model with a dense layer"),
        "never": (replace(model, thresholds=(SCORE_ONE + 1,)), "never be reached"),
    }


@pytest.mark.parametrize("what", ["frontend", "quant", "phrases", "labels", "states", "smooth", "last", "never"])
def test_what_the_firmware_cannot_run_is_refused(micro_tone_model: KwsModel, what: str) -> None:
    model, sentence = variants(micro_tone_model)[what]
    with pytest.raises(KwsError, match=sentence):
        derive(model)


def test_logits_that_are_used_elsewhere_are_refused(micro_tone_model: KwsModel) -> None:
    graph = micro_tone_model.graph
    kept = replace(graph, states=(*graph.states, State("old", "logits")))
    with pytest.raises(KwsError, match="come from 'logits', which 'old' also reads"):
        difference(kept)


def test_every_target_is_for_a_frontend(micro_tone_model: KwsModel, tone_model: KwsModel) -> None:
    assert targets_of(micro_tone_model, "all") == ("tflite", "onnx", "esphome")
    assert targets_of(tone_model, "all") == ("tflite", "onnx", "c")
    assert targets_of(micro_tone_model, "onnx") == ("onnx",)


def test_there_is_no_c_of_it(micro_tone_model: KwsModel, tmp_path: Path) -> None:
    with pytest.raises(KwsError, match=r'"micro" frontend; export --to esphome'):
        export(micro_tone_model, "beep", "c", tmp_path, 1.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("author", "website", "sentence"), [(" ", "", "author must be"), ("a", "ftp://x", "website must")]
)
def test_the_manifests_texts_are_checked(author: str, website: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        About(author, website)


def test_a_pair_that_differs_is_refused(
    micro_tone_model: KwsModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file holds another bias than the graph: nothing is put in place."""
    original = esphome.to_bytes

    def of_another(detector: Detector, *arguments: Any) -> bytes:
        last = detector.graph.ops[-1]
        assert isinstance(last, Conv2D)
        ops = (*detector.graph.ops[:-1], replace(last, bias=last.bias + 2000))
        return original(replace(detector, graph=replace(detector.graph, ops=ops)), *arguments)

    monkeypatch.setattr(esphome, "to_bytes", of_another)
    with pytest.raises(VerifyError, match="TFLite Micro: probability"):
        export(micro_tone_model, "beep", "esphome", tmp_path, 3.0)
    assert list(tmp_path.iterdir()) == []


def test_other_features_are_named(micro_tone_model: KwsModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(model: KwsModel, samples: NDArray[np.int16]) -> NDArray[np.int8]:
        features = features_of(model, samples).copy()
        features[50, 3] ^= 1
        return features

    monkeypatch.setattr(esphome_verify, "features_of", shifted)
    with pytest.raises(VerifyError, match="computes other features at frame 50"):
        export_pair(micro_tone_model, "beep", tmp_path, About(), 3.0)
