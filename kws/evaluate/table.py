"""An evaluation as text for a terminal."""

from __future__ import annotations

import io

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kws.detect import SCORE_ONE
from kws.evaluate.metrics import DetPoint, best
from kws.evaluate.results import Evaluation, FalseAccept, NegativeResult, PositiveResult, SplitResult

WIDTH = 108
SHOWN_FALSE_ACCEPTS = 5
SHOWN_TARGETS_PER_HOUR = (0.1, 0.5, 1.0, 2.0)
MAX_TRANSCRIPT = 60
LEAST_HOURS_FOR_BOUND = 0.1


def text(evaluation: Evaluation) -> str:
    """Return the table, then what explains it: interval and latency notes, misses per speaker, false accepts."""
    noise = "clean" if evaluation.noise_snr_db is None else f"noise mixed in at {evaluation.noise_snr_db:g} dB SNR"
    threshold = evaluation.threshold / SCORE_ONE
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title_justify="left", title_style="")
    table.title = f"“{evaluation.phrase}”, threshold {threshold:.4f}, {noise}; 95 % intervals in brackets"
    for heading in ("split", "audio", "how much", "wrong", "rate", "latency, p95"):
        table.add_column(heading, no_wrap=heading != "audio", overflow="fold")
    for split in evaluation.splits:
        for positive in split.positives:
            table.add_row(split.split, *_positive_cells(positive))
        for negative in split.negatives:
            table.add_row(split.split, *_negative_cells(negative))
    console = Console(width=WIDTH, file=io.StringIO(), force_terminal=False, markup=False, highlight=False)
    console.print(table)
    for split in evaluation.splits:
        for line in _notes(split):
            console.print(line, soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().strip("\n").split("\n"))


def _positive_cells(result: PositiveResult) -> tuple[str, ...]:
    wrong = f"{result.misses} missed"
    if result.false_accepts:
        wrong += f", {result.false_accepts} false"
    low, high = (100.0 * end for end in result.frr_interval)
    rate = f"FRR {100.0 * result.false_reject_rate:.1f} % ({low:.1f}-{high:.1f})"
    amount = f"{_count(result.positives, 'word')} by {len(result.by_speaker)}"
    return (result.label, amount, wrong, rate, _latency(result))


def _latency(result: PositiveResult) -> str:
    if result.latency_median_s is None or result.latency_p95_s is None:
        return "-"
    mark = " ~" if result.estimated_ends else ""
    return f"{result.latency_median_s:.2f}, {result.latency_p95_s:.2f} s{mark}"


def _negative_cells(result: NegativeResult) -> tuple[str, ...]:
    low, high = result.interval
    rate = "-"  # a bound from a few minutes says nothing
    if result.false_accepts:
        rate = f"FA/h {_per_hour(result.false_accepts_per_hour)} ({_per_hour(low)}-{_per_hour(high)})"
    elif result.hours >= LEAST_HOURS_FOR_BOUND:
        rate = f"FA/h below {_per_hour(high)}"
    wrong = f"{result.false_accepts} false" if result.false_accepts else "none"
    return (result.label, f"{result.hours:.2f} h, {_count(result.clips, 'file')}", wrong, rate, "")


def _per_hour(rate: float) -> str:
    return f"{rate:.2f}" if rate < 100.0 else f"{rate:.0f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _notes(split: SplitResult) -> list[str]:
    lines = []
    for positive in split.positives:
        if positive.estimated_ends:
            count = f"{positive.estimated_ends} of {positive.positives}"
            lines.append(f"{split.split}: {positive.label}: ~ {count} words' ends are estimated from energy")
        if positive.interval_over == "clips":
            lines.append(f"{split.split}: {positive.label}: the interval takes words as independent, not speakers")
        missed = [
            f"{one.speaker or 'unknown'} {one.misses}/{one.positives}" for one in positive.by_speaker if one.misses
        ]
        if missed:
            lines.append(f"{split.split}: {positive.label}: missed per speaker: " + ", ".join(missed))
    if split.det:
        lines.append(f"{split.split}: with the threshold chosen on this very split: {_chosen(split.det)}")
    rest = sorted((one for result in split.negatives[1:] for one in result.loudest), key=lambda one: -one.score)
    for accepts in (split.negatives[0].loudest if split.negatives else (), rest):
        lines += [f"{split.split}: {_explained(accept)}" for accept in accepts[:SHOWN_FALSE_ACCEPTS]]
    return lines


def _explained(accept: FalseAccept) -> str:
    said = accept.transcript[:MAX_TRANSCRIPT] + ("…" if len(accept.transcript) > MAX_TRANSCRIPT else "")
    return f"false accept {accept.score:.3f} {accept.path} {accept.time_s:.2f} s" + (f"  “{said}”" if said else "")


def _chosen(points: tuple[DetPoint, ...]) -> str:
    parts = []
    for target in SHOWN_TARGETS_PER_HOUR:
        point = best(points, target)
        kept = "at" if point.false_accepts_per_hour <= target else "above"  # no threshold keeps this target
        parts.append(f"FRR {100.0 * point.false_reject_rate:.1f} % {kept} {target:g} FA/h")
    return ", ".join(parts)
