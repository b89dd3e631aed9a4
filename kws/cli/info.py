"""``kws info`` and ``kws models``: what a detector is, and which networks there are."""

from pathlib import Path

import click

from kws.cli.options import FILE, JSON, print_json


@click.command()
@click.argument("model", type=FILE)
@JSON
def info(model: Path, as_json: bool) -> None:
    """Show a model's phrases, size, operating points and data."""
    from kws.detector.model_file import load
    from kws.workflow.info import describe, text

    data = describe(load(model))
    if as_json:
        print_json(data)
    else:
        click.echo(text(data))


@click.command()
@JSON
def models(as_json: bool) -> None:
    """List the model families and what they cost.

    Parameters, multiply-accumulates, receptive field, latency and state.
    """
    from kws.models.table import describe, text

    rows = describe()
    if as_json:
        print_json(rows)
    else:
        click.echo(text(rows))
