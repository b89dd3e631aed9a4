"""Audio to log filter-bank energies (LFBE) in integers: the same numbers in training, on a laptop and on a device.

``native`` (C99, the code that ships to devices) and ``lfbe`` (numpy, the specification) agree with ``==``. ``micro`` is
another frontend, that of ESPHome's firmware.
"""

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from kws import runtime
from kws.errors import KwsError
from kws.frontend import framing, micro, native
from kws.frontend.config import LFBE_FRACTION_BITS, FrontendConfig
from kws.frontend.lfbe import lfbe
from kws.frontend.tables import build

__all__ = ["LFBE_FRACTION_BITS", "Frontend", "FrontendConfig", "Implementation", "compute"]

Implementation = Literal["auto", "numpy", "native"]
Running = Literal["numpy", "native", "micro"]


class _Stream(Protocol):
    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]: ...
    def reset(self) -> None: ...


class _NumpyStream:
    """The framer and the specification."""

    def __init__(self, config: FrontendConfig) -> None:
        self._framer = framing.Framer(config)
        self._tables = build(config)

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        return lfbe(self._framer.push(samples), self._tables)

    def reset(self) -> None:
        self._framer.reset()


class Frontend:
    """A stream of int16 samples in, LFBE frames out; any chunking of the samples gives the same frames.

    Args:
        config: what to compute.
        implementation: ``native`` is the compiled C, ``numpy`` the specification (slow, needs no compiler), ``auto``
            the C if it was built. ``.implementation`` says which of the two it is, or "micro", which has only one.

    Raises:
        KwsError: ``native`` was not built; for the kind "micro": pymicro-features is not installed.

    >>> frontend = Frontend(FrontendConfig())
    >>> frontend.push(np.zeros(1000, np.int16)).shape
    (4, 40)
    """

    def __init__(self, config: FrontendConfig | None = None, implementation: Implementation = "auto") -> None:
        self.config = config or FrontendConfig()
        self.implementation: Running = _choose(implementation, self.config)
        self._stream: _Stream = _STREAMS[self.implementation](self.config)

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        """Take int16[n] (any n, 0 too), return int16[frames, bands]: the frames that are now complete."""
        framing.check_samples(samples)
        return self._stream.push(samples)

    def reset(self) -> None:
        """Forget every sample, as at the start of a stream."""
        self._stream.reset()


def compute(
    samples: NDArray[np.int16], config: FrontendConfig | None = None, implementation: Implementation = "auto"
) -> NDArray[np.int16]:
    """Return the LFBE int16[frames, bands] of a whole signal int16[n]; the same frames as ``Frontend.push`` gives.

    >>> compute(np.zeros(16000, np.int16)).shape
    (98, 40)
    """
    config = config or FrontendConfig()
    framing.check_samples(samples)
    chosen = _choose(implementation, config)
    if chosen == "native":
        return native.compute(samples, config)
    if chosen == "micro":
        return micro.Stream().push(samples)
    return lfbe(framing.frames_of(samples, config), build(config))


_STREAMS: dict[Running, Callable[[FrontendConfig], _Stream]] = {
    "numpy": _NumpyStream,
    "native": native.Stream,
    "micro": lambda _: micro.Stream(),
}


def _choose(implementation: Implementation, config: FrontendConfig) -> Running:
    if implementation not in ("auto", "numpy", "native"):
        raise KwsError(f"frontend implementation {implementation!r} is unknown; choose auto, numpy or native")
    if config.kind == "micro":
        if implementation != "auto":
            raise KwsError(f'kind "micro" has no frontend implementation {implementation!r}; choose auto')
        return "micro"
    if implementation == "native" and not runtime.available():
        raise KwsError(
            f"the compiled frontend is not available ({runtime.reason()}); choose numpy, or auto for the best one"
        )
    return "numpy" if implementation == "numpy" or not runtime.available() else "native"
