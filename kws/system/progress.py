"""A progress bar with the remaining time, on standard error, for anything over two seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from kws.system.tables import Console, clean

Advance = Callable[..., None]
MENTIONED_S = 2.0
"""In a log file, the time left is printed for work that takes longer than this."""


@contextmanager
def bar(description: str, total: float) -> Iterator[Advance]:
    """Show a bar while the block runs; it is given ``advance(steps=1, note="", before=False)``.

    A terminal gets a live bar; a log file gets a line per tenth with the time that is left, so that it stays readable.
    ``before`` says that the steps were taken in an earlier run, so that they do not count for how fast this one is.

    >>> with bar("Counting", 2) as advance:
    ...     advance()
    ...     advance(note="loss 0.1")
    """
    if sys.stderr.isatty():
        yield from _live(description, total)
    else:
        yield from _lines(description, total)


def _live(description: str, total: float) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(clean(description), total=total, note="")

        def advance(steps: float = 1, note: str = "", before: bool = False) -> None:
            if before:
                progress.reset(task, completed=int(steps))
            else:
                progress.update(task, advance=steps)
            if note:
                progress.update(task, note=note)

        yield advance


def _lines(description: str, total: float) -> Iterator[Advance]:
    done = earlier = 0.0
    printed = 0
    began_s = time.monotonic()

    def advance(steps: float = 1, note: str = "", before: bool = False) -> None:
        nonlocal done, earlier, printed
        done += steps
        earlier += steps if before else 0.0
        tenth = int(10 * done / total) if total else 10
        if tenth > printed:
            printed = tenth
            left = _left(time.monotonic() - began_s, done - earlier, total - done)
            print(f"{clean(description)}: {min(10 * tenth, 100)} %{left} {note}".rstrip(), file=sys.stderr, flush=True)

    yield advance


def _left(passed_s: float, done: float, missing: float) -> str:
    """Return the time left at the pace so far as text; empty for short work.

    >>> _left(90.0, 30.0, 50.0), _left(7200.0, 1.0, 1.5), _left(1.0, 30.0, 50.0), _left(9.0, 80.0, 0.0)
    (', 2:30 left', ', 3:00:00 left', '', '')
    """
    if passed_s < MENTIONED_S or done <= 0.0 or missing <= 0.0:
        return ""
    minutes, seconds = divmod(round(passed_s * missing / done), 60)
    hours, minutes = divmod(minutes, 60)
    return f", {hours}:{minutes:02}:{seconds:02} left" if hours else f", {minutes}:{seconds:02} left"
