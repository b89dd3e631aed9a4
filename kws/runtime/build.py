"""Build the binding ``kws._runtime`` from the C99 files that ship to devices (run by setup.py).

The headers in ``firmware_export/runtime``, and ``host.h`` beside this file, are the only declaration: cffi reads them
here, less their preprocessor lines, so that C and Python cannot drift apart.
"""

import re
from pathlib import Path

from cffi import FFI

RUNTIME = Path("firmware_export/runtime")
HOST = Path("kws/runtime")
HEADERS = (*(RUNTIME / name for name in ("kws_lfbe.h", "kws_ops.h", "kws_detector.h", "kws.h")), HOST / "host.h")
INCLUDED = ("kws.c", "lfbe_frame.c")
"""Sources of the runtime that are compiled as part of a file of ``HOST``."""


def declarations(header: Path) -> str:
    """Return what cffi can parse of a header: integer ``#define``s and plain C declarations."""
    text = header.read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"^#ifdef __cplusplus$.*?^#endif$", "", text, flags=re.DOTALL | re.MULTILINE)
    kept = []
    for line in text.splitlines():
        define = re.match(r"\s*#\s*define\s+(\w+)\s+\(?(-?\d+)\)?\s*$", line)
        if define:
            kept.append(f"#define {define[1]} {define[2]}")
        elif not line.lstrip().startswith("#"):
            kept.append(line)
    return "\n".join(kept)


def make_builder() -> FFI:
    """Return the cffi builder; the extension is optional so that a machine without a compiler still installs."""
    headers = [header for header in HEADERS if header.exists()]
    sources = [path for path in sorted(RUNTIME.glob("*.c")) if path.name not in INCLUDED]
    ffi = FFI()
    for header in headers:
        ffi.cdef(declarations(header))
    ffi.set_source(
        "kws._runtime",
        "".join(f'#include "{header.name}"\n' for header in headers),
        sources=[str(path) for path in (*sources, *sorted(HOST.glob("*.c")))],
        depends=[str(path) for path in (*sorted(RUNTIME.glob("*.h")), *map(RUNTIME.joinpath, INCLUDED))]
        + [str(path) for path in sorted(HOST.glob("*.h"))],
        include_dirs=[str(RUNTIME), str(HOST)],
        extra_compile_args=["-O3", "-std=gnu99", "-DKWS_HOST"],
        optional=True,
    )
    return ffi


builder = make_builder()
