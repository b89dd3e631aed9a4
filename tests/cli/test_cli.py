"""The real command line on real files, as a user types it: what it prints, its status, and every refusal."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from click.testing import CliRunner
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.cli import command
from kws.detector.model_file import KwsModel, load, save
from tests.support.warm import RunKws

pytestmark = pytest.mark.slow

Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path, kws: RunKws) -> Run:
    """``kws ARGUMENTS``; with variables or a limit of its own it is a process of its own from the start."""

    def run_kws(
        *arguments: str | Path, env: dict[str, str] | None = None, limit_bytes: int = 0
    ) -> subprocess.CompletedProcess[str]:
        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

        if env is None and not limit_bytes:
            return kws(*arguments, cwd=tmp_path, timeout=120)
        return subprocess.run(
            [sys.executable, "-m", "kws", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **(env or {})},
            preexec_fn=limit if limit_bytes else None,
            timeout=120,
        )

    return run_kws


@pytest.fixture
def model_path(tmp_path: Path, tone_model: KwsModel) -> Path:
    path = tmp_path / "beep.kws"
    save(tone_model, path)
    return path


@pytest.fixture
def without_extras(tmp_path: Path) -> dict[str, str]:
    """An environment in which every optional package is missing, as after a plain `pip install kws`."""
    folder = tmp_path / "missing"
    folder.mkdir()
    for name in ("torch", "matplotlib", "espeakng_loader", "ai_edge_litert", "tflite_micro", "flatbuffers", "onnx"):
        (folder / f"{name}.py").write_text(f"raise ModuleNotFoundError('No module named {name}', name='{name}')\n")
    return {"PYTHONPATH": str(folder)}


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """Assert one clear sentence on standard error and status 2; return the sentence."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("kws: ")
    return lines[0]


def detections(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("name", "rate_hz", "channels"),
    [("a.wav", 16000, 1), ("a.flac", 44100, 2), ("a.ogg", 48000, 2), ("a.mp3", 22050, 1), ("a.wav", 8000, 3)],
)
def test_detect_finds_every_burst_in_any_format(
    run: Run,
    model_path: Path,
    tmp_path: Path,
    burst_sound: NDArray[np.int16],
    burst_times_s: tuple[float, ...],
    name: str,
    rate_hz: int,
    channels: int,
) -> None:
    sound = soxr.resample(burst_sound / 32768.0, 16000, rate_hz)
    soundfile.write(tmp_path / name, np.repeat(sound[:, None], channels, axis=1), rate_hz)
    found = detections(run("detect", model_path, tmp_path / name, "--json"))
    assert [round(entry["time_s"] - start, 1) for entry, start in zip(found, burst_times_s, strict=True)] == [
        0.1
    ] * len(burst_times_s)
    assert all(entry["phrase"] == "beep" and entry["score"] >= 0.7 for entry in found)
    text = run("detect", model_path, tmp_path / name)
    assert len(text.stdout.splitlines()) == len(burst_times_s)
    assert name in text.stdout


def test_both_engines_print_the_same_numbers(
    run: Run, model_path: Path, tmp_path: Path, burst_sound: NDArray[np.int16]
) -> None:
    soundfile.write(tmp_path / "a.wav", burst_sound, 16000)
    printed = {
        run("detect", model_path, tmp_path / "a.wav", "--json", "--engine", engine, env=env).stdout
        for engine, env in (("c", {}), ("graph", {}), ("auto", {"KWS_NO_NATIVE": "1"}))
    }
    assert len(printed) == 1
    assert len(printed.pop().splitlines()) == 7


def test_listening_needs_none_of_the_extras(
    run: Run, model_path: Path, tmp_path: Path, burst_sound: NDArray[np.int16], without_extras: dict[str, str]
) -> None:
    soundfile.write(tmp_path / "a.wav", burst_sound, 16000)
    assert len(detections(run("detect", model_path, tmp_path / "a.wav", "--json", env=without_extras))) == 7
    assert run("info", model_path, env=without_extras).returncode == 0
    imported = "import sys, kws.live.listen, kws.live.microphone; print(sorted(set(sys.modules) & {'torch', 'onnx'}))"
    done = subprocess.run([sys.executable, "-c", imported], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (("train", "r.toml"), "torch", "train"),
        (("quickstart", "computer"), "torch", "train"),
        (("export", "beep.kws", "--to", "tflite"), "", "export"),
    ],
)
def test_a_missing_extra_is_named(
    run: Run,
    model_path: Path,
    tmp_path: Path,
    without_extras: dict[str, str],
    arguments: tuple[str, ...],
    package: str,
    extra: str,
) -> None:
    (tmp_path / "r.toml").write_text('phrase = "computer"\n')
    sentence = refused(run(*arguments, env=without_extras))
    assert package in sentence
    assert f"kws[{extra}]" in sentence


