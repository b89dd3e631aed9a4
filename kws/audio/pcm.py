"""Samples without a container, and the header of a WAV stream: sound that can be decoded as it arrives."""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from kws.audio.containers import LEFT_OPEN
from kws.errors import KwsError

_BYTES = {"PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8, "ULAW": 1, "ALAW": 1}
_WAV = {
    (1, 8): "PCM_U8",
    (1, 16): "PCM_16",
    (1, 24): "PCM_24",
    (1, 32): "PCM_32",
    (3, 32): "FLOAT",
    (3, 64): "DOUBLE",
    (6, 8): "ALAW",
    (7, 8): "ULAW",
}
"""(wFormatTag, wBitsPerSample) -> libsndfile's name; others are coded in blocks."""
_EXTENSIBLE = 0xFFFE
_LONGEST_HEAD = 1 << 24

RAW = {
    "s16le": ("PCM_16", "LITTLE"),
    "s16be": ("PCM_16", "BIG"),
    "s24le": ("PCM_24", "LITTLE"),
    "s32le": ("PCM_32", "LITTLE"),
    "f32le": ("FLOAT", "LITTLE"),
}
"""The values of ``--raw``, named as in ffmpeg (arecord: S16_LE)."""

RIFF, RIFX, RF64 = b"RIFF", b"RIFX", b"RF64"


@dataclass(frozen=True)
class Pcm:
    """How samples are laid out: interleaved, at a rate; ``subtype`` and ``endian`` are libsndfile's names."""

    rate_hz: int
    channels: int
    subtype: str
    endian: str = "LITTLE"

    @property
    def frame_bytes(self) -> int:
        """How many bytes one sample of all channels takes."""
        return _BYTES[self.subtype] * self.channels

    @property
    def is_float(self) -> bool:
        """Whether a sample may lie outside of -1..1."""
        return self.subtype in ("FLOAT", "DOUBLE")

    def decode(self, data: bytes) -> NDArray[np.float64]:
        """Return whole frames as float64 [frames, channels] in -1..1, as libsndfile decodes them in a file."""
        form: dict[str, Any] = {"format": "RAW", "subtype": self.subtype, "endian": self.endian}
        sound, _ = soundfile.read(
            io.BytesIO(data), dtype="float64", always_2d=True, samplerate=self.rate_hz, channels=self.channels, **form
        )
        decoded: NDArray[np.float64] = sound
        return decoded


@dataclass(frozen=True)
class WavHead:
    """The head of a WAV file: the samples' layout, None where they are coded in blocks; the declared bytes of sound.

    ``length`` is None where the head leaves it open, as writers into a pipe do; ``data`` are the bytes of the head.
    """

    pcm: Pcm | None
    length: int | None
    data: bytes


def raw(name: str, rate_hz: int, channels: int = 1) -> Pcm:
    """Return the layout of headerless samples, by a name of ``RAW``."""
    subtype, endian = RAW[name]
    return Pcm(rate_hz, channels, subtype, endian)


def read_wav_head(read: Callable[[int], bytes], name: str) -> WavHead:
    """Read a RIFF, RIFX or RF64 file up to its first sample; ``read`` gives as many bytes as it is asked for.

    Raises:
        KwsError: it ends before that, or is damaged; ``name`` is its name in the message.
    """
    head = read(12)
    order = ">" if head[:4] == RIFX else "<"
    pcm, long_length = None, 0
    while True:
        chunk = read(8)
        head += chunk
        if len(chunk) < 8:
            raise KwsError(f"{name}: ends before its sound begins; record it again")
        kind, length = struct.unpack(order + "4sI", chunk)
        if kind == b"data":
            return WavHead(pcm, _length(length, long_length), head)
        if length > _LONGEST_HEAD:
            raise KwsError(f"{name}: is damaged (its chunk {kind!r} declares {length} bytes); export it again")
        body = read(length + length % 2)
        head += body
        if kind == b"fmt ":
            pcm = _layout(body, order)
        elif kind == b"ds64" and len(body) >= 16:
            long_length = struct.unpack_from("<Q", body, 8)[0]


def _length(length: int, long_length: int) -> int | None:
    if length == 0xFFFFFFFF and 0 < long_length < 1 << 62:
        return long_length
    return length if length < LEFT_OPEN else None


def _layout(body: bytes, order: str) -> Pcm | None:
    if len(body) < 16:
        return None
    tag, channels, rate_hz, _, align, bits = struct.unpack_from(order + "HHIIHH", body)
    if tag == _EXTENSIBLE and len(body) >= 26:
        tag = struct.unpack_from(order + "H", body, 24)[0]
    subtype = _WAV.get((tag, bits))
    if subtype is None or not channels or align != channels * _BYTES[subtype]:
        return None
    return Pcm(rate_hz, channels, subtype, "BIG" if order == ">" else "LITTLE")
