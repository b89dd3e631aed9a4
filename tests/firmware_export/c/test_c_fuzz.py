"""What ships under address and undefined behaviour sanitizers: the feed path on any sound, the checks on any model.

A run of the tests tries every single bit flip and some fuzzing, `make fuzz SECONDS=600` fuzzes for as long as wanted
(`KWS_FUZZ_SECONDS`); with CC=clang it is libFuzzer that drives. On CI the seed is the same every time; elsewhere it is
a new one, which is printed and can be given again as `KWS_FUZZ_SEED`.
"""

import os
import re
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_export.c import bundle
from firmware_export.c.engine import compiler
from kws.detector import model_file
from kws.detector.decision import DetectorConfig
from kws.detector.model_file import KwsModel
from kws.frontend.config import FrontendConfig
from kws.graph.ir import QuantGraph

pytestmark = pytest.mark.slow

FUZZ = Path(__file__).parents[2] / "fuzz"
RUNTIME = Path(bundle.__file__).parents[1] / "runtime"
GOLDEN = Path(__file__).parents[2] / "golden" / "computer.kws"
SANITIZE = ("-g", "-O1", "-std=c99", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-D_DEFAULT_SOURCE")
SECONDS = int(os.environ.get("KWS_FUZZ_SECONDS", "0"))
SEED = os.environ.get("KWS_FUZZ_SEED") or ("7" if os.environ.get("CI") else str(secrets.randbelow(2**31)))
RUNS = {"feed": 60, "loader": 4000}
"""In a run of the tests; a minute of fuzzing makes some thousands and some hundred thousands."""


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stderr[-8000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def libfuzzer(tmp_path_factory: pytest.TempPathFactory) -> bool:
    """Whether the compiler brings libFuzzer's main along, as LLVM's clang does."""
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.c").write_text("int LLVMFuzzerTestOneInput(const char *d, long n) { return d && n < 0; }")
    command = [*compiler(), "-fsanitize=fuzzer", "probe.c", "-o", "probe"]
    return subprocess.run(command, cwd=folder, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def objects(libfuzzer: bool, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The runtime, compiled once for all models."""
    folder = tmp_path_factory.mktemp("runtime")
    traced = ["-fsanitize=fuzzer-no-link"] if libfuzzer else []
    run([*compiler(), *SANITIZE, *traced, "-c", *map(str, RUNTIME.glob("*.c"))], folder)
    return [str(path) for path in folder.glob("*.o")]


@pytest.fixture(scope="module")
def bundles(
    mixed_graph: QuantGraph,
    small_graph: Callable[[int, int], QuantGraph],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Path]:
    """``bundles("mixed")`` is the src of a bundle: of every operator, of three frames a step, or the golden model."""

    def write(name: str) -> Path:
        detector = DetectorConfig(("a b", "a"), ("filler", "a", "b"), ((1, 2), (1,)), 7, 20, 300)
        if name == "computer":
            model = model_file.load(GOLDEN)
        else:
            graph = mixed_graph if name == "mixed" else small_graph(3, 3)
            model = KwsModel(graph, FrontendConfig(), detector, (20_000, 20_000))
        directory = tmp_path_factory.mktemp("fuzz") / "bundle"
        bundle.write_c(model, directory)
        return directory / "src"

    return write


def fuzz(target: str, folder: Path, objects: list[str], include: Path, libfuzzer: bool) -> None:
    """Compile a target, run it for some inputs or as long as the environment says; print what it says."""
    main = ["-fsanitize=fuzzer"] if libfuzzer else [str(FUZZ / "driver.c")]
    places = [f"-I{include}", f"-I{folder}"]
    files = [*objects, str(FUZZ / f"{target}.c"), *([] if target == "loader" else [str(include / "model.c")])]
    run([*compiler(), *SANITIZE, *places, "-o", target, *files, *main], folder)
    limit = f"-{'max_total_time' if libfuzzer else 'seconds'}={SECONDS}" if SECONDS else f"-runs={RUNS[target]}"
    print(f"{target}: KWS_FUZZ_SEED={SEED}")
    print(run([f"./{target}", f"-seed={SEED}", limit], folder))


@pytest.mark.parametrize("name", ["mixed", "stride 3"])
def test_any_samples_in_any_chunks(
    name: str, bundles: Callable[[str], Path], objects: list[str], libfuzzer: bool, tmp_path: Path
) -> None:
    fuzz("feed", tmp_path, objects, bundles(name), libfuzzer)


STRUCT = re.compile(r"^(?:static )?const (kws_\w+_t) (\w+) = \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
TRUSTED = {"weights", "bias"}
INDICES = {"offsets", "order", "mel_edges", "keywords", "keyword_counts"}


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
                    index = int(field in INDICES)
                    arrays.append(f"{{(void *)&{name}.{field}, {value}, sizeof {value}, {width}, {index}}}")
    for table, field in (("ops", "kind"), *(("states", field) for field in ("offset", "bytes", "zero_point"))):
        count = int(re.findall(rf" {table}\[(\d+)\] = ", model_c)[0])
        kind = int(field == "kind")
        numbers += [f"{{&{table}[{i}].{field}, sizeof {table}[{i}].{field}, {kind}}}" for i in range(count)]
    return (
        f"static number_t numbers[] = {{{', '.join(numbers)}}};\nstatic array_t arrays[] = {{{', '.join(arrays)}}};\n"
    )


@pytest.mark.parametrize("name", ["mixed", "stride 3"])
def test_a_damaged_model_is_refused_or_stays_within_its_memory(
    name: str, bundles: Callable[[str], Path], objects: list[str], libfuzzer: bool, tmp_path: Path
) -> None:
    source = bundles(name)
    text = targets((source / "model.c").read_text())
    assert text.count("{&op") > 60
    assert text.count("&frontend.") == 12
    (tmp_path / "targets.h").write_text(text)
    fuzz("loader", tmp_path, objects, source, libfuzzer)


@pytest.mark.parametrize("name", ["mixed", "stride 3", "computer"])
def test_a_model_with_any_bit_flipped_is_refused_or_stays_within_its_memory(
    name: str, bundles: Callable[[str], Path], objects: list[str], tmp_path: Path
) -> None:
    """Every bit of every number of its structs, and of every entry of a table that leads into memory; no pointer."""
    source = bundles(name)
    text = targets((source / "model.c").read_text())
    (tmp_path / "targets.h").write_text(text)
    places = [f"-I{source}", f"-I{tmp_path}"]
    run([*compiler(), *SANITIZE, *places, "-o", "flips", *objects, str(FUZZ / "flips.c")], tmp_path)
    out = run(["./flips"], tmp_path)
    counts = re.fullmatch(r"(\d+) refused, (\d+) ran, (\d+) too large\n", out)
    assert counts
    refused, ran, too_large = map(int, counts.groups())
    assert refused > 1000
    assert 500 < ran < refused
    assert too_large < 100
    print(name, out)
