"""`import kws`: its names, what they bring with them, and what a newcomer passes to them."""

import array
import inspect
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import kws
from kws.audio import write_audio
from kws.detector.model_file import KwsModel, load, save
from kws.detector.pipeline import Pipeline

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden" / "computer.kws"
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
Samples = NDArray[np.int16]


@pytest.fixture
def beep(tmp_path: Path, tone_model: KwsModel) -> str:
    save(tone_model, tmp_path / "beep.kws")
    return str(tmp_path / "beep.kws")


def test_the_names_are_exact() -> None:
    assert set(kws.__all__) == {"Detection", "Detector", "KwsError", "__version__", "detect_file", "listen"}
    assert dir(kws) == sorted(kws.__all__)
    for name in kws.__all__:
        assert getattr(kws, name) is not None
        assert f"`kws.{name}" in PAGE, f"docs/python.md does not name {name}"
    assert set(kws._HOMES) == set(kws.__all__) - {"__version__"}
    with pytest.raises(AttributeError, match="module 'kws' has no attribute 'detectors'"):
        kws.detectors  # noqa: B018
    with pytest.raises(ImportError):
        exec("from kws import detect_files")


def test_parameters_are_those_of_the_page() -> None:
    for name in ("Detector", "detect_file", "listen"):
        (text,) = re.findall(rf"`kws\.{name}\((.*?)\)`", PAGE)
        signature = inspect.signature(getattr(kws, name))
        given = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        wanted = str(signature.replace(parameters=given, return_annotation=signature.empty))
        assert f"({text})".replace('"', "'") == wanted


def test_it_comes_alone_and_never_with_torch(beep: str) -> None:
    program = (
        "import sys, kws\n"
        "assert not {'numpy', 'cffi', 'rich', 'click', 'torch', 'sounddevice', 'soundfile'} & set(sys.modules)\n"
        f"kws.Detector({beep!r}).push(bytes(3200)); kws.listen, kws.detect_file, kws.KwsError\n"
        "assert not {'torch', 'click', 'matplotlib'} & set(sys.modules), sorted(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_types_are_seen_from_outside(tmp_path: Path) -> None:
    """A program of a user's, held to strict: the names are lazy for Python, not for mypy."""
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(
        "import kws\n"
        "detector = kws.Detector('a.kws', thresholds=0.5)\n"
        "reveal_type(detector.push(b''))\n"
        "reveal_type(kws.detect_file('a.kws', 'b.wav')[0].peak)\n"
        "reveal_type(kws.listen('a.kws'))\n"
        "kws.Detector(3)\n"
    )
    # --follow-imports=silent: errors of the program alone; the rest of the tree is checked by `make check`
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", "program.py"]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--cache-dir=cache"], capture_output=True, text=True, cwd=tmp_path, env=environment
    )
    assert 'Revealed type is "list[kws.detector.config.Detection]"' in done.stdout.replace("builtins.", "")
    assert 'Revealed type is "float | None"' in done.stdout.replace("builtins.", "").replace(
        "Union[float, None]", "float | None"
    )
    assert "Iterator[kws.detector.config.Detection]" in done.stdout
    assert done.stdout.count("error:") == 1
    assert 'Argument 1 to "Detector" has incompatible type "int"' in done.stdout


def test_the_pages_programs_run(tmp_path: Path, burst_sound: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "computer.kws").write_bytes(GOLDEN.read_bytes())
    write_audio(tmp_path / "talk.wav", burst_sound)
    monkeypatch.chdir(tmp_path)
    programs = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "kws.listen" not in block]
    assert len(programs) == 2
    for program in programs:
        exec(program, {})


def test_detections_are_the_pipelines(beep: str, tone_model: KwsModel, burst_sound: Samples) -> None:
    detector = kws.Detector(beep)
    made, settled = [], []
    for at in range(0, len(burst_sound), 1000):
        made += detector.push(burst_sound[at : at + 1000])
        settled += detector.settled
    settled += detector.finish()
    assert made == Pipeline(tone_model, "graph").push(burst_sound)
    assert [replace(one, peak=None) for one in settled] == made
    assert all(isinstance(one, kws.Detection) and one.peak is not None and one.peak > 0.9 for one in settled)
    detector.reset()
    assert detector.push(burst_sound) == made
    assert detector.scores.shape == (1198, 1)
    assert detector.scores.max() == max(one.peak or 0 for one in settled)


def test_what_a_detector_is_made_with(tmp_path: Path, two_tone_model: KwsModel) -> None:
    path = tmp_path / "two.kws"
    save(two_tone_model, path)
    detector = kws.Detector(path, thresholds={"high_chirp": 0.25}, engine="graph")
    assert detector.phrases == ("beep", "high chirp")
    assert detector.thresholds == {"beep": two_tone_model.thresholds[0] / 32768, "high chirp": 0.25}
    assert (detector.engine, detector.sample_rate_hz) == ("graph", 16000)
    assert kws.Detector(load(path), thresholds=1).thresholds == {"beep": 1.0, "high chirp": 1.0}


