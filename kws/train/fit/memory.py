"""How the C library keeps the memory of tensors that come and go with every step of training."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""glibc's malloc.h: M_TRIM_THRESHOLD and M_MMAP_THRESHOLD."""
_LARGEST_KEPT = 32 * 2**20
_NEVER_TRIM = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next step, and return whether it will: elsewhere this does nothing.

    By default it gives blocks of megabytes back to the system at once, which then hands out zeroed pages one fault at a
    time: a tenth of a step of training and more (``benchmarks/layout.py``). What the process holds stays at its peak.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT) and mallopt(_TRIM_THRESHOLD, _NEVER_TRIM))
