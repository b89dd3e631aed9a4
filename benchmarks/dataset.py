"""Training examples drawn in a second: here, by threads, by processes; alone, and beside a training that computes.

    python benchmarks/dataset.py MANIFEST PHRASE             # a table
    python benchmarks/dataset.py MANIFEST PHRASE --json
    python benchmarks/dataset.py MANIFEST PHRASE --busy      # while this process computes, as training does

What is counted is steady work: the clips are decoded and the processes started before the clock runs.
With ``--busy`` a step of matrix products in torch, on one thread, follows each batch; the share of time that it waits
for batches is printed, and the steps are as long as ``--step-ms`` asks for.
"""

import itertools
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch

from kws.data import manifest
from kws.data.augment import AugmentConfig
from kws.data.dataset import Dataset, Prefetch
from kws.data.examples.clip_file import shared
from kws.data.examples.draw import ExampleConfig
from kws.data.examples.pool import read_pool
from kws.data.examples.prefetch import Backend
from kws.frontend import FrontendConfig
from kws.system.processes import processors

WARM_BATCHES = 4


@dataclass(frozen=True)
class Row:
    """How fast one way of drawing is."""

    name: str
    examples_per_second: float
    waited_share: float


@click.command(help=(__doc__ or "").split("\n", maxsplit=1)[0])
@click.argument("path", metavar="MANIFEST", type=click.Path(exists=True, path_type=Path))
@click.argument("phrase")
@click.option("--clips", default=64, show_default=True, help="Examples in a batch.")
@click.option("--batches", default=24, show_default=True, help="Batches that are timed, each way.")
@click.option("--workers", default=0, help="Threads or processes.  [default: one for each processor]")
@click.option("--busy", is_flag=True, help="Compute between the batches.")
@click.option("--step-ms", default=200.0, show_default=True, help="How long a computed step takes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    path: Path, phrase: str, clips: int, batches: int, workers: int, busy: bool, step_ms: float, as_json: bool
) -> None:
    """Decode, draw in every way, print."""
    workers = workers or processors()
    torch.set_num_threads(1)
    began = time.perf_counter()
    clips_of_phrase = read_pool(manifest.read(path), phrase, "train")
    with tempfile.TemporaryDirectory() as folder, shared(clips_of_phrase, Path(folder)) as pool:
        decoded_s = time.perf_counter() - began
        dataset = Dataset(pool, FrontendConfig(), ExampleConfig(), AugmentConfig(), (0, 0))
        step_s = step_ms / 1000.0 if busy else 0.0
        ways: list[tuple[str, int, Backend]] = [
            ("in line", 0, "threads"),
            (f"{workers} threads", workers, "threads"),
            (f"{workers} processes", workers, "processes"),
        ]
        rows = [measure(name, dataset, clips, batches, count, way, step_s) for name, count, way in ways]
    if as_json:
        print(json.dumps({"decoding_seconds": decoded_s, "rows": [asdict(row) for row in rows]}))
        return
    print(f"clips decoded in {decoded_s:.1f} s; {clips} examples a batch, {batches} batches")
    print(f"{'':<16}{'examples/s':>12}{'waited':>10}")
    for row in rows:
        print(f"{row.name:<16}{row.examples_per_second:>12.0f}{row.waited_share:>10.1%}")


def measure(
    name: str, dataset: Dataset, clips: int, batches: int, workers: int, backend: Backend, step_s: float
) -> Row:
    """Return how fast batches come, after the first few."""
    prefetch = Prefetch(dataset, clips, 0, WARM_BATCHES + batches, workers, backend)
    coming = iter(prefetch)
    for _ in itertools.islice(coming, WARM_BATCHES):
        compute(step_s)
    began, waited_s = time.perf_counter(), prefetch.waited_s
    for _ in coming:
        compute(step_s)
    seconds = time.perf_counter() - began
    return Row(name, clips * batches / seconds, (prefetch.waited_s - waited_s) / seconds)


def compute(seconds: float) -> None:
    """Do what a training step does, matrix products, for about this long."""
    until = time.perf_counter() + seconds
    matrix = torch.full((192, 192), 1e-3)
    while time.perf_counter() < until:
        matrix = (matrix @ matrix).clamp(-1.0, 1.0)


if __name__ == "__main__":
    main()
