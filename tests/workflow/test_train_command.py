"""``kws train`` opens each manifest of its recipe once: what was read is passed on."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kws.audio import write_audio
from kws.data import manifest
from kws.data.manifest import Clip

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
    assert "training anew" in log
    assert changed == once
