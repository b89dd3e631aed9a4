"""What a header of the runtime or of a bundle declares begins with kws_ or KWS_, and so does every global symbol."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from firmware_export.c import bundle
from firmware_export.c.engine import compiler
from kws.detector.model_file import KwsModel


@pytest.fixture(scope="module")
def source(tone_model: KwsModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("names") / "tone"
    bundle.write_c(tone_model, directory)
    return directory / "src"


def declared(header: str) -> set[str]:
    """Return what a header declares: macros, tags, types, objects and functions; no fields, no parameters."""
    text = re.sub(r"/\*.*?\*/", " ", header, flags=re.DOTALL)
    text = re.sub(r"^#ifdef __cplusplus$.*?^#endif$", "", text, flags=re.DOTALL | re.MULTILINE)
    text = text.replace("\\\n", " ")
    names = set(re.findall(r"^\s*#\s*define\s+(\w+)", text, re.MULTILINE))
    text = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
    text = re.sub(r'"(?:\\.|[^"\\])*"', '""', text)
    while (flat := re.sub(r"\{[^{}]*\}", "@", text)) != text:  # bodies and fields, from the inside
        text = flat
    for declaration in re.split(r";|(?<=\))\s*@", text):
        names |= set(re.findall(r"\b(?:struct|union|enum)\s+(\w+)", declaration))
        before = re.split(r"[(\[=]", declaration)[0]
        found = re.findall(r"\w+", before)
        names |= {found[-1]} if found else set()
    return names


def test_what_is_declared_is_found() -> None:
    header = """
        #define A(x) \\
            (x)
        typedef struct b { int x; } c; /* int comment; */
        static const int d[2] = {1, 2};
        static inline int f(int y) { return y; }
        extern "C" { void g(void); }
        enum h { i };
    """
    assert declared(header) >= {"A", "b", "c", "d", "f", "h"}


def test_every_header_declares_our_own_names_alone(source: Path) -> None:
    headers = {path.name: declared(path.read_text()) for path in source.glob("*.h")}
    assert {"kws.h", "kws_dsp.h", "kws_golden.h", "kws_model.h", "kws_ops_kernels.h", "kws_selftest.h"} <= set(headers)
    assert {"KWS_OPS_KERNELS_H", "KWS_VECTORISED", "kws_high_multiply"} <= headers["kws_ops_kernels.h"]
    assert {"kws_t", "kws_s", "kws_model_t", "KWS_OK", "kws_feed"} <= headers["kws.h"]
    assert {"KWS_LOAD_TWO", "kws_load_word", "KWS_IN"} <= headers["kws_dsp.h"]
    assert {"kws_golden_logits", "kws_golden_detection_t"} <= headers["kws_golden.h"]
    foreign = {name: {each for each in names if not each.lower().startswith("kws_")} for name, names in headers.items()}
    assert not any(foreign.values()), foreign


@pytest.mark.skipif(not (shutil.which("nm") or os.environ.get("CI")), reason="no nm (binutils) here")
def test_every_global_symbol_of_the_host_build_is_ours(source: Path, tmp_path: Path) -> None:
    """With the code for vector units, which devices do not have; theirs: test_c_bundle_builds.py."""
    command = [*compiler(), "-std=gnu99", "-DKWS_HOST", "-c", *map(str, source.glob("*.c"))]
    subprocess.run(command, cwd=tmp_path, check=True)
    objects = [str(path) for path in tmp_path.glob("*.o")]
    listing = subprocess.run(
        ["nm", "-g", "--defined-only", *objects], capture_output=True, text=True, check=True
    ).stdout
    symbols = {line.split()[-1] for line in listing.splitlines() if len(line.split()) == 3}
    assert {"kws_feed", "kws_model", "kws_selftest"} <= symbols
    assert {name for name in symbols if not name.startswith("kws_")} == set()
