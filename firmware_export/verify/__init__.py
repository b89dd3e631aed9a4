"""Check that every engine gives the graph's numbers: the same features into all of them, compared step by step.

The graph's interpreter is the reference. Integer engines (C, TFLite Micro, LiteRT's and tflite-runtime's reference
kernels, ONNX Runtime with the integer form) must be equal. LiteRT's default kernels (XNNPACK) and ONNX Runtime with the
QDQ form requantize with one rounding in float where the graph rounds twice: they may differ by ``rounding.bound_lsb``.

Measured over random graphs with white int8 input, at most: 2 LSB through DeepKWS's 4 convolutions (5 graphs x 60,000
steps; 3 % of the logits differ), and through 116 operators of BC-ResNet's shape 8 to 52 (3 graphs x 2,000
steps), where the graph itself differed by 9 to 52 when it rounded once. A wrong weight, zero point, state or padding
shows as tens of LSB.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from firmware_export.engines.runtimes import LiteRtEngine, OnnxEngine, TfliteMicroEngine
from firmware_export.engines.tflite_worker import TfliteRuntimeEngine, interpreter
from firmware_export.onnx import writer as onnx_writer
from firmware_export.tflite import writer as tflite
from firmware_export.verify import rounding
from kws import runtime
from kws.detector.engine import CEngine, Engine, GraphEngine
from kws.errors import KwsError
from kws.graph.ir import QuantGraph
from kws.system import progress
from kws.system.packages import NotInstalledError

STEPS_PER_CHUNK = 500
STEPS_WITHOUT_BAR = 10_000

Status = Literal["reference", "equal", "within bound", "not installed"]


class VerifyError(KwsError):
    """An engine's numbers differ from the graph's, so do not trust anything of this export."""


@dataclass(frozen=True)
class Candidate:
    """An engine that is made only when it runs, so that a missing package is reported, not fatal.

    A slow one takes only the first ``most_steps`` steps; the report says how many it took.
    """

    name: str
    make: Callable[[], Engine]
    most_steps: int | None = None


@dataclass(frozen=True)
class EngineResult:
    """The result of one engine. Differences are in LSB of the int8 logits; ``seconds`` is its running time."""

    name: str
    status: Status
    steps: int = 0
    max_difference_lsb: int = 0
    differing_values: int = 0
    bound_lsb: int = 0
    seconds: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Report:
    """Every engine's result, the reference first; ``values`` logits were compared for each that took all ``steps``."""

    steps: int
    values: int
    results: tuple[EngineResult, ...]

    @property
    def not_installed(self) -> tuple[str, ...]:
        """The engines that did not run because they are not installed."""
        return tuple(result.name for result in self.results if result.status == "not installed")

    def table(self) -> str:
        """Return the results as aligned text, one line per engine."""
        heads = ("engine", "steps", "result", "largest difference", "differing", "allowed", "seconds")
        rows = [heads, *(self._row(result) for result in self.results)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"{result.name}: {result.note}" for result in self.results if result.note]
        return "\n".join(lines)

    def _row(self, result: EngineResult) -> tuple[str, ...]:
        if result.status == "not installed":
            return (result.name, "-", result.status, "-", "-", "-", "-")
        compared = result.status != "reference"
        return (
            result.name,
            f"{result.steps:,}",
            result.status,
            f"{result.max_difference_lsb} LSB" if compared else "-",
            f"{result.differing_values:,} of {result.steps * self.values // self.steps:,}" if compared else "-",
            f"{result.bound_lsb} LSB" if compared else "-",
            f"{result.seconds:.2f}",
        )

    def to_data(self) -> dict[str, Any]:
        """Return the report as JSON-ready data."""
        return {"steps": self.steps, "values": self.values, "engines": [asdict(result) for result in self.results]}


