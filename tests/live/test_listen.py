import io
import json
import re
import signal
import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.detector.model_file import KwsModel
from kws.detector.pipeline import Pipeline
from kws.errors import KwsError
from kws.live.events import Detected, JsonLines, Level, Listening, Overflow, PlainLines, Summary, json_line, sentence
from kws.live.listen import dbfs, listen, make_view
from kws.live.terminal import Terminal, bar
from kws.system.tables import Console

Samples = NDArray[np.int16]


def run_json(model: KwsModel, **options: Any) -> list[dict[str, Any]]:
    out = io.StringIO()
    listen(model, as_json=True, out=out, **options)
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.fixture
def playing(driver: Any, burst_sound: Samples) -> Any:
    """The fake device plays the bursts, 4 s of them, at once."""
    driver.play(burst_sound[: 4 * 16000])
    driver.synchronous = True
    return driver


def test_it_reports_what_the_pipeline_finds(playing: Any, tone_model: KwsModel, burst_sound: Samples) -> None:
    first, *middle, last = run_json(tone_model, seconds=4.0)
    listening = Pipeline(tone_model)
    expected = listening.push(burst_sound[: 4 * 16000])
    assert len(expected) == 3
    assert first == {
        "event": "listening", "phrases": ["beep"], "device": "Built-in Microphone", "rate_hz": 16000, "channels": 1,
        "engine": first["engine"], "thresholds": [pytest.approx(0.7, abs=1e-4)],
    }  # fmt: skip
    assert [event["event"] for event in middle] == ["detection", "peak"] * 3
    middle, peaks = middle[::2], middle[1::2]
    settled = listening.settled + listening.finish()
    for event, detection in zip(peaks, settled, strict=True):
        assert list(event) == ["event", "phrase", "time_s", "peak"]
        assert (event["phrase"], event["time_s"]) == ("beep", pytest.approx(detection.time_s, abs=1e-4))
        assert event["peak"] == pytest.approx(detection.peak, abs=1e-6)
    for event, detection in zip(middle, expected, strict=True):
        assert event["phrase"] == "beep"
        assert event["time_s"] == pytest.approx(detection.time_s, abs=1e-4)
        assert event["score"] == pytest.approx(detection.score, abs=1e-6)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", event["at"])
        assert event["latency_ms"] >= 0
    assert last["event"] == "summary"
    assert (last["seconds"], last["detections"], last["lost_s"]) == (4.0, 3, 0.0)
    assert last["latency_ms_max"] == max(event["latency_ms"] for event in middle)


def test_seconds_are_exact_though_no_multiple_of_a_block(playing: Any, tone_model: KwsModel) -> None:
    assert run_json(tone_model, seconds=1.2345)[-1]["seconds"] == 1.2345


def test_the_threshold_replaces_the_models(playing: Any, tone_model: KwsModel) -> None:
    events = run_json(tone_model, seconds=4.0, thresholds=1.0)
    assert events[0]["thresholds"] == [1.0]
    assert events[-1]["detections"] == 0
    assert events[-1]["latency_ms_median"] is None


def test_levels_come_only_when_asked_for(playing: Any, tone_model: KwsModel, burst_sound: Samples) -> None:
    levels = [event for event in run_json(tone_model, seconds=4.0, levels=True) if event["event"] == "level"]
    assert len(levels) == 40
    for index, event in enumerate(levels):
        sound = burst_sound[index * 1600 : (index + 1) * 1600] / 32768
        assert event["dbfs"] == pytest.approx(10 * np.log10(np.mean(np.square(sound))), abs=0.06)
    scores = [event["score"] for event in levels]
    assert max(scores[:8]) < 0.1
    assert max(scores) > 0.9


