"""The short table at the end of ``kws quickstart``, and the commands to type next."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from firmware_export.write import ExportReport
from kws.evaluate.results import Evaluation, NegativeResult, PositiveResult, SplitResult
from kws.evaluate.show import table as details
from kws.system.tables import SIMPLE_HEAD, Table, data, printed

NEAR_PHRASES = "neg_phrase"


@dataclass(frozen=True)
class Summary:
    """The results of a run, as text and as JSON-ready data."""

    model_path: Path
    info: dict[str, Any]
    evaluations: tuple[tuple[str, Evaluation], ...]
    exported: ExportReport

    def to_data(self) -> dict[str, Any]:
        """Return everything as JSON-ready data."""
        return {
            "model": str(self.model_path),
            "info": self.info,
            "evaluations": {name: result.to_data() for name, result in self.evaluations},
            "export": self.exported.to_data(),
        }

    def details(self) -> str:
        """Return the whole evaluation, every label and false accept, as text."""
        return "\n\n".join(f"{name}\n{details.details(result)}" for name, result in self.evaluations) + "\n"

    def text(self) -> str:
        """Return the closing table and the next commands."""
        note = data("* measured from word ends that are estimated from energy", style="dim")
        body = printed(self._rates(), note, self._costs())
        return f"\n{body}\n\n{self.exported.text()}\n\nNext:\n" + "\n".join("  " + line for line in self._next())

    def _rates(self) -> Table:
        phrases = self.info["phrases"]
        title = f"{phrases[0]!r}" if len(phrases) == 1 else f"{len(phrases)} phrases"
        table = Table(box=SIMPLE_HEAD, title=f"{title} on streams")
        for heading in ("stream", "words", "FRR (95 %)", "FA/h (95 %)", "latency, p95"):
            table.add_column(heading)
        for name, evaluation in self.evaluations:
            for split in evaluation.splits:
                phrase = f": {split.phrase}" if len(phrases) > 1 else ""
                table.add_row(f"{name}, {split.split}{phrase}", *_rates(split))
                for negative in split.negatives[1:]:
                    if negative.label == NEAR_PHRASES:
                        table.add_row("  near phrases alone", "", "", _negative(negative), "")
        return table

    def _costs(self) -> Table:
        info, path = self.info, self.model_path
        table = Table(box=None, show_header=False, padding=(0, 2))
        table.add_row("parameters", f"{info['parameters']:,}")
        table.add_row("multiply-accumulates", f"{info['macs_per_second'] / 1e6:.2f} M per second of audio")
        table.add_row("weights, state", f"{info['weight_bytes']:,} bytes, {info['state_bytes']:,} bytes")
        table.add_row(path.name, f"{path.stat().st_size:,} bytes")
        return table

    def _next(self) -> list[str]:
        kws, model = program(), quote(str(self.model_path))
        details = quote(str(self.model_path.parent / "evaluation.txt"))
        bundle = {f"make -C {quote(str(path))} test" for path in (self.exported.bundle,) if path is not None}
        commands = {
            f"{kws} listen {model}": "say the phrase into the microphone",
            f"{kws} detect {model} FILE...": "find the phrase in recordings",
            f"{kws} info {model}": "the model's size, operating points and data",
            **dict.fromkeys(bundle, "the C99 firmware bundle tests itself"),
            f"less {details}": "every label, speaker and false accept",
        }
        width = max(map(len, commands))
        return [f"{command:{width}}  # {purpose}" for command, purpose in commands.items()]


def program() -> str:
    """Return the command that runs ``kws``: its name if the shell finds it, else the path that was used now.

    `make demo` runs it from a `.venv` that is not activated.
    """
    called = sys.argv[0]
    return quote(called) if Path(called).name == "kws" and shutil.which("kws") is None else "kws"


def _rates(split: SplitResult) -> tuple[str, str, str, str]:
    words, frr, latency = _positive(split.positives[0]) if split.positives else ("-", "-", "-")
    return words, frr, _negative(split.negatives[0]) if split.negatives else "-", latency


def _positive(result: PositiveResult) -> tuple[str, str, str]:
    low, high = result.frr_interval
    frr = f"{100 * result.false_reject_rate:.1f} % ({100 * low:.1f}-{100 * high:.1f})"
    if result.latency_median_s is None or result.latency_p95_s is None:
        return f"{result.positives}", frr, "-"
    note = "*" if result.estimated_ends else ""
    return f"{result.positives}", frr, f"{result.latency_median_s:.2f} s, {result.latency_p95_s:.2f} s{note}"


def _negative(result: NegativeResult) -> str:
    low, high = result.interval
    if not result.false_accepts:
        return f"none in {result.hours:.2f} h: below {high:.2f}"
    return f"{_figure(result.false_accepts_per_hour)} ({_figure(low)}-{_figure(high)}), {result.hours:.2f} h"


def _figure(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
