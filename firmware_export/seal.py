"""An exported file stores its own SHA-256, so that a damaged file is refused before a native runtime reads it.

Runtimes trust the offsets in a file, and a wrong one may crash the process. The seal is a string in the file's own
metadata, so the file stays valid in its format; a search for its prefix locates it, without parsing a damaged file.
"""

import hashlib

from kws.errors import KwsError

KEY = "kws.file_sha256"
"""The metadata entry that holds the seal."""

_MARK = b"kws-file-sha256:"
_DIGITS = 64

BLANK = (_MARK + b"0" * _DIGITS).decode()
"""What a writer stores under ``KEY`` before ``seal``."""


def seal(content: bytes) -> bytes:
    """Return the file with the digits of its one seal filled in; digits that it has are replaced.

    Raises:
        ValueError: the content has no seal, or several.

    >>> check(seal(b"any file " + BLANK.encode()), "any")
    """
    if content.count(_MARK) != 1:
        raise ValueError(f"the content has {content.count(_MARK)} seals; write it with one")
    place = content.index(_MARK) + len(_MARK)
    return content[:place] + _digest(content, place) + content[place + _DIGITS :]


def check(content: bytes, where: str) -> None:
    """Refuse everything but an unchanged sealed file; ``where`` names it in the message.

    Raises:
        KwsError: the file has no seal, or its content changed after it was sealed.

    >>> check(b"any file", "any.tflite")
    Traceback (most recent call last):
    kws.errors.KwsError: any.tflite: was not written by kws export, or is cut short; export it again
    """
    place = content.find(_MARK) + len(_MARK)
    if place < len(_MARK) or len(content) < place + _DIGITS:
        raise KwsError(f"{where}: was not written by kws export, or is cut short; export it again")
    if content[place : place + _DIGITS] != _digest(content, place):
        raise KwsError(f"{where}: the content does not match its SHA-256; copy the file again or export it again")


def _digest(content: bytes, place: int) -> bytes:
    blanked = content[:place] + b"0" * _DIGITS + content[place + _DIGITS :]
    return hashlib.sha256(blanked).hexdigest().encode()
