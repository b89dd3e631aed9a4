"""The kinds of corpora by name. A new one: a module with an ``ADAPTER``, and its line here."""

from typing import Any

from kws.data.corpora import (
    common_voice,
    esc50,
    librispeech,
    ms_snsd,
    musan,
    own_folder,
    rirs_noises,
    speech_commands,
)
from kws.data.corpora.adapter import Adapter
from kws.data.licences import terms
from kws.system.tables import SIMPLE, Table, printed

ADAPTERS: dict[str, Adapter] = {
    adapter.kind: adapter
    for adapter in (
        own_folder.ADAPTER,
        speech_commands.ADAPTER,
        common_voice.ADAPTER,
        librispeech.ADAPTER,
        musan.ADAPTER,
        esc50.ADAPTER,
        rirs_noises.ADAPTER,
        ms_snsd.ADAPTER,
    )
}


def describe() -> list[dict[str, Any]]:
    """Return a row for each kind, JSON-ready: what it holds, its licences and what each allows commercially."""
    return [
        {
            "kind": adapter.kind,
            "name": adapter.name,
            "holds": adapter.holds,
            "licences": [{"licence": one, "commercial_use": terms(one).text()} for one in adapter.licences],
        }
        for adapter in ADAPTERS.values()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """Return ``describe``'s rows for a person to read."""
    shown = Table(box=SIMPLE)
    for heading in ("kind", "what it holds", "licence", "commercial use"):
        shown.add_column(heading)
    own = [{"licence": "your own (--licence)", "commercial_use": "depends on the licence"}]
    for row in rows:
        for index, one in enumerate(row["licences"] or own):
            first = (row["kind"], f"{row['name']}: {row['holds']}") if index == 0 else ("", "")
            shown.add_row(*first, one["licence"], one["commercial_use"])
    return printed(shown, width=150)
