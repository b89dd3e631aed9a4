"""What ``kws info`` prints: the model's facts, the data it learned from, and which engine would run it here."""

from typing import Any

from kws import runtime
from kws.data import licences
from kws.detector import model_file
from kws.detector.decision import SCORE_ONE
from kws.detector.model_file import KwsModel
from kws.system.tables import SIMPLE, Table, printed

_OF = {"micro": "ESPHome's, "}
"""Who made the frontend, if it is not the project's own."""


def describe(model: KwsModel) -> dict[str, Any]:
    """Return the model's summary, with what depends on this machine and this version of kws.

    "runtime": whether the compiled C99 or numpy would run it, and why. "commercial_use": what all licences of the
    ledger together allow (``kws.data.licences``); in each row of the ledger, what its own licence allows.
    """
    reason = runtime.reason()
    in_use = {"in_use": "numpy" if reason else "compiled C99", "reason": reason}
    summary = model_file.summary(model)
    ledger = [{**row, "commercial_use": licences.terms(row["licence"]).text()} for row in summary["licences"]]
    together = licences.commercial_use(row["licence"] for row in ledger)
    return {**summary, "licences": ledger, "commercial_use": together.to_data(), "runtime": in_use}


def text(data: dict[str, Any]) -> str:
    """Return ``describe``'s data for a person to read."""
    return printed(_facts(data), _operating_points(data), _ledger(data), data["commercial_use"]["text"])


def _facts(data: dict[str, Any]) -> Table:
    frontend, detector, in_use = data["frontend"], data["detector"], data["runtime"]
    table = Table(box=None, show_header=False)
    rows = [
        ("phrases" if len(data["phrases"]) > 1 else "phrase", _phrases(data)),
        (
            "frontend",
            f"{_OF.get(frontend.get('kind'), '')}{frontend['bands']} bands {frontend['low_hz']:g}-"
            f"{frontend['high_hz']:g} Hz, window {frontend['window_ms']} ms, hop {frontend['hop_ms']} ms, "
            f"{frontend['sample_rate_hz']} Hz",
        ),
        (
            "decision",
            f"smoothing {detector['smooth_frames']} steps, maximum over {detector['max_frames']}, refractory "
            f"{detector['refractory_ms']} ms",
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


def _phrases(data: dict[str, Any]) -> str:
    """Return each phrase with the threshold it fires at and its labels."""
    labels, lines = data["labels"], []
    for phrase, threshold, keywords in zip(
        data["phrases"], data["thresholds"], data["detector"]["keywords"], strict=True
    ):
        keyword_labels = ", ".join(labels[index] for index in keywords)
        lines.append(f"{phrase!r}, threshold {threshold / SCORE_ONE:.3f}, labels {keyword_labels}")
    return "\n".join([*lines, f"everything else: {labels[0]}"])


def _operating_points(data: dict[str, Any]) -> Table:
    table = Table(box=SIMPLE, title="Operating points")
    for heading in ("phrase", "threshold", "FA/h", "FRR", "measured on"):
        table.add_column(heading)
    for point in data["operating_points"]:
        table.add_row(
            point["phrase"],
            f"{point['threshold'] / SCORE_ONE:.3f}",
            f"{point['false_accepts_per_hour']:.2f}",
            f"{100 * point['false_reject_rate']:.1f} %",
            point["measured_on"],
        )
    return table


def _ledger(data: dict[str, Any]) -> Table:
    table = Table(box=SIMPLE, title="Learned from")
    for heading in ("source", "licence", "clips", "hours", "commercial use"):
        table.add_column(heading)
    for source in data["licences"]:
        amounts = f"{source['clips']:,}", f"{source['hours']:.2f}"
        table.add_row(source["name"], source["licence"], *amounts, source["commercial_use"])
    return table
