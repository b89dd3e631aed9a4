"""`kws verify`: whole files of this very model pass, every other one is refused."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from firmware_export import seal
from firmware_export.check import check
from firmware_export.tflite import writer as tflite
from firmware_export.verify import VerifyError
from firmware_export.write import export
from kws.cli.verify import verify
from kws.detector import model_file
from kws.detector.model_file import KwsModel
from kws.errors import KwsError
from kws.graph.ir import Conv2D

NAMES = ("beep.tflite", "beep_stateless.tflite", "beep.onnx", "beep_qdq.onnx", "beep_audio.onnx")


@pytest.fixture(scope="module")
def exported(tone_model: KwsModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    for target in ("tflite", "onnx"):
        export(tone_model, "beep", target, folder, verify_seconds=1.0)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_what_was_exported_passes(tone_model: KwsModel, exported: Path, name: str) -> None:
    report = check(tone_model, exported / name, 1.0)
    assert len(report.results) > 1
    assert {result.status for result in report.results} <= {"reference", "equal", "within bound"}
    assert {result.steps for result in report.results} == {report.steps}


@pytest.mark.parametrize("name", NAMES)
def test_another_models_file_is_refused(tone_model: KwsModel, exported: Path, name: str) -> None:
    """The same graph with another threshold is another model."""
    other = dataclasses.replace(tone_model, thresholds=(tone_model.thresholds[0] - 1,))
    with pytest.raises(KwsError, match=f"{name}: was exported from another .kws file"):
        check(other, exported / name, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_refused(tone_model: KwsModel, exported: Path, tmp_path: Path, name: str) -> None:
    content = bytearray((exported / name).read_bytes())
    content[len(content) // 3] ^= 64
    damaged = tmp_path / name
    damaged.write_bytes(content)
    with pytest.raises(KwsError, match=f"{name}: the content does not match its SHA-256"):
        check(tone_model, damaged, 1.0)


def test_a_file_that_says_it_is_this_models_and_is_not(tone_model: KwsModel, tmp_path: Path) -> None:
    """Sealed with the model's hash, but a bias of another graph."""
    last = tone_model.graph.ops[-1]
    assert isinstance(last, Conv2D)
    other = dataclasses.replace(
        tone_model.graph, ops=(*tone_model.graph.ops[:-1], dataclasses.replace(last, bias=last.bias + 1000))
    )
    path = tmp_path / "beep.tflite"
    tflite.write(other, path, metadata={"kws.model_sha256": model_file.digest(tone_model)})
    with pytest.raises(VerifyError, match="at step"):
        check(tone_model, path, 1.0)


def test_the_command(tone_model: KwsModel, exported: Path, tmp_path: Path) -> None:
    """The first file passes, the second is half a file: both are told, and the status is 2."""
    model = tmp_path / "beep.kws"
    model_file.save(tone_model, model)
    whole, half = exported / NAMES[0], tmp_path / "half.onnx"
    half.write_bytes((exported / "beep.onnx").read_bytes()[:2000])
    done = subprocess.run(
        [sys.executable, "-m", "kws", "verify", str(model), str(whole), str(half), "--seconds", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{whole} was exported from {model}" in done.stdout
    assert "half.onnx: was not written by kws export, or is cut short" in done.stderr
    told = CliRunner().invoke(verify, [str(model), str(whole), "--seconds", "1", "--json"], catch_exceptions=False)
    assert [entry["steps"] > 50 for entry in json.loads(told.stdout).values()] == [True]


def test_a_bundle_passes_and_is_refused_when_changed(tone_model: KwsModel, tmp_path: Path) -> None:
    from firmware_export.c import bundle

    folder = tmp_path / "beep_c"
    bundle.write_c(tone_model, folder)
    assert check(tone_model, folder, 1.0).results[1].status == "equal"
    other = dataclasses.replace(tone_model, thresholds=(tone_model.thresholds[0] - 1,))
    with pytest.raises(KwsError, match=r"beep_c: is the bundle of another \.kws file"):
        check(other, folder, 1.0)
    (folder / "src" / "model.c").write_text("/* changed */\n")
    with pytest.raises(KwsError, match=r"model\.c: was changed since kws export wrote it"):
        check(tone_model, folder, 1.0)


def test_a_seal_stands_once() -> None:
    with pytest.raises(ValueError, match="0 seals"):
        seal.seal(b"nothing")
    with pytest.raises(ValueError, match="2 seals"):
        seal.seal(2 * seal.BLANK.encode())
    sealed = seal.seal(b"a" + seal.BLANK.encode() + b"b")
    assert seal.seal(sealed) == sealed
