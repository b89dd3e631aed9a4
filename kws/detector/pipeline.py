"""Audio in, detections out: frontend, quantization, engine, scorer and decision in one, streaming."""

import numpy as np
from numpy.typing import NDArray

from kws.detector.decision import SCORE_ONE, Decision, Detection, Scorer
from kws.detector.engine import make_engine
from kws.detector.model_file import KwsModel
from kws.frontend import Frontend
from kws.graph.arithmetic import quantize_features

_CHUNK_SECONDS = 60  # of a whole recording at once: some 2 MB of samples, 20 MB of windows


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


class Pipeline:
    """A model that listens. Any chunking of the same samples gives the same detections and scores.

    ``engine`` is "auto", "c" or "graph" (``kws.detector.engine``); ``threshold`` (Q15) replaces the model's own::

        pipeline = Pipeline(model_file.load(Path("computer.kws")))
        for detection in pipeline.push(samples):  # int16 at 16 kHz, as many as there are
            print(detection.phrase, detection.time_s, detection.score)

    Raises:
        ValueError: the threshold is no Q15 confidence.
        KwsError: the engine is not available on this machine.
    """

    def __init__(self, model: KwsModel, engine: str = "auto", threshold: int | None = None) -> None:
        self.model = model
        self._logits = _Logits(model, engine)
        self._scorer = _scorer(model)
        phrases = len(model.detector.phrases)
        thresholds = model.thresholds if threshold is None else (threshold,) * phrases
        self._decision = Decision(thresholds, model.detector.refractory_steps(model.step_ms))
        self._scores: NDArray[np.int32] = np.zeros((0, phrases), np.int32)
        self._steps = 0

    @property
    def scores(self) -> NDArray[np.int32]:
        """Each phrase's confidence in each step that the last push completed: int32 [steps, phrases], Q15."""
        return self._scores

    def push(self, samples: NDArray[np.int16]) -> list[Detection]:
        """Take int16 [n] samples, return what was detected in them, by time; times count from the stream's start."""
        self._scores = self._scorer.push(self._logits.push(samples))
        first, self._steps = self._steps, self._steps + len(self._scores)
        return [
            Detection(
                phrase=self.model.detector.phrases[phrase],
                step=step,
                time_s=step_time_s(self.model, step),
                score=int(self._scores[step - first, phrase]) / SCORE_ONE,
            )
            for step, phrase in self._decision.push(self._scores)
        ]

    def reset(self) -> None:
        """Start a new stream."""
        self._logits.reset()
        self._scorer.reset()
        self._decision.reset()
        self._scores = self._scores[:0]
        self._steps = 0


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
