"""Pooled figures and comparisons as text for a terminal."""

import math
from collections.abc import Sequence

from kws.detector.decision import SCORE_ONE
from kws.evaluate.compare import ComparedPoint, ComparedResult, Comparison
from kws.evaluate.curve import Curve
from kws.evaluate.pooled import Pooled, PooledPoint, PooledResult
from kws.evaluate.show.table import per_hour, printed, titled_table
from kws.streams.sweep import Measured, frontier

MARK = " *"
SHOWN_TARGET_PER_HOUR = 0.5
"""What the lines per phrase and per speaker are about."""

SHOWN_SPEAKERS = 8

_CHOSEN = "* thresholds chosen on this very audio, a phrase each: what the scores allow, not what a user gets"


def text(pooled: Pooled) -> str:
    """Return the pooled rates, each phrase's, and the whole DET curve."""
    return "\n\n".join([rates(pooled), phrases(pooled), curve(pooled)])


def rates(pooled: Pooled) -> str:
    """Return a line for the detectors' own thresholds and for each target, condition by condition."""
    table = titled_table(
        _what(pooled), ("condition", "thresholds", "words", "missed", "FRR", "false accepts"), "condition"
    )
    for result in pooled.results:
        for point in (result.shipped, *result.targets):
            table.add_row(_condition(pooled, result), _threshold(pooled, point), *_cells(point))
    notes = [line for result in pooled.results for line in _notes(pooled, result)]
    return printed(table, [_CHOSEN, _hours(pooled), *notes])


def phrases(pooled: Pooled) -> str:
    """Return a line for each phrase of each model: at its own threshold, and where it keeps one target."""
    target = f"at most {SHOWN_TARGET_PER_HOUR:g} FA/h{MARK}"
    headings = ("condition", "phrase", "model", "words", "FRR, FA/h" + (" as shipped" * pooled.own_thresholds), target)
    table = titled_table("Phrase by phrase", headings, "model")
    for result in pooled.results:
        for one in result.curves:
            cells = (str(sum(one.words)), _both(one.shipped), _both(one.at(SHOWN_TARGET_PER_HOUR)))
            table.add_row(_condition(pooled, result), one.phrase, one.name, *cells)
    return printed(table, [])


def curve(pooled: Pooled) -> str:
    """Return the pooled DET curve: a line wherever more false accepts buy fewer misses."""
    table = titled_table(
        "DET curve" + MARK, ("condition", "at most", "words", "missed", "FRR", "false accepts"), "condition"
    )
    for result in pooled.results:
        for point in frontier(result.det):
            table.add_row(_condition(pooled, result), f"{per_hour(point.target_per_hour or 0.0)} FA/h", *_cells(point))
    return printed(table, [])


def comparison(compared: Comparison) -> str:
    """Return both sides' pooled rates and how many fewer words the first one misses."""
    ours, others = compared.models, compared.against
    title = f"{', '.join(ours.names)} against {', '.join(others.names)}; in brackets paired 95 % intervals"
    headings = ("condition", "at most" + MARK, "words", "missed", "against", "fewer misses")
    table = titled_table(title, headings, "condition")
    for result, pooled in zip(compared.results, ours.results, strict=True):
        for point in result.points:
            table.add_row(_condition(ours, pooled), *_compared_cells(point))
    return "\n\n".join([rates(ours), rates(others), printed(table, [_CHOSEN, *_unsure(compared.results)])])


def _what(pooled: Pooled) -> str:
    together = ", pooled" if len(pooled.results[0].curves) > 1 else ""
    splits = ", ".join(dict.fromkeys(result.condition.split for result in pooled.results))
    return f"{', '.join(pooled.names)}: {', '.join(pooled.phrases)}{together}, {splits}"


def _hours(pooled: Pooled) -> str:
    hours = sorted({round(result.shipped.hours, 2) for result in pooled.results})
    told = " or ".join(f"{one:.2f}" for one in hours)
    return f"FA/h are per hour and phrase: {told} h, the phrases' together; in brackets 95 % intervals"


def _condition(pooled: Pooled, result: PooledResult) -> str:
    several = len({one.condition.split for one in pooled.results}) > 1
    return f"{result.condition.split}, {result.condition.name}" if several else result.condition.name


def _threshold(pooled: Pooled, point: PooledPoint) -> str:
    if point.target_per_hour is not None:
        return f"at most {point.target_per_hour:g} FA/h{MARK}"
    return "as shipped" if pooled.own_thresholds else f"{point.thresholds[0] / SCORE_ONE:.4f}"


def _cells(point: PooledPoint) -> tuple[str, ...]:
    low, high = (100.0 * end for end in point.frr_interval)
    over = "" if point.interval_over == "speakers" else " ~"
    frr = f"{100.0 * point.false_reject_rate:.1f} % ({low:.1f}-{high:.1f}){over}"
    return str(point.positives), str(point.misses), frr, _accepts(point)


def _accepts(point: PooledPoint) -> str:
    low, high = point.false_accepts_interval
    if not point.false_accepts:
        return f"none: below {per_hour(high)} FA/h"
    return f"{point.false_accepts}: {per_hour(point.false_accepts_per_hour)} FA/h ({per_hour(low)}-{per_hour(high)})"


def _both(measured: Measured) -> str:
    point = measured.point
    return f"{100.0 * point.false_reject_rate:.1f} %, {per_hour(point.false_accepts_per_hour)}"


def _notes(pooled: Pooled, result: PooledResult) -> list[str]:
    name = _condition(pooled, result)
    points = (result.shipped, *result.targets)
    lines = []
    if any(point.interval_over == "clips" for point in points):
        lines.append(f"{name}: ~ the interval takes words as independent, not speakers")
    point = next(one for one in result.targets if one.target_per_hour == SHOWN_TARGET_PER_HOUR)
    missed = sorted((one for one in point.by_speaker if one.misses), key=lambda one: -one.misses)
    if missed:
        told = ", ".join(f"{one.speaker or 'unknown'} {one.misses}/{one.positives}" for one in missed[:SHOWN_SPEAKERS])
        told += f" and {len(missed) - SHOWN_SPEAKERS} more speakers" if len(missed) > SHOWN_SPEAKERS else ""
        lines.append(f"{name}: missed per speaker at {SHOWN_TARGET_PER_HOUR:g} FA/h: {told}")
    return lines + [line for one in result.curves for line in _bounds(name, one)]


def _bounds(name: str, one: Curve) -> list[str]:
    """Say where one phrase's hours are too few for the lowest targets."""
    least = 1.0 / one.hours
    if least <= SHOWN_TARGET_PER_HOUR:
        return []
    return [f"{name}: {one.phrase}: {one.hours:.2f} h cannot tell rates below {per_hour(least)} FA/h from none"]


def _compared_cells(point: ComparedPoint) -> tuple[str, ...]:
    misses = tuple(
        f"{count} ({100.0 * count / point.positives:.1f} %)" for count in (point.misses, point.against_misses)
    )
    return f"{point.target_per_hour:g} FA/h", str(point.positives), *misses, _reduction(point)


def _reduction(point: ComparedPoint) -> str:
    if point.reduction is None:
        return "-"
    text_ = f"{100.0 * point.reduction:.1f} %"
    if point.interval is None:
        return f"{text_} ~"
    low, high = (f"{100.0 * end:.1f}" if math.isfinite(end) else "no bound" for end in point.interval)
    return f"{text_} ({low} to {high})"


def _unsure(results: Sequence[ComparedResult]) -> list[str]:
    if any(point.interval is None and point.reduction is not None for one in results for point in one.points):
        return ["~ no interval: all resamples of the speakers agree"]
    return []
