"""What people install: a source archive that holds everything, and a wheel of it that listens without a compiler."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from kws.detector.files import detect_file
from kws.detector.model_file import KwsModel, save

pytestmark = pytest.mark.slow

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
def wheel(archive: Path) -> Path:
    """The wheel of the unpacked archive."""
    return build("wheel", archive, archive.parent)


def with_dependencies(names: list[str]) -> dict[str, Distribution]:
    """Return these distributions and all that they need, as they are installed here."""
    found: dict[str, Distribution] = {}
    while names:
        name = names.pop()
        if name not in found:
            found[name] = distribution(name)
            names += required(found[name].requires or [])
    return found


def required(lines: list[str]) -> list[str]:
    """Return the names in lines as ``Requires-Dist`` has them, without those of an extra or another system."""
    return [re.split(r"[^\w.-]", line)[0].lower() for line in lines if ";" not in line]


@pytest.fixture(scope="module")
def fresh(wheel: Path) -> Path:
    """The programs of a fresh environment: pip installs the wheel into it, links stand for what the wheel needs."""
    place = wheel.parent / "fresh"
    venv.create(place, symlinks=True)
    (site,) = place.glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--python", str(place), "--disable-pip-version-check", "install", "--no-deps"]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (metadata,) = site.glob("kws-*.dist-info/METADATA")
    lines = re.findall(r"^Requires-Dist: (.*)$", metadata.read_text(), re.MULTILINE)
    for name, needed in with_dependencies(required(lines)).items():
        tops = {file.parts[0] for file in needed.files or ()} - {"..", "__pycache__"}
        assert tops, name
        for top in tops:
            (site / top).symlink_to(Path(str(needed.locate_file(top))))
    return place / "bin"


def files(root: Path, folders: tuple[str, ...]) -> set[str]:
    paths = (path for folder in folders for path in (root / folder).rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix() for path in paths if path.suffix not in (".pyc", ".so")}


def test_the_source_archive_is_whole(archive: Path) -> None:
    folders = (*PACKAGES, "tests", "docs", "examples", "recipes", "benchmarks")
    assert files(archive, folders) == files(ROOT, folders)
    for name in ("setup.py", "Makefile", "constraints.txt", "LICENSE", "README.md"):
        assert (archive / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_wheel_has_every_file_of_the_packages(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    assert files(tmp_path, PACKAGES) == files(ROOT, PACKAGES)
    assert {"firmware_export/runtime/kws.c", "firmware_export/c/files/Makefile"} <= files(tmp_path, PACKAGES)


def test_it_listens_in_a_fresh_environment_without_a_compiler(
    fresh: Path,
    tone_model: KwsModel,
    burst_sound: NDArray[np.int16],
    burst_times_s: tuple[float, ...],
    tmp_path: Path,
) -> None:
    save(tone_model, tmp_path / "beep.kws")
    soundfile.write(tmp_path / "a.wav", burst_sound, 16000)

    def run(*command: str | Path) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    imported = run(fresh / "python", "-c", "import kws, sys; print(kws.__file__, 'torch' in sys.modules)")
    assert imported.startswith(str(fresh.parent)), "not the tree that these tests stand in"
    assert "numpy (kws._runtime was not built" in run(fresh / "kws", "info", "beep.kws")
    found = [json.loads(line) for line in run(fresh / "kws", "detect", "beep.kws", "a.wav", "--json").splitlines()]
    assert len(found) == len(burst_times_s)


def other_python(version: str) -> str | None:
    """Return a Python of this version that runs here: on the path, or of pyenv."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    on_path = shutil.which(f"python{version}")
    candidates = [*([on_path] if on_path else []), *map(str, root.glob(f"versions/{version}.*/bin/python{version}"))]
    for candidate in candidates:
        if subprocess.run([candidate, "-c", "import venv"], capture_output=True).returncode == 0:
            return candidate
    return None


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_it_detects_on_other_pythons(
    version: str, archive: Path, tone_model: KwsModel, burst_sound: NDArray[np.int16], tmp_path: Path
) -> None:
    """Built from the source archive, C runtime and all, with the packages that pip finds for it."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        pytest.skip("the other tests run on this one")
    if (python := other_python(version)) is None:
        pytest.skip(f"there is no Python {version} here")
    save(tone_model, tmp_path / "beep.kws")
    soundfile.write(tmp_path / "a.wav", burst_sound, 16000)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PIP_CONSTRAINT")}
    bin_ = tmp_path / "other" / "bin"
    commands: tuple[list[str | Path], ...] = (
        [python, "-m", "venv", tmp_path / "other"],
        [bin_ / "python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile", archive],
        [bin_ / "kws", "detect", "beep.kws", "a.wav", "--json", "--engine", "c"],
    )
    for command in commands:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    times = [json.loads(line)["time_s"] for line in done.stdout.splitlines()]
    assert times == [round(one.time_s, 4) for one in detect_file(tone_model, tmp_path / "a.wav")]
