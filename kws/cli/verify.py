"""`kws verify`: compare exported files with the model that they were made from."""

import json
from pathlib import Path

import click

from kws.cli.options import FILE, JSON, Finite


@click.command()
@click.argument("model", type=FILE)
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--seconds", type=Finite(1, 3600), default=10.0, show_default=True, help="Seconds of audio to compare.")
@JSON
def verify(model: Path, files: tuple[Path, ...], seconds: float, as_json: bool) -> None:
    """Check that exported files match their model.

    FILES (.tflite, .onnx, C99 bundles) must be undamaged, be exported from MODEL, and give its numbers. Stops with
    status 2 at the first one that does not.
    """
    from firmware_export.check import check
    from kws.detector.model_file import load

    loaded = load(model)
    reports = {}
    for file in files:
        report = check(loaded, file, seconds)
        reports[str(file)] = report.to_data()
        if not as_json:
            click.echo(f"{file} was exported from {model}\n{report.table()}\n")
    if as_json:
        click.echo(json.dumps(reports))
