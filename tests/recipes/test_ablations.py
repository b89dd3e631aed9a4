"""benchmarks/ablations.py: every row is a recipe that loads, and what was trained is not trained again."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from kws.audio import write_audio
from kws.data import manifest
from kws.data.manifest import Clip
from kws.models.figures import figures
from kws.recipe import Recipe, load_recipe
from tests.support.warm import RunKws

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "ablations.py"
MakeClips = Callable[..., Path]


@pytest.fixture(scope="module")
def ablations(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("ablations")


@pytest.fixture
def recorded(tmp_path: Path, clips: MakeClips) -> Path:
    """Clips of two splits with a room for each; returns the manifest."""
    path = clips(tmp_path / "recorded", ["computer", "neg_speech", "noise"], "recorded")
    found = list(manifest.read(path))
    for split in ("train", "dev"):
        room = tmp_path / "recorded" / f"{split}_room.wav"
        write_audio(room, np.array([20_000, *[0] * 800, 6_000], np.int16))
        found.append(Clip(str(room), split, "rir", "", "recorded", "CC0", 0.05))
    manifest.write(found, path)
    return path


def rows(ablations: ModuleType, tmp_path: Path) -> dict[tuple[str, str], Recipe]:
    """Return the recipe of each row of each table."""
    bench = ablations.Bench(tmp_path, tmp_path, ["computer"], (4, 4), 128, 10)
    return {
        (table, name): load_recipe(bench.recipe(values))
        for table, row in ablations.TABLES.items()
        for name, values in row.items()
    }


def test_every_row_is_a_recipe_and_differs_from_the_others_of_its_table(ablations: ModuleType, tmp_path: Path) -> None:
    found = rows(ablations, tmp_path)
    assert {table for table, _ in found} == {"wren", "optimizer", "loss", "augmentation", "families", "cnn"}
    for table in ablations.TABLES:
        recipes = [recipe for (of, _), recipe in found.items() if of == table]
        assert all(one != other for number, one in enumerate(recipes) for other in recipes[:number])


def test_the_default_is_measured_against_what_could_be_it(ablations: ModuleType, tmp_path: Path) -> None:
    """One row of its table alone is beyond 25,000 parameters or 2.0 M multiply-accumulates a second."""
    beyond = set()
    for (table, name), recipe in rows(ablations, tmp_path).items():
        size = figures(recipe.model, 40, 2, 10)
        if table == "wren" and (size.parameters >= 25_000 or size.macs_per_second > 2e6):
            beyond.add(name)
    assert beyond == {"72 channels"}


def test_another_corpus_makes_other_shards_and_models(ablations: ModuleType, tmp_path: Path) -> None:
    one, two = (ablations.Bench(tmp_path, tmp_path / name, ["computer"], (4, 4), 128, 10) for name in ("a", "b"))
    assert one.key({}) == one.key({}) != two.key({})
    assert one.key({}, ablations.LEARNING) == one.key({"model.wren.channels": 8}, ablations.LEARNING) != one.key({})


def test_settings_hold_for_every_row_that_does_not_say_otherwise(ablations: ModuleType, tmp_path: Path) -> None:
    given = dict(map(ablations.setting, ["train.optimizer=adamw", "train.learning_rate=0.004", "train.loss=max_pool"]))
    assert given == {"train.optimizer": "adamw", "train.learning_rate": 0.004, "train.loss": "max_pool"}
    plain, bench = (ablations.Bench(tmp_path, tmp_path, ["computer"], (4, 4), 128, 10, one) for one in ({}, given))
    train = load_recipe(bench.recipe({"train.learning_rate": 0.02})).train
    assert (train.optimizer, train.learning_rate, train.loss) == ("adamw", 0.02, "max_pool")
    assert plain.key({}) != bench.key({})
    assert plain.key({}, ablations.LEARNING) == bench.key({}, ablations.LEARNING)  # the examples are the same


@pytest.mark.train
def test_a_table_is_printed_and_kept(
    ablations: ModuleType, recorded: Path, tmp_path: Path, kws: RunKws, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str | Path, quiet: bool = False) -> str:
        done = kws(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    monkeypatch.setattr(ablations, "kws", run)
    options = ["--phrase", "computer", "--synthetic", "4", "6", "--examples", "128", "--steps", "2"]
    options += ["--setting", "train.dev_clips=16", "--setting", "quantize.calibration_clips=8"]
    command = ["loss", "--data", str(recorded), "--out", str(tmp_path / "runs"), *options]

    def table() -> list[str]:
        return CliRunner().invoke(ablations.main, command, catch_exceptions=False).stdout.splitlines()

    printed = table()
    assert [line.split("|")[1].strip() for line in printed if "%" in line] == [
        "frame",
        "frame, no hard term",
        "max_pool",
    ]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.kws")}
    assert len(written) == 3
    assert table() == printed
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.kws")} == written


@pytest.mark.slow
def test_it_runs_the_command_and_ends_with_its_sentence(ablations: ModuleType) -> None:
    assert "version" in ablations.kws("--version")
    with pytest.raises(SystemExit, match=r"(?s)nowhere\.toml: cannot be read.*kws train failed"):
        ablations.kws("train", "nowhere.toml", quiet=True)
    done = subprocess.run([sys.executable, BENCHMARK, "--help"], capture_output=True, text=True)
    assert "augmentation loss --data CORPUS" in done.stdout
