"""A run that is told to stop (Ctrl-C, SIGTERM) finishes its step and writes a checkpoint first."""

import signal
import threading
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While the block runs, the first SIGINT or SIGTERM is only noted; a second one acts as it did before.

    Signals reach the main thread alone: in another one nothing is caught.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self.signal is not None

    def obey(self) -> None:
        """Do now what the signal would have done: KeyboardInterrupt, or the end of the process."""
        self._restore()
        if self.signal is not None:
            signal.raise_signal(self.signal)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
