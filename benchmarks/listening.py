"""How many seconds of sound a second of one core listens to, as an application feeds it, ours and a peer side by side.

    python benchmarks/listening.py                       # a table and the ratio
    python benchmarks/listening.py MODEL.kws --json

Both get the same noise in chunks of 1,024 samples (64 ms) through their own Python interface, from samples to the
decision: ours by ``kws.Detector.push``, the peer, pymicro-wakeword with its model "alexa" of 24 K parameters, by its
features and model. Without a MODEL.kws ours is the default model, a Wren for one phrase, with weights that are drawn
and not trained: how much it computes does not depend on them. Rounds are short and take turns on one core, and the best
of each side counts, so that a busy moment of the machine hits both.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from kws.detector.config import DetectorConfig
from kws.detector.front_door import Detector
from kws.detector.model_file import KwsModel, load
from kws.frontend import LFBE_FRACTION_BITS, FrontendConfig, compute
from kws.graph.cost import cost
from kws.system.tables import SIMPLE, Table, printed

RATE_HZ = 16000
SECONDS = 2
PEER, PEER_PARAMETERS = "alexa", 24_481

Samples = NDArray[np.int16]
Job = Callable[[], None]
"""Listens to the whole sound once, from the start of a stream."""


def default_model() -> KwsModel:
    """Return a Wren as the recipes make it, for one phrase, its weights drawn from a seed."""
    import torch

    from kws.compress.quantize import quantize_model
    from kws.models.configs import ModelConfig
    from kws.models.registry import build

    frontend = FrontendConfig()
    labels = ("filler", "computer")
    network = build(ModelConfig(), frontend.bands, len(labels), torch.Generator().manual_seed(0)).eval()
    features = compute(noise(16), frontend).astype(np.float32) / (1 << LFBE_FRACTION_BITS)
    graph = quantize_model(network, features[: len(features) // 8 * 8].reshape(8, -1, frontend.bands))
    return KwsModel(graph, frontend, DetectorConfig.single("computer", labels), (32768,))


def noise(seconds: int) -> Samples:
    """Return white noise, int16."""
    samples: Samples = (np.random.default_rng(0).standard_normal(seconds * RATE_HZ) * 1000).astype(np.int16)
    return samples


def ours(model: KwsModel, samples: Samples, chunk: int) -> Job:
    """Return the job of this package."""
    listening = Detector(model)

    def job() -> None:
        listening.reset()
        for at in range(0, len(samples), chunk):
            listening.push(samples[at : at + chunk])

    return job


def peers(samples: Samples, chunk: int) -> Job:
    """Return the job of pymicro-wakeword, which takes bytes."""
    from pymicro_wakeword import MicroWakeWord, MicroWakeWordFeatures, Model

    content, size = samples.tobytes(), 2 * chunk
    features, model = MicroWakeWordFeatures(), MicroWakeWord.from_builtin(Model(PEER))

    def job() -> None:
        for at in range(0, len(content), size):
            for frame in features.process_streaming(content[at : at + size]):
                model.process_streaming(frame)

    return job


def times_real_time(jobs: dict[str, Job], rounds: int) -> dict[str, float]:
    """Return how many seconds of sound each job listens to in a second, in its best round; they take turns."""
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(rounds):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            best[name] = min(best[name], time.perf_counter() - began)
    return {name: SECONDS / seconds for name, seconds in best.items()}


@click.command()
@click.argument("path", metavar="[MODEL.kws]", type=click.Path(path_type=Path, exists=True), required=False)
@click.option("--chunk", type=click.IntRange(1, 1 << 20), default=1024, show_default=True, help="Samples at a time.")
@click.option("--rounds", type=click.IntRange(1, 10_000), default=400, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def main(path: Path | None, chunk: int, rounds: int, as_json: bool) -> None:
    """Measure on one core and print."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    model = load(path) if path else default_model()
    parameters = cost(model.graph).parameters
    samples = noise(SECONDS)
    names = (f"kws, {path.stem if path else 'the default model, a Wren'}", f"pymicro-wakeword, {PEER}")
    speeds = times_real_time(
        dict(zip(names, (ours(model, samples, chunk), peers(samples, chunk)), strict=True)), rounds
    )
    ratio = speeds[names[0]] / speeds[names[1]]
    if as_json:
        print(json.dumps({"chunk": chunk, "times_real_time": speeds, "ratio": ratio}))
        return
    table = Table(f"listening in chunks of {chunk:,} samples, one core", box=SIMPLE)
    for heading in ("detector", "parameters", "x real time"):
        table.add_column(heading, justify="left" if heading == "detector" else "right")
    for (name, speed), size in zip(speeds.items(), (parameters, PEER_PARAMETERS), strict=True):
        table.add_row(name, f"{size:,}", f"{speed:,.0f}")
    print(printed(table))
    print(f"kws listens to {ratio:.1f} times as much")


if __name__ == "__main__":
    main()
