"""Notices for the user on standard error while a command goes on: no errors, each printed once."""

import sys
import threading

_printed: set[str] = set()
_lock = threading.Lock()


def once(kind: str, sentence: str) -> None:
    """Print the sentence, unless one of this kind was printed by this process."""
    with _lock:
        if kind not in _printed:
            _printed.add(kind)
            print(f"kws: {sentence}", file=sys.stderr)