def test_lost_sound_is_reported_when_it_happens_and_at_the_end(
    driver: Any, tone_model: KwsModel, burst_sound: Samples
) -> None:
    driver.play(burst_sound[: 7 * 16000])
    driver.synchronous = True
    events = run_json(tone_model, seconds=5.0)
    assert [event["lost_s"] for event in events if event["event"] == "overflow"] == [2.0]
    assert events[-1]["lost_s"] == 2.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_with_a_summary_and_are_given_back(
    driver: Any, tone_model: KwsModel, burst_sound: Samples, number: signal.Signals
) -> None:
    before = signal.getsignal(number)
    driver.play(burst_sound[:16000])
    threading.Timer(0.3, signal.raise_signal, [number]).start()
    last = run_json(tone_model)[-1]
    assert (last["event"], last["seconds"]) == ("summary", 1.0)
    assert signal.getsignal(number) == before


def test_a_device_that_disappears_is_an_error(driver: Any, tone_model: KwsModel, burst_sound: Samples) -> None:
    driver.play(burst_sound[:16000])
    driver.ends = True
    with pytest.raises(KwsError, match="stopped giving sound"):
        run_json(tone_model)


def test_it_listens_in_another_thread_too(playing: Any, tone_model: KwsModel) -> None:
    found: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: found.extend(run_json(tone_model, seconds=4.0)))
    thread.start()
    thread.join(30)
    assert found[-1]["detections"] == 3


def test_plain_lines_for_a_log(playing: Any, tone_model: KwsModel) -> None:
    out = io.StringIO()
    summary = listen(tone_model, seconds=4.0, out=out)
    first, *both, last = out.getvalue().splitlines()
    middle, peaks = both[::2], both[1::2]
    assert all(re.fullmatch(r" {10}beep  peak 0\.9\d\d", line) for line in peaks)
    assert first == "listening for 'beep' on Built-in Microphone (16 kHz); press Ctrl+C to stop"
    assert len(middle) == summary.detections == 3
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d  beep  score 0\.\d{3}  at \d\.\d\d s", line) for line in middle)
    assert last.startswith("listened for 4.0 s: 3 detections, reported ")


class Unflushed(io.StringIO):
    """Counts what would still lie in a buffer."""

    waiting = 0

    def write(self, text: str) -> int:
        self.waiting += len(text)
        return super().write(text)

    def flush(self) -> None:
        self.waiting = 0


@pytest.mark.parametrize("view", [JsonLines, PlainLines])
def test_every_line_is_flushed(view: type[JsonLines] | type[PlainLines]) -> None:
    out = Unflushed()
    view(out).show(Overflow(1.0, 0.5))
    assert out.getvalue().endswith("\n")
    assert out.waiting == 0


def test_the_view_fits_the_stream() -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(make_view(io.StringIO(), as_json=False, levels=False), PlainLines)
    assert isinstance(make_view(Tty(), as_json=True, levels=False), JsonLines)


def test_the_terminal_shows_meters_and_keeps_detections() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None, _environ={"TERM": "xterm"})
    with Terminal(console) as view:
        view.show(Listening(("beep",), "Desk", 48000, 2, "c", (0.5,)))
        view.show(Level(0.1, -35.0, 0.25, "beep"))
        view.show(Detected("beep", 0.2, 0.75, "2030-01-02T03:04:05.678+00:00", 12.0))
    view.show(Summary(1.0, 1, 0.0, 12.0, 12.0))
    text = out.getvalue()
    assert "listening for 'beep' on Desk (48 kHz)" in text
    assert "level " + "█" * 20 + " " * 20 + "  -35.0 dBFS" in text
    assert "score " + "█" * 10 + " " * 10 + "|" + " " * 19 + "  0.250  threshold 0.500" in text
    assert "03:04:05  beep  score 0.750  at 0.20 s" in text
    assert text.rstrip().endswith("listened for 1.0 s: 1 detection, reported 12 ms after the sound")


