"""Is everything there that a sound file's container declares? libsndfile reads a cut WAV or OGG without a word."""

import os
import struct
from io import FileIO

_STREAMED = 0x7FFFF000
"""Recorders that write to a pipe cannot know the length; they declare about 2 or 4 GiB."""


def missing_bytes(file: FileIO) -> int:
    """Return how many declared bytes lie beyond the end of a WAV, AIFF or OGG file; 0 for any other kind.

    WAV and AIFF: the sound chunk's length (RIFF, Microsoft and IBM 1991; AIFF-C, Apple 1991). A length that stands
    for "unknown", as streaming recorders write it, declares nothing. OGG: the length of the last page (RFC 3533,
    section 6). FLAC and MP3 are checked while decoding.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(12)
    if start[:4] in (b"RIFF", b"RIFX") and start[8:] == b"WAVE":
        return _in_chunks(file, size, "<4sI" if start[:4] == b"RIFF" else ">4sI", b"data")
    if start[:4] == b"FORM" and start[8:] in (b"AIFF", b"AIFC"):
        return _in_chunks(file, size, ">4sI", b"SSND")
    if start[:4] == b"OggS":
        return _in_pages(file, size)
    return 0


def _in_chunks(file: FileIO, size: int, header: str, sound: bytes) -> int:
    position = 12
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack(header, file.read(8))
        end: int = position + 8 + length
        if name == sound:
            return max(0, end - size) if length < _STREAMED else 0
        position = end + length % 2
    return 0


def _in_pages(file: FileIO, size: int) -> int:
    position = 0
    while position < size:
        file.seek(position)
        page = file.read(27)
        if not b"OggS".startswith(page[:4]):
            return 0  # Lost: the decoder resynchronises, or says what is wrong.
        if len(page) < 27:
            return 27 - len(page)
        lengths = file.read(page[26])
        position += 27 + page[26] + sum(lengths)
        if len(lengths) < page[26]:
            return page[26] - len(lengths)
    return position - size
