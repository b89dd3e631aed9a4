"""C source as text: arrays, strings and structs, lossless and the same on every run."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

LINE_LENGTH = 116


def array(name: str, values: NDArray[np.generic], shape: Sequence[int] | None = None, attribute: str = "") -> str:
    """Return the definition of a constant one-dimensional array; its shape is given in a comment.

    ``attribute`` is a macro added to the declaration.

    >>> print(array("window", np.array([[1, -2], [3, 4]], np.int16)))
    static const int16_t window[4] = { /* [2][2] */
        1, -2, 3, 4,
    };
    """
    dimensions = "".join(f"[{size}]" for size in (values.shape if shape is None else shape))
    numbers = [_number(int(value), values.dtype.name) for value in values.ravel()]
    declared = f"{name}[{len(numbers)}] {attribute}".rstrip()
    head = f"static const {values.dtype.name}_t {declared} = {{ /* {dimensions} */"
    return "\n".join([head, *wrap(numbers), "};"])


def table(ctype: str, name: str, rows: Sequence[str]) -> str:
    """Return the definition of a constant array of structs, each row an initializer."""
    return "\n".join([f"static const {ctype} {name}[{len(rows)}] = {{", *wrap(rows), "};"])


def wrap(items: Iterable[str]) -> list[str]:
    """Return lines of comma separated items, indented by four, none longer than LINE_LENGTH unless one item is."""
    lines: list[str] = []
    for item in items:
        if lines and len(lines[-1]) + len(item) + 2 <= LINE_LENGTH:
            lines[-1] += f" {item},"
        else:
            lines.append(f"    {item},")
    return lines


def struct(ctype: str, name: str, fields: Mapping[str, str | int], qualifier: str = "static const") -> str:
    """Return the definition of a struct with a line per field.

    >>> print(struct("kws_copy_t", "op_0", {"source": 0, "target": 40}))
    static const kws_copy_t op_0 = {
        .source = 0,
        .target = 40,
    };
    """
    lines = [f"    .{field} = {_number(value, 'int32') if isinstance(value, int) else value},"
             for field, value in fields.items()]  # fmt: skip
    return "\n".join([f"{qualifier} {ctype} {name} = {{", *lines, "};"])


def string(text: str) -> str:
    r"""Return a C string literal of the text's UTF-8 bytes: octal where a byte is not plain ASCII.

    >>> print(string('sag "ja"?'))
    "sag \"ja\"\077"
    """
    plain = {ord('"'): '\\"', ord("\\"): "\\\\"}
    return '"' + "".join(plain.get(byte) or _byte(byte) for byte in text.encode()) + '"'


def comment(text: str) -> str:
    """Return the text so that it can neither end nor continue a comment: letters, digits and plain punctuation.

    >>> comment("Märvin */ #x")
    'M_rvin __ _x'
    """
    return "".join(char if char.isascii() and (char.isalnum() or char in " -'.,:;") else "_" for char in text)


def _byte(byte: int) -> str:
    # the question mark, too: three of them in a row with another character would be a trigraph
    return chr(byte) if 32 <= byte < 127 and byte != ord("?") else f"\\{byte:03o}"


def _number(value: int, dtype: str) -> str:
    # -2147483648 is no literal in C: the minus is an operator, and 2147483648 does not fit into an int
    return "(-2147483647 - 1)" if value == -(2**31) and dtype == "int32" else str(value)
