"""PCM samples decoded as their bytes arrive: from a pipe, or from a file that holds more than its header declares."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO

import numpy as np
from numpy.typing import NDArray

from kws.audio.containers import TAGS, is_chunk, starts_recording
from kws.audio.pcm import Pcm
from kws.errors import KwsError

_READ_BYTES = 1 << 16
_LEAST_SECONDS = 0.01
"""Fewer frames wait for more, so that a writer of single samples costs no call for each."""
_LONGEST_REMARK = 1 << 20


class Supply:
    """The bytes of a pipe or file, as they come."""

    def __init__(self, file: FileIO, name: str) -> None:
        self._file, self._name = file, name
        self._waiting = b""

    def some(self, at_most: int = _READ_BYTES) -> bytes:
        """Return the bytes that are there, waiting only for the first; nothing at the end."""
        if not self._waiting:
            try:
                return os.read(self._file.fileno(), min(at_most, _READ_BYTES))
            except OSError as error:
                raise KwsError(
                    f"{self._name}: cannot be read ({error.strerror}); check that it is a file or a pipe"
                ) from error
        data, self._waiting = self._waiting[:at_most], self._waiting[at_most:]
        return data

    def exactly(self, count: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        parts = []
        while count and (data := self.some(count)):
            parts.append(data)
            count -= len(data)
        return b"".join(parts)

    def put_back(self, data: bytes) -> None:
        """Give these bytes again before all others."""
        self._waiting = data + self._waiting

    def skip(self, count: int) -> None:
        """Skip so many bytes, or all that are left."""
        while count > 0 and (data := self.some(count)):
            count -= len(data)

    def drain(self) -> None:
        """Read to the end, so that the writer does not fail."""
        while self.some():
            pass


@dataclass(frozen=True)
class PcmStream:
    """Frames of PCM as a ``kws.audio.decode.Sound``.

    ``length``: the bytes of sound that a WAV's head declares. Chunks may follow them; anything else that
    follows is sound too: a writer to a pipe declares its first bytes and cannot correct that later. None: all is sound.
    """

    name: str
    pcm: Pcm
    supply: Supply
    length: int | None = None
    frame_count: int | None = None

    @property
    def rate_hz(self) -> int:
        """Samples of one channel a second."""
        return self.pcm.rate_hz

    @property
    def channels(self) -> int:
        """Channels, interleaved."""
        return self.pcm.channels

    @property
    def is_float(self) -> bool:
        """Whether samples may lie outside of -1..1."""
        return self.pcm.is_float

    def frames(self) -> Iterator[NDArray[np.float64]]:
        """Yield float64 [frames, channels] as soon as there are 10 ms.

        Raises:
            KwsError: the sound ends before it should, or in mid-frame.
        """
        size, least = self.pcm.frame_bytes, round(_LEAST_SECONDS * self.rate_hz) * self.pcm.frame_bytes
        waiting = b""
        for data in self._sound():
            waiting += data
            if len(waiting) >= least:
                whole = len(waiting) - len(waiting) % size
                yield self.pcm.decode(waiting[:whole])
                waiting = waiting[whole:]
        whole = len(waiting) - len(waiting) % size
        if whole:
            yield self.pcm.decode(waiting[:whole])
        if len(waiting) > whole:
            raise KwsError(
                f"{self.name}: ends in the middle of a sample ({len(waiting) - whole} of {size} bytes); it is cut "
                "short, or its format or number of channels was given wrong (--raw, --channels): correct it"
            )

    def _sound(self) -> Iterator[bytes]:
        if self.length is None:
            yield from iter(self.supply.some, b"")
            return
        left = self.length
        while left and (data := self.supply.some(left)):
            left -= len(data)
            yield data
        if left:
            raise KwsError(
                f"{self.name}: is cut short ({left} bytes that its header declares are missing); "
                "copy or record it again"
            )
        if not self._only_remarks():
            yield from iter(self.supply.some, b"")

    def _only_remarks(self) -> bool:
        """Return whether only chunks without sound follow, or nothing; skip them."""
        odd = (self.length or 0) % 2
        head = self.supply.exactly(8 + odd)
        form = ">4sI" if self.pcm.endian == "BIG" else "<4sI"
        behind = head[1:]
        if odd and (is_chunk(behind, _LONGEST_REMARK, form) or starts_recording(behind) or behind.startswith(TAGS)):
            head = behind
        over = not head.strip(b"\0") if len(head) < 8 else head.startswith(TAGS)
        while is_chunk(head, _LONGEST_REMARK, form):
            over = True
            length = int.from_bytes(head[4:8], "big" if self.pcm.endian == "BIG" else "little")
            self.supply.skip(length + length % 2 - (len(head) - 8))
            head = self.supply.exactly(8)
        if starts_recording(head):
            raise KwsError(f"{self.name}: another recording follows the first; give each by itself")
        if over:
            self.supply.drain()
        else:
            self.supply.put_back(head)
        return over
