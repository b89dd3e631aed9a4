"""A progress bar with the remaining time, on standard error, for anything over two seconds."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Advance = Callable[..., None]


@contextmanager
def bar(description: str, total: float) -> Iterator[Advance]:
    """Show a bar while the block runs; it is given ``advance(steps=1, note="")``.

    A terminal gets a live bar; a log file gets a line per tenth, so that it stays readable.

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
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, note="")

        def advance(steps: float = 1, note: str = "") -> None:
            progress.update(task, advance=steps)
            if note:
                progress.update(task, note=note)

        yield advance


def _lines(description: str, total: float) -> Iterator[Advance]:
    done = 0.0
    told = 0

    def advance(steps: float = 1, note: str = "") -> None:
        nonlocal done, told
        done += steps
        tenth = int(10 * done / total) if total else 10
        if tenth > told:
            told = tenth
            print(f"{description}: {min(10 * tenth, 100)} % {note}".rstrip(), file=sys.stderr, flush=True)

    yield advance
