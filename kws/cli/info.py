"""``kws info`` and ``kws models``: what a detector is, and which networks there are."""

from pathlib import Path

import click

from kws.cli.options import FILE, JSON, print_json


@click.command()
@click.argument("model", type=FILE)
@JSON
def info(model: Path, as_json: bool) -> None:
    """Say what MODEL.kws is: phrase, size, work, operating points, what it learned from."""
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
    """List the model families with their parameters, work, receptive field, latency and state."""
    from kws.models.table import describe, text

    rows = describe()
    if as_json:
        print_json(rows)
    else:
        click.echo(text(rows))
