"""Whether the C99 runtime was compiled into ``kws._runtime``: one answer for the frontend and the engine."""

import importlib
import os
from typing import Any

OFF = "KWS_NO_NATIVE"
"""Environment variable: 1 turns the compiled code off."""

_NEWEST = "kws_host_feed"  # of the runtime's functions: an older build lacks it


def reason() -> str:
    """Return why the compiled code is not in use, in a few words; empty when it is."""
    if os.environ.get(OFF, "") not in ("", "0"):
        return f"turned off by {OFF}"
    try:
        runtime = importlib.import_module("kws._runtime")
    except ImportError:
        return "kws._runtime was not built; install kws again with a C compiler"
    return "" if hasattr(runtime.lib, _NEWEST) else "kws._runtime is older than this source; install kws again"


def available() -> bool:
    """Return whether the compiled code was built and is not turned off."""
    return not reason()


def load() -> tuple[Any, Any]:
    """Return cffi's ``ffi`` and ``lib``; only if ``available``."""
    runtime = importlib.import_module("kws._runtime")
    return runtime.ffi, runtime.lib
