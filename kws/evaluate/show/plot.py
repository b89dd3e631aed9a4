"""The DET curve (Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kws.errors import KwsError
from kws.evaluate.intervals import binomial_interval, poisson_interval
from kws.evaluate.pooled import Pooled, PooledPoint
from kws.evaluate.results import Evaluation, SplitResult
from kws.streams.sweep import DetPoint, frontier
from kws.system import files

FORMATS = (".png", ".svg", ".pdf")

Interval = tuple[float, float]


@dataclass(frozen=True)
class Drawn:
    """A point as it is drawn: FRR in percent, false accepts per hour, their intervals; ``zero``: of a count of 0."""

    per_hour: float
    frr: float
    per_hour_interval: Interval
    frr_interval: Interval
    zero: bool


def plot_det(evaluations: Sequence[Evaluation], path: Path) -> None:
    """Write FRR against FA/h, a curve per evaluation, split and phrase; see ``plot_curves``.

    The intervals are exact binomial over the words (which takes them as independent) and exact Poisson.
    """
    plot_curves(
        [
            (_name(one, split), [_of_det(point) for point in frontier(split.det)])
            for one in evaluations
            for split in one.splits
            if split.det
        ],
        path,
    )


def plot_pooled(sides: Sequence[Pooled], path: Path) -> None:
    """Write the pooled FRR against FA/h per hour and phrase, a curve per side and condition; see ``plot_curves``.

    The intervals are those of ``PooledPoint``: by resampling speakers, and exact Poisson.
    """
    curves = []
    for side in sides:
        of = f"{', '.join(side.names)}: " if len(sides) > 1 else ""
        for one in side.results:
            name = f"{of}{', '.join(side.phrases)}, {one.condition.split}, {one.condition.name}"
            curves.append((name, [_of_pooled(point) for point in frontier(one.det)]))
    plot_curves(curves, path)


def check_format(path: Path) -> None:
    """Raise ``KwsError`` where a plot cannot be written by this name's ending."""
    if path.suffix.lower() not in FORMATS:
        raise KwsError(f"{path}: a plot is written as .png, .svg or .pdf; choose one of these endings")


def plot_curves(curves: Sequence[tuple[str, Sequence[Drawn]]], path: Path) -> None:
    """Write named curves as PNG, SVG or PDF by the name's ending; points by FA/h ascending, FRR descending.

    Both axes are logarithmic, 95 % intervals are shaded. A count of zero has no place on these axes: it is drawn,
    hollow, at half of one. Needs matplotlib (kws[train]).

    Raises:
        KwsError: another ending, no curve, or the file cannot be written.
    """
    check_format(path)
    if not curves:
        raise KwsError(f"{path}: nothing to plot, no split holds both the phrase and audio without it")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 5.0), layout="constrained")
    axes = figure.subplots()
    for number, (name, points) in enumerate(curves):
        _draw(axes, points, name, f"C{number % 10}")
    axes.set(xscale="log", yscale="log", xlabel="false accepts per hour", ylabel="false reject rate (%)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(True, which="both", linewidth=0.3)
    axes.legend(title="95 % intervals shaded; hollow: a count of zero, at half of one", fontsize=8, title_fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix.lower()[1:], dpi=150)
    files.replace_file(path, picture.getvalue())


def _name(evaluation: Evaluation, split: SplitResult) -> str:
    noise = "clean" if evaluation.noise_snr_db is None else f"{evaluation.noise_snr_db:g} dB"
    return f"{split.phrase}, {split.split}, {noise}"


def _of_det(point: DetPoint) -> Drawn:
    frr = binomial_interval(point.misses, point.positives)
    low, high = poisson_interval(point.false_accepts)
    return _drawn(point, frr, (low / point.hours, high / point.hours))


def _of_pooled(point: PooledPoint) -> Drawn:
    return _drawn(point, point.frr_interval, point.false_accepts_interval)


def _drawn(point: DetPoint | PooledPoint, frr: Interval, per_hour: Interval) -> Drawn:
    return Drawn(
        max(point.false_accepts, 0.5) / point.hours,
        100.0 * max(point.misses, 0.5) / point.positives,
        per_hour,
        (100.0 * frr[0], 100.0 * frr[1]),
        not point.false_accepts or not point.misses,
    )


def _draw(axes: Any, points: Sequence[Drawn], name: str, colour: str) -> None:
    across, up = [one.per_hour for one in points], [one.frr for one in points]
    axes.step(across, up, where="post", color=colour, label=name)
    floor, left = min(up) / 10.0, min(across) / 10.0
    axes.fill_between(
        across,
        [max(one.frr_interval[0], floor) for one in points],
        [one.frr_interval[1] for one in points],
        step="post",
        color=colour,
        alpha=0.15,
        linewidth=0,
    )
    axes.fill_betweenx(
        up,
        [max(one.per_hour_interval[0], left) for one in points],
        [one.per_hour_interval[1] for one in points],
        color=colour,
        alpha=0.08,
        linewidth=0,
    )
    for one in points:
        face = "none" if one.zero else colour
        axes.plot(one.per_hour, one.frr, marker="o", markersize=4, color=colour, markerfacecolor=face)
