"""`kws verify`: exported files against the model they were made from."""

import json
from pathlib import Path

import click

from kws.cli.options import FILE, JSON, Finite


@click.command()
@click.argument("model", type=FILE)
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option(
    "--seconds", type=Finite(1, 3600), default=10.0, show_default=True, help="Of audio that every engine must agree on."
)
@JSON
def verify(model: Path, files: tuple[Path, ...], seconds: float, as_json: bool) -> None:
    """Check that FILES (.tflite, .onnx, a C99 bundle) are whole, are MODEL.kws's, and give its numbers.

    Ends with status 2 at the first file that is damaged, another model's, or differs.
    """
    from firmware_export.check import check
    from kws.detector.model_file import load

    loaded = load(model)
    found = {}
    for file in files:
        report = check(loaded, file, seconds)
        found[str(file)] = report.to_data()
        if not as_json:
            click.echo(f"{file} is {model}'s\n{report.table()}\n")
    if as_json:
        click.echo(json.dumps(found))
