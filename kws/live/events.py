"""The events of ``kws listen`` as data, and the two ways to write them to a stream that is not a terminal."""

import dataclasses
import json
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Protocol, TextIO


@dataclass(frozen=True)
class Listening:
    """The device is open. ``thresholds``, one per phrase, are 0..1, or above 1 for a phrase that never fires."""

    event: ClassVar[str] = "listening"
    phrases: tuple[str, ...]
    device: str
    rate_hz: int
    channels: int
    engine: str
    thresholds: tuple[float, ...]


@dataclass(frozen=True)
class Detected:
    """A detection: seconds since listening began, score 0..1, wall-clock time, and ms from capture to this report."""

    event: ClassVar[str] = "detection"
    phrase: str
    time_s: float
    score: float
    at: str
    latency_ms: float


@dataclass(frozen=True)
class Peak:
    """How high the score of an earlier detection went (0..1), once its refractory period is over or listening ends.

    ``phrase`` and ``time_s`` are those of the detection.
    """

    event: ClassVar[str] = "peak"
    phrase: str
    time_s: float
    peak: float


@dataclass(frozen=True)
class Level:
    """The loudness since the last such event in dBFS (RMS; 0 is a full-scale square wave) and the highest score.

    Of several phrases the score is that of ``phrase``, which came closest to its threshold.
    """

    event: ClassVar[str] = "level"
    time_s: float
    dbfs: float
    score: float
    phrase: str


@dataclass(frozen=True)
class Overflow:
    """Sound was lost because this machine was too slow: the seconds lost since the start."""

    event: ClassVar[str] = "overflow"
    time_s: float
    lost_s: float


@dataclass(frozen=True)
class Silence:
    """All samples of the last ``seconds`` were the same: the device gives digital silence instead of sound."""

    event: ClassVar[str] = "silence"
    time_s: float
    seconds: float
    device: str


@dataclass(frozen=True)
class Summary:
    """The end: seconds of sound, detections, seconds lost, and the median and largest latency (None without any)."""

    event: ClassVar[str] = "summary"
    seconds: float
    detections: int
    lost_s: float
    latency_ms_median: float | None
    latency_ms_max: float | None


NAMED_PHRASES = 8
"""How many phrases the first line names."""

Event = Listening | Detected | Peak | Level | Overflow | Silence | Summary


class View(Protocol):
    """Shows events; a context manager. ``levels`` says whether it shows ``Level`` events."""

    levels: bool

    def show(self, event: Event) -> None:
        """Show one event now."""

    def __enter__(self) -> "View": ...

    def __exit__(self, *_: object) -> None: ...


class JsonLines:
    """One JSON object per line, flushed, so that another program can act on it at once."""

    def __init__(self, out: TextIO, levels: bool = False) -> None:
        self.levels = levels
        self._out = out

    def __enter__(self) -> "JsonLines":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, event: Event) -> None:
        """Write the event, its kind first."""
        print(json_line(event), file=self._out, flush=True)


class PlainLines:
    """Sentences for a log file or a pipe: no colours, no meters."""

    levels = False

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __enter__(self) -> "PlainLines":
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, event: Event) -> None:
        """Write the event, except levels; digital silence goes to standard error."""
        if isinstance(event, Silence):
            print("kws: " + sentence(event), file=sys.stderr, flush=True)
        elif not isinstance(event, Level):
            print(sentence(event), file=self._out, flush=True)


def json_line(event: Event) -> str:
    """Return the event as one JSON object.

    >>> json_line(Overflow(time_s=3.5, lost_s=0.02))
    '{"event": "overflow", "time_s": 3.5, "lost_s": 0.02}'
    """
    return json.dumps({"event": event.event, **dataclasses.asdict(event)})


def sentence(event: Event) -> str:
    """Return the event as a line for people.

    >>> sentence(Overflow(time_s=3.5, lost_s=0.02))
    'this machine is too slow: 0.02 s of sound lost so far'
    """
    match event:
        case Listening():
            rate = f"{event.rate_hz / 1000:g} kHz"
            return f"listening for {_listed(event.phrases)} on {event.device} ({rate}); press Ctrl+C to stop"
        case Detected():
            return f"{event.at[11:19]}  {event.phrase}  score {event.score:.3f}  at {event.time_s:.2f} s"
        case Peak():
            return f"          {event.phrase}  peak {event.peak:.3f}"
        case Level():
            return f"level {event.dbfs:.1f} dBFS, score {event.score:.3f}"
        case Overflow():
            return f"this machine is too slow: {event.lost_s:.2f} s of sound lost so far"
        case Silence():
            return (
                f"{event.device} gives only digital silence; check that it is not muted, that this program may use it, "
                "and that it is the right device (kws listen --list-devices)"
            )
        case Summary():
            return _summary_sentence(event)


def _listed(phrases: tuple[str, ...]) -> str:
    more = len(phrases) - NAMED_PHRASES
    return ", ".join(map(repr, phrases[:NAMED_PHRASES])) + (f" and {more} more" if more > 0 else "")


def _summary_sentence(event: Summary) -> str:
    count = "1 detection" if event.detections == 1 else f"{event.detections} detections"
    latency = "" if event.latency_ms_median is None else f", reported {event.latency_ms_median:.0f} ms after the sound"
    lost = f", {event.lost_s:.2f} s of sound lost" if event.lost_s else ""
    return f"listened for {event.seconds:.1f} s: {count}{latency}{lost}"


def wall_clock() -> str:
    """Return the local time to the millisecond, ISO 8601 with the zone's offset."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
