"""The C runtime against the interpreter: compiled into Python, and as a program under the sanitizers."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws import runtime
from kws.detector.engine import CEngine
from kws.graph.interpret import Interpreter
from kws.graph.ir import QuantGraph
from kws.graph.plan import plan
from kws.graph.records import Record, Records, records

RUNTIME = Path(__file__).parents[2] / "firmware_export" / "runtime"
SOURCES = sorted(RUNTIME.glob("ops*.c"))
COMPILER = shutil.which("gcc") or shutil.which("cc") or ""
GRAPHS = int(os.environ.get("KWS_RANDOM_GRAPHS", "400"))  # `make random-graphs` draws more
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", f"-I{RUNTIME}"]


@pytest.mark.skipif(not runtime.available(), reason=runtime.reason() or "built")
@settings(max_examples=GRAPHS, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 8))
def test_c_equals_the_interpreter_in_any_chunks(
    graphs: st.SearchStrategy[QuantGraph], data: st.DataObject, seed: int, cut: int
) -> None:
    graph = data.draw(graphs)
    features = extreme_features(graph, np.random.default_rng(seed), 8)
    expected = Interpreter(graph).run(features)
    engine = CEngine(graph)
    for _ in range(2):
        parts = [engine.run(part) for part in np.split(features, [cut * graph.stride])]
        assert np.array_equal(np.concatenate(parts), expected)
        engine.reset()


def extreme_features(graph: QuantGraph, rng: np.random.Generator, steps: int) -> NDArray[np.int8]:
    """All least, all greatest, then noise, first within the whole range, then of the two ends alone."""
    stride, bands = graph.tensor(graph.input).shape
    features = rng.integers(-128, 128, (steps * stride, bands)).astype(np.int8)
    features[:stride], features[stride : 2 * stride] = -128, 127
    features[-2 * stride :] = np.where(features[-2 * stride :] < 0, -128, 127)
    return features


# ---- a program of its own: structs printed from the records, an arena of exactly the bytes it asks for ----

PROGRAM_HEAD = """
#include "kws_ops.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run(const kws_graph_t *graph, const int8_t *features, int32_t steps, const int8_t *expected)
{
    int8_t *arena = malloc((size_t)graph->arena_bytes);
    const size_t bytes = (size_t)steps * (size_t)graph->outputs;
    int8_t *logits = malloc(bytes);
    int failed = !arena || !logits || kws_graph_check(graph) != KWS_GRAPH_OK;
    if (!failed) {
        memset(arena, 77, (size_t)graph->arena_bytes);
        kws_graph_reset(graph, arena);
        kws_graph_run(graph, arena, features, steps, logits);
        failed = memcmp(logits, expected, bytes) != 0;
    }
    free(arena);
    free(logits);
    return failed;
}
"""


def array(ctype: str, name: str, values: NDArray[np.generic], attribute: str = "") -> str:
    literals = [str(value) if value > -(2**31) else "INT32_MIN" for value in values.ravel().tolist()]
    return f"static const {ctype} {name}[] {attribute} = {{{', '.join(literals)}}};"


def struct(record: Record, name: str, pointers: dict[str, str]) -> list[str]:
    """Return declarations of the arrays and of the struct; ``pointers`` are further fields by their C expressions."""
    lines, fields = [], []
    for field, value in record.fields.items():
        if isinstance(value, np.ndarray):
            lines.append(array(f"{value.dtype}_t", f"{name}_{field}", value, "KWS_WORDS" if field == "weights" else ""))
            fields.append(f".{field} = {name}_{field}")
        else:
            fields.append(f".{field} = {value}")
    fields += [f".{field} = {expression}" for field, expression in pointers.items()]
    return [*lines, f"static const {record.struct} {name} = {{{', '.join(fields)}}};"]


def declare(constants: Records, name: str) -> list[str]:
    lines = []
    for index, record in enumerate(constants.ops):
        lines += struct(record, f"{name}_op{index}", {})
    ops = ", ".join(f"{{{record.kind}, &{name}_op{index}}}" for index, record in enumerate(constants.ops))
    states = ", ".join("{" + ", ".join(map(str, record.fields.values())) + "}" for record in constants.states)
    pointers = {}
    if ops:
        lines.append(f"static const kws_op_t {name}_ops[] = {{{ops}}};")
        pointers["ops"] = f"{name}_ops"
    if states:
        lines.append(f"static const kws_state_t {name}_states[] = {{{states}}};")
        pointers["states"] = f"{name}_states"
    return lines + struct(constants.graph, name, pointers)


def program(cases: list[tuple[QuantGraph, NDArray[np.int8]]]) -> str:
    lines, calls = [PROGRAM_HEAD], []
    for index, (graph, features) in enumerate(cases):
        name = f"graph{index}"
        expected = Interpreter(graph).run(features)
        lines += declare(records(graph, plan(graph)), name)
        lines += [array("int8_t", f"{name}_in", features), array("int8_t", f"{name}_out", expected)]
        calls.append(f'if (run(&{name}, {name}_in, {len(expected)}, {name}_out)) {{ printf("{name}\\n"); return 1; }}')
    return "\n".join([*lines, "int main(void)", "{", *calls, "return 0;", "}", ""])


@pytest.mark.slow
@pytest.mark.skipif(not COMPILER, reason="no C compiler")
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.reuse, Phase.generate])
@given(data=st.data())
def test_extreme_inputs_under_the_sanitizers(
    graphs: st.SearchStrategy[QuantGraph], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Twenty random graphs a program: equal logits, no undefined behaviour, no byte outside the arena.

    A failure is not shrunk, as every attempt is compiled: the program prints which graph it was.
    """
    drawn = data.draw(st.lists(graphs, min_size=20, max_size=20))
    rng = np.random.default_rng(1)
    cases = [(graph, extreme_features(graph, rng, 6)) for graph in drawn]
    directory = tmp_path_factory.mktemp("sanitized")
    source, binary = directory / "main.c", directory / "main"
    source.write_text(program(cases))
    sanitizers = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = [COMPILER, *STRICT, *sanitizers, str(source), *map(str, SOURCES), "-o", str(binary)]
    subprocess.run(command, check=True)
    finished = subprocess.run([binary], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.slow
@pytest.mark.skipif(not COMPILER, reason="no C compiler")
@pytest.mark.parametrize("options", [["-Os"], ["-O3"], ["-O3", "-std=gnu99", "-DKWS_HOST"]])
def test_it_compiles_without_a_warning(tmp_path: Path, options: list[str]) -> None:
    subprocess.run([COMPILER, *STRICT, *options, "-c", *map(str, SOURCES)], check=True, cwd=tmp_path)


@pytest.mark.skipif(not shutil.which("nm") or not COMPILER, reason="no binutils")
def test_a_device_needs_nothing_but_memory_moves(tmp_path: Path) -> None:
    """No malloc, no floating point, no written globals."""
    subprocess.run([COMPILER, *STRICT, "-Os", "-c", *map(str, SOURCES)], check=True, cwd=tmp_path)
    objects = [str(tmp_path / source.with_suffix(".o").name) for source in SOURCES]
    listing = subprocess.run(["nm", *objects], capture_output=True, text=True, check=True).stdout.split("\n")
    symbols = [line.split()[-2:] for line in listing if line and not line.endswith(":")]
    undefined = {name for kind, name in symbols if kind == "U" and not name.startswith("kws_")}
    assert undefined <= {"memcpy", "memmove", "memset"}
    assert {kind for kind, _ in symbols} <= {"T", "t", "U", "r"}
    for path in (*SOURCES, *(RUNTIME / name for name in ("kws_dsp.h", "kws_ops_kernels.h", "kws_ops_scale.h"))):
        text = path.read_text()
        assert "float" not in text
        assert "double" not in text.replace("doubling", "")