def test_of_several_phrases_each_is_named(playing: Any, two_tone_model: KwsModel) -> None:
    """The device plays the low tone alone: its phrase is detected, and the level is about it."""
    events = run_json(two_tone_model, seconds=4.0, levels=True)
    assert events[0]["phrases"] == ["beep", "high chirp"]
    assert events[0]["thresholds"] == pytest.approx([0.7, 0.6], abs=1e-4)
    assert [event["phrase"] for event in events if event["event"] == "detection"] == ["beep"] * 3
    levels = [event for event in events if event["event"] == "level"]
    assert {level["phrase"] for level in levels if level["score"] > 0.9} == {"beep"}
    quiet = levels[0]
    assert (quiet["phrase"], quiet["score"]) == ("high chirp", pytest.approx(0.0, abs=0.1)), "nearer to its threshold"


def test_the_terminal_names_the_phrase_that_is_closest() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None, _environ={"TERM": "xterm"})
    with Terminal(console) as view:
        view.show(Listening(tuple("abcdefghij"), "Desk", 48000, 2, "c", tuple(0.1 * n for n in range(10))))
        view.show(Level(0.1, -35.0, 0.25, "d"))
    assert "listening for 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h' and 2 more on Desk" in out.getvalue()
    assert "0.250  threshold 0.300  d" in out.getvalue()


@pytest.mark.parametrize("value", [-3.0, 0.0, 0.3, 1.0, 99.0])
def test_a_bar_never_leaves_its_place(value: float) -> None:
    assert len(bar(value)) == len(bar(value, 1.0)) == len(bar(value, 2.0)) == 40


def test_dbfs_of_full_scale_and_of_one_bit() -> None:
    assert dbfs(32768.0**2) == 0.0
    assert dbfs(1.0) == -70.0
    assert dbfs(32768.0**2 / 1e6) == pytest.approx(-60.0)


def test_sentences_and_json_of_every_event() -> None:
    events = (
        Listening(("beep",), "Desk", 44100, 1, "c", (0.5,)),
        Detected("beep", 1.0, 0.9, "2030-01-02T03:04:05.678+00:00", 30.0),
        Level(1.0, -20.0, 0.1, "beep"),
        Overflow(1.0, 0.02),
        Summary(1.0, 2, 0.5, 30.0, 40.0),
    )
    for event in events:
        assert "\n" not in sentence(event)
        assert json.loads(json_line(event))["event"] == event.event
    assert (
        sentence(events[-1]) == "listened for 1.0 s: 2 detections, reported 30 ms after the sound, 0.50 s of sound lost"
    )


def silent_times(events: list[dict[str, Any]]) -> list[float]:
    return [event["time_s"] for event in events if event["event"] == "silence"]


@pytest.mark.parametrize("value", [0, 77])
def test_a_microphone_without_sound_is_told_once(
    driver: Any, tone_model: KwsModel, burst_sound: Samples, capsys: pytest.CaptureFixture[str], value: int
) -> None:
    """After sound has come, a pause may be the work of a noise gate; after a minute it is not."""
    flat = np.full(16000, value, np.int16)
    driver.play(np.concatenate([*[flat] * 9, burst_sound[:32000], *[flat] * 70]), 8000)
    events = run_json(tone_model, seconds=81.0)
    first, second = silent_times(events)
    assert first == 5.0
    assert 71.0 <= second <= 71.5
    assert next(event for event in events if event["event"] == "silence")["device"] == "Built-in Microphone"
    assert capsys.readouterr().err == ""


def test_plain_lines_tell_silence_on_standard_error(
    driver: Any, tone_model: KwsModel, capsys: pytest.CaptureFixture[str]
) -> None:
    driver.play(np.zeros(6 * 16000, np.int16), 8000)
    out = io.StringIO()
    listen(tone_model, seconds=6.0, out=out)
    assert len(out.getvalue().splitlines()) == 2
    told = capsys.readouterr().err
    assert told.startswith("kws: Built-in Microphone gives only digital silence; check that it is not muted")
    assert "--list-devices" in told


def test_quiet_noise_is_no_silence(driver: Any, tone_model: KwsModel) -> None:
    driver.play((np.arange(7 * 16000) % 4000 == 0).astype(np.int16), 8000)
    assert silent_times(run_json(tone_model, seconds=7.0)) == []
