"""The whole spine on a small scale: text in, a verified and measured detector out, through the real command."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kws.audio import write_audio
from kws.data import manifest
from kws.detector.model_file import load
from kws.workflow import summary
from tests.support.warm import RunKws

pytestmark = pytest.mark.train

RECIPE = """
phrase = "hey marvin"
seed = 3
[synthesis]
positives = 40
negatives = 80
[model.wren]
first_channels = 8
channels = 16
[train]
steps = 12
batch_clips = 16
dev_clips = 16
trials = 2
[quantize]
calibration_clips = 16
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The directory of one small run, and what it printed as JSON. What lies beside it must not be looked at."""
    folder = tmp_path_factory.mktemp("quickstart") / "here"
    beside = folder.parent / "shared" / "corpus"
    for one in (folder, beside):
        one.mkdir(parents=True)
    (beside / "manifest.csv").write_text("no manifest at all\n")
    (folder / "small.toml").write_text(RECIPE)
    command = [sys.executable, "-m", "kws", "quickstart", "hey marvin", "--recipe", "small.toml", "--out", "first"]
    result = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=folder, timeout=300)
    assert result.returncode == 0, result.stderr
    assert "Training: 100 %" in result.stderr, "people see how far it is"
    return folder, json.loads(result.stdout)


def test_everything_that_was_promised_is_there(made: tuple[Path, dict[str, Any]]) -> None:
    folder, data = made
    out = folder / "first"
    names = {path.name for path in out.iterdir()}
    assert names >= {"hey_marvin.kws", "hey_marvin.tflite", "hey_marvin_c", "summary.json", "evaluation.txt"}
    assert not [name for name in names if name.startswith(".")], "nothing half-written stays"
    assert data == json.loads((out / "summary.json").read_text())
    assert data["info"]["labels"] == ["filler", "hey_marvin"]
    assert set(data["evaluations"]) == {"held-out voices"}
    status = {engine["name"]: engine["status"] for engine in data["export"]["verify"]["engines"]}
    assert {status[name] for name in ("c", "TFLite Micro", "LiteRT reference", "C bundle")} == {"equal"}


def test_the_evaluation_is_of_voices_that_training_never_heard(made: tuple[Path, dict[str, Any]]) -> None:
    folder, data = made
    clips = manifest.read(folder / "first" / "synthesis" / "manifest.csv")
    speakers = {split: {clip.speaker for clip in clips if clip.split == split} for split in ("train", "dev", "test")}
    assert not speakers["train"] & (speakers["dev"] | speakers["test"])
    evaluated = data["evaluations"]["held-out voices"]["splits"][0]
    words = [clip for clip in clips if clip.split == "test" and clip.label == "hey_marvin"]
    assert evaluated["split"] == "test"
    assert evaluated["positives"][0]["positives"] == len(words) > 0
    assert 0.0 <= evaluated["positives"][0]["false_reject_rate"] <= 1.0
    assert evaluated["negatives"][0]["hours"] > 0


def test_the_ledger_says_what_was_learned_from(made: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = made
    model = load(folder / "first" / "hey_marvin.kws")
    assert sum(source.clips for source in model.licences) > 0
    assert all(source.licence for source in model.licences)
    assert model.operating_points


def test_again_is_quick_and_changes_nothing(made: tuple[Path, dict[str, Any]], kws: RunKws) -> None:
    folder, data = made
    path = folder / "first" / "hey_marvin.kws"
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    result = kws("quickstart", "hey marvin", "--recipe", "small.toml", "--out", "first", "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "Training" not in result.stderr
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert json.loads(result.stdout)["evaluations"] == data["evaluations"]


def test_the_same_seed_gives_the_same_bytes_elsewhere(made: tuple[Path, dict[str, Any]], kws: RunKws) -> None:
    folder, _ = made
    result = kws("train", "small.toml", "--out", "second", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(Path("second") / "hey_marvin.kws")
    first, second = (folder / name / "hey_marvin.kws" for name in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


def test_another_recipe_in_the_same_place_keeps_the_older_model(made: tuple[Path, dict[str, Any]], kws: RunKws) -> None:
    folder, _ = made
    out = folder / "kept"
    out.mkdir()
    older = (folder / "first" / "hey_marvin.kws").read_bytes()
    (out / "hey_marvin.kws").write_bytes(older)
    os.symlink(folder / "first" / "synthesis", out / "synthesis")
    (folder / "other.toml").write_text(RECIPE.replace("steps = 12", "steps = 6"))
    result = kws("train", "other.toml", "--out", "kept", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert (out / "hey_marvin.1.kws").read_bytes() == older
    assert (out / "hey_marvin.kws").read_bytes() != older
    assert "hey_marvin.1.kws" in result.stderr, "the user is told where the older model went"


def test_changed_recordings_are_trained_on_and_unchanged_ones_are_not(
    made: tuple[Path, dict[str, Any]], kws: RunKws
) -> None:
    folder, _ = made
    mine, out = folder / "mine", folder / "with_data"
    mine.mkdir()
    out.mkdir()
    os.symlink(folder / "first" / "synthesis", out / "synthesis")
    write_audio(mine / "hello.wav", np.random.default_rng(0).integers(-3000, 3000, 16000).astype(np.int16))
    head = "path,split,label,speaker,source,licence,duration_s,kw_start_s,kw_end_s,n_utts\n"
    row = "hello.wav,train,neg_speech,ann,mine,CC0,1.0,,,1\n"
    (mine / "manifest.csv").write_text(head + row)
    command = ("train", "small.toml", "--data", "mine", "--out", "with_data")
    said = []
    for text in (head + row, head + row, head + row.replace("ann", "bob"), head + row.replace("1.0", "0.9")):
        (mine / "manifest.csv").write_text(text)
        result = kws(*command, cwd=folder)
        assert result.returncode == 0, result.stderr
        said.append(result.stderr)
    assert ["Training: 100 %" in text for text in said] == [True, False, False, True]
    assert "already trained" in said[1]
    elsewhere = kws(*command[:3], str(mine.resolve()), *command[4:], cwd=folder)
    assert "already trained" in elsewhere.stderr
    (mine / "utterances.csv").write_text("path,start_s,end_s,transcript\nhello.wav,0.0,0.9,hey marvin\n")
    corrected = kws(*command, cwd=folder)
    assert corrected.returncode == 0, corrected.stderr
    assert "training again" in corrected.stderr
    assert "trained on clips that have changed since" in said[3]
    assert (out / "hey_marvin.1.kws").exists()


def test_real_recordings_are_evaluated_where_they_are_given(
    made: tuple[Path, dict[str, Any]], kws: RunKws, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = made
    options = ("--recipe", "small.toml", "--out", "first", "--real", "first/synthesis")
    result = kws("quickstart", "hey marvin", *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "real recordings, dev" in result.stdout
    assert "real recordings, test" in result.stdout
    assert "kws listen" in result.stdout
    monkeypatch.setenv("KWS_REAL_RECORDINGS", "nowhere")
    missing = kws("quickstart", "hey marvin", *options[:-2], cwd=folder)
    assert missing.returncode == 2
    assert "nowhere/manifest.csv" in missing.stderr, "the environment names them as well"


def test_evaluate_prints_the_curve_and_draws_it(made: tuple[Path, dict[str, Any]], kws: RunKws) -> None:
    folder, _ = made
    model, clips = Path("first") / "hey_marvin.kws", Path("first") / "synthesis"
    result = kws("evaluate", model, "--manifest", clips, "--split", "dev", "--plot", "det.png", "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    split = json.loads(result.stdout)["splits"][0]
    assert len(split["det"]) > 1
    assert (folder / "det.png").read_bytes().startswith(b"\x89PNG")
    text = kws("evaluate", model, "--manifest", clips, cwd=folder)
    assert "FRR" in text.stdout
    assert "FA/h" in text.stdout


def test_synth_alone_and_the_voices(made: tuple[Path, dict[str, Any]], kws: RunKws) -> None:
    folder, _ = made
    voices = kws("synth", "--list-voices", cwd=folder)
    assert voices.returncode == 0
    assert "espeak" in voices.stdout
    result = kws("synth", "--recipe", "small.toml", "--out", "clips", cwd=folder)
    assert result.returncode == 0, result.stderr
    again, first = (manifest.read(folder / name / "manifest.csv") for name in ("clips", "first/synthesis"))
    assert [Path(clip.path).name for clip in again] == [Path(clip.path).name for clip in first]
    assert all(Path(a.path).read_bytes() == Path(b.path).read_bytes() for a, b in zip(again, first, strict=True))


def test_the_next_commands_can_be_typed_as_they_stand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "my venv" / "kws")])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert summary.program() == f"'{tmp_path}/my venv/kws'", "nobody has activated the environment"
    (tmp_path / "kws").touch(mode=0o755)
    assert summary.program() == "kws"
