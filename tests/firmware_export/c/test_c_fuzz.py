"""Fuzzing of what ships, under address and undefined behaviour sanitizers: the feed path, and the checks of a model.

`make fuzz SECONDS=600` runs it for as long as wanted (`KWS_FUZZ_SECONDS`); with CC=clang it is libFuzzer that drives.
"""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_export.c import bundle
from firmware_export.c.engine import compiler, sources
from kws.detector.decision import DetectorConfig
from kws.detector.model_file import KwsModel
from kws.frontend.config import FrontendConfig
from kws.graph.ir import QuantGraph

pytestmark = pytest.mark.slow

FUZZ = Path(__file__).parents[2] / "fuzz"
SANITIZE = ("-g", "-O1", "-std=c99", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-D_DEFAULT_SOURCE")
SECONDS = int(os.environ.get("KWS_FUZZ_SECONDS", "0"))
RUNS = {"feed": 60, "loader": 4000}
"""In a run of the tests; a minute of fuzzing makes some thousands and some hundred thousands."""


def has_libfuzzer(folder: Path) -> bool:
    """Return whether the compiler brings libFuzzer's main along, as LLVM's clang does."""
    (folder / "probe.c").write_text("int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n < 0; }")
    command = [*compiler(), "-fsanitize=fuzzer", str(folder / "probe.c"), "-o", str(folder / "probe")]
    return subprocess.run(command, capture_output=True).returncode == 0


def build_and_fuzz(target: str, folder: Path, files: list[Path], include: Path) -> str:
    """Compile a target, run it for some inputs or as long as the environment says; return what it says."""
    libfuzzer = has_libfuzzer(folder)
    main = ["-fsanitize=fuzzer"] if libfuzzer else [str(FUZZ / "driver.c")]
    command = [
        *compiler(),
        *SANITIZE,
        f"-I{include}",
        f"-I{folder}",
        "-o",
        str(folder / target),
        *map(str, files),
        *main,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seconds = "max_total_time" if libfuzzer else "seconds"
    limit = f"-{seconds}={SECONDS}" if SECONDS else f"-runs={RUNS[target]}"
    run = subprocess.run(
        [f"./{target}", "-seed=7", limit], cwd=folder, capture_output=True, text=True, errors="replace"
    )
    assert run.returncode == 0, run.stderr[-8000:]
    return run.stdout + run.stderr


@pytest.fixture(scope="module", params=["residual", "stride 3"])
def written(
    request: pytest.FixtureRequest,
    mixed_graph: QuantGraph,
    small_graph: Callable[[int, int], QuantGraph],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    graph = small_graph(3, 3) if request.param == "stride 3" else mixed_graph
    detector = DetectorConfig(("a b", "a"), ("filler", "a", "b"), ((1, 2), (1,)), 7, 20, 300)
    directory = tmp_path_factory.mktemp("fuzz") / "bundle"
    bundle.write_c(KwsModel(graph, FrontendConfig(), detector, (20_000, 20_000)), directory)
    return directory


def test_any_samples_in_any_chunks(written: Path, tmp_path: Path) -> None:
    build_and_fuzz("feed", tmp_path, [*sources(written), FUZZ / "feed.c"], written / "src")


STRUCT = re.compile(r"^(?:static )?const (kws_\w+_t) (\w+) = \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
TRUSTED = {"weights", "bias"}


def targets(model_c: str) -> str:
    """Return targets.h: every number of every struct, every array that a struct points to, from the text of model.c."""
    numbers, arrays = [], []
    for _, name, body in STRUCT.findall(model_c):
        for field, value in re.findall(r"\.(\w+) = ([^,]+),", body):
            if re.fullmatch(r"-?\d+|\(.*\)", value):
                numbers.append(f"{{&{name}.{field}, sizeof {name}.{field}, 0}}")
            elif field not in ("frontend", "graph", "detector", "config_hash", "model_hash"):
                width = "0" if field in TRUSTED | {"ops", "states", "phrases"} else f"sizeof {value}[0]"
                if value != "NULL":
                    arrays.append(f"{{(void *)&{name}.{field}, {value}, sizeof {value}, {width}}}")
    for table, field in (("ops", "kind"), *(("states", field) for field in ("offset", "bytes", "zero_point"))):
        count = int(re.findall(rf" {table}\[(\d+)\] = ", model_c)[0])
        kind = int(field == "kind")
        numbers += [f"{{&{table}[{i}].{field}, sizeof {table}[{i}].{field}, {kind}}}" for i in range(count)]
    return (
        f"static number_t numbers[] = {{{', '.join(numbers)}}};\nstatic array_t arrays[] = {{{', '.join(arrays)}}};\n"
    )


def test_a_damaged_model_is_refused_or_stays_within_its_memory(written: Path, tmp_path: Path) -> None:
    text = targets((written / "src" / "model.c").read_text())
    assert text.count("{&op") > 60
    assert text.count("&frontend.") == 12
    (tmp_path / "targets.h").write_text(text)
    files = [path for path in sources(written) if path.name != "model.c"]
    build_and_fuzz("loader", tmp_path, [*files, FUZZ / "loader.c"], written / "src")
