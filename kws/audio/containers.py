"""Where a file's header places its sound, and whether the file holds less or more than that.

libsndfile reads a cut WAV or OGG without an error, and skips what follows a length that was declared too small.
"""

import os
import re
import struct
from dataclasses import dataclass
from io import FileIO

from kws.audio import mpeg

LEFT_OPEN = 0x7FFFF000
"""Recorders that write to a pipe cannot know the length; they declare about 2 or 4 GiB."""

TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICSBEGIN")
_STARTS = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"caff", b".snd", b"riff", b"NIST_1A")
_SOUND = (b"data", b"SSND")
_REMARKS = (b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"JUNK", b"junk", b"PAD ", b"FLLR")
_W64_ENDING = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Extent:
    """The header says that the sound is in the bytes ``start`` to ``end``; ``end`` is None where it leaves that open.

    ``missing``: how many of these bytes the file lacks. ``surplus``: how many bytes follow them that are neither chunks
    of the format, nor tags, nor zeros; ``second``: they are another recording, as ``cat a.wav b.wav`` makes.
    """

    start: int
    end: int | None
    missing: int = 0
    surplus: int = 0
    second: bool = False


def extent(file: FileIO) -> Extent | None:
    """Return where the sound of a WAV, RF64, W64, AIFF, AU, CAF, NIST, OGG or MP3 file lies; None for any other kind.

    Of OGG (RFC 3533) and MP3 with a Xing header only ``missing`` and ``surplus`` are known. FLAC, and MP3 that is cut
    short, are checked while decoding.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(16)
    if start[:4] == b"OggS":
        return _in_pages(file, size)
    if start[:3] == b"ID3" or start[:1] == b"\xff":
        second = mpeg.second_recording(file, size)
        return Extent(0, second, surplus=size - second, second=True) if second else None
    located = _locate(file, start, size)
    if located is None:
        return None
    (first, end), form = located
    if end is None:
        return Extent(first, None)
    surplus, second = _behind(file, end, size, form) if end < size else (0, False)
    return Extent(first, end, max(0, end - size), surplus, second)


def is_chunk(head: bytes, left: int, form: str = "<4sI") -> bool:
    """Return whether these bytes begin a chunk of at most ``left`` bytes that is no sound; samples hardly ever do."""
    if len(head) < struct.calcsize(form):
        return False
    name, length = struct.unpack_from(form, head)
    if name in _REMARKS:  # whatever length it declares: no sound is lost with its end
        return True
    plain = re.fullmatch(rb"[ -~]{4}", name[:4]) or name.endswith(_W64_ENDING[-6:])
    return bool(plain) and name[:4] not in (*_SOUND, *_STARTS) and 0 <= length <= left


def starts_recording(head: bytes) -> bool:
    """Return whether a sound file or a second chunk of sound begins here."""
    return head.startswith((*_STARTS, *_SOUND))


_Span = tuple[int, int | None]


def _locate(file: FileIO, start: bytes, size: int) -> tuple[_Span, str] | None:
    """Return the first and last byte of the sound, and how the format's chunks begin ("" if it has none)."""
    kind = start[:4] + start[8:12]
    span: _Span | None = None
    form = ""
    if kind in (b"RIFFWAVE", b"RIFXWAVE", b"RF64WAVE"):
        form = ">4sI" if kind[:4] == b"RIFX" else "<4sI"
        span = _in_chunks(file, size, form, b"data", 12)
        if span and kind[:4] == b"RF64":
            span = span[0], _rf64_end(file, span)
    elif kind in (b"FORMAIFF", b"FORMAIFC"):
        form = ">4sI"
        span = _in_chunks(file, size, form, b"SSND", 12)
    elif start == bytes.fromhex("726966662e91cf11a5d628db04c10000"):
        form = "<16sq"
        span = _in_chunks(file, size, form, b"data" + _W64_ENDING, 40, own=24, pad=8)
    elif start[:4] == b"caff":
        form = ">4sq"
        span = _in_chunks(file, size, form, b"data", 8, pad=1)
    elif start[:4] in (b".snd", b"dns."):
        span = _au(start, ">" if start[:4] == b".snd" else "<")
    elif start[:7] == b"NIST_1A":
        span = _nist(file)
    return (span, form) if span else None


