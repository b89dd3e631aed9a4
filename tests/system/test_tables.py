"""Data is printed as data: brackets, emoji codes and escape sequences, through the real commands."""

import ast
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from kws.audio import write_audio
from kws.cli import command
from kws.data import manifest
from kws.data.manifest import Clip
from kws.detector.decision import DetectorConfig, OperatingPoint
from kws.detector.model_file import KwsModel, Source, save
from kws.evaluate.results import Evaluation
from kws.evaluate.show import table as evaluation_table
from kws.system import progress, tables

ROOT = Path(__file__).parents[2]
EVIL = "[red]x[/b] :warning: \x1b[31m"
SHOWN = r"[red]x[/b] :warning: \x1b[31m"


def kws(*arguments: str | Path) -> str:
    done = CliRunner().invoke(command, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    return " ".join(done.output.split())


def test_no_other_module_makes_tables_or_consoles() -> None:
    for path in [*ROOT.glob("kws/**/*.py"), *ROOT.glob("firmware_export/**/*.py"), *ROOT.glob("benchmarks/*.py")]:
        if path.name == "tables.py" and path.parent.name == "system":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rich":
                assert not {"Table", "Console", "box", "print"} & {alias.name for alias in node.names}, path
            if isinstance(node, ast.Import):
                assert not any(alias.name.split(".")[0] == "rich" for alias in node.names), path


def test_cells_titles_and_lines_are_data() -> None:
    table = tables.Table(EVIL, box=tables.SIMPLE)
    table.add_column("heading")
    table.add_row(EVIL)
    for text in (tables.printed(table, EVIL), tables.plain(table, EVIL)):
        assert text.count(SHOWN) == 3
        assert "\x1b" not in text


def test_a_direction_is_not_turned_and_letters_are_left() -> None:
    assert tables.clean("Jürgen שלום \u202egpj.exe\x07\x9b") == "Jürgen שלום \\u202egpj.exe\\x07\\x9b"


def test_a_line_is_not_broken() -> None:
    assert tables.printed("word " * 60) == ("word " * 60).rstrip()


@pytest.fixture
def evil_model(tone_model: KwsModel) -> KwsModel:
    """Phrases and labels are printable by their own check; sources and what a point was measured on are not."""
    phrase = "computer [/b]"
    detector = DetectorConfig.single(phrase, ("filler", "[/computer]"), 10, 10, 500)
    points = (OperatingPoint(20_000, 0.5, 0.1, EVIL, phrase),)
    sources = (Source(EVIL, f"CC0 {EVIL}", 3, 0.1),)
    return replace(tone_model, detector=detector, operating_points=points, licences=sources)


def test_kws_info(evil_model: KwsModel, tmp_path: Path) -> None:
    save(evil_model, tmp_path / "evil.kws")
    said = kws("info", tmp_path / "evil.kws")
    assert "'computer [/b]', threshold 0.700, labels [/computer]" in said
    assert "computer [/b] 0.610" in said
    assert said.replace(" ", "").count(SHOWN.replace(" ", "")) >= 2


def test_kws_detect_and_listen(
    evil_model: KwsModel, tmp_path: Path, driver: object, burst_sound: NDArray[np.int16]
) -> None:
    save(evil_model, tmp_path / "evil.kws")
    write_audio(tmp_path / "[b]take.wav", burst_sound)
    assert "[b]take.wav: 0." in kws("detect", tmp_path / "evil.kws", tmp_path / "[b]take.wav").replace("  ", " ")


def test_kws_corpus(tmp_path: Path) -> None:
    for speaker in ("[red]ann", ":warning:"):
        folder = tmp_path / "[bold]mine" / "computer" / speaker
        folder.mkdir(parents=True)
        write_audio(folder / "[b]a.wav", np.full(8000, 9, np.int16))
        (folder / "[b]broken.wav").write_bytes(b"RIFF")
    said = kws("corpus", "folder", tmp_path / "[bold]mine", "--licence", EVIL, "--pattern", "{label}/{speaker}/*")
    assert "[bold]mine" in said
    assert "[b]broken.wav" in said


def test_kws_evaluate(tone_model: KwsModel, tmp_path: Path, burst_sound: NDArray[np.int16]) -> None:
    folder = tmp_path / "[bold]corpus"
    folder.mkdir()
    clips = []
    for number in range(3):
        write_audio(folder / f"[b]{number}.wav", burst_sound[: 16000 + number])
        clip = Clip(str(folder / f"[b]{number}.wav"), "test", "beep", "[/red]ann", "made", "CC0", 1.0, 0.2, 0.6)
        clips.append(clip)
    write_audio(folder / "[b]speech.wav", burst_sound)
    clips.append(Clip(str(folder / "[b]speech.wav"), "test", "neg_speech", "[/b]", "made", "CC0", 12.0))
    manifest.write(clips, folder / "manifest.csv")
    save(tone_model, tmp_path / "beep.kws")
    said = kws("evaluate", tmp_path / "beep.kws", "--manifest", folder, "--threshold", "1")
    assert "[/red]ann" in said
    said = kws("evaluate", tmp_path / "beep.kws", "--manifest", folder, "--threshold", "0.3")
    assert "[b]speech.wav" in said


def test_an_evaluations_title_and_rows() -> None:
    said = evaluation_table.text(Evaluation(("computer [/b]",), EVIL, "c", (16384,), None, 0, ()))
    assert "“computer [/b]”, threshold 0.5000" in said


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_of_progress(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    out.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stderr", out)
    with progress.bar("Synthesizing 'computer [/b]'", 1) as advance:
        advance(note="[/red]")
    assert "Synthesizing 'computer [/b]'" in out.getvalue()
    assert "[/red]" in out.getvalue()
