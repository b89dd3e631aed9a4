"""Where a bundle may be written, and what is never lost."""

import dataclasses
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from firmware_export import bundle
from firmware_export.bundle_engine import compiler
from firmware_export.marker import check_replaceable, read_marker
from kws.errors import KwsError
from kws.model_file import KwsModel


@pytest.fixture
def written(tone_model: KwsModel, tmp_path: Path) -> Path:
    directory = tmp_path / "beep"
    bundle.write_c(tone_model, directory)
    return directory


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_bundle_is_whole(written: Path, tmp_path: Path) -> None:
    marker = read_marker(written)
    assert names(written) == sorted([*marker["files"], "bundle.json"])
    assert set(marker["files"]) >= {
        "kws.h",
        "model.c",
        "model.h",
        "example_main.c",
        "selftest.c",
        "Makefile",
        "README.txt",
    }
    assert marker["phrases"] == ["beep"]
    assert names(tmp_path) == ["beep"], "nothing is left beside it"


def test_an_older_bundle_and_what_make_built_are_replaced(tone_model: KwsModel, written: Path, tmp_path: Path) -> None:
    (written / "build").mkdir()
    (written / "build" / "example").touch()
    bundle.write_c(tone_model, written)
    assert "build" not in names(written)
    assert names(tmp_path) == ["beep"]


def test_an_empty_directory_is_taken(tone_model: KwsModel, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    bundle.write_c(tone_model, tmp_path / "empty")
    assert read_marker(tmp_path / "empty")


def test_missing_parents_are_made(tone_model: KwsModel, tmp_path: Path) -> None:
    bundle.write_c(tone_model, tmp_path / "a" / "b" / "c")
    assert read_marker(tmp_path / "a" / "b" / "c")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("notes.txt", "mine", "notes.txt: was not written by kws export"),
        ("example_main.c", "int main(void) { return 0; }", "example_main.c: was changed by hand"),
        ("bundle.json", "{}", "is no bundle"),
        ("bundle.json", '{"format": "kws-bundle", "version": 2, "files": {}}', "newer kws"),
    ],
)
def test_what_a_user_changed_is_not_lost(tone_model: KwsModel, written: Path, name: str, text: str, words: str) -> None:
    (written / name).write_text(text)
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    with pytest.raises(KwsError, match=words):
        bundle.write_c(tone_model, written)
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before


def test_another_directory_or_a_file_is_refused(tone_model: KwsModel, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("photos", "file", "dangling"):
        with pytest.raises(KwsError, match=f"{name}: is no bundle"):
            bundle.write_c(tone_model, tmp_path / name)
    assert names(tmp_path) == ["dangling", "file", "photos"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_leaves_the_old_bundle(tone_model: KwsModel, written: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(KwsError, match=r"beep: cannot be written \(File too large\)"):
            bundle.write_c(tone_model, written)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in written.iterdir()} == before
    assert names(tmp_path) == ["beep"]


def test_a_verified_bundle_is_moved_into_place(tone_model: KwsModel, written: Path, tmp_path: Path) -> None:
    bundle.write_c(tone_model, tmp_path / "new")
    (tmp_path / "new" / "model.c").touch()
    bundle.replace_bundle(tmp_path / "new", written)
    assert names(tmp_path) == ["beep"]
    check_replaceable(written)


def test_audio_too_short_for_a_self_test_is_refused(tone_model: KwsModel, tmp_path: Path) -> None:
    with pytest.raises(KwsError, match="has 399 samples"):
        bundle.write_c(tone_model, tmp_path / "c", np.zeros(399, np.int16))
    assert not list(tmp_path.iterdir())


def test_the_same_model_gives_the_same_bundle(tone_model: KwsModel) -> None:
    assert bundle.contents(tone_model) == bundle.contents(dataclasses.replace(tone_model))


def test_a_compiler_is_found_or_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiler()
    monkeypatch.setenv("CC", "")
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(KwsError, match="no C compiler"):
        compiler()
