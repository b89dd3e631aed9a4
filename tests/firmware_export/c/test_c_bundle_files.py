"""Where a bundle may be written, and what is never lost."""

import dataclasses
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from firmware_export.c import bundle, marker
from firmware_export.c.engine import compiler
from firmware_export.c.marker import check_replaceable, check_whole, read_marker
from kws.detector.model_file import KwsModel, digest, save
from kws.errors import KwsError
from kws.frontend.config import FrontendConfig


@pytest.fixture
def written(tone_model: KwsModel, tmp_path: Path) -> Path:
    directory = tmp_path / "beep"
    bundle.write_c(tone_model, directory)
    return directory


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def content(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_bundle_is_whole(written: Path, tmp_path: Path) -> None:
    marker = read_marker(written)
    found = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    assert found == {*marker["files"], "bundle.json"}
    assert set(marker["files"]) >= {
        *("src/kws.h", "src/kws.c", "src/model.c", "src/kws_model.h", "src/kws_selftest.c", "src/kws_golden.h"),
        *("example_main.c", "selftest_main.c", "Makefile", "CMakeLists.txt", "README.txt", "model.sha256"),
        *("library.properties", "examples/Listen/Listen.ino", "zephyr/module.yml", "zephyr/Kconfig"),
    }
    assert "engine_main.c" not in marker["files"]
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
        ("bundle.json", "{}", "is not a bundle"),
        ("bundle.json", '{"format": "kws-bundle", "version": 3, "files": {}}', "newer kws"),
    ],
)
def test_what_a_user_changed_is_not_lost(tone_model: KwsModel, written: Path, name: str, text: str, words: str) -> None:
    (written / name).write_text(text)
    before = content(written)
    with pytest.raises(KwsError, match=words):
        bundle.write_c(tone_model, written)
    assert content(written) == before


def test_another_directory_or_a_file_is_refused(tone_model: KwsModel, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("photos", "file", "dangling"):
        with pytest.raises(KwsError, match=f"{name}: is not a bundle"):
            bundle.write_c(tone_model, tmp_path / name)
    assert names(tmp_path) == ["dangling", "file", "photos"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_leaves_the_old_bundle(tone_model: KwsModel, written: Path, tmp_path: Path) -> None:
    before = content(written)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(KwsError, match=r"beep: cannot be written \(File too large\)"):
            bundle.write_c(tone_model, written)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(written) == before
    assert names(tmp_path) == ["beep"]


def test_a_verified_bundle_is_moved_into_place(tone_model: KwsModel, written: Path, tmp_path: Path) -> None:
    bundle.write_c(tone_model, tmp_path / "new")
    (tmp_path / "new" / "src" / "model.c").touch()
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


def test_a_bundle_is_known_to_be_whole_and_of_its_model(tone_model: KwsModel, written: Path) -> None:
    """What runs a bundle asks this first: no file changed or gone, and the hash of the .kws file it was made from."""
    assert check_whole(written, digest(tone_model))["model_sha256"] == digest(tone_model)
    another = dataclasses.replace(tone_model, recipe={"seed": 3})
    with pytest.raises(KwsError, match=r"beep: is the bundle of another \.kws file"):
        check_whole(written, digest(another))
    source = written / "src" / "ops.c"
    source.write_bytes(source.read_bytes() + b" ")
    with pytest.raises(KwsError, match=r"ops\.c: was changed since kws export wrote it"):
        bundle.build_host_engine(written, written / "build")
    source.unlink()
    with pytest.raises(KwsError, match=r"ops\.c: a file of the bundle cannot be read"):
        check_whole(written)


def test_a_bundle_of_an_older_kws_is_replaced_but_not_run(tone_model: KwsModel, tmp_path: Path) -> None:
    """Version 1 had every file in one folder."""
    old = tmp_path / "old"
    old.mkdir()
    (old / "kws.c").write_text("int main(void);")
    text = marker.text({"kws.c": b"int main(void);"}, {"model_sha256": "0"})
    (old / "bundle.json").write_text(text.replace(f'"version": {marker.VERSION}', '"version": 1'))
    with pytest.raises(KwsError, match="made by an older kws"):
        check_whole(old)
    bundle.write_c(tone_model, old)
    assert check_whole(old)


def test_the_digest_of_a_bundle_is_the_one_in_the_kws_file(tone_model: KwsModel, written: Path, tmp_path: Path) -> None:
    save(tone_model, tmp_path / "beep.kws")
    digest_text = read_marker(written)["model_sha256"]
    assert digest_text.encode() in (tmp_path / "beep.kws").read_bytes()
    assert digest_text in (written / "src" / "model.c").read_text()
    assert f'GOLDEN_MODEL_HASH "{digest_text}"' in (written / "src" / "kws_golden.h").read_text()


def test_a_frontend_that_is_not_in_c_is_refused(tone_model: KwsModel, tmp_path: Path) -> None:
    micro = dataclasses.replace(tone_model, frontend=FrontendConfig.presets()["micro"])
    with pytest.raises(KwsError, match=r'frontend\.kind: the C99 bundle has no "micro" frontend; export --to esphome'):
        bundle.write_c(micro, tmp_path / "c")
    assert not list(tmp_path.iterdir())
