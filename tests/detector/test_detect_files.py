import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.cli.listen import json_line, nothing_line, text_line
from kws.detector.files import detect_blocks, detect_file, trailing_samples
from kws.detector.model_file import KwsModel
from kws.detector.pipeline import Pipeline
from kws.detector.thresholds import q15
from kws.errors import KwsError


@pytest.fixture
def take(tmp_path: Path, burst_sound: NDArray[np.int16]) -> Path:
    write_audio(tmp_path / "take.flac", burst_sound)
    return tmp_path / "take.flac"


def test_every_burst_is_found_at_its_time(tone_model: KwsModel, take: Path, burst_times_s: tuple[float, ...]) -> None:
    detections = detect_file(tone_model, take)
    assert [detection.phrase for detection in detections] == ["beep"] * len(burst_times_s)
    for detection, start_s in zip(detections, burst_times_s, strict=True):
        assert start_s < detection.time_s < start_s + 0.2
        assert detection.score >= 0.7


@pytest.mark.parametrize("block_s", [0.013, 1.0, 60.0])
def test_the_size_of_the_blocks_changes_nothing(tone_model: KwsModel, take: Path, block_s: float) -> None:
    partials = list(detect_blocks(tone_model, take, block_s=block_s))
    assert [found for partial in partials for found in partial.detections] == detect_file(tone_model, take)
    ends = [partial.end_s for partial in partials]
    assert ends == sorted(ends)
    assert ends[-1] == 12.0


def test_it_is_the_pipelines_own_result(tone_model: KwsModel, take: Path, burst_sound: NDArray[np.int16]) -> None:
    listening = Pipeline(tone_model, "graph")
    made = listening.push(burst_sound)
    found = detect_file(tone_model, take, engine="graph")
    assert found == listening.settled + listening.finish()
    assert [replace(one, peak=None) for one in found] == made


def test_a_detection_comes_with_the_peak_of_its_refractory_period(tone_model: KwsModel, take: Path) -> None:
    scores = np.concatenate([partial.scores[:, 0] for partial in detect_blocks(tone_model, take, block_s=0.3)])
    found = detect_file(tone_model, take)
    assert [one.peak for one in found] == [scores[one.step : one.step + 50].max() / 32768 for one in found]
    assert all(one.peak is not None and one.peak > one.score + 0.05 for one in found)


def test_other_rates_and_channels_find_the_same_bursts(
    tone_model: KwsModel, take: Path, tmp_path: Path, burst_sound: NDArray[np.int16]
) -> None:
    import soxr

    stereo = np.repeat(soxr.resample(burst_sound.astype(np.float32) / 32768, 16000, 44100)[:, None], 2, axis=1)
    soundfile.write(tmp_path / "take.ogg", stereo, 44100)
    expected = [detection.time_s for detection in detect_file(tone_model, take)]
    found = [detection.time_s for detection in detect_file(tone_model, tmp_path / "take.ogg")]
    np.testing.assert_allclose(found, expected, atol=0.031)


def test_a_word_at_the_very_end_is_found(tone_model: KwsModel, take: Path, tmp_path: Path) -> None:
    """Too short a burst to fill the smoothing window by itself: only the silence after it completes its steps."""
    burst = np.zeros(8000, np.int16)
    burst[-1440:] = 6000 * np.sin(2 * np.pi * np.arange(1440) / 16)
    write_audio(tmp_path / "end.wav", burst)
    assert not Pipeline(tone_model, threshold=q15(0.8)).push(burst)
    assert len(detect_file(tone_model, tmp_path / "end.wav", thresholds=0.8)) == 1


def test_the_silence_fed_after_the_end_covers_latency_and_smoothing(tone_model: KwsModel) -> None:
    # 25 ms window, no declared latency, 10 steps of smoothing at 10 ms.
    assert trailing_samples(tone_model) == 400 + 10 * 160


