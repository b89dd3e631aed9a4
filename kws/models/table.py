"""Every family at its published sizes, with figures computed from the built models: ``kws models``."""

from dataclasses import asdict
from typing import Any, get_args

from kws.models.configs import (
    BcResNetConfig,
    CnnConfig,
    CnnName,
    DsCnnConfig,
    ModelConfig,
)
from kws.models.figures import figures
from kws.system.tables import SIMPLE, Table, printed

BANDS, OUTPUTS, HOP_MS = 40, 2, 10
"""The default frontend's features, and a filler and one keyword: the same for all, so that they can be compared."""

PUBLISHED: tuple[tuple[str, ModelConfig], ...] = (
    ("wren", ModelConfig("wren")),
    ("deepkws 3 x 128", ModelConfig("deepkws")),
    *((name, ModelConfig("cnn", cnn=CnnConfig(name))) for name in get_args(CnnName)),
    ("ds-cnn-s", ModelConfig("ds_cnn", ds_cnn=DsCnnConfig("S"))),
    ("ds-cnn-m", ModelConfig("ds_cnn", ds_cnn=DsCnnConfig("M"))),
    ("ds-cnn-l", ModelConfig("ds_cnn", ds_cnn=DsCnnConfig("L"))),
    ("mixednet", ModelConfig("mixednet")),
    *(
        (f"bc-resnet-{tau:g}", ModelConfig("bc_resnet", bc_resnet=BcResNetConfig(tau)))
        for tau in (1.0, 1.5, 2.0, 3.0, 6.0, 8.0)
    ),
    ("tc-resnet8", ModelConfig("tc_resnet8")),
    ("mdtc small", ModelConfig("mdtc")),
)
"""What is listed: a title and its config."""


def describe() -> list[dict[str, Any]]:
    """Return a row per model: its title, its settings as a recipe's ``[model]`` has them, its figures."""
    rows = []
    for title, config in PUBLISHED:
        settings = {"name": config.name, config.name: asdict(getattr(config, config.name))}
        rows.append({"title": title, "model": settings, **asdict(figures(config, BANDS, OUTPUTS, HOP_MS))})
    return rows


def text(rows: list[dict[str, Any]]) -> str:
    """Return ``describe``'s rows as a table for a person to read."""
    table = Table(f"Models for {BANDS} bands every {HOP_MS} ms and {OUTPUTS} outputs", box=SIMPLE)
    table.add_column("model")
    table.add_column("model.name")
    for heading in ("parameters", "M MAC/s", "step ms", "receptive ms", "latency ms", "state bytes"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row["title"],
            row["model"]["name"],
            f"{row['parameters']:,}",
            f"{row['macs_per_second'] / 1e6:.2f}",
            str(row["step_ms"]),
            f"{row['receptive_field_ms']:,}",
            str(row["latency_ms"]),
            f"{row['state_bytes']:,}",
        )
    return printed(table)
