"""A model for two phrases, on tones: every figure of each phrase is known beforehand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.data import corpus, manifest
from kws.data.manifest import Clip
from kws.detector.decision import SCORE_ONE
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.evaluate.report import evaluate, operating_points
from kws.evaluate.results import Evaluation, SplitResult
from kws.evaluate.scoring import Options
from kws.evaluate.show import table
from kws.evaluate.show.plot import plot_det
from kws.streams.conditions import Condition, Conditions
from kws.streams.layout import build, layout_for
from kws.streams.plan import plans

RATE = 16000


def tones(seconds: float, *bursts: tuple[float, float]) -> NDArray[np.int16]:
    """Soft noise with 0.4 s of a tone at each (start in seconds, hertz)."""
    sound = np.random.default_rng(5).standard_normal(round(seconds * RATE)) * 20
    for start_s, hz in bursts:
        first = round(start_s * RATE)
        sound[first : first + 6400] += 6000 * np.sin(2 * np.pi * hz * np.arange(6400) / RATE)
    return sound.round().astype(np.int16)


def make_corpus(folder: Path, split: str, high_chirps: int = 3) -> Path:
    """Four "beep" (one is high by mistake), some "high chirp", speech with one tone of each, noise."""
    clips = []

    def add(name: str, label: str, speaker: str, samples: NDArray[np.int16], *times_s: float) -> None:
        write_audio(folder / name, samples)
        clips.append(
            Clip(
                str(folder / name), split, label, speaker, "made", "CC0", len(samples) / RATE, *times_s or (None, None)
            )
        )

    folder.mkdir(exist_ok=True)
    for number, hz in enumerate((1000, 1000, 1000, 3000)):
        add(f"low{number}.wav", "beep", f"ann{number % 2}", tones(1.2, (0.4, hz)), 0.4, 0.8)
    for number in range(high_chirps):
        add(f"high{number}.wav", "high_chirp", "bob", tones(1.2, (0.4, 3000)), 0.4, 0.8)
    add("speech.wav", "neg_speech", "sue", tones(36.0, (5.0, 1000), (20.0, 3000), (30.0, 3000)))
    add("hey.wav", "hey_beep", "sue", tones(2.0, (0.5, 1000)))
    add("fan.wav", "noise", "", tones(6.0))
    manifest.write(clips, folder / "manifest.csv")
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("tones"), "test")


@pytest.fixture(scope="module")
def result(path: Path, two_tone_model: KwsModel) -> Evaluation:
    return evaluate(two_tone_model, path)


def test_each_phrase_has_its_own_words_and_false_accepts(result: Evaluation) -> None:
    assert result.phrases == ("beep", "high chirp")
    assert result.thresholds == (round(0.7 * SCORE_ONE), round(0.6 * SCORE_ONE))
    low, high = result.splits
    assert (low.phrase, high.phrase) == ("beep", "high chirp")
    assert [(one.label, one.positives, one.misses) for one in low.positives] == [("beep", 4, 1)]
    assert [(one.label, one.positives, one.misses) for one in high.positives] == [("high_chirp", 3, 0)]
    assert low.positives[0].missed == ("low3.wav",)
    assert (low.negatives[0].label, low.negatives[0].false_accepts) == ("neg_speech", 1)
    assert (high.negatives[0].label, high.negatives[0].false_accepts) == ("neg_speech", 2)


def test_the_words_of_one_phrase_are_negatives_of_the_other(result: Evaluation) -> None:
    low, high = ({one.label: one.false_accepts for one in split.negatives} for split in result.splits)
    assert low == {"neg_speech": 1, "high_chirp": 0, "noise": 0}
    # hey_beep holds "beep", so it is nothing to that phrase, but sound without the other one
    assert high == {"neg_speech": 2, "beep": 1, "hey_beep": 0, "noise": 0}
    accept = next(one for one in result.splits[1].negatives if one.label == "beep").loudest[0]
    assert accept.path == "low3.wav"


def test_one_phrase_alone_gives_the_same(result: Evaluation, path: Path, two_tone_model: KwsModel) -> None:
    alone = evaluate(two_tone_model, path, Options(phrases=("High Chirp",)))
    assert (alone.phrases, alone.thresholds) == (("high chirp",), result.thresholds[1:])
    high = result.splits[1]
    assert headline(alone.splits[0]) == headline(high)
    with pytest.raises(KwsError, match="'low beep': the model is not for it; choose of 'beep', 'high chirp'"):
        evaluate(two_tone_model, path, Options(phrases=("beep", "low beep")))


def headline(split: SplitResult) -> tuple[object, ...]:
    return split.phrase, split.positives, split.negatives[0], split.det


def test_a_threshold_of_ones_own_is_for_all_or_for_one(path: Path, two_tone_model: KwsModel) -> None:
    never = evaluate(two_tone_model, path, Options(thresholds=1.0))
    assert never.thresholds == (SCORE_ONE, SCORE_ONE)
    one = evaluate(two_tone_model, path, Options(thresholds={"high_chirp": 0.5}))
    assert one.thresholds == (two_tone_model.thresholds[0], SCORE_ONE // 2)
    chirp = evaluate(two_tone_model, path, Options(thresholds={"high_chirp": 0.5}, phrases=("high chirp",)))
    assert chirp.thresholds == (SCORE_ONE // 2,)
    with pytest.raises(KwsError, match="'siri': the model has no such phrase"):
        evaluate(two_tone_model, path, Options(thresholds={"siri": 0.5}))


def test_transcripts_are_read_for_each_phrase(path: Path) -> None:
    plan = next(
        one for one in plans(corpus.read(path).clips, Condition("test"), ("beep", "high chirp")) if one.label == "noise"
    )
    said = {plan.clips[0].path: "a beep, a high chirp"}
    told = replace(plan, clips=tuple(replace(clip, text=said[clip.path]) for clip in plan.clips))
    layout = build(told).layout
    assert plan.phrase == "beep"
    assert layout.ignored == ((1.5, 7.5),), "beep is said, too"
    other = layout_for(told, layout, "high chirp", {})
    assert other is not None
    assert other.ignored == ((1.5, 7.5),)
    third = layout_for(told, layout, "low beep", {})
    assert third is not None
    assert third.ignored == ()


def test_the_overview_has_a_line_per_phrase_and_one_for_all(result: Evaluation) -> None:
    text = table.text(result)
    rows = [line.split() for line in text.splitlines() if line.startswith((" test ", "test "))]
    assert [row[1] for row in rows] == ["beep", "high"]
    assert "FRR 25.0 %" in text
    assert "FRR 0.0 %" in text
    assert "test: together: 1 of 7 words missed, FRR 14.3 % (" in text
    assert "FA/h 300 (" in text, "1 and 2 false accepts in 0.01 h"
    assert "--phrase 'beep'" in text
    assert all(len(line) <= table.WIDTH for line in text.splitlines())


def test_the_details_of_every_phrase(result: Evaluation) -> None:
    text = table.details(result)
    assert "“beep”, threshold 0.7000, clean" in text
    assert "“high chirp”, threshold 0.6000, clean" in text
    assert text.count("chosen on this very split") == 2


def test_data_is_json_with_a_row_per_phrase(result: Evaluation) -> None:
    data = json.loads(json.dumps(result.to_data()))
    assert (data["phrases"], len(data["thresholds"])) == (["beep", "high chirp"], 2)
    assert [(row["split"], row["phrase"]) for row in data["splits"]] == [("test", "beep"), ("test", "high chirp")]


def test_a_curve_per_phrase_is_drawn(result: Evaluation, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot_det([result], tmp_path / "det.svg")
    picture = (tmp_path / "det.svg").read_text()
    assert picture.count("<!-- beep, test, clean -->") == picture.count("<!-- high chirp, test, clean -->") == 1


def test_operating_points_are_those_of_each_phrase(tmp_path: Path, two_tone_model: KwsModel) -> None:
    points, thresholds = operating_points(two_tone_model, make_corpus(tmp_path, "dev"))
    assert [point.phrase for point in points] == sorted(point.phrase for point in points)
    assert {point.phrase for point in points} == {"beep", "high chirp"}
    assert len(thresholds) == 2
    model = replace(two_tone_model, operating_points=points, thresholds=thresholds)
    assert model.operating_points == points


def test_thresholds_are_chosen_on_what_is_most_like_the_use(tmp_path: Path, two_tone_model: KwsModel) -> None:
    """Words: of the last corpus that has enough of them. Speech: where there is most."""
    spoken = corpus.read(make_corpus(tmp_path / "spoken", "dev", high_chirps=12))
    recorded = corpus.read(make_corpus(tmp_path / "recorded", "dev", high_chirps=11))
    longer = corpus.read(make_corpus(tmp_path / "longer", "dev", high_chirps=2), ("high_chirp", "neg_speech", "noise"))
    rooms = replace(longer, clips=tuple(replace(clip, label="rir") for clip in longer.clips))
    points, _ = operating_points(two_tone_model, [spoken, recorded, longer, rooms])
    told = {point.phrase: point.measured_on for point in points}
    assert told["high chirp"].startswith("dev: 11 high_chirp by 1 speakers, 0.01 h neg_speech")
    assert told["beep"].startswith("dev: 4 beep by 2 speakers")
    with pytest.raises(KwsError, match="has no clip with the label 'beep'"):
        operating_points(two_tone_model, [longer])
    with pytest.raises(KwsError, match="no clip of split 'train'"):
        operating_points(two_tone_model, [spoken, recorded], Conditions(("train",)))
