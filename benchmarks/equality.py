"""Minutes of audio through every engine, for every model family: python benchmarks/equality.py [MODEL ...]

MODEL is a family or, of its published sizes, one: both columns of `kws models` hold names ("deepkws", "cnn-tstride4").
Each is built with random weights, calibrated on the audio that exports are proved with, and quantized to eight and to
four bits. Graph, C on this machine, C on each emulated processor, TFLite Micro, LiteRT, tflite-runtime and ONNX Runtime
then hear the same minutes; the table says how many values differ and by how much. An engine that must be equal and is
not ends it with status 1. An emulated processor takes from seconds (wren) to half an
hour (cnn-trad-fpool3) for ten minutes of audio: --emulated-minutes gives the emulators the first minutes alone.
"""

import argparse
import sys
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from firmware_export import verify
from firmware_export.probe import probe_audio
from firmware_export.simulate.graph import SimulatedEngine
from firmware_export.simulate.targets import TARGETS
from kws import frontend
from kws.compress.quantize import quantize_model
from kws.compress.quantize.calibrate import quantized_input
from kws.config import load
from kws.errors import KwsError
from kws.frontend import FrontendConfig
from kws.graph.arithmetic import quantize_features
from kws.graph.ir import QuantGraph, WeightBits
from kws.models.configs import ModelConfig
from kws.models.registry import BUILDERS, build
from kws.models.table import PUBLISHED

CALIBRATION_FRAMES = 3000
LABELS = 3
FAMILIES = {family: load(ModelConfig, {"name": family}) for family in BUILDERS}
EMULATED = [name for name in TARGETS if name != "host"]
MODELS = {**dict(PUBLISHED), **FAMILIES}


def graphs(
    config: ModelConfig, lfbe: NDArray[np.int16], bits: list[WeightBits]
) -> Iterator[tuple[WeightBits, QuantGraph]]:
    """Yield the model's graph, of random weights, for each number of bits."""
    model = build(config, lfbe.shape[1], LABELS, torch.Generator().manual_seed(0)).eval()
    features = quantized_input(torch.from_numpy(lfbe[None, :CALIBRATION_FRAMES])).numpy()
    for number in bits:
        yield number, quantize_model(model, features, number)


def engines(graph: QuantGraph, targets: list[str], emulated_frames: int) -> list[verify.Candidate]:
    """Return every engine that an export is held to, and emulated processors, which take so many frames."""
    steps = emulated_frames // graph.tensor(graph.input).shape[0]
    emulated = [verify.Candidate(f"C on {name}", partial(SimulatedEngine, graph, name), steps) for name in targets]
    return [*verify.candidates(graph), *emulated]


def main() -> None:
    """Print a table for each family and number of bits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", help="one of kws models [default: every family]")
    parser.add_argument("--bits", type=int, nargs="+", choices=(8, 4), default=[8, 4], help="of the weights")
    parser.add_argument("--targets", nargs="+", choices=EMULATED, default=EMULATED, help="emulated processors")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--emulated-minutes", type=float, help="of them, for the emulated processors [default: all]")
    options = parser.parse_args()
    unknown = sorted(set(options.models) - set(MODELS))
    if unknown:
        parser.error(f"{unknown[0]!r} is no model; those are {', '.join(MODELS)}")
    lfbe = frontend.compute(probe_audio(60.0 * options.minutes), FrontendConfig())
    emulated_minutes = options.minutes if options.emulated_minutes is None else options.emulated_minutes
    emulated_frames = min(round(emulated_minutes * 60_000 / FrontendConfig().hop_ms), len(lfbe))
    failed = False
    for name in options.models or FAMILIES:
        for bits, graph in graphs(MODELS[name], lfbe, options.bits):
            features = quantize_features(lfbe, graph.tensor(graph.input).quant)
            print(f"\n{name}, {bits} bits, {len(lfbe):,} frames", flush=True)
            try:
                print(
                    verify.verify(graph, features, engines(graph, options.targets, emulated_frames)).table(), flush=True
                )
            except KwsError as error:
                failed = True
                print(f"DIFFERS: {error}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
