"""What the tests lean on: commands that start at once are commands like any other; a promise that is broken is told."""

import os
import tomllib
from pathlib import Path

import pytest

from tests.support.cost import LEFT_OUT_OF_QUICK, QUICK_S, WHOLE_S, broken_promise
from tests.support.warm import RunKws, WarmKws

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_what_a_command_prints_and_its_status_come_back(kws: RunKws, tmp_path: Path) -> None:
    version = kws("--version", cwd=tmp_path)
    assert (version.returncode, version.stdout[:12], version.stderr) == (0, "kws, version", "")
    refused = kws("info", "here.kws", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "here.kws: cannot be read" in refused.stderr


def test_each_command_has_the_variables_and_the_folder_of_its_call(
    kws: RunKws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    narrow = kws("train", "--help", cwd=tmp_path).stdout
    monkeypatch.setenv("COLUMNS", "110")
    wide = kws("train", "--help", cwd=tmp_path).stdout
    assert max(map(len, narrow.splitlines())) <= 60 < max(map(len, wide.splitlines()))
    (tmp_path / "a.toml").write_text("phrase = \n")
    assert "a.toml: is not valid TOML" in kws("train", "a.toml", cwd=tmp_path).stderr


@pytest.mark.slow
def test_a_command_that_does_not_end_is_killed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "nobody_writes.kws")
    warm, others_s = WarmKws(), WarmKws.spent_s
    with pytest.raises(TimeoutError):
        warm.run("info", "nobody_writes.kws", cwd=tmp_path, timeout=1)
    assert warm.run("--version", cwd=tmp_path).returncode == 0, "the next one is run by a new process"
    assert WarmKws.spent_s > others_s
    warm.close()
    assert WarmKws.spent_s == pytest.approx(others_s), "what others have used is still to be told"


def test_a_broken_promise_is_told_with_the_most_expensive_tests() -> None:
    costs = {"quick one": QUICK_S, "another": 1.0, "long": WHOLE_S - QUICK_S - 1.0}
    assert broken_promise(costs, {"quick one"}, 1.0) == ""
    quick = broken_promise(costs, {"quick one", "another"}, 1.0)
    assert quick.startswith("`make quick` may take 180 s of processors and takes 181: find what is computed twice, or")
    assert "long" not in quick
    whole = broken_promise({**costs, "more": 1.0}, {"quick one"}, 1.0)
    assert whole.startswith("`make test` may take 720 s of processors and takes 721: find what is computed twice. Its")
    assert whole.index("long") > whole.index("539.0 s")
    assert broken_promise({**costs, "more": 1.0}, {"quick one"}, 0.9) == "", "the machine is slow, not the tests"


def test_make_quick_leaves_out_the_markers_that_there_are() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert tuple(line.split(":")[0] for line in settings["markers"]) == LEFT_OUT_OF_QUICK
    chosen = " and ".join(f"not {marker}" for marker in LEFT_OUT_OF_QUICK)
    assert f'$(PYTEST) -m "{chosen}"' in (ROOT / "Makefile").read_text()
