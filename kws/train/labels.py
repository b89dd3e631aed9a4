"""Where in a clip which output should speak: spans of keyword words -> a window for each label -> targets.

Output n of a model is about the middle of input frame (n + 1) * stride - 1 - latency, wherever in the clip that is.
Three kinds of window, by what an output stands for and by the loss:

- a word, frame loss: from the word's start to its end; within ``edge_ms`` of both nothing is asked.
- a word, max-pooling loss, and a phrase, either loss: from ``label_before_ms`` before the end to ``label_after_ms``
  after it; nothing is asked for ``label_guard_ms`` before and after the window. The rest of the phrase is filler, so
  that its beginning alone does not fire.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from kws.frontend import FrontendConfig
from kws.recipe.train import TrainConfig

UNKNOWN = -100
"""A target that counts for nothing."""

LabelUnit = Literal["words", "phrase"]


@dataclass(frozen=True, eq=False)
class Targets:
    """What is asked of the outputs of some clips.

    Attributes:
        labels: int64 [clips, outputs], the label at each output: 0 filler, ``UNKNOWN`` where nothing is asked.
        keywords: int64 [clips, windows], the label of each window; 0 where a clip has fewer windows.
        inside: bool [clips, windows, outputs], which outputs lie in which window.
    """

    labels: Tensor
    keywords: Tensor
    inside: Tensor

    def sampled(self, every: int, phase: int) -> "Targets":
        """Return the targets of outputs ``phase``, ``phase + every`` ..."""
        return Targets(self.labels[:, phase::every], self.keywords, self.inside[:, :, phase::every])


class Labeller:
    """Turns the spans of a batch into targets.

    Args:
        outputs: the model's output for each word of each phrase; for the unit "phrase" a phrase's words share one.
        unit: what an output stands for.
        config: the windows, in milliseconds, and the loss.
        frontend: where frames lie in time.
        stride, latency: the model's, in frames.
    """

    def __init__(
        self,
        outputs: tuple[tuple[int, ...], ...],
        unit: LabelUnit,
        config: TrainConfig,
        frontend: FrontendConfig,
        stride: int,
        latency: int,
    ) -> None:
        self.outputs, self.unit, self.config = outputs, unit, config
        self.stride, self.latency = stride, latency
        self.hop_s = frontend.hop_samples / frontend.sample_rate_hz
        self.window_s = frontend.window_samples / frontend.sample_rate_hz
        self.whole_words = unit == "words" and config.loss == "frame"
        words = max(len(phrase) for phrase in outputs)
        self._table = torch.tensor([[*phrase, *[0] * (words - len(phrase))] for phrase in outputs])
        self._last_word = torch.tensor([len(phrase) - 1 for phrase in outputs])

    def times_s(self, frames: int) -> Tensor:
        """Return the time that each output of ``frames`` input frames is about: float32 [frames // stride], seconds.

        Below zero: before the clip.
        """
        about = torch.arange(1, frames // self.stride + 1) * self.stride - 1 - self.latency
        return torch.where(about < 0, -1.0, about * self.hop_s + self.window_s / 2.0)

    def __call__(self, spans: Tensor, frames: int) -> Targets:
        """Return the targets of clips of ``frames`` frames: spans float32 [clips, words, 4] as in ``Batch``."""
        times = self.times_s(frames).to(spans.device)
        keywords, begin, end = (part[:, :, None] for part in self._windows(spans))
        inner, outer = self._margins_s()
        inside = (keywords > 0) & (times >= begin) & (times < end)
        near_begin = (times >= begin - outer) & (times < begin + inner)
        near_end = (times >= end - inner) & (times < end + outer)
        unknown = ((keywords > 0) & (near_begin | near_end)).any(dim=1) | (times < 0.0)
        # where windows overlap the later word counts
        labels = torch.zeros(spans.shape[0], len(times), dtype=torch.long, device=spans.device)
        for word in range(spans.shape[1]):
            labels = torch.where(inside[:, word], keywords[:, word], labels)
        return Targets(labels.masked_fill_(unknown, UNKNOWN), keywords[:, :, 0], inside & (times >= 0.0))

    def _windows(self, spans: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return label (0: none), begin and end in seconds of each span's window, [clips, words] each."""
        phrase, word = spans[:, :, 0].long(), spans[:, :, 1].long()
        there = phrase >= 0
        phrase, word = phrase.clamp(min=0), word.clamp(min=0)
        keywords = self._table.to(spans.device)[phrase, word] * there
        start, end = spans[:, :, 2], spans[:, :, 3]
        if self.whole_words:
            return keywords, start, end
        if self.unit == "phrase":
            keywords = keywords * (word == self._last_word.to(spans.device)[phrase])
        return keywords, end - self.config.label_before_ms / 1000.0, end + self.config.label_after_ms / 1000.0

    def _margins_s(self) -> tuple[float, float]:
        """Return how far inside and how far outside a window's edges nothing is asked, in seconds."""
        edge_s = self.config.edge_ms / 1000.0
        return (edge_s, edge_s) if self.whole_words else (0.0, self.config.label_guard_ms / 1000.0)
