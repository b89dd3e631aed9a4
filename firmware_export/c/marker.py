"""``bundle.json``: marks a directory as a bundle of kws export, and shows whether anybody changed it since."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from kws.errors import KwsError
from kws.system import files

NAME = "bundle.json"
FORMAT = "kws-bundle"
VERSION = 2
"""Version 1 had every file in one folder; export still recognizes such a bundle and replaces it."""

_BUILD = "build"  # the folder that the bundle's Makefile builds in: may be lost


def text(contents: dict[str, bytes], facts: dict[str, Any]) -> str:
    """Return the marker of a bundle with these files; ``facts`` about the model stand beside their hashes."""
    hashes = {name: _sha256(content) for name, content in sorted(contents.items())}
    data = {"format": FORMAT, "version": VERSION, **facts, "files": hashes}
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def sums(contents: dict[str, bytes]) -> str:
    """Return the lines that `sha256sum -c` checks.

    >>> print(sums({"a": b""}), end="")
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a
    """
    return "".join(f"{_sha256(content)}  {name}\n" for name, content in sorted(contents.items()))


def read_marker(directory: Path) -> dict[str, Any]:
    """Return what ``bundle.json`` says: phrase, hashes, shapes, files.

    Raises:
        KwsError: the directory is not a bundle, or is one of a newer kws.
    """
    try:
        data = json.loads((directory / NAME).read_bytes())
        known = data["format"] == FORMAT and isinstance(data["files"], dict) and isinstance(data["version"], int)
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise KwsError(
            f"{directory}: is not a bundle written by kws export; give another directory or move this one away"
        )
    if data["version"] > VERSION:
        raise KwsError(f"{directory}: the bundle was made by a newer kws; upgrade kws, or give another directory")
    return dict(data)


def check_whole(directory: Path, model_sha256: str | None = None) -> dict[str, Any]:
    """Return the marker of a complete, unchanged bundle, made from the ``.kws`` of that SHA-256 if one is given.

    Raises:
        KwsError: the directory is not a bundle of this version, a file is missing or changed, or the model is another.
    """
    facts = read_marker(directory)
    if facts["version"] < VERSION:
        raise KwsError(f"{directory}: the bundle was made by an older kws; export the model again")
    for name, expected in facts["files"].items():
        try:
            content = (directory / name).read_bytes()
        except OSError as error:
            raise KwsError(
                f"{directory / name}: a file of the bundle cannot be read ({error.strerror}); export the model again"
            ) from error
        if _sha256(content) != expected:
            raise KwsError(f"{directory / name}: was changed since kws export wrote it; export the model again")
    if model_sha256 is not None and facts["model_sha256"] != model_sha256:
        raise KwsError(f"{directory}: is the bundle of another .kws file; export it again from this one")
    return facts


def check_replaceable(directory: Path) -> None:
    """Raise ``KwsError`` unless writing a bundle to ``directory`` loses none of the user's files."""
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
        KwsError: ``directory`` is not a bundle, or holds files that were added or changed by hand.
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
