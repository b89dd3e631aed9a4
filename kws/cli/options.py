"""Options that several commands share, the types of their values, and how commands print."""

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

FILE = click.Path(path_type=Path, readable=False)  # the code that opens it reports what is wrong in one sentence
SEED = click.IntRange(0, 2**32 - 1)


class Finite(click.FloatRange):
    """A finite number in a range; click's ranges accept "nan", and open ones infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; the error names the option."""
        number: float = super().convert(value, param, ctx)
        return number if math.isfinite(number) else self.fail(f"{value} is not a finite number.", param, ctx)


class Channel(click.IntRange):
    """A channel's number, counted from 1, or ``mix``, which is 0."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; the error names the option."""
        return 0 if value == "mix" else int(super().convert(value, param, ctx))


CHANNEL = click.option(
    "--channel",
    type=Channel(1, 9999),
    metavar="N|mix",
    help="Use this channel only, counted from 1; mix is the mean of all.  [default: mix]",
)
ENGINE = click.option(
    "--engine",
    type=click.Choice(["auto", "c", "graph"]),
    default="auto",
    show_default=True,
    help="What runs the model: c is the compiled C99 runtime, graph is numpy, auto is c if it was built, else graph. "
    "The numbers are the same.",
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
    help="Score to detect at, above 0 and up to 1, instead of the model's own threshold; PHRASE=NUMBER sets it for one "
    "phrase. May be repeated.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
JSON_LINES = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
LANGUAGE = click.option(
    "--language", help="Language of the voices, such as de or en-us.  [default: the recipe's, or en]"
)
DATA = click.option(
    "--data",
    type=FILE,
    multiple=True,
    help="manifest.csv of recordings, or its directory, in place of the recipe's [[data]]; may be repeated.",
)
PHRASES = click.option(
    "--phrase", "phrases", multiple=True, help="Detect this phrase instead of the recipe's phrases; may be repeated."
)
PROCESSES = click.option(
    "--processes",
    type=click.IntRange(1, 1024),
    help="How many processes to use; the output does not depend on it.  [default: one per processor]",
)


def raw_samples(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options for sound without a header; it gets ``samples``, a ``kws.audio.Pcm`` or None."""

    @functools.wraps(command)
    def call(*args: Any, raw: str | None, rate: int | None, channels: int | None, **rest: Any) -> Any:
        return command(*args, samples=_samples(raw, rate, channels), **rest)

    for option in (
        click.option("--channels", type=click.IntRange(1, 64), help="With --raw: number of channels.  [default: 1]"),
        click.option("--rate", type=click.IntRange(4000, 768000), help="With --raw: sample rate in Hz."),
        click.option(
            "--raw",
            type=click.Choice(["s16le", "s16be", "s24le", "s32le", "f32le"]),
            help="Read FILES as samples without a header: signed integers or floats, little or big endian.",
        ),
    ):
        call = option(call)
    return call


def _samples(raw: str | None, rate: int | None, channels: int | None) -> Any:
    if raw is None and (rate is not None or channels is not None):
        raise click.UsageError(
            "--rate and --channels describe sound without a header; add --raw s16le, or leave them out"
        )
    if raw is None:
        return None
    if rate is None:
        raise click.UsageError("--raw needs --rate, for example: --raw s16le --rate 16000")
    from kws.audio import raw as pcm  # importing soundfile is slow; kws --help does not need it

    return pcm(raw, rate, channels or 1)


def complain(sentence: str) -> None:
    """Print what is wrong on standard error."""
    print("kws: " + sentence, file=sys.stderr)


def print_json(data: Any) -> None:
    """Print one JSON object for another program, flushed."""
    print(json.dumps(data), flush=True)