@pytest.mark.parametrize(
    "make",
    [
        lambda samples: samples.tobytes(),
        lambda samples: bytearray(samples.tobytes()),
        lambda samples: memoryview(samples),
        lambda samples: array.array("h", samples.tolist()),
        lambda samples: samples[:, None],
        lambda samples: samples.astype(">i2"),
        lambda samples: np.repeat(samples[:, None], 2, axis=1)[:, 1],
    ],
    ids=["bytes", "bytearray", "memoryview", "array", "one column", "big endian", "view"],
)
def test_what_can_mean_one_thing_is_taken(beep: str, burst_sound: Samples, make: Any) -> None:
    wanted = kws.Detector(beep).push(burst_sound)
    assert len(wanted) == 7
    assert kws.Detector(beep).push(make(burst_sound)) == wanted


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.zeros(160, np.float32), r"float32; give int16: from floats in -1..1 by \(samples \* 32767\)"),
        (np.zeros((160, 2), np.int16), r"shape \(160, 2\); give one channel, shape \[n\] .*samples\[:, 0\]"),
        (np.zeros((160, 1), np.float64), "float64; give int16"),
        (np.zeros(160, np.int32), "int32; give int16, 16 kHz, one channel"),
        (np.zeros(160, np.uint16), "uint16; give int16"),
        (np.zeros(160, bool), "bool; give int16"),
        (np.int16(3), "give one channel"),
        (array.array("f", [0.0]), "float32; give int16"),
        (b"\0\0\0", "3 bytes, an odd number"),
        ([0, 1, 2], "a list; give a numpy array"),
        (None, "a NoneType; give a numpy array"),
        ("talk.wav", "a str; give a numpy array"),
    ],
)
def test_what_could_mean_several_things_is_refused(beep: str, samples: Any, words: str) -> None:
    detector = kws.Detector(beep)
    with pytest.raises(kws.KwsError, match=words):
        detector.push(samples)
    assert detector.push(np.zeros(0, np.int16)) == []


def test_the_sentence_for_floats_is_right(beep: str, burst_sound: Samples) -> None:
    floats = burst_sound / 32767
    again = (floats * 32767).clip(-32768, 32767).astype(np.int16)
    assert kws.Detector(beep).push(again)


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("no.kws", {}, "no.kws: cannot be read"),
        ("no\0.kws", {}, "is not a path"),
        (GOLDEN, {"thresholds": 0}, "never again"),
        (GOLDEN, {"thresholds": {1: 0.5}}, "a phrase is given as text"),
        (GOLDEN, {"thresholds": {"siri": 0.5}}, "'siri': the model has no such phrase"),
        (GOLDEN, {"engine": "gpu"}, "engine 'gpu' is unknown"),
    ],
)
def test_bad_input_is_one_sentence_for_all(model: Any, options: Any, words: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.zeros(1600, np.int16))
    for call in (
        lambda: kws.Detector(model, **options),
        lambda: kws.detect_file(model, tmp_path / "a.wav", **options),
        lambda: kws.listen(model, **options),
    ):
        with pytest.raises(kws.KwsError, match=words):
            call()


def test_a_file(beep: str, tmp_path: Path, burst_sound: Samples, burst_times_s: tuple[float, ...]) -> None:
    write_audio(tmp_path / "a.flac", burst_sound)
    found = kws.detect_file(beep, str(tmp_path / "a.flac"))
    assert [round(one.time_s - start, 1) for one, start in zip(found, burst_times_s, strict=True)] == [0.1] * 7
    assert all(one.peak is not None for one in found)


def test_the_microphone(driver: Any, beep: str, burst_sound: Samples) -> None:
    driver.play(burst_sound[: 4 * 16000])
    driver.synchronous = True
    detections = kws.listen(beep)
    assert [next(detections), next(detections)] == kws.Detector(beep).push(burst_sound)[:2]
    detections.close()  # type: ignore[attr-defined]  # a generator


def test_a_microphone_that_is_not_there(driver: Any, beep: str) -> None:
    detections = kws.listen(beep, device="none of these")
    with pytest.raises(kws.KwsError, match="no input device is called 'none of these'"):
        next(detections)


def test_one_channel_is_chosen(driver: Any, beep: str, burst_sound: Samples, tmp_path: Path) -> None:
    """The phrase is in the second of two channels, and the other is louder noise."""
    sound = burst_sound[: 4 * 16000]
    noise = np.random.default_rng(1).normal(0.0, 8000.0, len(sound)).astype(np.int16)
    both = np.stack([noise, sound], axis=1)
    soundfile.write(tmp_path / "two.wav", both, 16000)
    assert kws.detect_file(beep, tmp_path / "two.wav", channel=1) == []
    times = [one.time_s for one in kws.detect_file(beep, tmp_path / "two.wav", channel=2)]
    assert len(times) == 3
    with pytest.raises(kws.KwsError, match="channel"):
        kws.detect_file(beep, tmp_path / "two.wav", channel=3)
    driver.devices[0]["max_input_channels"] = 2
    driver.play(both)
    driver.synchronous = driver.ends = True
    assert next(kws.listen(beep, channel=2)).time_s == times[0]