def test_info_says_what_the_model_is_and_what_runs_it(run: Run, model_path: Path) -> None:
    data = json.loads(run("info", model_path, "--json").stdout)
    assert (data["phrases"], data["parameters"]) == (["beep"], 82)
    assert data["runtime"] == {"in_use": "compiled C99", "reason": ""}
    turned_off = run("info", model_path, env={"KWS_NO_NATIVE": "1"})
    assert "numpy (turned off by KWS_NO_NATIVE)" in turned_off.stdout
    assert "beep" in turned_off.stdout


@pytest.mark.slow
def test_export_writes_what_agrees_with_the_graph(run: Run, model_path: Path, tmp_path: Path) -> None:
    result = run("export", model_path, "--out", tmp_path / "out", "--verify-seconds", "3", "--json")
    assert result.returncode == 0, result.stderr
    data = json.loads(result.stdout)
    names = {Path(name).name for name in data["files_bytes"]}
    onnxes = {"beep.onnx", "beep_qdq.onnx", "beep_audio.onnx"}
    assert names == {"beep.tflite", "beep_stateless.tflite", *onnxes, "beep_c"}
    assert names == {path.name for path in (tmp_path / "out").iterdir()}
    status = {engine["name"]: engine["status"] for engine in data["verify"]["engines"]}
    assert {status[name] for name in ("c", "TFLite Micro", "LiteRT reference", "C bundle")} == {"equal"}
    assert "not installed" not in status.values()
    made = subprocess.run(["make", "-C", tmp_path / "out" / "beep_c", "test"], capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr


def test_export_of_one_format_by_name(run: Run, model_path: Path, tmp_path: Path) -> None:
    result = run("export", model_path, "--to", "tflite", "--verify-seconds", "1", env={})
    assert (result.returncode, result.stderr) == (0, ""), "the libraries' own chatter is kept away"
    assert {path.name for path in tmp_path.iterdir()} == {"beep.kws", "beep.tflite", "beep_stateless.tflite"}


def test_a_foreign_directory_is_not_overwritten_by_a_bundle(run: Run, model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "beep_c").mkdir()
    (tmp_path / "beep_c" / "mine.txt").write_text("mine")
    assert "beep_c" in refused(run("export", model_path, "--to", "c", "--verify-seconds", "1"))
    assert (tmp_path / "beep_c" / "mine.txt").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"beep.kws", "beep_c"}


def test_a_full_disk_leaves_nothing_half_written(run: Run, model_path: Path, tmp_path: Path) -> None:
    """A limit on the size of a file is what a user without root can fill a disk with."""
    sentence = refused(
        run("export", model_path, "--to", "tflite", "--out", tmp_path / "o", "--verify-seconds", "1", limit_bytes=64)
    )
    assert "cannot be written" in sentence
    assert not (tmp_path / "o").exists(), "what was made for the export alone goes with it"


MODEL_DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "flipped byte": lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
    "text": lambda content: b"this is not a model\n" * 20,
    "future": lambda content: content.replace(b'version\\":2', b'version\\":9'),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", MODEL_DAMAGE)
def test_a_damaged_model_is_refused(run: Run, model_path: Path, tmp_path: Path, damage: str) -> None:
    content = model_path.read_bytes()
    broken = MODEL_DAMAGE[damage](content)
    assert broken != content
    model_path.write_bytes(broken)
    soundfile.write(tmp_path / "a.wav", np.zeros(16000, np.int16), 16000)
    for arguments in (("info", model_path), ("detect", model_path, "a.wav"), ("export", model_path)):
        assert "beep.kws" in refused(run(*arguments))


AUDIO: dict[str, bytes] = {"empty.wav": b"", "text.wav": b"hello world\n" * 100, "model.wav": b"\x00" * 500}


@pytest.mark.parametrize("name", [*AUDIO, "missing.wav", "nan.wav", "cut.flac", "."])
def test_bad_audio_is_refused(run: Run, model_path: Path, tmp_path: Path, name: str) -> None:
    if name in AUDIO:
        (tmp_path / name).write_bytes(AUDIO[name])
    elif name == "nan.wav":
        soundfile.write(tmp_path / name, np.full(16000, np.nan), 16000, subtype="FLOAT")
    elif name == "cut.flac":
        soundfile.write(tmp_path / name, np.random.default_rng(0).integers(-9999, 9999, 16000).astype(np.int16), 16000)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:12000])
    sentence = refused(run("detect", model_path, tmp_path / name))
    assert str(tmp_path / name) in sentence


