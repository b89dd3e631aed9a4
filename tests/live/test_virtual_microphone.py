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

import pytest
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.detect_files import detect_file
from kws.model_file import KwsModel, save

SCRIPT = Path(__file__).parents[2] / "scripts" / "virtual_microphone.sh"
KWS = (sys.executable, "-m", "kws")


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


def test_the_microphone_reports_what_the_file_holds(
    environment: dict[str, str],
    model_path: Path,
    tmp_path: Path,
    tone_model: KwsModel,
    burst_sound: NDArray[Any],
    listeners: list[Listener],
) -> None:
    write_audio(tmp_path / "take.wav", burst_sound)
    expected = detect_file(tone_model, tmp_path / "take.wav")
    listener = Listener(environment, model_path)
    listeners.append(listener)
    assert listener.first["event"] == "listening"
    assert listener.first["rate_hz"] == 16000
    start_s = time.monotonic()
    subprocess.run(["paplay", str(tmp_path / "take.wav")], env=environment, check=True, timeout=30)
    assert time.monotonic() - start_s > 11  # in real time
    time.sleep(0.7)
    listener.process.send_signal(signal.SIGTERM)
    (*heard, summary), error = listener.finish(5)

    assert (listener.process.returncode, error) == (0, "")
    assert [event["event"] for event in heard] == ["detection"] * len(expected)
    assert [event["phrase"] for event in heard] == [detection.phrase for detection in expected]
    # Where the stream starts is unknown, by which the frames lie differently over the sound: up to a step or two.
    starts_s = [event["time_s"] - detection.time_s for event, detection in zip(heard, expected, strict=True)]
    assert max(starts_s) - min(starts_s) <= 0.03
    for event, detection in zip(heard, expected, strict=True):
        assert event["score"] == pytest.approx(detection.score, abs=0.1)
    assert summary["event"] == "summary"
    assert (summary["detections"], summary["lost_s"]) == (len(expected), 0.0)
    assert 0 < summary["latency_ms_median"] < 250


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
    assert "has stopped giving sound" in error


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
