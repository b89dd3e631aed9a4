"""The C files as a device and a host compile them: strict warnings, sanitizers on extreme input, no dependencies."""

import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kws.frontend import FrontendConfig, compute
from kws.frontend.tables import Tables, build

RUNTIME = Path(__file__).parents[2] / "firmware_export" / "runtime"
SOURCES = [RUNTIME / "lfbe.c", RUNTIME / "lfbe_frame.c"]
PROGRAM = Path(__file__).with_name("lfbe_test_program.c")
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-pedantic", "-Werror", "-std=c99"]
SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
BUILDS = {
    "device": [*SANITIZERS],
    "host": ["-DKWS_HOST", *SANITIZERS],
    "host, portable vectors": ["-DKWS_HOST", "-DKWS_LFBE_ONE_KERNEL", *SANITIZERS],
    "host, optimised": ["-DKWS_HOST", "-O3"],
    "five lanes": ["-DKWS_LFBE_LANES=5", "-DKWS_LFBE_ONE_KERNEL", "-O3"],
}
if platform.machine() == "x86_64":
    BUILDS["host, AVX2"] = ["-DKWS_HOST", "-DKWS_LFBE_ONE_KERNEL", "-mavx2", "-O3"]
CONFIGS = [FrontendConfig(), FrontendConfig(fft_size=1024, window_ms=64, hop_ms=40, bands=80)]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")]


def c_tables(tables: Tables) -> str:
    """Print the tables as C, with nothing known but their fields."""
    lines = ['#include "kws_lfbe.h"']
    for name, array in tables.arrays():
        lines.append(f"static const {array.dtype}_t t_{name}[] = {{{', '.join(map(str, array.tolist()))}}};")
    fields = [f".{name} = {value}" for name, value in tables.scalars()]
    fields += [f".{name} = t_{name}" for name, _ in tables.arrays()]
    return "\n".join([*lines, f"static const kws_lfbe_tables_t tables = {{{', '.join(fields)}}};\n"])


def gcc(*arguments: str | Path) -> None:
    done = subprocess.run(["gcc", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def extreme_samples(rng: np.random.Generator) -> NDArray[np.int16]:
    length = 3000
    full_scale = np.array([-32768, 32767], np.int16)
    parts = [
        np.zeros(length, np.int16),
        np.full(length, -32768, np.int16),
        np.full(length, 32767, np.int16),
        np.full(length, -1, np.int16),
        rng.choice(full_scale, length),
        np.tile(full_scale, length // 2),
        np.repeat(full_scale, 200),
        (rng.random(length) < 0.002).astype(np.int16),
        rng.integers(-32768, 32768, length).astype(np.int16),
    ]
    return np.concatenate(parts)


@pytest.mark.parametrize("config", CONFIGS, ids=["default", "largest"])
@pytest.mark.parametrize("build_name", BUILDS)
def test_extremes_are_clean_and_equal(
    build_name: str, config: FrontendConfig, rng: np.random.Generator, tmp_path: Path
) -> None:
    (tmp_path / "tables.h").write_text(c_tables(build(config)))
    program = tmp_path / "program"
    gcc(*WARNINGS, *BUILDS[build_name], f"-I{RUNTIME}", f"-I{tmp_path}", PROGRAM, *SOURCES, "-o", program)
    samples = extreme_samples(rng)
    for chunks in (["160"], ["1", "399", "0", "2000"], ["30000"]):
        done = subprocess.run([program, *chunks], input=samples.tobytes(), capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        streamed, whole = np.split(np.frombuffer(done.stdout, np.int16).reshape(-1, config.bands), 2)
        expected = compute(samples, config, "numpy")
        assert np.array_equal(streamed, expected)
        assert np.array_equal(whole, expected)


def test_a_device_needs_nothing_but_memcpy_and_memset(tmp_path: Path) -> None:
    integers_only = ["-mgeneral-regs-only"] if platform.machine() in ("x86_64", "aarch64") else []
    for source in SOURCES:
        compiled = tmp_path / f"{source.stem}.o"
        gcc(*WARNINGS, "-O2", "-ffreestanding", *integers_only, f"-I{RUNTIME}", "-c", source, "-o", compiled)
        symbols = subprocess.run(["nm", compiled], capture_output=True, text=True, check=True).stdout.splitlines()
        kinds = [(line.split()[-2], line.split()[-1]) for line in symbols]
        needed = {name for kind, name in kinds if kind == "U" and not name.startswith(("kws_lfbe_", "_GLOBAL_OFFSET"))}
        assert needed <= {"memcpy", "memset"}
        assert not [name for kind, name in kinds if kind in "bBdDcC"], "a global that is written"


def test_device_memory_stays_small(tmp_path: Path) -> None:
    (tmp_path / "tables.h").write_text(c_tables(build(FrontendConfig())))
    (tmp_path / "size.c").write_text(
        '#include <stdio.h>\n#include "tables.h"\n'
        'int main(void) { printf("%d %d", (int)kws_lfbe_memory_bytes(&tables), (int)kws_lfbe_scratch_bytes(&tables)); }'
    )
    gcc("-std=c99", f"-I{RUNTIME}", tmp_path / "size.c", *SOURCES, "-o", tmp_path / "size")
    done = subprocess.run([tmp_path / "size"], capture_output=True, text=True, check=True)
    assert done.stdout == "2848 2048"
