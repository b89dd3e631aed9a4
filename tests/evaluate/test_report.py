"""End to end: a manifest on disk, a hand-made model that fires on loud sound, and every figure known beforehand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.data import manifest
from kws.data.manifest import Clip
from kws.detector.decision import SCORE_ONE, DetectorConfig
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.evaluate.report import DEV, evaluate, operating_points
from kws.evaluate.results import Evaluation
from kws.evaluate.scoring import Options
from kws.evaluate.show import table
from kws.evaluate.show.plot import plot_det
from kws.frontend.config import FrontendConfig
from kws.graph.ir import Conv2D, Quant, QuantGraph, Reshape, Tensor
from kws.streams.conditions import Conditions

RATE = 16000
LOUD_LOG2 = 29.0
"""Mean LFBE between that of the quiet (300 RMS, about 26) and of the loud bursts (4000 RMS, about 33)."""


def loudness_model(phrase: str = "computer") -> KwsModel:
    """A keyword logit of (mean LFBE - 29), filler 0: fires on anything loud, so that every detection is known."""
    quant = Quant(0.1875, -128)
    scale = np.float32(1.0 / 40.0 / 127.0)
    weights = np.zeros((2, 1, 1, 40), np.int8)
    weights[1] = 127
    bias = np.array([0, round(-LOUD_LOG2 / (quant.scale * float(scale)))], np.int32)
    graph = QuantGraph(
        tensors=(
            Tensor("frame", (1, 40), quant),
            Tensor("map", (1, 1, 40), quant),
            Tensor("logits", (1, 1, 2), Quant(0.125, 0)),
        ),
        ops=(
            Reshape("frame", "map"),
            Conv2D("map", "logits", weights, np.array([1.0, scale], np.float32), bias),
        ),
        states=(),
        input="frame",
        output="logits",
    )
    detector = DetectorConfig.single(phrase, ("filler", phrase), smooth_frames=10, max_frames=20)
    return KwsModel(graph, FrontendConfig(), detector, (SCORE_ONE // 2,))


def sound(seconds: float, bursts: dict[tuple[float, float], float], floor: float = 5.0) -> NDArray[np.int16]:
    rng = np.random.default_rng(len(bursts))
    signal = rng.normal(0.0, floor, round(seconds * RATE))
    for (start_s, end_s), rms in bursts.items():
        first, after = round(start_s * RATE), round(end_s * RATE)
        signal[first:after] += rng.normal(0.0, rms, after - first)
    return np.clip(np.rint(signal), -32768, 32767).astype(np.int16)


def corpus(folder: Path, split: str = "test") -> Path:
    """Five words by three speakers, one of them too soft and one said twice; speech with one loud place."""
    clips = []

    def add(name: str, label: str, speaker: str, samples: NDArray[np.int16], end_s: float | None = None) -> None:
        write_audio(folder / name, samples)
        start_s = None if end_s is None else end_s - 0.4
        length_s = len(samples) / RATE
        clips.append(Clip(str(folder / name), split, label, speaker, "made", "CC0", length_s, start_s, end_s))

    word = {(0.4, 0.8): 4000.0}
    add("ann1.wav", "computer", "ann", sound(1.2, word))
    add("ann2.wav", "computer", "ann", sound(1.2, word), 0.8)
    add("bob1.wav", "computer", "bob", sound(1.2, {(0.4, 0.8): 200.0}))
    add("bob2.wav", "computer", "bob", sound(4.0, word | {(3.0, 3.4): 4000.0}), 0.8)
    add("eve1.wav", "computer", "eve", sound(1.2, word))
    add("in.wav", "sentence:computer", "eve", sound(3.0, {(2.0, 2.4): 4000.0, (0.2, 1.5): 300.0}), 2.4)
    add("speech1.wav", "neg_speech", "sue", sound(20.0, {(0.0, 20.0): 300.0}))
    add("speech2.wav", "neg_speech", "tom", sound(16.0, {(0.0, 16.0): 300.0, (5.0, 5.4): 4000.0}))
    add("other.wav", "alexa", "ann", sound(1.2, {(0.4, 0.8): 300.0}))
    add("fan.wav", "noise", "", sound(6.0, {(0.0, 6.0): 300.0}))
    manifest.write(clips, folder / "manifest.csv")
    (folder / "utterances.csv").write_text(
        "path,start_s,end_s,utt,transcript\n"
        "speech2.wav,0.0,4.5,1,BEFORE IT\nspeech2.wav,4.5,9.0,2,THE LOUD ONE\nspeech2.wav,9.0,16.0,3,AFTER\n"
    )
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def result(path: Path) -> Evaluation:
    return evaluate(loudness_model(), path)


def test_words_are_counted_per_speaker(result: Evaluation) -> None:
    alone, inside = result.splits[0].positives
    assert (alone.label, alone.positives, alone.misses, alone.false_reject_rate) == ("computer", 5, 1, 0.2)
    assert [(one.speaker, one.misses, one.positives) for one in alone.by_speaker] == [
        ("ann", 0, 2),
        ("bob", 1, 2),
        ("eve", 0, 1),
    ]
    assert alone.missed == ("bob1.wav",)
    assert alone.false_accepts == 1  # bob says something loud 2.2 s after his word
    assert alone.estimated_ends == 3
    assert alone.interval_over == "speakers"
    assert alone.frr_interval[0] <= 0.2 <= alone.frr_interval[1]
    assert (inside.label, inside.misses, inside.interval_over) == ("sentence:computer", 0, "clips")
    assert inside.frr_interval == pytest.approx((0.0, 0.95))


def test_latency_is_that_of_the_decision(result: Evaluation) -> None:
    """Ten smoothed frames of which half are loud: about 60 ms into a word of 400 ms."""
    inside = result.splits[0].positives[1]
    assert inside.latency_median_s == pytest.approx(-0.34, abs=0.03)


def test_false_accepts_are_counted_and_explained(result: Evaluation) -> None:
    speech, *others = result.splits[0].negatives
    assert (speech.label, speech.false_accepts, speech.clips) == ("neg_speech", 1, 2)
    assert speech.hours == pytest.approx(0.01)
    assert speech.false_accepts_per_hour == pytest.approx(100.0)
    assert speech.interval == pytest.approx((2.53, 557.2), abs=0.1)
    accept = speech.loudest[0]
    assert (accept.path, accept.transcript) == ("speech2.wav", "THE LOUD ONE")
    assert accept.time_s == pytest.approx(5.06, abs=0.03)
    assert accept.score > 0.9
    assert [(one.label, one.false_accepts) for one in others] == [("alexa", 0), ("noise", 0)]
    assert others[1].interval == pytest.approx((0.0, 2.9957 / (6.0 / 3600)), abs=0.1)


def test_a_threshold_of_ones_own(path: Path) -> None:
    never = evaluate(loudness_model(), path, Options(thresholds=1.0))
    assert never.thresholds == (SCORE_ONE,)
    assert never.splits[0].positives[0].misses == 5
    assert never.splits[0].negatives[0].false_accepts == 0


def test_every_engine_and_every_run_gives_the_same(path: Path, result: Evaluation) -> None:
    again = evaluate(loudness_model(), path, Options(Conditions(engine="graph")))
    assert replace(again, engine="auto") == result


def test_noise_is_mixed_in(path: Path, result: Evaluation) -> None:
    """At -20 dB the noise is far louder than the words: it fires all the time, and so never re-arms."""
    noisy = evaluate(loudness_model(), path, Options(Conditions(noise_snr_db=-20.0)))
    assert noisy.noise_snr_db == -20.0
    assert noisy.splits[0].positives[0].misses > result.splits[0].positives[0].misses
    assert noisy.splits[0].negatives[2] == result.splits[0].negatives[2]  # the noise recordings themselves


def test_the_table_says_all_of_it(result: Evaluation) -> None:
    text = table.text(result)
    for part in (
        "“computer”, threshold 0.5000, clean",
        "5 words by 3",
        "1 missed, 1 false",
        "FRR 20.0 % (",
        "0.01 h, 2 files",
        "FA/h 100 (2.53-557)",
        "computer: ~ 3 of 5 words' ends are estimated from energy",
        "missed per speaker: bob 1/2",
        "speech2.wav 5.0",
        "“THE LOUD ONE”",
        "chosen on this very split: FRR 100.0 % at 0.1 FA/h, ",
    ):
        assert part in text
    assert all(len(line) <= 108 for line in text.split("\n") if "test: " not in line)


def test_data_is_json(result: Evaluation) -> None:
    data = json.loads(json.dumps(result.to_data()))
    split = data["splits"][0]
    assert split["positives"][0]["false_reject_rate"] == 0.2
    assert split["positives"][0]["speakers"] == 3
    assert split["negatives"][0]["false_accepts_per_hour"] == pytest.approx(100.0)
    assert {"threshold", "false_reject_rate", "false_accepts_per_hour"} <= set(split["det"][0])


def test_operating_points_are_measured_and_hold(tmp_path: Path) -> None:
    path = corpus(tmp_path, "dev")
    points, default = operating_points(loudness_model(), path)
    assert points[0].false_accepts_per_hour == 0.0
    assert [p.false_accepts_per_hour for p in points] == sorted(p.false_accepts_per_hour for p in points)
    assert points[0].measured_on == "dev: 5 computer by 3 speakers, 0.01 h neg_speech"
    assert default == (points[0].threshold,)
    checked = evaluate(loudness_model(), path, Options(DEV, default[0] / SCORE_ONE)).splits[0]
    assert checked.positives[0].false_reject_rate == points[0].false_reject_rate
    assert checked.negatives[0].false_accepts == 0
    assert replace(loudness_model(), operating_points=points, thresholds=default).thresholds == default


def test_another_phrase_has_only_negatives(path: Path) -> None:
    split = evaluate(loudness_model("hey marvin"), path).splits[0]
    assert split.positives == ()
    assert split.det == ()
    assert {one.label for one in split.negatives} >= {"neg_speech", "computer", "sentence:computer"}
    with pytest.raises(KwsError, match="has no clip with the label 'hey_marvin'"):
        operating_points(loudness_model("hey marvin"), path, Conditions())


def test_what_is_not_there_is_said(path: Path, tmp_path: Path) -> None:
    with pytest.raises(KwsError, match=r"no clip of split 'dev' to evaluate on \(its splits: test\)"):
        evaluate(loudness_model(), path, Options(DEV))
    with pytest.raises(KwsError, match="cannot be read"):
        evaluate(loudness_model(), tmp_path / "none.csv")
    (tmp_path / "manifest.csv").write_text(path.read_text())
    with pytest.raises(KwsError, match=r"\.wav"):
        evaluate(loudness_model(), tmp_path / "manifest.csv")


def test_a_broken_list_of_utterances_is_named(tmp_path: Path) -> None:
    path = corpus(tmp_path)
    (tmp_path / "utterances.csv").write_text("path,start_s,end_s,transcript\nspeech2.wav,zero,1,X\n")
    with pytest.raises(KwsError, match=r"utterances\.csv, line 2: start_s is 'zero'"):
        evaluate(loudness_model(), path)


def test_the_det_plot(result: Evaluation, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_det([result], tmp_path / "det.png")
    assert (tmp_path / "det.png").read_bytes().startswith(b"\x89PNG")
    plot_det([result, result], tmp_path / "det.svg")
    assert b"<svg" in (tmp_path / "det.svg").read_bytes()
    with pytest.raises(KwsError, match="choose one of these endings"):
        plot_det([result], tmp_path / "det.txt")
    with pytest.raises(KwsError, match="nothing to plot"):
        plot_det([], tmp_path / "det.png")
    with pytest.raises(KwsError, match="cannot be written"):
        plot_det([result], tmp_path / "missing" / "det.png")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["det.png", "det.svg"]


def test_a_room_is_a_row_of_pooled_figures_alone(path: Path) -> None:
    with pytest.raises(KwsError, match=r"rooms .*--pool"):
        evaluate(loudness_model(), path, Options(Conditions(room=True)))
