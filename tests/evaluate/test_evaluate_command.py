"""``kws evaluate`` for several models: what is printed, and what cannot be asked for."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kws.cli import command
from kws.detector.model_file import KwsModel, save


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tone_model: KwsModel, two_tone_model: KwsModel) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save(tone_model, folder / "beep.kws")
    save(two_tone_model, folder / "two.kws")
    return folder


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, ["evaluate", *map(str, arguments)], catch_exceptions=False)


def test_several_models_are_pooled(models: Path, tone_corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    both = (models / "beep.kws", models / "two.kws", "--manifest", tone_corpus.parent)
    result = run(*both, "--pool", "--noise-snr-db", "10", "--room", "--plot", tmp_path / "det.png")
    assert result.exit_code == 0
    assert "beep, two: beep, high chirp, pooled, test" in result.stdout
    for row in ("clean", "noise 10 dB", "room", "DET curve", "Phrase by phrase"):
        assert row in result.stdout
    assert (tmp_path / "det.png").read_bytes().startswith(b"\x89PNG")
    data = json.loads(run(*both, "--pool", "--json").stdout)
    assert (data["models"], data["phrases"]) == (["beep", "two"], ["beep", "high chirp"])
    assert [one["condition"] for one in data["conditions"]] == ["clean"]
    assert data["conditions"][0]["shipped"]["positives"] == 4 + 4 + 3
    assert data["conditions"][0]["shipped"]["misses"] == 2, "each model misses the high beep"


def test_models_are_compared(models: Path, tone_corpus: Path) -> None:
    beep = (models / "two.kws", "--against", models / "beep.kws", "--phrase", "beep", "--manifest", tone_corpus)
    assert "two against beep" in run(*beep).stdout
    data = json.loads(run(*beep, "--json").stdout)
    assert data["compared"][0]["targets"][0]["misses"] == 1
    assert data["compared"][0]["targets"][0]["reduction"] == 0.0


def test_one_model_is_told_in_full_as_before(models: Path, tone_corpus: Path) -> None:
    alone = run(models / "beep.kws", "--manifest", tone_corpus)
    assert "“beep”, threshold 0.7000, clean" in alone.stdout
    assert json.loads(run(models / "beep.kws", "--manifest", tone_corpus, "--json").stdout)["phrases"] == ["beep"]


def test_models_of_one_name_are_told_apart(models: Path, tone_corpus: Path) -> None:
    (models / "b").mkdir()
    (models / "b" / "beep.kws").write_bytes((models / "beep.kws").read_bytes())
    paths = [models / "beep.kws", models / "b" / "beep.kws"]
    data = json.loads(run(*paths, "--manifest", tone_corpus, "--pool", "--json").stdout)
    assert data["models"] == [str(path) for path in paths]
    two = run(paths[0], "--against", paths[1], "--manifest", tone_corpus)
    assert str(paths[1]) in two.stdout.replace("\n", "")


@pytest.mark.parametrize("arguments", [("beep.kws", "two.kws"), ("beep.kws", "--room")])
def test_what_needs_pooling_says_so(models: Path, tone_corpus: Path, arguments: tuple[str, ...]) -> None:
    named = [models / one if one.endswith(".kws") else one for one in arguments]
    result = run(*named, "--manifest", tone_corpus)
    assert result.exit_code == 2
    assert "--pool, or --against" in result.output