def _in_chunks(
    file: FileIO, size: int, form: str, sound: bytes, position: int, own: int = 0, pad: int = 2
) -> _Span | None:
    """Walk the chunks to the one of the sound; ``own``: bytes of its head that a chunk's length counts."""
    head = struct.calcsize(form)
    while position + head <= size:
        file.seek(position)
        name, length = struct.unpack(form, file.read(head))
        left_open = length < 0 or (head == 8 and length >= LEFT_OPEN)
        length = max(length - own, 0)
        if name == sound:
            return position + head, None if left_open else position + head + length
        position += head + length + -length % pad
    return None


def _rf64_end(file: FileIO, span: _Span) -> int | None:
    """Return where the sound of an RF64 file ends: its length stands in the chunk ds64 (EBU Tech 3306)."""
    first, end = span
    file.seek(12)
    start = file.read(24)
    if end is None and start[:4] == b"ds64" and len(start) == 24:
        length = int(struct.unpack_from("<Q", start, 16)[0])
        return first + length if 0 < length < 1 << 62 else None
    return end


def _au(start: bytes, order: str) -> _Span | None:
    """Return where the sound of an AU file lies; all bits set leave its length open."""
    if len(start) < 12:
        return None
    first, length = struct.unpack_from(order + "II", start, 4)
    return first, None if length == 0xFFFFFFFF else first + length


def _nist(file: FileIO) -> _Span | None:
    """Return where the sound of a NIST SPHERE file lies: a head of text says how many samples there are."""
    file.seek(0)
    lines = file.read(1024).split(b"end_head")[0].split(b"\n")
    values = {line.split()[0]: line.split()[-1] for line in lines if len(line.split()) == 3}
    try:
        first = int(lines[1])
        counts = [int(values[name]) for name in (b"sample_count", b"channel_count", b"sample_n_bytes")]
    except (ValueError, KeyError, IndexError):
        return None
    if b"embedded" in values.get(b"sample_coding", b""):
        return None  # compressed: its bytes are fewer than its samples
    return first, first + counts[0] * counts[1] * counts[2]


def _behind(file: FileIO, end: int, size: int, form: str) -> tuple[int, bool]:
    """Return how many bytes behind the sound are sound as well or unknown, and whether they are another recording."""
    position, head = end, struct.calcsize(form) if form else 0
    if form and end % 2 and _has_chunk(file, end + 1, size, form):
        position += 1
    while form and _has_chunk(file, position, size, form):
        length = struct.unpack(form, file.read(head))[1]
        position += max(length, head) if head == 24 else head + length
        position += -position % {24: 8, 12: 1}.get(head, 2)
    for place in (position, position + position % 2):
        file.seek(place)
        if starts_recording(file.read(8)):
            return size - place, True
    if position > end or _no_sound(file, end):
        return 0, False
    return size - end, False


def _has_chunk(file: FileIO, position: int, size: int, form: str) -> bool:
    head = struct.calcsize(form)
    file.seek(position)
    follows = is_chunk(file.read(head), size - position, form)
    file.seek(position)
    return follows


def _no_sound(file: FileIO, position: int) -> bool:
    """Return whether all from here on is a tag that music programs append, or zeros that fill a block."""
    file.seek(position)
    block = file.read(_BLOCK)
    if block.lstrip(b"\0").startswith(TAGS):
        return True
    while block:
        if block.strip(b"\0"):
            return False
        block = file.read(_BLOCK)
    return True


def _in_pages(file: FileIO, size: int) -> Extent:
    """Walk the pages of an OGG file: the last one must be whole and say that it is, and no stream follows it."""
    position, ended = 0, False
    while position < size:
        file.seek(position)
        page = file.read(27)
        if not b"OggS".startswith(page[:4]):
            return Extent(0, size)  # Lost: the decoder resynchronises, or says what is wrong.
        if len(page) < 27:
            return Extent(0, size, missing=27 - len(page))
        if ended and page[5] & 2:
            return Extent(0, position, surplus=size - position, second=True)
        lengths = file.read(page[26])
        position += 27 + page[26] + sum(lengths)
        if len(lengths) < page[26]:
            return Extent(0, size, missing=page[26] - len(lengths))
        ended = bool(page[5] & 4)
    return Extent(0, position, missing=position - size or int(not ended))
