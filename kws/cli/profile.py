"""`kws profile`: what a model costs on a microcontroller, emulated."""

import json
from pathlib import Path

import click

from firmware_export.simulate.targets import CYCLES_PER_INSTRUCTION, HOST, TARGETS
from kws.cli.options import FILE, JSON, Finite


@click.command()
@click.argument("model", type=FILE)
@click.option(
    "--target",
    type=click.Choice([*TARGETS, HOST]),
    default="cortex-m4",
    show_default=True,
    help="The processor; host is this machine, where nothing is counted.",
)
@click.option(
    "--clock-mhz", type=Finite(0, 100_000, min_open=True), help="Of the processor.  [default: a usual board's]"
)
@click.option(
    "--cycles-per-instruction",
    type=Finite(0.1, 100),
    default=CYCLES_PER_INSTRUCTION,
    show_default=True,
    help="Assumed where the share of the clock is told; instructions are counted, cycles are not.",
)
@click.option("--seconds", type=Finite(0.5, 600), default=2.0, show_default=True, help="Of audio to run and compare.")
@click.option("--qemu", is_flag=True, help="Let qemu-system-arm count the same on a Cortex-M4, and compare.")
@JSON
def profile(
    model: Path,
    target: str,
    clock_mhz: float | None,
    cycles_per_instruction: float,
    seconds: float,
    qemu: bool,
    as_json: bool,
) -> None:
    """Build MODEL.kws for a microcontroller, emulate it, compare every number with the graph's; say what it costs."""
    from firmware_export.simulate.profile import profile as run
    from kws.detector.model_file import load

    found = run(load(model), target, seconds, clock_mhz, cycles_per_instruction, qemu)
    click.echo(json.dumps(found.to_data()) if as_json else found.text())