def test_the_threshold_replaces_the_models(tone_model: KwsModel, take: Path) -> None:
    assert detect_file(tone_model, take, thresholds=1.0) == []
    first = detect_file(tone_model, take, thresholds=0.9)[0]
    assert first.time_s > detect_file(tone_model, take, thresholds=0.3)[0].time_s


def test_json_is_one_object_per_line(tone_model: KwsModel, take: Path) -> None:
    detection = detect_file(tone_model, take)[0]
    line = json_line(take, detection, tone_model)
    assert "\n" not in line
    data = json.loads(line)
    assert list(data) == ["file", "phrase", "time_s", "score", "peak", "threshold"]
    assert data["peak"] == pytest.approx(detection.peak, abs=1e-6)
    assert data["file"] == str(take)
    assert data["time_s"] == pytest.approx(detection.time_s, abs=1e-4)
    assert data["score"] == pytest.approx(detection.score, abs=1e-6)
    assert data["threshold"] == pytest.approx(0.7, abs=1e-4)
    assert json.loads(json_line(take, detection, tone_model, 0.5))["threshold"] == 0.5


def test_text_names_file_time_phrase_and_score(tone_model: KwsModel, take: Path) -> None:
    detection = detect_file(tone_model, take)[0]
    line = text_line(take, detection, tone_model)
    assert line.startswith(f"{take}: ")
    assert f"{detection.time_s:.2f} s  beep  score {detection.score:.3f}" in line


def test_of_several_phrases_each_detection_says_which(two_tone_model: KwsModel, take: Path) -> None:
    """Between the bursts of 1 kHz there is one of 3 kHz, at 4.2 s."""
    detections = detect_file(two_tone_model, take)
    assert [detection.phrase for detection in detections] == [*["beep"] * 3, "high chirp", *["beep"] * 4]
    high = detections[3]
    assert 4.2 < high.time_s < 4.4
    assert "high chirp  score" in text_line(take, high, two_tone_model)
    assert "(threshold 0.600)" in text_line(take, high, two_tone_model)
    assert "(threshold 0.700)" in text_line(take, detections[0], two_tone_model)
    assert json.loads(json_line(take, high, two_tone_model))["threshold"] == pytest.approx(0.6, abs=1e-4)
    partials = list(detect_blocks(two_tone_model, take))
    assert all(len(partial.highest_scores) == 2 for partial in partials)


def test_silence_says_which_phrase_came_closest(tone_model: KwsModel, two_tone_model: KwsModel) -> None:
    one = nothing_line("a.wav", (0.25,), tone_model)
    assert one == "a.wav: 'beep' was not detected  (highest score 0.250, threshold 0.700)"
    several = nothing_line("a.wav", (0.25, 0.2), two_tone_model)
    wanted = "none of 2 phrases was detected  (closest: 'high chirp', highest score 0.200, threshold 0.600)"
    assert several == f"a.wav: {wanted}"
    assert "closest: 'beep'" in nothing_line("a.wav", (0.25, 0.2), two_tone_model, 0.5)


def test_an_unreadable_file_is_one_sentence(tone_model: KwsModel, tmp_path: Path) -> None:
    with pytest.raises(KwsError, match="does not exist"):
        detect_file(tone_model, tmp_path / "none.wav")


def test_a_detection_before_the_sound_breaks_off_is_given(tone_model: KwsModel, burst_sound: NDArray[np.int16]) -> None:
    """Its peak is not known yet when the sound ends in an error."""

    def breaking() -> Iterator[NDArray[np.int16]]:
        yield burst_sound[: round(1.25 * 16000)]
        raise KwsError("the cable is out")

    partials = detect_blocks(tone_model, breaking())
    first = next(partials)
    assert (len(first.made), first.detections) == (1, ())
    (waiting,) = next(partials).detections
    assert waiting.time_s == first.made[0].time_s
    assert waiting.peak is not None
    with pytest.raises(KwsError, match="cable"):
        next(partials)
