"""``bundle.json``: how a directory is known as a bundle of ours, and one that nobody has changed since."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from kws import files
from kws.errors import KwsError

NAME = "bundle.json"
FORMAT = "kws-bundle"
VERSION = 1

_BUILD = "build"  # where the bundle's Makefile puts what it makes: free to be lost


def text(contents: dict[str, bytes], facts: dict[str, Any]) -> str:
    """Return the marker of a bundle with these files; ``facts`` about the model stand beside their hashes."""
    hashes = {name: _sha256(content) for name, content in sorted(contents.items())}
    data = {"format": FORMAT, "version": VERSION, **facts, "files": hashes}
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def read_marker(directory: Path) -> dict[str, Any]:
    """Return what ``bundle.json`` says: phrase, hashes, shapes, files.

    Raises:
        KwsError: the directory is no bundle, or one of a newer kws.
    """
    try:
        data = json.loads((directory / NAME).read_text(encoding="utf-8"))
        known = data["format"] == FORMAT and isinstance(data["files"], dict) and isinstance(data["version"], int)
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise KwsError(f"{directory}: is no bundle written by kws export; give another directory or move this one away")
    if data["version"] > VERSION:
        raise KwsError(f"{directory}: the bundle was made by a newer kws; upgrade, or give another directory")
    return dict(data)


def check_replaceable(directory: Path) -> None:
    """Raise ``KwsError`` unless writing a bundle to ``directory`` loses nothing of the user's."""
    if not os.path.lexists(directory) or (directory.is_dir() and not any(directory.iterdir())):
        return
    known = read_marker(directory)["files"]
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if name == NAME or path.is_dir() or name.startswith(f"{_BUILD}/"):
            continue
        if known.get(name) != _sha256(path.read_bytes()):
            what = "was changed by hand" if name in known else "was not written by kws export"
            raise KwsError(f"{path}: {what} and would be lost; move it away or export to another directory")


def replace_bundle(new: Path, directory: Path) -> None:
    """Move the bundle ``new`` to ``directory`` (on the same disk), in place of an unchanged older one.

    Raises:
        KwsError: ``directory`` is no bundle, or holds files that were added or changed by hand.
    """
    check_replaceable(directory)
    try:
        if not directory.exists():
            os.rename(new, directory)
            return
        with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as work:
            old = Path(work) / "old"
            os.rename(directory, old)
            try:
                os.rename(new, directory)
            except OSError:
                os.rename(old, directory)
                raise
    except OSError as error:
        raise files.unwritable(directory, error) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