def test_good_files_before_and_after_a_bad_one_are_still_reported(
    run: Run, model_path: Path, tmp_path: Path, burst_sound: NDArray[np.int16]
) -> None:
    soundfile.write(tmp_path / "a.wav", burst_sound, 16000)
    result = run("detect", model_path, "a.wav", "missing.wav", "a.wav", "--json")
    assert len(result.stdout.splitlines()) == 14
    assert "missing.wav" in refused(result)


def test_a_file_without_a_detection_says_how_close_it_came(run: Run, model_path: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.arange(16000, dtype=np.int16) % 2, 16000)
    result = run("detect", model_path, "a.wav")
    assert (result.returncode, result.stdout) == (0, "")
    assert "a.wav: 'beep' was not detected  (highest score 0.0" in result.stderr
    assert run("detect", model_path, "a.wav", "--json").stderr == ""


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems hold no such names")
@pytest.mark.parametrize("encoding", ["utf-8:strict", "latin-1:strict"])
def test_a_name_that_the_output_cannot_hold_is_printed_all_the_same(
    run: Run, model_path: Path, tmp_path: Path, burst_sound: NDArray[np.int16], encoding: str
) -> None:
    path = tmp_path / os.fsdecode(b"\xff\xe2\x98\x83.wav")
    write_audio(path, burst_sound)
    env = {"PYTHONIOENCODING": encoding}
    assert len(run("detect", model_path, path, env=env).stdout.splitlines()) == 7
    found = detections(run("detect", model_path, path, "--json", env=env))
    assert [entry["file"] for entry in found] == [str(path)] * 7
    assert ".wav.nowhere" in refused(run("detect", model_path, f"{path}.nowhere", env=env))


