"""What people install: a source archive that holds everything, and a wheel of it that listens without a compiler."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from kws.detector.model_file import KwsModel, save

ROOT = Path(__file__).parent.parent
PACKAGES = ("kws", "firmware_export")
MADE = shutil.ignore_patterns("__pycache__", "*.so", "*.o", "_runtime.c", "build", "dist", ".*", "shared", "*.egg-info")


def build(kind: str, source: Path, out: Path) -> Path:
    """Run pip's hook ``build_sdist`` or ``build_wheel`` in ``source``, where no C compiler works."""
    call = f"import sys, setuptools.build_meta as hooks; hooks.build_{kind}(sys.argv[1])"
    environment = {**os.environ, "CC": "/bin/false"}
    command = [sys.executable, "-c", call, str(out)]
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = (path for path in out.iterdir() if path.suffix == {"sdist": ".gz", "wheel": ".whl"}[kind])
    return made


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive of this tree, unpacked."""
    out = tmp_path_factory.mktemp("archive")
    shutil.copytree(ROOT, out / "tree", ignore=MADE)
    with tarfile.open(build("sdist", out / "tree", out)) as packed:
        packed.extractall(out, filter="data")
    (folder,) = out.glob("kws-*/")
    return folder


@pytest.fixture(scope="module")
def installed(archive: Path) -> Path:
    """The wheel of the unpacked archive, where pip would put it."""
    place = archive.parent / "site"
    zipfile.ZipFile(build("wheel", archive, archive.parent)).extractall(place)
    return place


def files(root: Path, folders: tuple[str, ...]) -> set[str]:
    paths = (path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix() for path in paths if path.suffix not in (".pyc", ".so")}


def test_the_source_archive_is_whole(archive: Path) -> None:
    folders = (*PACKAGES, "tests", "docs", "recipes", "benchmarks")
    assert files(archive, folders) == files(ROOT, folders)
    for name in ("setup.py", "Makefile", "constraints.txt", "LICENSE", "README.md"):
        assert (archive / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_wheel_has_every_file_of_the_packages(installed: Path) -> None:
    assert files(installed, PACKAGES) == files(ROOT, PACKAGES)
    assert {"firmware_export/runtime/kws.c", "firmware_export/c/files/Makefile"} <= files(installed, PACKAGES)


def test_it_listens_without_a_compiler(
    installed: Path,
    tone_model: KwsModel,
    burst_sound: NDArray[np.int16],
    burst_times_s: tuple[float, ...],
    tmp_path: Path,
) -> None:
    save(tone_model, tmp_path / "beep.kws")
    soundfile.write(tmp_path / "a.wav", burst_sound, 16000)

    def kws(*arguments: str) -> str:
        command = [sys.executable, "-S", "-m", "kws", *arguments]  # -S: without the editable kws of this tree
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(installed), sysconfig.get_path("purelib")))}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "numpy (kws._runtime was not built" in kws("info", "beep.kws")
    found = [json.loads(line) for line in kws("detect", "beep.kws", "a.wav", "--json").splitlines()]
    assert len(found) == len(burst_times_s)
