"""``kws corpus``: write the manifest of a downloaded corpus or of your own recordings."""

import json
from pathlib import Path

import click

from kws.cli.options import CHANNEL, FILE, JSON


@click.command()
@click.argument("kind", required=False)
@click.argument("directory", type=FILE, required=False, metavar="[DIR]")
@click.option("--list", "list_kinds", is_flag=True, help="List the kinds, their contents and licences, and stop.")
@click.option(
    "--out", type=FILE, help="The manifest to write, in DIR or a folder above it.  [default: DIR/manifest.csv]"
)
@click.option("--licence", help="Licence of all clips, instead of the one that the kind states.")
@click.option("--clear-only", is_flag=True, help="Leave out clips whose licence does not clearly allow commercial use.")
@click.option("--split", type=click.Choice(["train", "dev", "test"]), help="Put all clips into this split.")
@click.option("--pattern", help="For a folder of recordings: how to read its paths, such as '{label}/{speaker}_*'.")
@CHANNEL
@click.option("--check", is_flag=True, help="Decode every file instead of reading its header alone; slower.")
@click.option("--force", is_flag=True, help="Replace a manifest that kws did not write, or that was edited since.")
@JSON
def corpus(
    kind: str | None,
    directory: Path | None,
    list_kinds: bool,
    out: Path | None,
    licence: str | None,
    clear_only: bool,
    split: str | None,
    pattern: str | None,
    channel: int | None,
    check: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write the manifest of the corpus in DIR.

    KIND is one of those that --list shows. Nothing is downloaded or copied. To train on the corpus, name its
    manifest in the recipe's [[data]], or give it to kws train by --data.
    """
    from kws.data.corpora import registry
    from kws.data.corpora.adapter import Options
    from kws.data.corpora.build import build

    if list_kinds:
        rows = registry.describe()
        click.echo(json.dumps(rows) if as_json else registry.table(rows))
        return
    if kind is None or directory is None:
        raise click.UsageError("give a kind and its folder, for example: kws corpus librispeech LibriSpeech")
    adapter = registry.ADAPTERS.get(kind)
    if adapter is None:
        raise click.UsageError(f"there is no kind {kind!r}; the kinds are {', '.join(registry.ADAPTERS)}")
    options = Options(
        split=split or "", licence=licence or "", pattern=pattern or "", clear_only=clear_only, channel=channel
    )
    report = build(adapter, directory, options, out, force, check)
    click.echo(json.dumps(report.to_data()) if as_json else report.text())