@pytest.mark.parametrize(
    "arguments",
    [
        ("detect", "beep.kws", "a.wav", "--threshold", "nan"),
        ("listen", "beep.kws", "--seconds", "nan"),
        ("listen", "beep.kws", "--seconds", "inf"),
        ("export", "beep.kws", "--verify-seconds", "nan"),
        ("export", "beep.kws", "--verify-seconds", "1e12"),
        ("evaluate", "beep.kws", "--manifest", ".", "--noise-snr-db", "inf"),
        ("synth", "hey", "--out", "o", "--seed", "99999999999999999999"),
    ],
)
def test_a_number_that_is_none_is_refused(run: Run, model_path: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert f"'{arguments[-2]}'" in result.stderr


def test_a_path_that_the_system_refuses_is_one_sentence(run: Run, model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('phrase = "computer"\n')
    for arguments in (("train", "r.toml", "--out", "x" * 300), ("evaluate", model_path, "--manifest", "x" * 300)):
        assert "xxx" in refused(run(*arguments))


def test_the_users_own_data_is_checked_before_anything_is_spoken(run: Run, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('phrase = "computer"\n[[data]]\nmanifest = "nowhere.csv"\n')
    assert "nowhere.csv" in refused(run("quickstart", "--recipe", "r.toml"))
    assert {path.name for path in tmp_path.iterdir()} == {"r.toml"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('phrase = "computer"\n[train]\nstep = 5\n', "train.steps"),
        ('phrase = "computer"\n[synthesis]\npositives = "many"\n', "synthesis.positives"),
        ("[train]\nsteps = 5\n", "phrase is missing"),
        ('phrase = "computer"\n[frontend]\nbands = 900\n', "frontend.bands"),
        ('phrase = "computer"\n[detector]\nsmooth_frames = 0\n', "detector.smooth_frames"),
        ('phrase = "computer"\nseed = 99999999999999999999\n', "seed must be 0 to"),
        ("phrase = \n", "not valid TOML"),
    ],
)
def test_a_bad_recipe_is_refused_before_anything_is_made(run: Run, tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    sentence = refused(run("train", "r.toml"))
    assert "r.toml" in sentence
    assert named in sentence
    assert {path.name for path in tmp_path.iterdir()} == {"r.toml"}


@pytest.mark.parametrize("phrase", ["", "!!!", "  ", "\N{GRINNING FACE}", "привет"])
def test_a_phrase_with_nothing_speakable_is_refused(run: Run, tmp_path: Path, phrase: str) -> None:
    refused(run("quickstart", phrase, "--out", tmp_path / "o"))
    assert not (tmp_path / "o").exists()


def test_help_names_every_command_and_bad_usage_ends_with_2(run: Run) -> None:
    text = run("--help").stdout
    for name in ("quickstart", "synth", "train", "evaluate", "detect", "listen", "export", "info", "models"):
        assert name in text
        assert CliRunner().invoke(command, [name, "--help"], catch_exceptions=False).exit_code == 0
    assert run("--version").stdout.strip().endswith("0.1.0")
    for arguments in ((), ("nonsense",), ("detect",), ("listen",), ("synth",), ("info", "missing.kws")):
        result = run(*arguments)
        assert result.returncode == 2, arguments
        assert "Traceback" not in result.stderr


def test_a_threshold_can_be_given(run: Run, model_path: Path, tmp_path: Path, burst_sound: NDArray[np.int16]) -> None:
    soundfile.write(tmp_path / "a.wav", burst_sound, 16000)
    strict = load(model_path).thresholds[0] / 32768 + 0.2999
    assert len(detections(run("detect", model_path, "a.wav", "--json", "--threshold", f"{strict:.4f}"))) < 7
    assert run("detect", model_path, "a.wav", "--threshold", "1.5").returncode == 2


@pytest.fixture
def two_phrases(tmp_path: Path, two_tone_model: KwsModel, burst_sound: NDArray[np.int16]) -> Path:
    save(two_tone_model, tmp_path / "two.kws")
    write_audio(tmp_path / "a.wav", burst_sound)
    return tmp_path / "two.kws"


def test_each_phrase_has_a_threshold_of_its_own(run: Run, two_phrases: Path) -> None:
    def limits(*arguments: str) -> dict[str, float]:
        return {one["phrase"]: one["threshold"] for one in detections(run("detect", two_phrases, "a.wav", *arguments))}

    both = ("--json", "--threshold", "beep=0.5", "--threshold")
    assert limits(*both, "high_chirp=0.25") == {"beep": 0.5, "high chirp": 0.25}
    assert limits(*both, "0.25") == {"beep": 0.5, "high chirp": 0.25}
    assert limits(*both, "High Chirp=1") == {"beep": 0.5}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("0.5", "0.7"), "0.5 and 0.7 are both for every phrase"),
        (("beep=0.5", "Beep=0.6"), "threshold of 'Beep' is given twice"),
        (("0",), "it would fire once, in the first step, and never again"),
        (("beep=0",), "threshold of 'beep' must be above 0"),
        (("beep=loud",), "neither a number nor PHRASE=NUMBER"),
        (("siri=0.5",), "threshold of 'siri': the model has no such phrase; its phrases are 'beep', 'high chirp'"),
    ],
)
@pytest.mark.parametrize("command", [("detect", "two.kws", "a.wav"), ("listen", "two.kws")])
def test_thresholds_that_cannot_be_meant_are_refused(
    run: Run, two_phrases: Path, command: tuple[str, ...], given: tuple[str, ...], words: str
) -> None:
    done = run(*command, *(part for one in given for part in ("--threshold", one)))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert words in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_the_whole_curve_of_scores(run: Run, two_phrases: Path, tmp_path: Path) -> None:
    found = detections(run("detect", two_phrases, "a.wav", "--json", "--scores", "curve.csv"))
    lines = (tmp_path / "curve.csv").read_bytes().decode().split("\n")
    assert lines[0] == "time_s,beep,high chirp"
    assert lines[1].startswith("0.025,0.0")
    assert lines[-1] == ""
    rows = {row[0]: row[1:] for row in (line.split(",") for line in lines[1:-1])}
    assert len(rows) == len(lines) - 2 == (12 * 16000 + 2000 - 400) // 160 + 1  # 2,000: the silence after the end
    for one in found:
        column = 0 if one["phrase"] == "beep" else 1
        assert float(rows[f"{one['time_s']:.3f}"][column]) == one["score"]
        assert one["peak"] in {float(scores[column]) for scores in rows.values()}


def test_scores_are_of_one_file_and_whole_or_not_there(run: Run, two_phrases: Path, tmp_path: Path) -> None:
    assert "one sound file" in run("detect", two_phrases, "a.wav", "a.wav", "--scores", "b.csv").stderr
    before = (tmp_path / "a.wav").read_bytes()
    assert "this file is an input" in run("detect", two_phrases, "a.wav", "--scores", "./a.wav").stderr
    assert (tmp_path / "a.wav").read_bytes() == before
    (tmp_path / "b.csv").write_text("mine")
    (tmp_path / "bad.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:100_000])
    refused(run("detect", two_phrases, "bad.wav", "--scores", "b.csv"))
    assert (tmp_path / "b.csv").read_text() == "mine"
    refused(run("detect", two_phrases, "a.wav", "--scores", "none/b.csv"))
    assert sorted(path.name for path in tmp_path.glob("*.csv*")) == ["b.csv"]
