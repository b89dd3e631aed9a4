"""Whether a second recording follows in an MP3 file: the decoder stops at the length in the Xing header.

``cat a.mp3 b.mp3 > c.mp3`` is common: without such a header both are decoded, with one only the first.
"""

import re
from io import FileIO

_KBPS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""By version (2 also stands for 2.5) and layer (ISO 11172-3 and 13818-3, table of bit_rate_index)."""

_RATES_HZ = (44100, 48000, 32000)
_SLACK = 3000  # two of the longest frames: not every encoder counts the frame that the Xing header stands in
_SEARCHED = 1 << 16
_IN_A_ROW = 3


def second_recording(file: FileIO, size: int) -> int:
    """Return the byte at which another recording follows the one that a Xing header counts; 0 if none does."""
    first = _behind_tag(file, 0)
    file.seek(first)
    frame = file.read(64)
    xing = re.search(rb"Xing|Info", frame)
    file.seek(first + xing.end() if xing else size)
    numbers = file.read(12)
    if len(numbers) < 12:
        return 0
    flags, length = int.from_bytes(numbers[:4], "big"), int.from_bytes(numbers[8:], "big")
    end = first + length
    if flags & 3 != 3 or size - end <= _SLACK + length // 100:
        return 0
    end = _behind_tag(file, end)
    file.seek(end)
    rest: bytes = file.read(_SEARCHED)
    # One frame's head can occur by chance in a picture inside a tag; several in a row cannot.
    starts = (match.start() for match in re.finditer(rb"\xff[\xe2-\xff]", rest))
    for start in starts:
        if _several(rest, start):
            return end + start
    return 0


def _behind_tag(file: FileIO, position: int) -> int:
    """Return where an ID3v2 tag that begins here ends; here, if none does."""
    file.seek(position)
    tag: bytes = file.read(10)
    if tag[:3] != b"ID3" or len(tag) < 10:
        return position
    return position + 10 + sum((value & 0x7F) << shift for value, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))


def _several(data: bytes, position: int) -> bool:
    for _ in range(_IN_A_ROW):
        length = frame_bytes(data[position : position + 4])
        if not length:
            return False
        position += length
    return position <= len(data)


def frame_bytes(head: bytes) -> int:
    """Return how long the frame of MPEG audio with this head of four bytes is; 0 if it is none.

    >>> frame_bytes(bytes.fromhex("fffb9064"))  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz
    417
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = (head[1] >> 3) & 3, 4 - ((head[1] >> 1) & 3)
    index, rate, padding = head[2] >> 4, (head[2] >> 2) & 3, (head[2] >> 1) & 1
    if version == 1 or layer == 4 or not 1 <= index <= 14 or rate == 3:
        return 0
    kbps = _KBPS[1 if version == 3 else 2, layer][index - 1]
    rate_hz = _RATES_HZ[rate] >> {3: 0, 2: 1, 0: 2}[version]
    if layer == 1:
        return (12000 * kbps // rate_hz + padding) * 4
    return (144000 if layer == 2 or version == 3 else 72000) * kbps // rate_hz + padding
