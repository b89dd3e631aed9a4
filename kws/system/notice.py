"""What a user is told on standard error while a command works on: no failure, and said once."""

import sys
import threading

_told: set[str] = set()
_lock = threading.Lock()


def once(kind: str, sentence: str) -> None:
    """Print the sentence, unless one of this kind was printed by this process."""
    with _lock:
        if kind not in _told:
            _told.add(kind)
            print(f"kws: {sentence}", file=sys.stderr)
