"""Frozen dataclasses, loaded strictly from TOML or JSON data.

Unknown keys, wrong types and bad values are refused; the message names the key's path and what to do. A class checks
its own values in ``__post_init__`` and raises ``ValueError`` with a message that starts with the field's name; the path
of its table is put in front here. Where a class has ``presets()``, a dict of its own instances by name,
such a name may stand in place of the table.
"""

import dataclasses
import difflib
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from kws.errors import KwsError

T = TypeVar("T")

ADDED_LATER = {"omit_default": True}
"""``field(default=..., metadata=ADDED_LATER)``: left out of plain data, and so of hashes, while it has its default.

For a field added to a config that existing files and checkpoints hold: their data and hashes do not change."""

# TOML's names of the types, for people who do not write Python.
NAMES: dict[Any, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    tuple: "a list",
    dict: "a table",
}


def load(cls: type[T], data: Mapping[str, Any], where: str = "config") -> T:
    """Build the dataclass ``cls`` from plain data; ``where`` names the file in errors.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Noise:
    ...     snr_db_min: float = -5.0
    >>> load(Noise, {"snr_db_min": 3}, "recipe.toml")
    Noise(snr_db_min=3.0)
    >>> load(Noise, {"snr_db": 3}, "recipe.toml")
    Traceback (most recent call last):
    kws.errors.KwsError: recipe.toml: unknown key 'snr_db'; did you mean 'snr_db_min'?
    """
    return cast(T, _load_table(cls, data, where, ""))


def load_toml(cls: type[T], path: Path) -> T:
    """Build the dataclass ``cls`` from the TOML file at ``path``; raise ``KwsError`` naming the file and key."""
    try:
        data = tomllib.loads(read_text(path, "a TOML recipe"))
    except tomllib.TOMLDecodeError as error:
        raise KwsError(f"{path}: is not valid TOML ({error}); correct that line") from error
    return load(cls, data, str(path))


def read_text(path: Path, what: str, errors: str = "strict") -> str:
    """Return a file's text: UTF-8, with or without a byte order mark; its line ends stay as they are.

    Args:
        path: the file.
        what: what the file should be, such as "a manifest".
        errors: as in ``bytes.decode``.

    Raises:
        KwsError: it cannot be read, or is in another encoding.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise KwsError(f"{path}: cannot be read ({error.strerror}); give the path of {what}") from error
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or content[1:4:2] == b"\0\0" or content[:3:2] == b"\0\0":
        raise KwsError(f"{path}: is not a text file in UTF-8, but looks like UTF-16; save {what} as UTF-8")
    try:
        return content.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise KwsError(f"{path}, line {line}: is not a text file in UTF-8; save {what} as UTF-8") from error


def to_data(config: Any) -> dict[str, Any]:
    """Return the dataclass as plain JSON-ready data, every default spelled out but ``ADDED_LATER`` (tuples: lists)."""
    return cast(dict[str, Any], json.loads(json.dumps(_plain(config))))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
        return {
            field.name: _plain(item)
            for field, item in fields
            if not (field.metadata.get("omit_default") and item == field.default)
        }
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def config_hash(config: Any) -> str:
    """Return 16 hexadecimal digits that change when any resolved value of the config changes."""
    text = json.dumps(to_data(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a value that is not a number from ``low`` to ``high``, for ``__post_init__``.

    >>> check_range("steps", 0, 1, 10_000_000)
    Traceback (most recent call last):
    ValueError: steps must be 1 to 10000000
    """
    if not low <= value <= high:  # false for nan as well
        ends = [str(end) if isinstance(end, int) else f"{end:g}" for end in (low, high)]
        raise ValueError(f"{name} must be {ends[0]} to {ends[1]}")


def _load_table(cls: type, data: Mapping[str, Any], where: str, path: str) -> Any:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for key in data:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.4)
            remedy = f"did you mean '{path}{near[0]}'?" if near else "known keys: " + ", ".join(fields)
            raise KwsError(f"{where}: unknown key {f'{path}{key}'!r}; {remedy}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in data:
            raise KwsError(f"{where}: key {path + name!r} is missing; add it")
    values = {key: _load_value(hints[key], value, where, path + key) for key, value in data.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise KwsError(f"{where}: {path}{error}") from error


def _load_value(hint: Any, value: Any, where: str, path: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return _load_optional(hint, value, where, path)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return _load_table(cast(type, hint), value, where, path + ".")
    if isinstance(value, str) and (presets := getattr(hint, "presets", None)):
        return presets()[_load_choice(tuple(presets()), value, where, path)]
    if origin is tuple and isinstance(value, list | tuple):
        item = typing.get_args(hint)[0]
        return tuple(_load_value(item, entry, where, f"{path}[{index}]") for index, entry in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        item = typing.get_args(hint)[1]
        return {key: _load_value(item, entry, where, f"{path}.{key}") for key, entry in value.items()}
    if origin is typing.Literal:
        return _load_choice(typing.get_args(hint), value, where, path)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Any or (isinstance(hint, type) and type(value) is hint):
        return value
    expected = NAMES.get(origin or hint, "a table")
    given = NAMES.get(type(value), type(value).__name__)
    raise KwsError(f"{where}: key {path!r} is {value!r}, {given}; it must be {expected}")


def _load_optional(hint: Any, value: Any, where: str, path: str) -> Any:
    choices = [choice for choice in typing.get_args(hint) if choice is not type(None)]
    if value is None:
        return None
    if len(choices) != 1:
        raise TypeError(f"{path}: only X | None is supported in a config, not {hint}")
    return _load_value(choices[0], value, where, path)


def _load_choice(choices: tuple[Any, ...], value: Any, where: str, path: str) -> Any:
    if value in choices:
        return value
    raise KwsError(f"{where}: key {path!r} is {value!r}; it must be one of {', '.join(map(repr, choices))}")
