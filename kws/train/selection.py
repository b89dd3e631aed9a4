"""How good a model is where training has not been: the choice among its states on the way, and its thresholds.

The float model runs over held-out streams in chunks, and what it says goes through the shipped scorer and decision,
so that what is chosen by is what a user gets: misses at so many false accepts per hour. A few hours tell rates apart
only so far; so states are compared by the mean of the misses at several rates, evenly spaced in octaves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kws.compress.quantize.calibrate import INPUT_QUANT, quantized_input
from kws.data.dataset import Batch
from kws.detector.decision import DetectorConfig, Scorer
from kws.frontend import FrontendConfig
from kws.graph.arithmetic import input_quant
from kws.graph.ir import Quant
from kws.models.layers import Sequential
from kws.recipe.train import TrainConfig
from kws.streams.metrics import Trace
from kws.streams.sweep import NEVER, Sweep, best
from kws.train.held_out import HeldOutStream
from kws.train.labels import Labeller
from kws.train.loss import terms

OCTAVES = (-2, -1, 0, 1, 2)
"""States are compared at the target of false accepts per hour times 2 to these powers."""

LOGIT_STEPS = 12.0
"""Steps of one unit of a centred float logit, for the integer decision logic: range +-10.6, difference 1/12."""

THRESHOLDS_AT_MOST = 120
CHUNK_FRAMES = 6000


@dataclass(frozen=True)
class Trial:
    """One look at the held-out streams.

    Attributes:
        step: after how many steps of training.
        false_reject_rate: at the target of false accepts per hour, the mean over groups and phrases.
        mean_false_reject_rate: the mean over several rates, which states are compared by.
        false_accepts_per_hour: measured with ``thresholds``, the mean over phrases.
        loss: of held-out examples.
        thresholds: Q15, one per phrase, for the target of false accepts per hour.
        groups: the false reject rate of each group of words at ``thresholds``: synthetic or recorded, clean or noise.
    """

    step: int
    false_reject_rate: float
    mean_false_reject_rate: float
    false_accepts_per_hour: float
    loss: float
    thresholds: tuple[int, ...]
    groups: Mapping[str, float] = field(default_factory=dict)

    def key(self) -> tuple[float, float]:
        """Return what trials are compared by: the mean false rejects, then the loss; the least is the best."""
        return self.mean_false_reject_rate, self.loss


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a state is judged on: streams, and some examples drawn as training draws them, for the loss."""

    streams: Sequence[HeldOutStream]
    batches: Sequence[Batch]
    labeller: Labeller
    detector: DetectorConfig
    frontend: FrontendConfig
    config: TrainConfig

    def trial(self, model: Sequential, step: int) -> Trial:
        """Look at the model, which must be in evaluation mode."""
        traces = [self._traces(model, stream) for stream in self.streams]
        results = [self._phrase(index, traces) for index in range(len(self.detector.phrases))]
        return Trial(
            step=step,
            false_reject_rate=float(np.mean([one.false_reject_rate for one in results])),
            mean_false_reject_rate=float(np.mean([one.mean_false_reject_rate for one in results])),
            false_accepts_per_hour=float(np.mean([one.false_accepts_per_hour for one in results])),
            loss=self._loss(model),
            thresholds=tuple(one.threshold for one in results),
            groups=_mean_groups([one.groups for one in results]),
        )

    def _traces(self, model: Sequential, stream: HeldOutStream) -> dict[int, Trace]:
        """Return the trace of each phrase that the stream is about."""
        step_ms = model.stride * self.frontend.hop_ms
        first = (model.stride - 1) * self.frontend.hop_samples + self.frontend.window_samples
        logits = streamed(model, stream.features, input_quant(self.frontend))
        scores = Scorer(self.detector, 1.0 / LOGIT_STEPS, step_ms).push(logit_steps(logits))
        return {
            index: Trace(layout, scores[:, index], first / self.frontend.sample_rate_hz, step_ms / 1000.0)
            for index, layout in stream.layouts.items()
        }

    def _phrase(self, index: int, traces: Sequence[dict[int, Trace]]) -> "PhraseResult":
        groups: dict[str, list[Trace]] = {}
        for stream, of_stream in zip(self.streams, traces, strict=True):
            if index in of_stream:
                groups.setdefault(stream.group, []).append(of_stream[index])
        negatives = groups.pop("")
        step_ms = round(negatives[0].step_s * 1000)
        points = sweep(groups, negatives, self.detector.refractory_steps(step_ms))
        return judge(points, self.config.select_false_accepts_per_hour)

    def _loss(self, model: Sequential) -> float:
        losses = []
        for batch in self.batches:
            features = whole_steps(batch.features, model.stride).to(device_of(model))
            with torch.no_grad():
                logits = model(quantized_input(features, input_quant(self.frontend)))
                targets = self.labeller(batch.spans.to(features.device), features.shape[1])
                losses.append(float(terms(logits, targets, self.config).loss()))
        return float(np.mean(losses))


