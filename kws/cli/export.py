"""``kws export``: files for devices, verified before they are put in place."""

from pathlib import Path

import click

from kws.cli.options import FILE, JSON, Finite, print_json


@click.command()
@click.argument("model", type=FILE)
@click.option(
    "--to",
    "target",
    type=click.Choice(["tflite", "onnx", "c", "esphome", "all"]),
    default="all",
    show_default=True,
    help="What to write: c is a folder of C99 with a self-test, esphome is a model for micro_wake_word.",
)
@click.option("--out", type=FILE, help="Directory for the files.  [default: the directory of MODEL]")
@click.option(
    "--verify-seconds",
    type=Finite(1, 3600),
    default=60.0,
    show_default=True,
    help="Seconds of audio over which every engine must agree with the graph, step by step.",
)
@click.option("--author", default="kws", show_default=True, help="The author in ESPHome's manifest.")
@click.option("--website", default="", help="The author's website in ESPHome's manifest.")
@JSON
def export(
    model: Path, target: str, out: Path | None, verify_seconds: float, author: str, website: str, as_json: bool
) -> None:
    """Write files for devices and verify them.

    Each file is run in every runtime that is installed, and its numbers are compared with the quantized graph's.
    """
    from firmware_export.esphome.pair import About
    from firmware_export.write import export as run
    from kws.detector.model_file import load

    try:
        about = About(author, website)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from error
    report = run(load(model), model.stem, target, out or model.parent, verify_seconds, about)
    if as_json:
        print_json(report.to_data())
    else:
        click.echo(report.text())
