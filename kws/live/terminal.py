"""The live display of ``kws listen`` in a terminal: level meter, score against its threshold, detections scrolling."""

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from kws.live.events import Detected, Event, Level, Listening, Silence, sentence
from kws.system.tables import Console, data

QUIETEST_DBFS = -70.0
"""The left end of the level meter."""

_WIDTH = 40
_LOUD_DBFS = -6.0  # Speech above this will soon clip.


class Terminal:
    """Two moving bars at the bottom, and above them every event with its time."""

    levels = True

    def __init__(self, console: Console) -> None:
        self._console = console
        self._thresholds: dict[str, float] = {}
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> "Terminal":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        """Move the bars for a level; print everything else above them."""
        if isinstance(event, Level):
            name = event.phrase if len(self._thresholds) > 1 else ""
            self._live.update(bars(event, self._thresholds.get(event.phrase, 1.0), name), refresh=True)
            return
        if isinstance(event, Listening):
            self._thresholds = dict(zip(event.phrases, event.thresholds, strict=True))
        style = "bold green" if isinstance(event, Detected) else "bold red" if isinstance(event, Silence) else ""
        self._console.print(data(sentence(event), style))


def bars(level: Level, threshold: float, phrase: str = "") -> RenderableType:
    """Return the level meter and the score bar with its phrase; the threshold is a mark on the score bar."""
    loudness = (level.dbfs - QUIETEST_DBFS) / -QUIETEST_DBFS
    level_style = "red" if level.dbfs > _LOUD_DBFS else "cyan"
    score_style = "green" if level.score >= threshold else "yellow"
    return Group(
        Text.assemble("level ", (bar(loudness), level_style), f" {max(level.dbfs, QUIETEST_DBFS):6.1f} dBFS"),
        Text.assemble(
            "score ",
            (bar(level.score, threshold), score_style),
            f" {level.score:6.3f}  threshold {threshold:.3f}  {phrase}",
        ),
    )


def bar(value: float, mark: float | None = None) -> str:
    """Return a bar of 40 cells for a value in 0..1 (clipped to that range), with ``|`` where ``mark`` is.

    >>> bar(0.1)
    '████                                    '
    >>> bar(0.1, 0.5)
    '████                |                   '
    """
    filled = round(min(max(value, 0.0), 1.0) * _WIDTH)
    cells = ["█"] * filled + [" "] * (_WIDTH - filled)
    if mark is not None and 0.0 <= mark <= 1.0:
        cells[min(int(mark * _WIDTH), _WIDTH - 1)] = "|"
    return "".join(cells)
