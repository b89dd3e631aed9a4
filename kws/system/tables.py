"""Tables and consoles of rich that print data as data: no markup, no emoji codes, no control characters.

The one module that imports rich's ``Table`` and ``Console``: a phrase, a speaker, a licence or a file's name may hold
"[/b]", ":warning:" or an escape sequence, and is shown as it was written.
"""

import io
import re
from typing import Any

from rich import box, console, table
from rich.text import Text

SIMPLE, SIMPLE_HEAD = box.SIMPLE, box.SIMPLE_HEAD
WIDTH = 110

# Control characters but the line feed, and what turns the direction of the text around it.
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    r"""Return the text with control characters written out, so that a terminal does nothing but show them.

    >>> clean("a\x1b[31mb\u202e")
    'a\\x1b[31mb\\u202e'
    """
    return _CONTROLS.sub(lambda sign: sign[0].encode("unicode_escape").decode("ascii"), text)


def data(text: str, style: str = "") -> Text:
    """Return what rich prints as it stands."""
    return Text(clean(text), style=style)


class Table(table.Table):
    """rich's table, whose title, headings and cells are data."""

    def __init__(self, title: str | None = None, **options: Any) -> None:
        super().__init__(title=None if title is None else clean(title), title_justify="left", **options)

    def add_row(self, *cells: str) -> None:  # type: ignore[override]  # a cell is text, never markup
        """Add a row of as many cells as there are headings."""
        super().add_row(*map(data, cells))


class Console(console.Console):
    """rich's console, to which a string is data."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)


def printed(*parts: Table | Text | str, width: int = WIDTH) -> str:
    """Return what the parts look like on standard output, without blank lines; a string is one line, however long."""
    out = Console(width=width)
    with out.capture() as capture:
        _print(out, parts)
    return "\n".join(line.rstrip() for line in capture.get().splitlines() if line.strip())


def plain(*parts: Table | Text | str, width: int = WIDTH) -> str:
    """Return what the parts look like in a file: without colours, blank lines inside kept."""
    file = io.StringIO()
    _print(Console(width=width, file=file, force_terminal=False), parts)
    return "\n".join(line.rstrip() for line in file.getvalue().strip("\n").split("\n"))


def _print(out: Console, parts: tuple[Table | Text | str, ...]) -> None:
    for part in parts:
        out.print(data(part) if isinstance(part, str) else part, soft_wrap=isinstance(part, str))
