"""The DET curve (Martin et al., "The DET curve in assessment of detection task performance", Eurospeech 1997)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kws import files
from kws.errors import KwsError
from kws.evaluate.intervals import binomial_interval, poisson_interval
from kws.evaluate.metrics import DetPoint, frontier
from kws.evaluate.results import Evaluation

FORMATS = (".png", ".svg", ".pdf")


def plot_det(evaluations: Sequence[Evaluation], path: Path) -> None:
    """Write FRR against FA/h, a curve per evaluation and split, as PNG, SVG or PDF by the name's ending.

    Both axes are logarithmic. Shaded are 95 % intervals: exact binomial over the words (which takes them as
    independent) and exact Poisson. A count of zero has no place on these axes: it is drawn, hollow, at half of one.
    Needs matplotlib (kws[train]).

    Raises:
        KwsError: another ending, no split with words and negatives, or the file cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise KwsError(f"{path}: a plot is written as .png, .svg or .pdf; choose one of these endings")
    curves = [
        (_name(one, split.split), frontier(split.det)) for one in evaluations for split in one.splits if split.det
    ]
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


def _name(evaluation: Evaluation, split: str) -> str:
    noise = "clean" if evaluation.noise_snr_db is None else f"{evaluation.noise_snr_db:g} dB"
    return f"{evaluation.phrase}, {split}, {noise}"


def _draw(axes: Any, points: Sequence[DetPoint], name: str, colour: str) -> None:
    frr = [binomial_interval(one.misses, one.positives) for one in points]
    rate = [tuple(end / one.hours for end in poisson_interval(one.false_accepts)) for one in points]
    across = [max(one.false_accepts, 0.5) / one.hours for one in points]
    up = [100.0 * max(one.misses, 0.5) / one.positives for one in points]
    axes.step(across, up, where="post", color=colour, label=name)
    floor = min(up) / 10.0
    axes.fill_between(
        across,
        [max(100.0 * low, floor) for low, _ in frr],
        [100.0 * high for _, high in frr],
        step="post",
        color=colour,
        alpha=0.15,
        linewidth=0,
    )
    left = min(across) / 10.0
    axes.fill_betweenx(
        up, [max(low, left) for low, _ in rate], [high for _, high in rate], color=colour, alpha=0.08, linewidth=0
    )
    for i, one in enumerate(points):
        hollow = not one.false_accepts or not one.misses
        axes.plot(
            across[i], up[i], marker="o", markersize=4, color=colour, markerfacecolor="none" if hollow else colour
        )
