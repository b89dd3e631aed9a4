"""Freed memory stays with the process where the C library is glibc, and nothing breaks where it is not."""

import ctypes
import platform
import subprocess
import sys

import pytest

from kws.train.fit import memory

FAULTS = """
import resource
import numpy as np
from kws.train.fit.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults(), keep_freed_memory(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_blocks_of_megabytes_are_used_again_rather_than_asked_for_again() -> None:
    """20 times 8 MB: 2048 pages each, again and again before, hardly more than once after."""
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, kept, after = run.stdout.split()
    assert kept == "True"
    assert int(after) < int(before) / 3


def test_elsewhere_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not memory.keep_freed_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.keep_freed_memory()
