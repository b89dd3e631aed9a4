"""Real time, real PortAudio: a PulseAudio null sink is the speaker, its monitor the microphone."""

import contextlib
import ctypes.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from kws.audio import read_audio, write_audio
from kws.data import manifest
from kws.data.synthesis.config import SynthesisConfig
from kws.data.synthesis.voices.find import find_voices
from kws.data.synthesis.voices.voice import Style
from kws.detector.decision import SCORE_ONE, Detection
from kws.detector.files import detect_file
from kws.detector.model_file import KwsModel, load, save
from kws.detector.pipeline import scores

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "scripts" / "virtual_microphone.sh"
KWS = (sys.executable, "-m", "kws")
GOLDEN = Path(__file__).parents[1] / "golden" / "computer.kws"
CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "manifest.csv"


def missing_tools() -> list[str]:
    missing = [tool for tool in ("pulseaudio", "pactl", "paplay") if shutil.which(tool) is None]
    if ctypes.util.find_library("portaudio") is None:
        missing.append("libportaudio2")
    if not list(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so")):
        missing.append("libasound2-plugins")
    return missing


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    """Skip where the tools are missing; under CI that is a failure."""
    if missing := missing_tools():
        sentence = f"needs {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)


@contextlib.contextmanager
def virtual_microphone() -> Iterator[dict[str, str]]:
    """Start a server of our own; give the environment in which its microphone is the default one."""
    wait = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [str(SCRIPT), sys.executable, "-c", wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with virtual_microphone() as found:
        yield found


@pytest.fixture
def model_path(tmp_path: Path, tone_model: KwsModel) -> Path:
    save(tone_model, tmp_path / "beep.kws")
    return tmp_path / "beep.kws"


class Listener:
    """``kws listen --json`` in a process of its own."""

    def __init__(self, environment: dict[str, str], model_path: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [*KWS, "listen", str(model_path), "--json", *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.first: dict[str, Any] = json.loads(self.process.stdout.readline())

    def finish(self, timeout_s: float) -> tuple[list[dict[str, Any]], str]:
        """Return what it still wrote: events, and standard error."""
        out, error = self.process.communicate(timeout=timeout_s)
        return [json.loads(line) for line in out.splitlines()], error


@pytest.fixture
def listeners() -> Iterator[list[Listener]]:
    """Those put here are ended with the test, whatever happens in it."""
    started: list[Listener] = []
    yield started
    for listener in started:
        if listener.process.poll() is None:
            listener.process.kill()
            listener.process.communicate()


def play_to(listener: Listener, path: Path, environment: dict[str, str]) -> list[dict[str, Any]]:
    """Play the file in real time, end the listener; return its detections after checking how it ended."""
    assert listener.first["event"] == "listening"
    assert listener.first["rate_hz"] == 16000
    start_s, duration_s = time.monotonic(), soundfile.info(path).duration
    subprocess.run(["paplay", str(path)], env=environment, check=True, timeout=duration_s + 20)
    assert time.monotonic() - start_s > duration_s - 1  # in real time
    time.sleep(0.7)
    listener.process.send_signal(signal.SIGTERM)
    (*events, summary), error = listener.finish(5)
    assert (listener.process.returncode, error) == (0, "")
    assert {event["event"] for event in events} <= {"detection", "peak"}
    assert summary["event"] == "summary"
    detections = [event for event in events if event["event"] == "detection"]
    assert (summary["detections"], summary["lost_s"]) == (len(detections), 0.0)
    assert 0 < summary["latency_ms_median"] < 250
    return detections


def assert_same(events: list[dict[str, Any]], expected: list[Detection]) -> None:
    """Where the stream starts is unknown, by which the frames lie differently over the sound: up to some steps."""
    assert [event["phrase"] for event in events] == [detection.phrase for detection in expected]
    starts_s = [event["time_s"] - detection.time_s for event, detection in zip(events, expected, strict=True)]
    assert max(starts_s) - min(starts_s) <= 0.05
    for event, detection in zip(events, expected, strict=True):
        assert event["score"] == pytest.approx(detection.score, abs=0.1)


def test_the_microphone_reports_what_the_file_holds(
    environment: dict[str, str],
    model_path: Path,
    tmp_path: Path,
    tone_model: KwsModel,
    burst_sound: NDArray[Any],
    listeners: list[Listener],
) -> None:
    write_audio(tmp_path / "take.wav", burst_sound)
    listeners.append(Listener(environment, model_path))
    assert_same(
        play_to(listeners[0], tmp_path / "take.wav", environment), list(detect_file(tone_model, tmp_path / "take.wav"))
    )


@pytest.mark.parametrize("source", ["real recordings", "synthetic voices"])
def test_a_trained_detector_hears_people_as_it_does_in_files(
    source: str, environment: dict[str, str], tmp_path: Path, listeners: list[Listener]
) -> None:
    """The detector that `make demo` made (tests/golden) and people, or voices that it was not trained on."""
    clips = recordings() if source == "real recordings" else voices()
    if not clips:
        assert not CORPUS.exists()
        pytest.skip("the real recordings are not beside this checkout; the synthetic voices are always played")
    model = load(GOLDEN)
    pause = np.random.default_rng(0).normal(0, 8, 16000).astype(np.int16)
    write_audio(tmp_path / "talk.wav", np.concatenate([part for clip in clips for part in (pause, clip)] + [pause]))
    threshold = threshold_in_the_widest_gap([int(scores(model, np.concatenate([clip, pause])).max()) for clip in clips])
    expected = list(detect_file(model, tmp_path / "talk.wav", thresholds=threshold))
    assert len(expected) >= 3
    listeners.append(Listener(environment, GOLDEN, "--threshold", str(threshold)))
    assert_same(play_to(listeners[0], tmp_path / "talk.wav", environment), expected)


def recordings() -> list[NDArray[np.int16]]:
    """Twelve people's "computer" from the real corpus, where it lies beside the checkout."""
    if not CORPUS.exists():
        return []
    clips = [clip for clip in manifest.read(CORPUS) if (clip.label, clip.split) == ("computer", "dev")]
    return [read_audio(Path(clip.path)) for clip in clips[:: max(1, len(clips) // 12)]][:12]


def voices() -> list[NDArray[np.int16]]:
    """Eight voices of espeak-ng that say "computer"."""
    found = find_voices(SynthesisConfig(backends=("espeak",)))
    style = Style(rate_wpm=170.0, pitch_percent=50.0, pitch_range_percent=50.0)
    return [voice.say("computer", style).samples for voice in found[:: len(found) // 8]][:8]


def threshold_in_the_widest_gap(peaks: list[int]) -> float:
    """Return the confidence 0..1 that is farthest from any clip's peak, among those that at least three clips reach."""
    best = sorted(peaks, reverse=True)
    gaps = [(best[place] - best[place + 1], place) for place in range(2, len(best) - 1)]
    _, place = max(gaps)
    return (best[place] + best[place + 1]) / 2 / SCORE_ONE


def test_a_device_that_disappears_ends_it_with_one_sentence(model_path: Path, listeners: list[Listener]) -> None:
    with virtual_microphone() as environment:
        listener = Listener(environment, model_path)
        listeners.append(listener)
        time.sleep(1.0)
        assert listener.process.poll() is None
        os.kill(int(environment["KWS_VIRTUAL_MICROPHONE_PID"]), signal.SIGKILL)
        start_s = time.monotonic()
        _, error = listener.finish(10)
    assert time.monotonic() - start_s < 5
    assert listener.process.returncode == 2
    assert len(error.splitlines()) == 1
    assert "stopped giving sound" in error


def test_seconds_end_it_by_themselves(environment: dict[str, str], model_path: Path, listeners: list[Listener]) -> None:
    listener = Listener(environment, model_path, "--seconds", "1", "--device", "default")
    listeners.append(listener)
    (summary,), error = listener.finish(10)
    assert (listener.process.returncode, error) == (0, "")
    assert summary["seconds"] == 1.0


def test_the_device_is_listed_as_default(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [*KWS, "listen", "--list-devices"], env=environment, capture_output=True, text=True, check=True
    )
    assert any(line.startswith("*") and "default, ALSA" in line for line in done.stdout.splitlines())


@pytest.mark.parametrize("device", [None, "phone line"])
def test_no_such_device_is_one_sentence(model_path: Path, tmp_path: Path, device: str | None) -> None:
    """No server and no sound card: ALSA's default leads nowhere."""
    if device is None and Path("/proc/asound/card0").exists():
        pytest.skip("this machine has a sound card")
    (tmp_path / "asound.conf").write_text("</usr/share/alsa/alsa.conf>\n")
    environment = {
        **os.environ,
        "ALSA_CONFIG_PATH": str(tmp_path / "asound.conf"),
        "PULSE_SERVER": f"unix:{tmp_path}/none",
    }
    options = [] if device is None else ["--device", device]
    done = subprocess.run(
        [*KWS, "listen", str(model_path), *options], env=environment, capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "no input device" in done.stderr
    assert done.stdout == ""
