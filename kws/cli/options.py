"""Options that several commands of ``kws`` have, the kinds of values that they take, and how commands answer."""

import functools
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kws.detector.thresholds import Thresholds
from kws.errors import KwsError

FILE = click.Path(path_type=Path, readable=False)  # whoever opens it says in one sentence what is wrong
SEED = click.IntRange(0, 2**32 - 1)


class Finite(click.FloatRange):
    """A number in a range; "nan" lies in every range of click's, and infinity in the open ones."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or refuse it naming the option."""
        number: float = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value} is no finite number.", param, ctx)


class Channel(click.IntRange):
    """A channel's number, counted from 1, or ``mix``, which is 0."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, or refuse it naming the option."""
        return 0 if value == "mix" else int(super().convert(value, param, ctx))


CHANNEL = click.option(
    "--channel",
    type=Channel(1, 9999),
    metavar="N|mix",
    help="Take this channel alone, counted from 1. mix, the mean of all, is the default.",
)
ENGINE = click.option(
    "--engine",
    type=click.Choice(["auto", "c", "graph"]),
    default="auto",
    show_default=True,
    help="auto: the compiled C99 runtime where it was built, numpy otherwise; the numbers are the same.",
)


class _Threshold(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click alone
    """``0.5`` for every phrase, ``computer=0.5`` for one."""

    name = "[PHRASE=]NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, float]:
        """Return the phrase, or None for all, and the number, which ``Thresholds`` checks."""
        phrase, equals, number = str(value).rpartition("=")
        try:
            return (phrase if equals else None), float(number)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor PHRASE=NUMBER.", param, ctx)


def _thresholds(
    ctx: click.Context, param: click.Parameter, values: tuple[tuple[str | None, float], ...]
) -> Thresholds | None:
    every = [number for phrase, number in values if phrase is None]
    if len(every) > 1:
        raise click.BadParameter(
            f"{every[0]:g} and {every[1]:g} are both for every phrase; give one of them, or PHRASE=NUMBER for each.",
            ctx,
            param,
        )
    try:
        each = tuple((phrase, number) for phrase, number in values if phrase is not None)
        return Thresholds(every[0] if every else None, each) if values else None
    except KwsError as error:
        raise click.BadParameter(f"{error}.", ctx, param) from error


THRESHOLD = click.option(
    "--threshold",
    "thresholds",
    type=_Threshold(),
    multiple=True,
    callback=_thresholds,
    help="Confidence above 0 and up to 1 to fire at, instead of the model's own; PHRASE=NUMBER for one phrase, and "
    "may be repeated.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
JSON_LINES = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
LANGUAGE = click.option(
    "--language", help="What the voices speak, such as de or en-us.  [default: the recipe's, or en]"
)
DATA = click.option(
    "--data",
    type=FILE,
    multiple=True,
    help="manifest.csv of recordings, or its directory, in place of the recipe's [[data]]; may be repeated.",
)
PHRASES = click.option(
    "--phrase", "phrases", multiple=True, help="Listen for this instead of the recipe's phrases; may be repeated."
)
PROCESSES = click.option(
    "--processes",
    type=click.IntRange(1, 1024),
    help="How many processes work; what they make does not depend on it.  [default: one for each processor]",
)


def raw_samples(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options for sound without a header; it gets ``samples``, a ``kws.audio.Pcm`` or None."""

    @functools.wraps(command)
    def call(*args: Any, raw: str | None, rate: int | None, channels: int | None, **rest: Any) -> Any:
        return command(*args, samples=_samples(raw, rate, channels), **rest)

    for option in (
        click.option("--channels", type=click.IntRange(1, 64), help="With --raw: how many there are.  [default: 1]"),
        click.option("--rate", type=click.IntRange(4000, 768000), help="With --raw: samples a second."),
        click.option(
            "--raw",
            type=click.Choice(["s16le", "s16be", "s24le", "s32le", "f32le"]),
            help="FILES have no header: signed integers or floats, little or big endian.",
        ),
    ):
        call = option(call)
    return call


def _samples(raw: str | None, rate: int | None, channels: int | None) -> Any:
    if raw is None and (rate is not None or channels is not None):
        raise click.UsageError("--rate and --channels are for sound without a header; say --raw s16le, or leave them")
    if raw is None:
        return None
    if rate is None:
        raise click.UsageError("--raw needs --rate, for example: --raw s16le --rate 16000")
    from kws.audio import raw as pcm  # soundfile takes its time; kws --help does not need it

    return pcm(raw, rate, channels or 1)


def complain(sentence: str) -> None:
    """Say on standard error what is wrong."""
    print("kws: " + sentence, file=sys.stderr)


def print_json(data: Any) -> None:
    """Print what a program reads, at once."""
    print(json.dumps(data), flush=True)
