"""A .onnx asks no more of a runtime than its nodes need, and the oldest runtime that is to run it does."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from firmware_export.engines.runtimes import OnnxEngine
from firmware_export.onnx import opset
from firmware_export.onnx import writer as onnx_writer
from firmware_export.probe import probe_audio
from firmware_export.verify import rounding
from kws.frontend.config import FrontendConfig
from kws.graph.interpret import Interpreter
from kws.graph.ir import QuantGraph

pytestmark = pytest.mark.xdist_group("test_onnx_opset")  # the old runtime is started once

Maker = Callable[..., QuantGraph]
PROGRAM = Path(__file__).parent / "run_onnx_main.py"
NEWEST = 21
"""Up to this opset every word that is used means the same."""


@dataclass(frozen=True)
class File:
    """What is written, and what it must declare."""

    graph: str
    form: onnx_writer.Form = "integer"
    audio: bool = False
    opset: int = 13
    ir: int = 7


# Between them the graphs have every operator.
FILES = {
    "dense": File("dense"),
    "dense_audio": File("dense", audio=True),
    "dense_qdq": File("dense", "qdq"),
    "residual": File("residual"),
    "residual_qdq": File("residual", "qdq"),
    "residual_4_bits": File("residual_4_bits"),
    "dense_4_bits_audio": File("dense_4_bits", audio=True),
    # Accelerators look for ONNX's own type of four bits, which came with opset 21.
    "residual_4_bits_qdq": File("residual_4_bits", "qdq", opset=21, ir=10),
}


@pytest.fixture(scope="module")
def graphs(deepkws_like: Maker, residual_like: Maker, four_bits: Maker) -> dict[str, QuantGraph]:
    dense, residual = deepkws_like(np.random.default_rng(1), hidden=16), residual_like(np.random.default_rng(1))
    return {
        "dense": dense, "residual": residual, "dense_4_bits": four_bits(dense), "residual_4_bits": four_bits(residual),
    }  # fmt: skip


@pytest.fixture(scope="module")
def contents(graphs: dict[str, QuantGraph]) -> dict[str, bytes]:
    return {
        name: onnx_writer.to_bytes(
            graphs[file.graph], form=file.form, frontend=FrontendConfig() if file.audio else None
        )
        for name, file in FILES.items()
    }


@pytest.mark.parametrize("name", FILES)
def test_a_file_declares_what_its_nodes_need(contents: dict[str, bytes], name: str) -> None:
    """The checker takes it as it is and, but for the opset that no file goes below, with no older one."""
    model = onnx.load_from_string(contents[name])
    wanted = FILES[name]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", wanted.opset)]
    assert model.ir_version == wanted.ir
    assert opset.oldest_runtime(contents[name]) == {13: "1.14", 21: "1.19"}[wanted.opset]
    accepted = [version for version in range(opset.OLDEST, NEWEST + 1) if is_valid(model, version)]
    assert accepted == list(range(wanted.opset, NEWEST + 1))


def is_valid(model: Any, version: int) -> bool:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.opset_import[0].version = version
    copy.ir_version = onnx.helper.find_min_ir_version_for(copy.opset_import)
    try:
        onnx.checker.check_model(copy, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


def test_nodes_of_a_newer_opset_are_declared_so() -> None:
    """ReduceMax with its axes as an input: opset 18."""
    helper, kind = onnx.helper, onnx.TensorProto.INT32
    axes = onnx.numpy_helper.from_array(np.array([1]), "axes")
    node = helper.make_node("ReduceMax", ["x", "axes"], ["y"], keepdims=1)
    source, target = (
        helper.make_tensor_value_info(name, kind, shape) for name, shape in (("x", [1, 3]), ("y", [1, 1]))
    )
    model = helper.make_model(helper.make_graph([node], "graph", [source], [target], [axes]))
    opset.declare_least(onnx, model)
    assert (model.opset_import[0].version, model.ir_version) == (18, 8)
    node.op_type = "Swirl"
    model.graph.node[0].CopyFrom(node)
    with pytest.raises(onnx.checker.ValidationError, match="Swirl"):
        opset.declare_least(onnx, model)


@pytest.fixture(scope="module")
def stream(graphs: dict[str, QuantGraph]) -> dict[bool, NDArray[Any]]:
    """One second of features, and of samples."""
    return {False: np.random.default_rng(0).integers(-128, 128, (100, 40)).astype(np.int8), True: probe_audio(1)}


@pytest.fixture(scope="module")
def old_runs(
    contents: dict[str, bytes],
    stream: dict[bool, NDArray[Any]],
    older_runtimes: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, str]:
    """The folder with every file's logits, and what the program said."""
    folder = tmp_path_factory.mktemp("old")
    for name, content in contents.items():
        (folder / f"{name}.onnx").write_bytes(content)
        np.save(folder / f"{name}.npy", stream[FILES[name].audio])
    done = subprocess.run([older_runtimes, PROGRAM, folder], capture_output=True, text=True, check=True)
    return folder, done.stdout


@pytest.mark.parametrize("name", [name for name in FILES if FILES[name].opset == 13])
def test_an_old_runtime_gives_the_same(
    old_runs: tuple[Path, str],
    contents: dict[str, bytes],
    graphs: dict[str, QuantGraph],
    stream: dict[bool, NDArray[Any]],
    name: str,
) -> None:
    """ONNX Runtime 1.15, the oldest one for Python 3.11: the graph's numbers, or those of QDQ within the bound."""
    folder, said = old_runs
    assert said.startswith("1.15.0\n")
    got = np.load(folder / f"{name}_logits.npy")
    given = stream[FILES[name].audio]
    graph = graphs[FILES[name].graph]
    wanted = OnnxEngine(contents[name]).run(given) if FILES[name].audio else Interpreter(graph).run(given)
    bound = rounding.bound_lsb(graph, given, wanted) if FILES[name].form == "qdq" else 0
    assert np.abs(got.astype(np.int16) - wanted).max() <= bound
    assert len(np.unique(wanted)) > 20, "logits that say something"


def test_what_an_old_runtime_does_not_know_it_refuses(old_runs: tuple[Path, str]) -> None:
    """The four bits of the QDQ form are the one thing that asks for more, and it says so."""
    _, said = old_runs
    (line,) = said.splitlines()[1:]
    assert line.startswith("residual_4_bits_qdq: ")
    assert "Unsupported model IR version: 10" in line
