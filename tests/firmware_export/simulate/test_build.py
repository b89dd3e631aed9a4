"""Compiling is done once for each content; what fails is told in one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from firmware_export.simulate import build, elf, graph
from firmware_export.simulate.graph import SimulatedEngine
from firmware_export.simulate.targets import TARGETS, find
from kws.errors import KwsError
from kws.graph.ir import QuantGraph


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime of one function, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "runtime"
    folder.mkdir()
    (folder / "ops.c").write_text('#include "kws_ops.h"\nint twice(int value) { return FACTOR * value; }\n')
    (folder / "kws_ops.h").write_text("#define FACTOR 2\n")
    monkeypatch.setattr(build, "RUNTIME", folder)
    return folder


def test_an_image_is_compiled_once_for_each_content(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = find("cortex-m4")
    first = build.image(target, include=runtime)
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", None)  # nothing is run any more
        assert build.image(target, include=runtime) == first
    (runtime / "kws_ops.h").write_text("#define FACTOR 3\n")
    second = build.image(target, include=runtime)
    assert second != first
    assert elf.read(first).segments != elf.read(second).segments
    assert not list(build.cache_directory().glob(".*"))


def test_what_does_not_compile_is_told_with_the_compilers_error(runtime: Path) -> None:
    (runtime / "ops.c").write_text("int twice(int value) { return unknown; }\n")
    with pytest.raises(KwsError, match=r"cannot be cross-compiled \(.*ops.c:1:\d+: error: .*unknown"):
        build.image(find("rv32imc"), include=runtime)


def test_the_code_is_told_apart_by_what_it_is_for() -> None:
    image = elf.read(build.image(find("cortex-m0plus")))
    sections = {symbol.name: symbol.section for symbol in image.functions}
    assert sections["kws_feed"] == ".text_interface"
    assert sections["kws_graph_step"] == ".text_network"
    assert sections["kws_detector_update"] == ".text_decision"
    assert sections["kws_lfbe_push"] == ".text_frontend"
    assert sections["memcpy"] == sections["__aeabi_lmul"] == ".text_support"
    assert image.function_at(image.addresses["kws_feed"] + 2) == "kws_feed"
    assert image.function_at(0) == "?"


@pytest.mark.parametrize("module", ["ziglang", "unicorn", "elftools.elf.elffile"])
def test_a_missing_package_is_named_with_how_to_get_it(
    module: str, monkeypatch: pytest.MonkeyPatch, deepkws_graph: QuantGraph
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    graph._image.cache_clear()
    with pytest.raises(KwsError, match=r'^\w+ is not installed here; pip install "kws\[simulate\]"$'):
        SimulatedEngine(deepkws_graph, "cortex-m4")


def test_an_unknown_target_is_told_which_there_are() -> None:
    with pytest.raises(KwsError, match=f"'z80' is unknown; give one of {', '.join(TARGETS)}"):
        find("z80")
