"""Two processes give what one gives with the same batches, and a killed one does not end the run."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from kws.data import manifest
from kws.data.examples.batches import DrawnBatches
from kws.data.examples.pool import read_pool
from kws.data.shards.write import write_shards
from kws.detector.model_file import load
from kws.errors import KwsError
from kws.train.distributed import Ranks, choose_device

pytestmark = pytest.mark.train

WORKER = Path(__file__).with_name("ranks_worker.py")


def torchrun(*arguments: object, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, f"--max-restarts={restarts}", "--monitor-interval=0.1", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)


def results(directory: Path, rank: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    return json.loads((directory / f"rank_{rank}.json").read_text()), torch.load(directory / f"rank_{rank}.pt")


@pytest.fixture(scope="module")
def two(clips_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The directory and the standard error of an undisturbed run of two processes."""
    directory = tmp_path_factory.mktemp("two")
    done = torchrun(WORKER, clips_manifest, directory)
    assert done.returncode == 0, done.stderr
    return directory, done.stderr


def test_two_processes_have_the_loss_curve_of_one(two: tuple[Path, str], clips_manifest: Path, tmp_path: Path) -> None:
    alone = runpy.run_path(str(WORKER))["run"](clips_manifest, tmp_path, Ranks())
    one, weights = results(tmp_path, 0)
    for found, same_weights in (results(two[0], 0), results(two[0], 1)):
        assert found["losses"] == pytest.approx(alone, rel=1e-4)
        assert found["step"] == one["step"]
        for name, value in weights.items():
            assert torch.allclose(value, same_weights[name], rtol=1e-2, atol=1e-3), name
    assert len(alone) == 9
    assert alone[-1] < alone[0]


def test_both_processes_hold_the_same_weights_to_the_bit(two: tuple[Path, str]) -> None:
    (_, first), (_, second) = results(two[0], 0), results(two[0], 1)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_first_process_alone_prints_and_writes(two: tuple[Path, str]) -> None:
    lines = [line for line in two[1].splitlines() if line.startswith("Training: 100 %")]
    assert len(lines) == 1
    assert sorted(path.suffix for path in two[0].iterdir()) == [*[".json"] * 4, *[".pt"] * 3]


# The names stand in /proc, which Linux alone has; CI runs on Linux.
@pytest.mark.skipif(sys.platform != "linux", reason="no other system lists threads by name")
def test_no_thread_of_the_group_outlives_it(two: tuple[Path, str]) -> None:
    """One that is left when the interpreter ends may abort the process, and torchrun then reports a failure."""
    for rank in range(2):
        names = json.loads((two[0] / f"threads_{rank}.json").read_text())
        assert names
        assert not [name for name in names if "gloo" in name]


def test_a_killed_worker_goes_on_from_the_checkpoint(
    two: tuple[Path, str], clips_manifest: Path, tmp_path: Path
) -> None:
    done = torchrun(WORKER, clips_manifest, tmp_path, 5, restarts=1)
    assert done.returncode == 0, done.stderr
    (found, weights), (undisturbed, wanted) = results(tmp_path, 0), results(two[0], 0)
    assert found["losses"] == undisturbed["losses"][3:]  # the checkpoint is from step 3
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


def test_two_processes_train_from_shards_of_their_own_as_one_does_from_all(
    clips_manifest: Path, tmp_path: Path
) -> None:
    run = runpy.run_path(str(WORKER))
    recipe = run["RECIPE"]
    pool = read_pool(manifest.read(clips_manifest), recipe.phrase, "train")
    drawn = DrawnBatches(pool, recipe.frontend, recipe.examples, recipe.augment, (0, 0))
    write_shards(drawn, recipe.wake_phrases, tmp_path / "shards", examples=48, shards=4, processes=1)
    pattern = str(tmp_path / "shards" / "*.tar")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    alone = run["run"](clips_manifest, tmp_path / "one", Ranks(), shards=pattern)
    done = torchrun(WORKER, clips_manifest, tmp_path / "two", pattern)
    assert done.returncode == 0, done.stderr
    for rank in range(2):
        found = results(tmp_path / "two", rank)[0]
        assert found["losses"] == pytest.approx(alone, rel=1e-4)
        assert found["opened"] == 2
    assert results(tmp_path / "one", 0)[0]["opened"] == 4


def test_torchrun_trains_a_recipe_to_one_detector(clips_manifest: Path, tmp_path: Path) -> None:
    """The command as people type it: one process synthesizes, decodes and writes, the other waits for what it made."""
    recipe = tmp_path / "hey_marvin.toml"
    recipe.write_text(
        f"""
        phrase = "hey marvin"
        frontend = {{bands = 16}}
        synthesis = {{positives = 12, negatives = 12, backends = ["espeak"]}}
        examples = {{window_ms = 1500}}
        augment = {{simulated_room_share = 0.0}}
        model = {{name = "deepkws", deepkws = {{layers = 2, width = 16}}}}
        quantize = {{calibration_clips = 16}}
        [train]
        steps = 4
        batch_clips = 8
        trials = 2
        dev_clips = 16
        workers = 1
        threads = 1
        [[data]]
        manifest = "{clips_manifest}"
        """
    )
    out = tmp_path / "out"
    done = torchrun("-m", "kws", "train", recipe, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("hey_marvin.kws") == 1
    (made,) = out.rglob("*.kws")
    assert {source.name for source in load(made).licences} > {"voice hey_marvin"}
    assert sum("examples/s" in line for line in done.stderr.splitlines() if line.startswith("Training: 100 %")) == 1
    assert not list(out.rglob("*.pcm"))


def test_a_batch_must_have_equal_parts() -> None:
    assert Ranks(1, 4).part(64) == 16
    with pytest.raises(KwsError, match="64, which 3 processes cannot share"):
        Ranks(1, 3).part(64)


def test_a_gpu_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(KwsError, match=r"train\.device is 'cuda', but process 0 of this machine has no GPU"):
        choose_device("cuda")
