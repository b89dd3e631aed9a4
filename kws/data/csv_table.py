"""Every table that is read: CSV or tab-separated text in UTF-8 with a header, rows by line number and column name."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kws.config import read_text
from kws.errors import KwsError


def read(
    path: Path,
    required: Sequence[str],
    known: Sequence[str] | None = None,
    *,
    tabs: bool = False,
    remedy: str = "correct it",
    ragged: bool = False,
    errors: str = "strict",
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table, each with the line that it starts in.

    A byte order mark, line ends of any system and lines without anything in them make no difference; a quoted value
    may hold line ends.

    Args:
        path: the file.
        required: columns that must be there.
        known: all columns that may be there; None: any, and others are not looked at.
        tabs: values are separated by tabs and quotation marks mean themselves; else by commas, as RFC 4180 has it.
        remedy: what an error tells the user to do.
        ragged: rows need not be as long as the header, as long as the ``required`` values are there.
        errors: as ``bytes.decode`` knows it: "replace" for files that others made.

    Raises:
        KwsError: the file cannot be read or is no such table; the sentence names file and line.
    """
    text = read_text(path, "a table", errors)
    form: dict[str, Any] = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if tabs else {}
    rows = _rows(csv.reader(io.StringIO(text, newline=""), strict=True, **form), path, remedy)
    line, header = next(rows, (1, []))
    header = [name.strip() for name in header]
    _check_header(header, required, known, tabs, f"{path}, line {line}", remedy)
    for line, values in rows:
        if len(values) != len(header) and not ragged:
            raise KwsError(
                f"{path}, line {line}: has {len(values)} values, the header names {len(header)}; correct that line"
            )
        row = dict(zip(header, values, strict=False))
        if any(name not in row for name in required):
            raise KwsError(f"{path}, line {line}: is cut short; {remedy}")
        yield line, row


def _rows(reader: Any, path: Path, remedy: str) -> Iterator[tuple[int, list[str]]]:
    """Yield what is in each row and the line that it starts in, without rows that hold nothing."""
    start = 1
    try:
        for values in reader:
            if any(value.strip() for value in values):
                yield start, values
            start = reader.line_num + 1
    except csv.Error as error:
        raise KwsError(f"{path}, line {start}: is not valid CSV ({error}); {remedy}") from error


def _check_header(
    header: Sequence[str], required: Sequence[str], known: Sequence[str] | None, tabs: bool, where: str, remedy: str
) -> None:
    if not header:
        raise KwsError(f"{where}: the file is empty; its first line must name the columns {', '.join(required)}")
    if len(header) == 1 and len(required) > 1 and (sign := next((sign for sign in ";\t," if sign in header[0]), "")):
        name = {";": "semicolons", "\t": "tabs", ",": "commas"}[sign]
        raise KwsError(
            f"{where}: the columns are separated by {name}; save the table with {'tabs' if tabs else 'commas'}"
        )
    for name in header:
        if known is not None and name not in known:
            raise KwsError(f"{where}: unknown column {name!r}; the columns are {', '.join(known)}")
        if name and header.count(name) > 1:
            raise KwsError(f"{where}: column {name!r} appears twice; remove one")
    for name in required:
        if name not in header:
            raise KwsError(f"{where}: column {name!r} is missing; {remedy}")
