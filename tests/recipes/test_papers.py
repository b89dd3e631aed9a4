"""benchmarks/papers.py: every row learns from the same, is trained once, and is compared with DeepKWS."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from kws.models.registry import build
from kws.recipe import Recipe, load_recipe


@pytest.fixture(scope="module")
def papers(load_benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return load_benchmark("papers")


def recipe(papers: ModuleType, row: str, directory: Path) -> Recipe:
    path = directory / f"{row}.toml"
    path.write_text(papers.toml(papers.settings(row, 10)))
    return load_recipe(path)


def test_rows_differ_in_the_model_alone(papers: ModuleType, tmp_path: Path) -> None:
    deepkws = recipe(papers, papers.BASELINE, tmp_path)
    for row in papers.ROWS:
        found = recipe(papers, row, tmp_path)
        stride = build(found.model, found.frontend.bands, len(found.labels())).stride
        assert found.model.cnn.row == row
        for part in ("phrases", "synthesis", "phones", "examples", "augment", "label_unit", "seed"):
            assert getattr(found, part) == getattr(deepkws, part)
        assert found.train.frame_step * stride == 4 or stride == 3
        assert found.detector.max_frames * stride in (99, 100)
        assert abs(found.detector.smooth_frames * stride - 30) <= 2


def test_what_is_trained_is_not_trained_again_and_compared(
    papers: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def kws(*arguments: str | Path) -> str:
        asked.append(tuple(map(str, arguments)))
        if arguments[0] == "evaluate":
            return "fewer misses\n"
        made = Path(arguments[3]) / "model.kws"
        made.parent.mkdir(exist_ok=True)
        made.write_text("a model")
        return f"{made}\n"

    monkeypatch.setattr(papers, "kws", kws)
    for _ in range(2):
        options = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--row", "cnn-tpool2"]
        done = CliRunner().invoke(papers.main, options, catch_exceptions=False)
        assert done.output == "fewer misses\n\n"
    assert [command[0] for command in asked] == ["train", "train", "evaluate", "evaluate"]
    out = tmp_path / "out"
    assert asked[2][1:4] == (str(out / "cnn-tpool2_8000.kws"), "--against", str(out / "deepkws_8000.kws"))
