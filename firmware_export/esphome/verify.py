"""Check that an exported pair gives the firmware's derived numbers: the same audio into every runtime.

The reference is ``esphome.graph.Detector``: the graph's interpreter and integers. TensorFlow Lite Micro, which devices
run, and LiteRT's reference kernels must give its probabilities, bit for bit. LiteRT's other kernels, XNNPACK's and its
own built-in ones, round differently: their logits may differ by ``rounding.bound_lsb``, and their probabilities
accordingly. pymicro-wakeword, which takes int16 samples and has the manifest's decision, runs the built-in ones: its
sums are those of LiteRT's on our features, or else within the same bound.
"""

import contextlib
import functools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware_export import verify
from firmware_export.engines.runtimes import LiteRtEngine, RuntimeEngine, TfliteMicroEngine
from firmware_export.esphome.graph import Detector, features_of
from firmware_export.probe import probe_audio
from firmware_export.verify import EngineResult, VerifyError, rounding
from kws.detector import micro_wake_word
from kws.detector.model_file import KwsModel
from kws.graph.interpret import Interpreter
from kws.system.packages import NotInstalledError, need

DESKTOP = "pymicro-wakeword"


class BuiltInEngine(LiteRtEngine):
    """LiteRT's own optimized kernels, without a delegate."""

    def __init__(self, model: Path | bytes) -> None:
        super().__init__(model, delegates=False)
        self.name = "LiteRT built-in"

    def probabilities(self, features: NDArray[np.int8]) -> NDArray[np.int64]:
        """Return the probability of every step from the initial state: int8 [n * stride, bands] -> [n], 0..255."""
        self.reset()
        return _probabilities(self, features)


Range = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The least and the greatest allowed value of every step."""


def verify_pair(model: KwsModel, detector: Detector, tflite: Path, seconds: float) -> verify.Report:
    """Run the .tflite and the manifest beside it against the reference, over the probe audio.

    Raises:
        VerifyError: a runtime differs by more than its bound; the message names it, the first such step, both values.
    """
    samples = probe_audio(seconds)
    features = features_of(model, samples)
    if not len(features):
        raise VerifyError(f"{seconds:g} s of audio are less than a step of the model: nothing to verify; give more")
    began = time.perf_counter()
    logits = Interpreter(detector.graph).run(features)
    expected = detector.probabilities[logits[:, 0].astype(np.int16) + 128].astype(np.int64)
    results = [EngineResult("graph", "reference", len(expected), seconds=round(time.perf_counter() - began, 3))]
    # computed only if a runtime rounds differently, since the graph runs once more for it
    bound = functools.cache(lambda: _spread(detector, logits, rounding.bound_lsb(detector.graph, features, logits)))
    engines: tuple[tuple[str, Callable[[], RuntimeEngine]], ...] = (
        (TfliteMicroEngine.name, lambda: TfliteMicroEngine(tflite)),
        ("LiteRT reference", lambda: LiteRtEngine(tflite, reference=True)),
        ("LiteRT XNNPACK", lambda: LiteRtEngine(tflite)),
        ("LiteRT built-in", lambda: BuiltInEngine(tflite)),
    )
    for name, make in engines:
        results.append(_engine(name, make, features, expected, bound))
    results.append(_desktop(detector, tflite.with_suffix(".json"), samples, features, bound, expected))
    return verify.Report(len(expected), len(expected), tuple(results))


def _spread(detector: Detector, logits: NDArray[np.int8], lsb: int) -> Range:
    """Return the probabilities that logits off by up to ``lsb`` give."""
    low, high = (np.clip(logits[:, 0].astype(np.int64) + off, -128, 127) + 128 for off in (-lsb, lsb))
    return detector.probabilities[low].astype(np.int64), detector.probabilities[high].astype(np.int64)


def _engine(
    name: str,
    make: Callable[[], RuntimeEngine],
    features: NDArray[np.int8],
    expected: NDArray[np.int64],
    bound: Callable[[], Range],
) -> EngineResult:
    try:
        engine = make()
    except NotInstalledError as error:
        return EngineResult(name, "not installed", note=str(error))
    began = time.perf_counter()
    actual = _probabilities(engine, features)
    seconds = time.perf_counter() - began
    return _compared(name, actual, expected, (expected, expected) if engine.exact else bound(), seconds)


def _probabilities(engine: RuntimeEngine, features: NDArray[np.int8]) -> NDArray[np.int64]:
    # the engines are made for int8 logits: the same bits
    return engine.run(features)[:, 0].view(np.uint8).astype(np.int64)


def _desktop(
    detector: Detector,
    manifest: Path,
    samples: NDArray[np.int16],
    features: NDArray[np.int8],
    bound: Callable[[], Range],
    expected: NDArray[np.int64],
) -> EngineResult:
    """Compare sums of probabilities, from int16 samples on; the runtime begins when the first window is full."""
    try:
        need("pymicro_wakeword", DESKTOP, "esphome")
    except NotInstalledError as error:
        return EngineResult(DESKTOP, "not installed", note=str(error))
    began = time.perf_counter()
    published = micro_wake_word.read(manifest)
    values = np.concatenate([frame[0] for frame in micro_wake_word.features(samples)])
    quantized = micro_wake_word.quantized(published, values)[: len(features)]
    if not np.array_equal(quantized, features):
        frame = int(np.argmax((quantized != features).any(axis=1)))
        raise VerifyError(
            f"{DESKTOP}: computes other features at frame {frame}; install the version of pymicro-features that kws "
            "requires"
        )
    begin = detector.window - 1
    actual = micro_wake_word.sums(published, samples)[begin:]
    seconds = time.perf_counter() - began
    sums, low, high = (detector.sums(values) for values in (expected, *bound()))
    result = _compared(DESKTOP, actual, sums[begin:], (low[begin:], high[begin:]), seconds)
    fired, expected_fired = (int(detector.fires(values).sum()) for values in (actual, sums[begin:]))
    note = f"sums of {detector.window} probabilities; {fired:,} are above the cutoff, in the graph {expected_fired:,}"
    with contextlib.suppress(NotInstalledError):
        theirs = detector.sums(BuiltInEngine(manifest.with_suffix(".tflite")).probabilities(features))
        others = int(np.count_nonzero(theirs[begin:] != actual))
        note += f"; {others:,} differ from those of LiteRT's built-in kernels on our features"
    return replace(result, note=note)


def _compared(
    name: str, actual: NDArray[np.int64], expected: NDArray[np.int64], allowed: Range, seconds: float
) -> EngineResult:
    if len(actual) != len(expected):
        raise VerifyError(f"{name}: gives {len(actual)} probabilities instead of {len(expected)}; export again")
    low, high = allowed
    wrong = (actual < low) | (actual > high)
    if wrong.any():
        step = int(np.argmax(wrong))
        raise VerifyError(
            f"{name}: probability {actual[step]} at step {step}, but the graph gives {expected[step]} ({low[step]} to "
            f"{high[step]} are allowed), so do not use this export and report it with the model"
        )
    difference = np.abs(actual - expected)
    largest = int(difference.max(initial=0))
    return EngineResult(
        name,
        "within bound" if largest else "equal",
        len(actual),
        largest,
        int(np.count_nonzero(difference)),
        int(np.maximum(high - expected, expected - low).max(initial=0)),
        round(seconds, 3),
    )
