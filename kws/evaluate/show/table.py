"""An evaluation as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from kws.detector.decision import SCORE_ONE
from kws.evaluate.intervals import binomial_interval, poisson_interval
from kws.evaluate.results import Evaluation, FalseAccept, NegativeResult, PositiveResult, SplitResult
from kws.streams.sweep import DetPoint, best
from kws.system.tables import SIMPLE_HEAD, Table, clean, plain

WIDTH = 108
SHOWN_FALSE_ACCEPTS = 5
SHOWN_TARGETS_PER_HOUR = (0.1, 0.5, 1.0, 2.0)
MAX_TRANSCRIPT = 60
LEAST_HOURS_FOR_BOUND = 0.1


def text(evaluation: Evaluation) -> str:
    """Return ``details`` of one phrase; of several, a line for each and one for all of them together."""
    return details(evaluation) if len(evaluation.phrases) == 1 else overview(evaluation)


def details(evaluation: Evaluation) -> str:
    """Return each phrase's table and what explains it: notes, misses per speaker, false accepts."""
    return "\n\n".join(
        _details(evaluation, phrase, threshold)
        for phrase, threshold in zip(evaluation.phrases, evaluation.thresholds, strict=True)
    )


def _details(evaluation: Evaluation, phrase: str, threshold: int) -> str:
    splits = [split for split in evaluation.splits if split.phrase == phrase]
    title = f"“{phrase}”, threshold {threshold / SCORE_ONE:.4f}, {_noise(evaluation)}; 95 % intervals in brackets"
    table = titled_table(title, ("split", "audio", "how much", "wrong", "rate", "latency, p95"), "audio")
    for split in splits:
        for positive in split.positives:
            table.add_row(split.split, *_positive_cells(positive))
        for negative in split.negatives:
            table.add_row(split.split, *_negative_cells(negative))
    return printed(table, [line for split in splits for line in _notes(split)])


def overview(evaluation: Evaluation) -> str:
    """Return a line per split and phrase: the phrase alone; ordinary speech, or all other audio where there is none."""
    title = f"{len(evaluation.phrases)} phrases, {_noise(evaluation)}; 95 % intervals in brackets"
    headings = ("split", "phrase", "threshold", "words", "missed", "false accepts", "latency, p95")
    table = titled_table(title, headings, "phrase")
    thresholds = dict(zip(evaluation.phrases, evaluation.thresholds, strict=True))
    for split in evaluation.splits:
        positive, negative = headline_cells(split)
        threshold = f"{thresholds[split.phrase] / SCORE_ONE:.4f}"
        table.add_row(split.split, split.phrase, threshold, *positive[:2], negative, positive[2])
    names = dict.fromkeys(split.split for split in evaluation.splits)
    together = [_together([split for split in evaluation.splits if split.split == name]) for name in names]
    hint = f"--phrase {evaluation.phrases[0]!r} shows one phrase's labels, speakers and false accepts"
    return printed(table, [*together, hint])


def headline_cells(split: SplitResult) -> tuple[tuple[str, str, str], str]:
    """Return words, misses and latency of the phrase alone, and its false accepts, as text."""
    words = ("-", "-", "-")
    if split.positives:
        first = split.positives[0]
        words = (str(first.positives), _frr(first.false_reject_rate, first.frr_interval), _latency(first))
    count, hours = _false_accepts(split)
    return words, _accepts(count, hours) if hours else "-"


def _together(splits: Sequence[SplitResult]) -> str:
    """Return the rates of a detector for all these phrases: words pooled, every phrase's false accepts added up."""
    results = [split.positives[0] for split in splits if split.positives]
    words, misses = sum(one.positives for one in results), sum(one.misses for one in results)
    parts = []
    if words:
        parts.append(f"{misses} of {words} words missed, {_frr(misses / words, binomial_interval(misses, words))}")
    counts = [_false_accepts(split) for split in splits]
    hours = sum(one for _, one in counts) / len(counts)
    if hours:
        parts.append(f"{_accepts(sum(count for count, _ in counts), hours)} of any phrase")
    return f"{splits[0].split}: together: " + ", ".join(parts)


def _false_accepts(split: SplitResult) -> tuple[int, float]:
    return sum(one.false_accepts for one in split.headline), sum(one.hours for one in split.headline)


def _accepts(count: int, hours: float) -> str:
    low, high = (end / hours for end in poisson_interval(count))
    if count:
        return f"FA/h {per_hour(count / hours)} ({per_hour(low)}-{per_hour(high)}) in {hours:.2f} h"
    return f"none in {hours:.2f} h"


def _frr(rate: float, interval: tuple[float, float]) -> str:
    low, high = (100.0 * end for end in interval)
    return f"FRR {100.0 * rate:.1f} % ({low:.1f}-{high:.1f})"


def _noise(evaluation: Evaluation) -> str:
    return "clean" if evaluation.noise_snr_db is None else f"noise mixed in at {evaluation.noise_snr_db:g} dB SNR"


def titled_table(title: str, headings: Sequence[str], folded: str) -> Table:
    """Return a table without rows; only the column ``folded`` breaks its lines."""
    table = Table(title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title_style="")
    for heading in headings:
        table.add_column(clean(heading), no_wrap=heading != folded, overflow="fold")
    return table


def printed(table: Table, notes: Sequence[str]) -> str:
    """Return the table and the lines after it as text without colours."""
    return plain(table, *notes, width=WIDTH)


def _positive_cells(result: PositiveResult) -> tuple[str, ...]:
    wrong = f"{result.misses} missed"
    if result.false_accepts:
        wrong += f", {result.false_accepts} false"
    rate = _frr(result.false_reject_rate, result.frr_interval)
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
        rate = f"FA/h {per_hour(result.false_accepts_per_hour)} ({per_hour(low)}-{per_hour(high)})"
    elif result.hours >= LEAST_HOURS_FOR_BOUND:
        rate = f"FA/h below {per_hour(high)}"
    wrong = f"{result.false_accepts} false" if result.false_accepts else "none"
    return (result.label, f"{result.hours:.2f} h, {_count(result.clips, 'file')}", wrong, rate, "")


def per_hour(rate: float) -> str:
    """Return a rate with as many digits as say something.

    >>> per_hour(0.4799), per_hour(412.3)
    ('0.48', '412')
    """
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
    transcript = accept.transcript[:MAX_TRANSCRIPT] + ("…" if len(accept.transcript) > MAX_TRANSCRIPT else "")
    quoted = f"  “{transcript}”" if transcript else ""
    return f"false accept {accept.score:.3f} {accept.path} {accept.time_s:.2f} s{quoted}"


def _chosen(points: tuple[DetPoint, ...]) -> str:
    parts = []
    for target in SHOWN_TARGETS_PER_HOUR:
        point = best(points, target)
        kept = "at" if point.false_accepts_per_hour <= target else "above"  # no threshold keeps this target
        parts.append(f"FRR {100.0 * point.false_reject_rate:.1f} % {kept} {target:g} FA/h")
    return ", ".join(parts)