@dataclass(frozen=True)
class GroupRates:
    """What a threshold costs: false accepts per hour, and the false reject rate of each group."""

    threshold: int
    false_accepts_per_hour: float
    groups: Mapping[str, float]

    @property
    def false_reject_rate(self) -> float:
        """The mean over groups."""
        return float(np.mean(list(self.groups.values())))


@dataclass(frozen=True)
class PhraseResult:
    """What a trial finds for one phrase; see ``Trial``."""

    false_reject_rate: float
    mean_false_reject_rate: float
    false_accepts_per_hour: float
    threshold: int
    groups: Mapping[str, float]


def sweep(groups: Mapping[str, Sequence[Trace]], negatives: Sequence[Trace], refractory_steps: int) -> list[GroupRates]:
    """Return the rates at each threshold worth trying, ascending; the last one never fires and keeps every target."""
    streams = Sweep.by_stream(groups, negatives, refractory_steps)
    rates = []
    for threshold in (*streams.thresholds(THRESHOLDS_AT_MOST), NEVER):
        measured = streams.at(threshold)
        shares = (missed / words for missed, words in zip(measured.missed, streams.words, strict=True))
        by_group = dict(zip(streams.groups, shares, strict=True))
        rates.append(GroupRates(threshold, measured.false_accepts_per_hour, by_group))
    return rates


def judge(points: Sequence[GroupRates], target_per_hour: float) -> PhraseResult:
    """Return the misses at a target of false accepts per hour, and their mean over the octaves around it."""
    chosen = best(points, target_per_hour)
    around = [best(points, target_per_hour * 2.0**octave).false_reject_rate for octave in OCTAVES]
    return PhraseResult(
        false_reject_rate=chosen.false_reject_rate,
        mean_false_reject_rate=float(np.mean(around)),
        false_accepts_per_hour=chosen.false_accepts_per_hour,
        threshold=chosen.threshold,
        groups=chosen.groups,
    )


def streamed(model: Sequential, features: Tensor, quant: Quant = INPUT_QUANT) -> Tensor:
    """Return the model's logits over a stream in chunks: int16 [frames, bands] -> float32 [steps, outputs], CPU."""
    place = device_of(model)
    state = model.initial_state(1)
    parts = []
    frames = whole_steps(features[None], model.stride)
    chunk = CHUNK_FRAMES - CHUNK_FRAMES % model.stride
    with torch.no_grad():
        for begin in range(0, frames.shape[1], chunk):
            logits, state = model.step(quantized_input(frames[:, begin : begin + chunk].to(place), quant), state)
            parts.append(logits[0].cpu())
    return torch.cat(parts)


def logit_steps(logits: Tensor) -> NDArray[np.int8]:
    """Return float logits [steps, outputs] as the integers that the decision logic takes."""
    centred = (logits - logits.mean(dim=-1, keepdim=True)).numpy() * LOGIT_STEPS
    return np.clip(np.rint(centred), -128, 127).astype(np.int8)


def whole_steps(features: Tensor, stride: int) -> Tensor:
    """Return [clips, frames, bands] without the last frames that fill no step of the model."""
    return features[:, : features.shape[1] - features.shape[1] % stride]


def device_of(model: Sequential) -> torch.device:
    """Return what the model's weights lie on."""
    return next(model.parameters()).device


def _mean_groups(results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = sorted({name for groups in results for name in groups})
    return {name: float(np.mean([groups[name] for groups in results if name in groups])) for name in names}