def verify(
    graph: QuantGraph,
    features: NDArray[np.int8],
    engines: Sequence[Engine | Candidate] | None = None,
    samples: NDArray[np.int16] | None = None,
) -> Report:
    """Run ``features`` int8 [frames, bands] through the graph and every engine, from the initial state.

    Args:
        graph: the reference.
        features: quantized LFBE; the frames after the last whole step are left out.
        engines: engines, or candidates for them; by default ``candidates(graph)``. One whose attribute ``exact`` is
            False may differ by ``rounding.bound_lsb``, every other one not at all.
        samples: int16 [frames * hop], for engines with the frontend inside (``hop_samples``): each hop ends the window
            of its frame, the first window begins with silence (``firmware_export.write.probe``).

    Raises:
        VerifyError: an engine differs by more than its bound (the message names it, the first such step and both
            values), or the features hold no whole step.
    """
    bands = graph.tensor(graph.input).shape[1]
    if features.dtype != np.int8 or features.ndim != 2 or features.shape[1] != bands:
        raise KwsError(
            f"the features to verify with are {features.dtype} {list(features.shape)}; give int8 [frames, {bands}]"
        )
    steps = len(features) // graph.stride
    if steps == 0:
        raise VerifyError(
            f"{len(features)} frames are less than a step ({graph.stride}): nothing to verify; give more audio"
        )
    features = features[: steps * graph.stride]
    engines = candidates(graph) if engines is None else engines
    with _bar(steps * (1 + len(engines))) as advance:
        source = _Source(features, samples)
        seconds, chunks = _timed(GraphEngine(graph), source, steps, advance)
        expected = np.concatenate(list(chunks))
        results = [EngineResult(GraphEngine.name, "reference", steps, seconds=seconds())]
        # Computed only if an engine needs it, since the graph runs once more for it.
        bound = functools.cache(lambda: rounding.bound_lsb(graph, features, expected))
        results += [_result(graph, engine, source, expected, bound, advance) for engine in engines]
    return Report(steps, expected.size, tuple(results))


def candidates(graph: QuantGraph) -> tuple[Candidate, ...]:
    """Return every engine that can run ``graph`` by itself: C on the host and the runtimes of the exported files."""
    return (
        host_candidate(graph),
        *tflite_candidates(lambda: tflite.to_bytes(graph)),
        *onnx_candidates(lambda: onnx_writer.to_bytes(graph)),
        *onnx_candidates(lambda: onnx_writer.to_bytes(graph, form="qdq"), ", QDQ"),
    )


def host_candidate(graph: QuantGraph) -> Candidate:
    """Return the C runtime that was compiled into the package."""
    return Candidate(CEngine.name, lambda: _c_engine(graph))


def tflite_candidates(model: Callable[[], Path | bytes], stateless: bool = False) -> tuple[Candidate, ...]:
    """Return the runtimes of a .tflite; ``model`` gives the file, or its bytes, when it is needed.

    tflite-runtime is among them if an environment for it is set up.
    """
    suffix = ", stateless" if stateless else ""
    runtimes = [
        Candidate(TfliteMicroEngine.name + suffix, lambda: TfliteMicroEngine(model())),
        Candidate("LiteRT reference" + suffix, lambda: LiteRtEngine(model(), reference=True)),
        Candidate("LiteRT XNNPACK" + suffix, lambda: LiteRtEngine(model())),
    ]
    if interpreter() is not None:
        runtimes.append(Candidate(TfliteRuntimeEngine.name + suffix, lambda: TfliteRuntimeEngine(model())))
    return tuple(runtimes)


def onnx_candidates(model: Callable[[], Path | bytes], suffix: str = "") -> tuple[Candidate, ...]:
    """Return the runtimes of a .onnx; ``model`` gives the file, or its bytes, when it is needed.

    ``suffix`` is what ``OnnxEngine`` adds to its name for the file's form.
    """
    return (Candidate(OnnxEngine.name + suffix, lambda: OnnxEngine(model())),)


