"""Exact instruction counts: a function in C that the emulator calls for every block, without Python in between."""

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_export.simulate.build import FILES, native_library
from firmware_export.simulate.elf import Image

PARTS = ("", "interface", "frontend", "quantization", "network", "decision")
"""The parts of the code, by the sections of link.ld; "" is the code that runs before any of them."""

_NO_STACK = 2**32


class _Fields(ctypes.Structure):
    """``counter_t`` of counter.c."""

    _fields_ = (
        ("code", ctypes.c_void_p),
        ("begin", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("block_bytes", ctypes.c_void_p),
        ("block_counts", ctypes.c_void_p),
        ("executed", ctypes.c_void_p),
        ("parts", ctypes.c_void_p),
        ("totals", ctypes.c_void_p),
        ("read", ctypes.c_void_p),
        ("deepest", ctypes.c_uint64),
        ("stack_register", ctypes.c_int32),
        ("risc", ctypes.c_int32),
        ("part", ctypes.c_int32),
    )


class Counter:
    """Counts the instructions of an image's code, and follows the stack pointer."""

    def __init__(self, image: Image, risc: bool) -> None:
        self._image = image
        self._begin, code = image.code()
        slots = len(code) // 2 + 1
        self._code = np.frombuffer(code + bytes(4), np.uint8)
        self._block_bytes, self._block_counts = np.zeros(slots, np.uint32), np.zeros(slots, np.uint32)
        self._executed: NDArray[np.uint64] = np.zeros(slots, np.uint64)
        self._parts = self._part_of_each(slots)
        self._totals: NDArray[np.uint64] = np.zeros(len(PARTS), np.uint64)
        arrays = (self._block_bytes, self._block_counts, self._executed, self._parts, self._totals)
        pointers = (array.ctypes.data for array in arrays)
        self._fields = _Fields(
            self._code.ctypes.data, self._begin, len(code), *pointers, deepest=_NO_STACK, risc=int(risc)
        )

    def _part_of_each(self, slots: int) -> NDArray[np.uint8]:
        parts = np.zeros(slots, np.uint8)
        for number, part in enumerate(PARTS):
            begin, size = self._image.sections.get(f".text_{part}", (self._begin, 0))
            parts[(begin - self._begin) // 2 : (begin + size - self._begin) // 2] = number
        return parts

    def attach(self, emulator: Any, library: ctypes.CDLL, block_hook: int, stack_register: int) -> None:
        """Let the unicorn ``emulator``, whose C ``library`` this is, call the counter for every block."""
        self._fields.read = ctypes.cast(library.uc_reg_read, ctypes.c_void_p)
        self._fields.stack_register = stack_register
        function = ctypes.cast(_library().kws_count_block, ctypes.c_void_p)
        self._handle = ctypes.c_size_t()
        status = library.uc_hook_add(
            emulator._uch,
            ctypes.byref(self._handle),
            ctypes.c_int(block_hook),
            function,
            ctypes.byref(self._fields),
            ctypes.c_uint64(1),
            ctypes.c_uint64(0),
        )
        if status != 0:
            raise RuntimeError(f"unicorn refused the hook (status {status})")

    def clear(self) -> None:
        """Count from 0 again."""
        self._executed[:] = 0
        self._totals[:] = 0
        self._fields.deepest, self._fields.part = _NO_STACK, 0

    @property
    def instructions(self) -> int:
        """Instructions since the last ``clear``."""
        return int(self._totals.sum())

    @property
    def deepest(self) -> int:
        """The lowest stack pointer since the last ``clear``; 2^32 where nothing ran."""
        return int(self._fields.deepest)

    def parts(self) -> dict[str, int]:
        """Return the instructions of each part, with the compiler's helpers that it calls."""
        return {part: int(count) for part, count in zip(PARTS, self._totals, strict=True) if count}

    def functions(self) -> dict[str, int]:
        """Return the instructions of each function by itself, most first."""
        totals: dict[str, int] = {}
        for slot in self._executed.nonzero()[0]:
            name = self._image.function_at(self._begin + 2 * int(slot))
            totals[name] = totals.get(name, 0) + int(self._executed[slot])
        return dict(sorted(totals.items(), key=lambda item: -item[1]))


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(str(native_library(FILES / "counter.c")))
