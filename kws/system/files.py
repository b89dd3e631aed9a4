"""Files that are whole or not there: written beside under a temporary name, then renamed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kws.errors import KwsError


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``; on any failure what lay there before is untouched and nothing is left beside it.

    Raises:
        KwsError: the folder is missing or not writable, or the disk is full.
    """
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which takes the name ``path`` when the block ends well; like ``replace_file`` else.

    Raises:
        KwsError: the folder is missing or not writable, or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # after the rename there is nothing of this name any more
            temporary.unlink()


def unwritable(path: Path, error: OSError) -> KwsError:
    """Return the sentence for a file or folder that the system would not write."""
    return KwsError(f"{path}: cannot be written ({error.strerror}); check the folder, its permissions and free space")