@dataclass(frozen=True, eq=False)
class _Source:
    """The features, and samples if any, that engines run on."""

    features: NDArray[np.int8]
    samples: NDArray[np.int16] | None

    def parts(self, engine: Engine, steps: int) -> Iterator[tuple[int, Any]]:
        """Yield the engine's input for the first ``steps`` steps in chunks, each with its number of steps."""
        hop = int(getattr(engine, "hop_samples", 0))
        if hop and self.samples is None:
            raise VerifyError(f"{engine.name}: takes samples, but only features were given; give samples as well")
        source: NDArray[Any] = self.samples if hop and self.samples is not None else self.features
        step = engine.stride * max(hop, 1)
        for start in range(0, steps, STEPS_PER_CHUNK):
            count = min(STEPS_PER_CHUNK, steps - start)
            yield count, source[start * step : (start + count) * step]


def _c_engine(graph: QuantGraph) -> Engine:
    if reason := runtime.reason():
        raise NotInstalledError(reason)
    return CEngine(graph)


def _result(
    graph: QuantGraph,
    engine: Engine | Candidate,
    source: _Source,
    expected: NDArray[np.int8],
    bound_lsb: Callable[[], int],
    advance: progress.Advance,
) -> EngineResult:
    name = engine.name
    if isinstance(engine, Candidate):
        left_out = len(expected) - min(engine.most_steps or len(expected), len(expected))
        expected = expected[: len(expected) - left_out]
        advance(left_out, note=name)
        try:
            engine = engine.make()
        except NotInstalledError as error:
            advance(len(expected), note=f"{name} not installed")
            return EngineResult(name, "not installed", note=str(error))
    if (engine.stride, engine.outputs) != (graph.stride, graph.outputs):
        raise VerifyError(
            f"{name}: takes {engine.stride} frames and gives {engine.outputs} logits per step, but the "
            f"graph has {graph.stride} and {graph.outputs}; it runs another model, so export again"
        )
    bound = 0 if getattr(engine, "exact", True) else bound_lsb()
    largest = differing = done = 0
    seconds, chunks = _timed(engine, source, len(expected), advance)
    for chunk in chunks:
        target = expected[done : done + len(chunk)]
        difference = np.abs(chunk.astype(np.int16) - target)
        if difference.max() > bound:
            _raise_mismatch(name, done, chunk, target, bound)
        largest, differing = max(largest, int(difference.max())), differing + int(np.count_nonzero(difference))
        done += len(chunk)
    return EngineResult(name, "within bound" if largest else "equal", done, largest, differing, bound, seconds())


def _timed(
    engine: Engine, source: _Source, steps: int, advance: progress.Advance
) -> tuple[Callable[[], float], Iterator[NDArray[np.int8]]]:
    """Return a function for the seconds so far, and the logits chunk by chunk, from the initial state."""
    total = 0.0

    def chunks() -> Iterator[NDArray[np.int8]]:
        nonlocal total
        engine.reset()
        for count, part in source.parts(engine, steps):
            began = time.perf_counter()
            logits = engine.run(part)
            total += time.perf_counter() - began
            if logits.shape != (count, engine.outputs):
                raise VerifyError(
                    f"{engine.name}: gives {list(logits.shape)} logits for {count * engine.stride} frames"
                )
            advance(len(logits), note=engine.name)
            yield logits

    return (lambda: round(total, 3)), chunks()


def _raise_mismatch(name: str, first: int, logits: NDArray[np.int8], expected: NDArray[np.int8], bound: int) -> None:
    wrong = np.abs(logits.astype(np.int16) - expected) > bound
    step = int(np.argmax(wrong.any(axis=1)))
    logit = int(np.argmax(wrong[step]))
    allowed = f"{bound} LSB are allowed" if bound else "they must be equal"
    raise VerifyError(
        f"{name}: at step {first + step} logit {logit} is {logits[step, logit]}, but the graph gives "
        f"{expected[step, logit]}; "
        f"{allowed}, so do not use this export and report it with the model"
    )


@contextlib.contextmanager
def _bar(total: int) -> Iterator[progress.Advance]:
    if total <= STEPS_WITHOUT_BAR:
        yield lambda *_, **__: None
        return
    with progress.bar("Verifying", total) as advance:
        yield advance
