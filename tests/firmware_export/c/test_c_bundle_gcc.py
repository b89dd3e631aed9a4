"""arm-none-eabi-gcc, which most boards' kits bring: it compiles every file for every core, and the numbers are right.

What the assembly asks of it is only seen when it gives out registers, and that differs by core and level.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from firmware_export.c import bundle
from firmware_export.c.engine import sources
from firmware_export.probe import probe_audio
from firmware_export.simulate import elf
from firmware_export.simulate.build import FILES
from kws.detector.decision import DetectorConfig
from kws.detector.model_file import KwsModel
from kws.frontend.config import FrontendConfig
from kws.graph.ir import QuantGraph

pytestmark = pytest.mark.slow

GCC = "arm-none-eabi-gcc"
QEMU = "qemu-system-arm"
CORES = {
    "cortex-m0plus": "-mcpu=cortex-m0plus -mfloat-abi=soft",
    "cortex-m3": "-mcpu=cortex-m3 -mfloat-abi=soft",
    "cortex-m4 without FPU": "-mcpu=cortex-m4 -mfloat-abi=soft",
    "cortex-m4": "-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16",
    "cortex-m7": "-mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16",
    "cortex-m33": "-mcpu=cortex-m33 -mfloat-abi=softfp -mfpu=fpv5-sp-d16",
    "cortex-m55": "-mcpu=cortex-m55 -mfloat-abi=hard",
}
LEVELS = ("-O0", "-Og", "-O1", "-O2", "-O3", "-Os", "-Ofast")


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    """Skip where the compiler or QEMU is missing; under CI that is a failure."""
    packages = {GCC: "gcc-arm-none-eabi libnewlib-arm-none-eabi", QEMU: "qemu-system-arm"}
    missing = [package for program, package in packages.items() if shutil.which(program) is None]
    if missing:
        sentence = f"needs {' '.join(missing)} (Debian's packages)"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)


@pytest.fixture(scope="module")
def source(mixed_graph: QuantGraph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The src of a bundle with every operator, whose self-test takes a second of audio."""
    detector = DetectorConfig(("a b", "a"), ("filler", "a", "b"), ((1, 2), (1,)), 7, 20, 300)
    directory = tmp_path_factory.mktemp("gcc") / "bundle"
    bundle.write_c(KwsModel(mixed_graph, FrontendConfig(), detector, (20_000, 20_000)), directory, probe_audio(1.0))
    return directory / "src"


def gcc(folder: Path, *arguments: str | Path) -> None:
    done = subprocess.run([GCC, "-mthumb", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def with_assembly(source: Path) -> list[Path]:
    """The files that have assembly, by kws_dsp.h's or by their own."""
    header = (source / "kws_dsp.h").read_text()
    names = re.findall(r"^(?:#define (\w+)\(|static inline \w+ (\w+)\()", header, re.MULTILINE)
    users = re.compile(rf"__asm__|\b({'|'.join(one or other for one, other in names)})\(")
    return [path for path in sources(source.parent) if users.search(path.read_text())]


def test_the_files_with_assembly_are_known(source: Path) -> None:
    assert {path.name for path in with_assembly(source)} == {
        *("lfbe_dsp.c", "ops_conv.c", "ops_depthwise_dsp.c", "ops_dot.c", "ops_scale.c")
    }


@pytest.mark.parametrize("core", CORES)
def test_assembly_compiles_at_every_level(source: Path, tmp_path: Path, core: str, warnings: tuple[str, ...]) -> None:
    for level in LEVELS:
        gcc(tmp_path, *CORES[core].split(), level, *warnings, "-c", *with_assembly(source))


@pytest.mark.parametrize(("core", "options"), [("cortex-m33", "-O2"), ("cortex-m4", "-Os -DKWS_NO_DSP")])
def test_all_files_compile_without_a_warning(
    source: Path, tmp_path: Path, core: str, options: str, warnings: tuple[str, ...]
) -> None:
    """And the programs beside them, against newlib."""
    files = [*source.glob("*.c"), *source.parent.glob("*_main.c")]
    assert {"kws_selftest.c", "example_main.c", "selftest_main.c"} <= {path.name for path in files}
    gcc(tmp_path, *CORES[core].split(), *options.split(), *warnings, f"-I{source}", "-c", *files)


@pytest.mark.parametrize(
    ("core", "level", "board"),
    [
        ("cortex-m0plus", "-Os", "mps2-an385"),  # a Cortex-M3, which has all instructions of a Cortex-M0+
        ("cortex-m4", "-O3", "mps2-an386"),
        ("cortex-m7", "-O0", "mps2-an500"),
        ("cortex-m33", "-O2", "mps3-an547"),  # a Cortex-M55, which has those of a Cortex-M33
        ("cortex-m55", "-Os", "mps3-an547"),
    ],
)
def test_the_self_test_passes_on_a_board_in_qemu(
    source: Path, tmp_path: Path, core: str, level: str, board: str
) -> None:
    """Every logit, score and detection is the graph's. Newlib brings memcpy, gcc's own library what a core lacks."""
    objects = []
    options = [*CORES[core].split(), level]
    for path in (*source.glob("*.c"), Path(__file__).with_name("qemu_selftest.c")):
        objects.append(f"{path.stem}-gcc.o")  # the link script takes objects by such names
        gcc(tmp_path, *options, "-std=c99", f"-I{source}", "-c", path, "-o", objects[-1])
    gcc(tmp_path, *options, "-nostartfiles", "-T", FILES / "link.ld", "-o", "image.elf", *objects)
    command = [QEMU, "-M", board, "-nographic", "-monitor", "none", "-serial", "none", "-kernel", "image.elf"]
    command += ["-semihosting-config", "enable=on,target=native"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("kws_run_depthwise_groups" in elf.read(tmp_path / "image.elf").addresses) == (core != "cortex-m0plus")
