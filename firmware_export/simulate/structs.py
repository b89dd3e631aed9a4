"""The runtime's structs as the 32-bit targets lay them out, read from its headers: nothing here knows a field."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from cffi import FFI
from numpy.typing import NDArray

from firmware_export.simulate.build import RUNTIME

Value = int | NDArray[np.generic]


class Structs:
    """The structs and integer ``#define``s of the headers, where pointers have ``pointer_bytes``.

    >>> Structs(("typedef struct { int8_t kind; const void *fields; } op_t;",)).size("op_t")
    8
    """

    def __init__(self, headers: tuple[str, ...], pointer_bytes: int = 4) -> None:
        self._ffi = FFI()
        self.constants: dict[str, int] = {}
        for text in headers:
            text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
            defines = re.findall(r"^\s*#\s*define\s+(\w+)\s+\(?(-?\d+)\)?\s*$", text, flags=re.MULTILINE)
            self.constants |= {name: int(value) for name, value in defines}
            for body, name in re.findall(r"typedef struct \w*\s*(\{[^{}]*\})\s*(\w+)\s*;", text):
                fields = _with_integers(body, f"uint{8 * pointer_bytes}_t")
                self._ffi.cdef(f"typedef struct {fields} {name};")

    def size(self, struct: str) -> int:
        """Return a struct's bytes."""
        return int(self._ffi.sizeof(struct))

    def fields(self, struct: str) -> list[str]:
        """Return the names of a struct's fields in order."""
        return [name for name, _ in self._ffi.typeof(struct).fields]

    def offset(self, struct: str, field: str) -> int:
        """Return where in its struct a field lies."""
        return int(self._ffi.offsetof(struct, field))

    def unpack(self, struct: str, content: bytes) -> dict[str, int]:
        """Return the fields of a struct from its bytes."""
        value: Any = self._ffi.from_buffer(f"{struct} *", content)
        return {name: int(getattr(value, name)) for name in self.fields(struct)}

    def pack(self, struct: str, fields: Mapping[str, int]) -> bytes:
        """Return a struct's bytes with these fields, all others 0."""
        value: Any = self._ffi.new(f"{struct} *", dict(fields))
        return bytes(self._ffi.buffer(value))


@cache
def runtime_structs(pointer_bytes: int = 4) -> Structs:
    """Return the structs of the package's runtime."""
    texts = (path.read_text(encoding="utf-8") for path in (RUNTIME / name for name in _HEADERS))
    return Structs(tuple(texts), pointer_bytes)


_HEADERS = ("kws_lfbe.h", "kws_ops.h", "kws_detector.h", "kws.h")
"""Each header comes after those that it uses."""


def _with_integers(body: str, integer: str) -> str:
    """Return the fields with an integer of the same size and alignment for every pointer and ``size_t``."""
    body = re.sub(r"\bsize_t\b", integer, body)
    return re.sub(r"[\w\s]+(?:\*\s*(?:const\s*)?)+(\w+)\s*;", rf" {integer} \1;", body)
