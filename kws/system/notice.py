"""Notices for the user on standard error while a command goes on: no errors, each printed once."""

import sys

_printed: set[str] = set()


def once(kind: str, sentence: str) -> None:
    """Print the sentence, unless one of this kind was printed by this process."""
    if kind not in _printed:
        _printed.add(kind)
        print(f"kws: {sentence}", file=sys.stderr)
