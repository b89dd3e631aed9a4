"""The frontend's C99 code on this machine, through cffi; without it numpy computes the same (see ``kws.runtime``).

Samples and features are handed over where they lie, without a copy; one push is one call into C.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kws import runtime
from kws.frontend.config import FrontendConfig
from kws.frontend.framing import count_frames
from kws.frontend.tables import build


class Binding:
    """The C struct of one config's tables, with the arrays that it points into; read-only, so shared."""

    def __init__(self, config: FrontendConfig) -> None:
        self.ffi, self.lib = runtime.load()
        self._allocate = self.ffi.new_allocator(should_clear_after_alloc=False)
        self.tables = self.ffi.new("kws_lfbe_tables_t *")
        self._samples_type = self.ffi.typeof("int16_t[]")
        self._arrays = []
        for name, array in build(config).arrays():
            pointer = self.ffi.from_buffer(f"{array.dtype}_t[]", array)
            self._arrays.append(pointer)
            setattr(self.tables, name, pointer)
        for name, value in build(config).scalars():
            setattr(self.tables, name, value)

    def pointer(self, array: NDArray[np.int16]) -> Any:
        """Return the C array over ``array``'s own memory, which it keeps alive."""
        return self.ffi.from_buffer(self._samples_type, array)

    def memory(self, size: int) -> Any:
        """Return ``size`` bytes, 8-byte aligned, alive as long as the returned object."""
        return self._allocate(f"uint64_t[{(size + 7) // 8}]")


binding = functools.lru_cache(maxsize=32)(Binding)


class Stream:
    """``kws_lfbe_t``: the streaming frontend in C."""

    def __init__(self, config: FrontendConfig) -> None:
        self._binding = binding(config)
        self._lib = self._binding.lib
        self._bands = config.bands
        self._memory = self._binding.memory(self._lib.kws_lfbe_memory_bytes(self._binding.tables))
        self._state = self._binding.ffi.new("kws_lfbe_t *")
        self._lib.kws_lfbe_init(self._state, self._binding.tables, self._memory)

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take int16[n], return int16[frames, bands]."""
        samples = np.ascontiguousarray(samples)
        out = np.empty((self._lib.kws_lfbe_frames(self._state, len(samples)), self._bands), np.int16)
        pointer = self._binding.pointer
        self._lib.kws_lfbe_push(self._state, pointer(samples), len(samples), pointer(out))
        return out

    def reset(self) -> None:
        """Forget every sample."""
        self._lib.kws_lfbe_reset(self._state)


def compute(samples: NDArray[np.int16], config: FrontendConfig) -> NDArray[np.int16]:
    """Return the LFBE int16[frames, bands] of a whole signal int16[n]."""
    samples = np.ascontiguousarray(samples)
    out = np.empty((count_frames(len(samples), config), config.bands), np.int16)
    _compute(samples, config.hop_samples, out, config)
    return out


def lfbe(frames: NDArray[np.int16], config: FrontendConfig) -> NDArray[np.int16]:
    """Return the LFBE int16[frames, bands] of int16[frames, window], as ``kws.frontend.lfbe.lfbe`` does."""
    frames = np.ascontiguousarray(frames)
    out = np.empty((len(frames), config.bands), np.int16)
    _compute(frames, config.window_samples, out, config)
    return out


def _compute(samples: NDArray[np.int16], stride: int, out: NDArray[np.int16], config: FrontendConfig) -> None:
    bound = binding(config)
    scratch = bound.memory(bound.lib.kws_lfbe_scratch_bytes(bound.tables))
    pointer = bound.pointer
    bound.lib.kws_lfbe_compute(bound.tables, pointer(samples), stride, len(out), pointer(out), scratch)
