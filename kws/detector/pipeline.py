"""Audio in, detections out: frontend, quantization, engine, scorer and decision in one, streaming."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kws import runtime
from kws.detector.decision import SCORE_ONE, Decision, Detection, Scorer, check_threshold
from kws.detector.engine import make_engine
from kws.detector.model_file import KwsModel
from kws.detector.native import NativeDetector
from kws.detector.peaks import Peaks
from kws.frontend import Frontend
from kws.graph.arithmetic import quantize_features

_CHUNK_SECONDS = 60  # of a recording in one piece: about 2 MB of samples, 20 MB of windows


class _Logits:
    """PCM -> int8 logits. Frames that do not fill a step wait for the next chunk."""

    def __init__(self, model: KwsModel, engine: str) -> None:
        self.graph = model.graph
        self.frontend = Frontend(model.frontend)
        self.engine = make_engine(model.graph, engine)
        self.input_quant = model.graph.tensor(model.graph.input).quant
        self.waiting: NDArray[np.int8] = np.zeros((0, model.frontend.bands), np.int8)

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int8]:
        """Return the logits of every step that these samples complete: int16 [n] -> int8 [steps, labels]."""
        features = quantize_features(self.frontend.push(samples), self.input_quant)
        frames = np.concatenate([self.waiting, features])
        ready = len(frames) - len(frames) % self.graph.stride
        self.waiting = frames[ready:].copy()
        return self.engine.run(frames[:ready])

    def reset(self) -> None:
        self.frontend.reset()
        self.engine.reset()
        self.waiting = self.waiting[:0]


class _Way(Protocol):
    """Samples in, scores and decisions out: the two ways of a ``Pipeline``, which give the same numbers."""

    @property
    def engine(self) -> str: ...
    @property
    def scores(self) -> NDArray[np.int32]: ...
    @property
    def steps(self) -> int: ...
    def push(self, samples: NDArray[np.int16]) -> list[tuple[int, int]]: ...
    def reset(self) -> None: ...


class _Staged:
    """Stage by stage: numpy, which defines the numbers, around any frontend and engine."""

    def __init__(self, model: KwsModel, engine: str, thresholds: Sequence[int]) -> None:
        self._logits = _Logits(model, engine)
        self._scorer = _scorer(model)
        self._decision = Decision(thresholds, model.detector.refractory_steps(model.step_ms))
        self.engine = self._logits.engine.name
        self.steps = 0
        self.scores: NDArray[np.int32] = np.zeros((0, len(thresholds)), np.int32)

    def push(self, samples: NDArray[np.int16]) -> list[tuple[int, int]]:
        self.scores = self._scorer.push(self._logits.push(samples))
        self.steps += len(self.scores)
        return self._decision.push(self.scores)

    def reset(self) -> None:
        self.steps = 0
        self._logits.reset()
        self._scorer.reset()
        self._decision.reset()
        self.scores = self.scores[:0]


def _way(model: KwsModel, engine: str, thresholds: Sequence[int]) -> _Way:
    """Return the whole detector in C if it is built and has the model's frontend, else the stages in numpy."""
    for threshold in thresholds:
        check_threshold(threshold)
    if engine in ("auto", "c") and model.frontend.kind == "lfbe" and runtime.available():
        return NativeDetector(model, thresholds)
    return _Staged(model, engine, thresholds)


class Pipeline:
    """A model that runs on a stream. Any chunking of the same samples gives the same detections, scores and peaks.

    ``engine`` is "auto", "c" or "graph" (``kws.detector.engine``); ``threshold`` (Q15, one or one for each phrase)
    replaces the model's own::

        pipeline = Pipeline(model_file.load(Path("computer.kws")))
        for detection in pipeline.push(samples):  # int16 at 16 kHz, as many as there are
            print(detection.phrase, detection.time_s, detection.score)

    Raises:
        ValueError: a threshold is not a Q15 confidence, or there is not one for each phrase.
        KwsError: the engine is not available on this machine.
    """

    def __init__(self, model: KwsModel, engine: str = "auto", threshold: int | Sequence[int] | None = None) -> None:
        self.model = model
        self.thresholds = _each(model, threshold)
        self._way = _way(model, engine, self.thresholds)
        self._peaks = Peaks(model.detector.refractory_steps(model.step_ms))
        self._settled: list[Detection] = []

    @property
    def engine(self) -> str:
        """The engine that runs the model: "c" or "graph"."""
        return self._way.engine

    @property
    def scores(self) -> NDArray[np.int32]:
        """Each phrase's confidence in each step that the last push completed: int32 [steps, phrases], Q15."""
        return self._way.scores

    @property
    def settled(self) -> list[Detection]:
        """The detections, earlier ones too, whose ``peak`` became known in the last push; in order."""
        return self._settled

    def push(self, samples: NDArray[np.int16]) -> list[Detection]:
        """Take int16 [n] samples, return what was detected in them, by time; times count from the stream's start.

        A detection is returned at once, before its peak is known: ``settled`` and ``finish`` give it once more with it.
        """
        fired = self._way.push(samples)
        self._settled = []
        if not fired and not self._peaks.following:
            return []
        scores, first = self._way.scores, self._way.steps - len(self._way.scores)
        made = [(self._detection(step, phrase, scores[step - first, phrase]), phrase) for step, phrase in fired]
        self._settled = self._peaks.push(made, scores, first)
        return [detection for detection, _ in made]

    def _detection(self, step: int, phrase: int, score: int) -> Detection:
        name = self.model.detector.phrases[phrase]
        return Detection(name, step, step_time_s(self.model, step), int(score) / SCORE_ONE)

    def finish(self) -> list[Detection]:
        """Return the detections that still wait for their peak, with the highest score so far: the stream has ended."""
        return self._peaks.finish()

    def reset(self) -> None:
        """Start a new stream."""
        self._way.reset()
        self._peaks.reset()
        self._settled = []


def _each(model: KwsModel, threshold: int | Sequence[int] | None) -> tuple[int, ...]:
    phrases = len(model.detector.phrases)
    if threshold is None:
        return model.thresholds
    thresholds = (threshold,) * phrases if isinstance(threshold, int) else tuple(threshold)
    if len(thresholds) != phrases:
        raise ValueError(f"thresholds are {len(thresholds)} for {phrases} phrases")
    return thresholds


def step_time_s(model: KwsModel, step: int) -> float:
    """Return when step ``step`` can be decided, in seconds of the stream: the end of the last LFBE frame it takes."""
    return model.step_end(step) / model.frontend.sample_rate_hz


def logits(model: KwsModel, samples: NDArray[np.int16], engine: str = "auto") -> NDArray[np.int8]:
    """Return the logits of a whole recording from the initial state: int16 [n] -> int8 [steps, labels]."""
    source = _Logits(model, engine)
    size = _CHUNK_SECONDS * model.frontend.sample_rate_hz
    # max: a recording without a sample still gives an array of the right shape
    parts = [source.push(samples[start : start + size]) for start in range(0, max(len(samples), 1), size)]
    return np.concatenate(parts)


def scores(model: KwsModel, samples: NDArray[np.int16], engine: str = "auto") -> NDArray[np.int32]:
    """Return the confidences at every step of a whole recording: int16 [n] -> int32 [steps, phrases], Q15."""
    return _scorer(model).push(logits(model, samples, engine))


def _scorer(model: KwsModel) -> Scorer:
    logit_scale = model.graph.tensor(model.graph.output).quant.scale
    return Scorer(model.detector, logit_scale, model.step_ms)
