"""``kws train`` and the commands around it: what they read they read once, where they write nobody else does."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from kws.audio import write_audio
from kws.cli import command as kws_command
from kws.data import manifest
from kws.data.manifest import Clip
from kws.detector.model_file import KwsModel, save
from kws.errors import KwsError
from kws.system.lock import LOCK

pytestmark = pytest.mark.train

RECIPE = """
phrase = "hey marvin"
frontend = {bands = 16}
synthesis = {positives = 0, negatives = 0}
examples = {window_ms = 1500}
augment = {simulated_room_share = 0.0}
model = {name = "deepkws", deepkws = {layers = 2, width = 8}}
quantize = {calibration_clips = 16}
[train]
steps = 2
batch_clips = 8
trials = 1
dev_clips = 16
workers = 1
threads = 1
device = "cpu"
tensorboard = false
[[data]]
manifest = "corpus/manifest.csv"
labels = ["hey_marvin"]
[[data]]
manifest = "corpus/manifest.csv"
labels = ["neg_speech"]
"""

WATCHED = """
import json, sys
opened = []
def note(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".csv") and "w" not in str(arguments[1]):
        opened.append(str(arguments[0]))
sys.addaudithook(note)
from kws.cli import main
try:
    main()
finally:
    print(json.dumps(opened))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe and a corpus of noise bursts with transcripts."""
    rng, clips = np.random.default_rng(0), []
    (tmp_path / "corpus").mkdir()
    for split in ("train", "dev"):
        for label in ("hey_marvin", "neg_speech"):
            for number in range(4):
                path = tmp_path / "corpus" / f"{split}_{label}_{number}.wav"
                write_audio(path, rng.integers(-3000, 3000, 16000).astype(np.int16))
                times_s = (0.2, 0.8) if label == "hey_marvin" else (None, None)
                clips.append(Clip(str(path), split, label, f"{split} ann", "made", "CC0", 1.0, *times_s))
    manifest.write(clips, tmp_path / "corpus" / "manifest.csv")
    rows = [f"{split}_neg_speech_0.wav,0.0,0.9,good morning" for split in ("train", "dev")]
    (tmp_path / "corpus" / "utterances.csv").write_text("\n".join(["path,start_s,end_s,transcript", *rows]) + "\n")
    (tmp_path / "r.toml").write_text(RECIPE)
    return tmp_path


def opened(folder: Path) -> tuple[Counter[str], str]:
    """Run the command; return how often each table was opened to be read, and standard error."""
    command = [sys.executable, "-c", WATCHED, "train", "r.toml", "--out", "out"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120)
    assert done.returncode == 0, done.stderr
    return Counter(Path(path).name for path in json.loads(done.stdout.splitlines()[-1])), done.stderr


def test_a_manifest_is_opened_once_however_often_it_is_needed(folder: Path) -> None:
    once = {"manifest.csv": 1, "utterances.csv": 1}
    counts, log = opened(folder)
    assert "Training: 100 %" in log
    assert counts == once
    path = folder / "corpus" / "utterances.csv"
    path.write_text(path.read_text().replace("good morning", "good evening"))
    changed, log = opened(folder)
    assert "training again" in log
    assert changed == once


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kws", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)


def finished(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for a process and return what it said; one that takes too long is ended."""
    with process:
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def wait_for(path: Path) -> None:
    deadline_s = time.monotonic() + 60.0
    while not path.exists():
        assert time.monotonic() < deadline_s, f"{path} does not come"
        time.sleep(0.05)


def test_a_second_training_in_one_directory_is_refused_and_mixes_nothing(folder: Path) -> None:
    """With the second seed there would be two models' files in one place; the first goes on undisturbed."""
    (folder / "long.toml").write_text(RECIPE.replace("steps = 2", "steps = 90000"))
    with start(folder, "train", "long.toml", "--seed", "3", "--out", "out") as first:
        try:
            wait_for(folder / "out" / "training")
            second = finished(start(folder, "train", "r.toml", "--seed", "4", "--out", "out"))
            assert first.poll() is None
        finally:
            first.kill()
    assert second.returncode == 2
    assert f"out: another kws train (process {first.pid}) is writing there; wait for it" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    after = finished(start(folder, "train", "r.toml", "--seed", "4", "--out", "out"))
    assert after.returncode == 0, "a run that was killed holds nothing"
    assert after.stdout.strip() == str(Path("out", "hey_marvin.kws"))
    assert not (folder / "out" / LOCK).exists()


@pytest.fixture
def held(folder: Path) -> Iterator[tuple[Path, int]]:
    """The recipe's folder with a directory "out", in which another process is writing, and which process that is."""
    code = "import sys, pathlib, kws.system.lock as lock\nwith lock.locked(pathlib.Path('out')): sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, cwd=folder) as process:
        wait_for(folder / "out" / LOCK)
        yield folder, process.pid
        process.kill()


@pytest.mark.parametrize(
    "command",
    [
        ("quickstart", "--recipe", "r.toml", "--out", "out"),
        ("synth", "computer", "--out", "out"),
        ("shards", "r.toml", "--out", "out", "--examples", "4", "--shards", "1", "--processes", "1"),
        ("augment", "out", "--recipe", "r.toml", "--count", "1"),
        ("corpus", "folder", "out/mine", "--out", "out/manifest.csv", "--licence", "CC0"),
        ("export", "m.kws", "--to", "tflite", "--out", "out"),
    ],
    ids=lambda command: command[0],
)
def test_no_command_writes_where_another_one_does(
    command: tuple[str, ...], held: tuple[Path, int], tone_model: KwsModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, process = held
    save(tone_model, folder / "m.kws")
    if command[0] == "corpus":
        (folder / "out" / "mine" / "hey" / "ann").mkdir(parents=True)
        write_audio(folder / "out" / "mine" / "hey" / "ann" / "a.wav", np.full(16000, 9, np.int16))
    before = set((folder / "out").rglob("*"))
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(kws_command, command)
    assert isinstance(result.exception, KwsError), result.output
    assert f"(process {process}) is writing there; wait for it" in str(result.exception)
    assert set((folder / "out").rglob("*")) == before
