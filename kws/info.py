"""What ``kws info`` says: the model's facts, and which arithmetic would run it here."""

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from kws import model_file, runtime
from kws.detect import SCORE_ONE
from kws.model_file import KwsModel


def describe(model: KwsModel) -> dict[str, Any]:
    """Return the model's summary and, under "runtime", whether the compiled C99 or numpy is in use and why."""
    reason = runtime.reason()
    in_use = {"in_use": "numpy" if reason else "compiled C99", "reason": reason}
    return {**model_file.summary(model), "runtime": in_use}


def text(data: dict[str, Any]) -> str:
    """Return ``describe``'s data for a person to read."""
    console = Console(width=110, highlight=False)
    with console.capture() as capture:
        console.print(_facts(data))
        console.print(_operating_points(data))
        console.print(_ledger(data))
    return "\n".join(line.rstrip() for line in capture.get().splitlines() if line.strip())


def _facts(data: dict[str, Any]) -> Table:
    frontend, detector, in_use = data["frontend"], data["detector"], data["runtime"]
    table = Table(box=None, show_header=False)
    rows = [
        ("phrase", f"{data['phrase']!r}, labels {', '.join(data['labels'])}"),
        (
            "frontend",
            f"{frontend['bands']} bands {frontend['low_hz']:g}-{frontend['high_hz']:g} Hz, window "
            f"{frontend['window_ms']} ms, hop {frontend['hop_ms']} ms, {frontend['sample_rate_hz']} Hz",
        ),
        (
            "decision",
            f"smoothing {detector['smooth_frames']} frames, maximum over {detector['max_frames']}, refractory "
            f"{detector['refractory_ms']} ms, threshold {data['threshold'] / SCORE_ONE:.3f}",
        ),
        ("parameters", f"{data['parameters']:,}"),
        ("work", f"{data['macs_per_second'] / 1e6:.2f} M multiply-accumulates per second of audio"),
        ("memory", f"{data['weight_bytes']:,} bytes of weights, {data['state_bytes']:,} bytes of state"),
        ("latency", f"{data['latency_frames']} frames ({data['latency_ms']} ms) of declared look-ahead"),
        ("recipe hash", data["recipe_hash"]),
        ("running here", in_use["in_use"] + (f" ({in_use['reason']})" if in_use["reason"] else "")),
    ]
    for row in rows:
        table.add_row(*row)
    return table


def _operating_points(data: dict[str, Any]) -> Table:
    table = Table(box=SIMPLE, title="Operating points", title_justify="left")
    for heading in ("threshold", "FA/h", "FRR", "measured on"):
        table.add_column(heading)
    for point in data["operating_points"]:
        table.add_row(
            f"{point['threshold'] / SCORE_ONE:.3f}",
            f"{point['false_accepts_per_hour']:.2f}",
            f"{100 * point['false_reject_rate']:.1f} %",
            point["measured_on"],
        )
    return table


def _ledger(data: dict[str, Any]) -> Table:
    table = Table(box=SIMPLE, title="Learned from", title_justify="left")
    for heading in ("source", "licence", "clips", "hours"):
        table.add_column(heading)
    for source in data["licences"]:
        table.add_row(source["name"], source["licence"], f"{source['clips']:,}", f"{source['hours']:.2f}")
    return table
