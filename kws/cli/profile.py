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
    help="Processor to emulate; host runs on this machine, where instructions are not counted.",
)
@click.option(
    "--clock-mhz",
    type=Finite(0, 100_000, min_open=True),
    help="Clock of the processor.  [default: that of a typical board]",
)
@click.option(
    "--cycles-per-instruction",
    type=Finite(0.1, 100),
    default=CYCLES_PER_INSTRUCTION,
    show_default=True,
    help="Assumed when computing the share of the clock; instructions are counted, cycles are not.",
)
@click.option(
    "--seconds", type=Finite(0.5, 600), default=2.0, show_default=True, help="Seconds of audio to run and compare."
)
@click.option("--qemu", is_flag=True, help="Also count in qemu-system-arm (a Cortex-M4), and compare the counts.")
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
    """Measure what a model costs on a microcontroller.

    Builds MODEL for the processor, emulates it, compares every number with the quantized graph's, and reports flash,
    RAM, stack and the instructions of each operator.
    """
    from firmware_export.simulate.profile import profile as run
    from kws.detector.model_file import load

    report = run(load(model), target, seconds, clock_mhz, cycles_per_instruction, qemu)
    click.echo(json.dumps(report.to_data()) if as_json else report.text())
