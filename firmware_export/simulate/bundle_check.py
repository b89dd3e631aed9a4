"""A written C99 bundle on every emulated processor, as candidates of ``verify``."""

from functools import partial
from pathlib import Path

from firmware_export.simulate import build, elf
from firmware_export.simulate.graph import SimulatedNetwork
from firmware_export.simulate.machine import Machine
from firmware_export.simulate.targets import TARGETS, Target
from firmware_export.verify import Candidate
from kws.graph.cost import cost
from kws.graph.ir import QuantGraph

MACS = 20_000_000
"""Multiply-accumulates that one processor is emulated for: a second for a Cortex-M0+, the slowest."""

FEWEST_STEPS = 20


def candidates(bundle_dir: Path, graph: QuantGraph) -> list[Candidate]:
    """Return an engine for each processor that runs the sources in ``bundle_dir``, for ``MACS`` or ``FEWEST_STEPS``."""
    most_steps = max(FEWEST_STEPS, MACS // max(1, cost(graph).macs_per_step))
    return [
        Candidate(f"C on {target.name}", partial(bundle_engine, bundle_dir, target), most_steps)
        for target in TARGETS.values()
    ]


def bundle_engine(bundle_dir: Path, target: Target) -> SimulatedNetwork:
    """Return a bundle's network, compiled for ``target`` from the bundle's own sources.

    Raises:
        KwsError: a package is missing, or the sources do not compile.
    """
    source = bundle_dir / "src"
    image = elf.read(build.image(target, source / "model.c", source, whole=True))
    machine = Machine(target, image)
    return SimulatedNetwork(machine, machine.pointer("kws_model_t", "graph", machine.address("kws_model")))
