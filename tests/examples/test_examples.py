"""Every example runs as it is written: on a hand-made detector, on sound whose detections are known."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware_export.c import bundle
from firmware_export.onnx import writer
from kws.audio import write_audio
from kws.detector import model_file
from kws.detector.files import detect_file
from kws.detector.model_file import KwsModel

EXAMPLES = Path(__file__).parents[2] / "examples"
Lines = list[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tone_model: KwsModel, burst_sound: NDArray[np.int16]) -> Path:
    """The detector, its network as .onnx, and a recording with seven bursts."""
    path = tmp_path_factory.mktemp("examples")
    model_file.save(tone_model, path / "beep.kws")
    writer.write(tone_model.graph, path / "beep.onnx")
    write_audio(path / "bursts.wav", burst_sound)
    return path


@pytest.fixture(scope="module")
def expected(folder: Path, tone_model: KwsModel) -> Lines:
    detections = detect_file(tone_model, folder / "bursts.wav")
    assert len(detections) == 7
    return [f"{one.time_s:.2f} s: beep (score {one.score:.2f})" for one in detections]


def run(name: str, *arguments: str, cwd: Path) -> Lines:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_file(folder: Path, expected: Lines) -> None:
    assert run("file.py", "beep.kws", "bursts.wav", cwd=folder) == expected


def test_an_own_engine(folder: Path, expected: Lines) -> None:
    assert run("own_engine.py", "beep.kws", "beep.onnx", "bursts.wav", cwd=folder) == expected


def test_the_microphone(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tone_model: KwsModel
) -> None:
    """``kws.listen`` itself is tested with a real device's driver in tests/live; here it gives a file's detections."""

    def listen(model: str) -> Iterator[object]:
        assert model == "beep.kws"
        return iter(detect_file(tone_model, folder / "bursts.wav"))

    monkeypatch.setattr("kws.listen", listen, raising=False)
    program = compile((EXAMPLES / "microphone.py").read_text(), "microphone.py", "exec")
    names: dict[str, object] = {"__name__": "example"}
    exec(program, names)
    main = names["main"]
    assert callable(main)
    main("beep.kws")
    assert capsys.readouterr().out.splitlines() == ["beep! Yes?"] * 7


def test_a_firmware_project(folder: Path, tone_model: KwsModel, burst_sound: NDArray[np.int16], tmp_path: Path) -> None:
    bundle.write_c(tone_model, tmp_path / "beep_c")
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    assert cmake is not None, "the dev extra brings cmake"
    build = tmp_path / "build"
    configure = [cmake, "-S", EXAMPLES / "firmware", "-B", build, f"-DKWS_BUNDLE={tmp_path / 'beep_c'}"]
    for command in (configure, [cmake, "--build", build]):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    sound = burst_sound.astype("<i2").tobytes()
    done_bytes = subprocess.run([build / "firmware"], input=sound, capture_output=True, timeout=60)
    assert done_bytes.returncode == 0
    times_ms = [int(line.split()[0]) for line in done_bytes.stdout.decode().splitlines()]
    assert times_ms == [int(1000 * one.time_s) for one in detect_file(tone_model, folder / "bursts.wav")]


def test_a_firmware_project_without_a_bundle_says_so(tmp_path: Path) -> None:
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or "cmake"
    command = [cmake, "-S", str(EXAMPLES / "firmware"), "-B", str(tmp_path), f"-DKWS_BUNDLE={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "no bundle" in done.stderr


def test_every_example_is_named_in_the_page_and_tested() -> None:
    page, tests = (EXAMPLES / "README.md").read_text(), Path(__file__).read_text()
    for path in EXAMPLES.iterdir():
        if path.suffix == ".py" or path.is_dir():
            assert path.name in page
            assert path.name in tests
