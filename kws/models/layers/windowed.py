"""What every layer that looks at more than one frame has in common: its window, and the frames it carries on."""

import math

import torch
from torch import Tensor, nn

from kws.models.streaming import Streaming, StreamState


class Windowed(Streaming):
    """Base of convolutions over time: output n depends on the ``span`` frames that end at frame (n + 1) stride - 1.

    Shape: [batch, frames, width] -> [batch, frames / stride, out_width]. The state is the last ``span - stride``
    frames, zeros at first; a span below the stride leaves out the first ``stride - span`` frames of each step.
    A subclass has a ``weight`` and defines ``convolve``.
    """

    weight: Tensor

    def __init__(self, span: int, stride: int, width: int, out_width: int) -> None:
        super().__init__()
        if span < 1 or stride < 1:
            raise ValueError(
                f"{type(self).__name__} needs a kernel and a stride of at least 1, not {span} and {stride}"
            )
        self.stride, self.receptive_field = stride, span
        self.carried, self.skipped = max(span - stride, 0), max(stride - span, 0)
        self.width, self.out_width = width, out_width
        self.padded_width = width

    def initial_state(self, batch: int) -> StreamState:
        """Return ``carried`` frames of zeros; nothing where no frame is carried over."""
        return (self.weight.new_zeros(batch, self.carried, self.width),) if self.carried else ()

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Convolve the carried frames and the chunk; carry the last frames on."""
        self.check_chunk(x)
        joined = self._joined(x, state)
        after = tuple(joined[:, joined.shape[1] - old.shape[1] :] for old in state)
        return self._guarded(joined, self.stride), after

    def sampled(self, x: Tensor, every: int, phase: int) -> Tensor:
        """Return ``forward(x)[:, phase::every]``, computing nothing else."""
        self.check_chunk(x)
        joined = self._joined(x, self.initial_state(x.shape[0]))
        return self._guarded(joined[:, phase * self.stride :], every * self.stride)

    def convolve(self, joined: Tensor, stride: int) -> Tensor:
        """Return the outputs of all windows that fit into ``joined`` [batch, span or more, width], from the first on.

        ``stride`` is the time stride to use, a multiple of the layer's own.
        """
        # As in Streaming.step: nn.Module has no ABCMeta, and a layer without it must still say its own name.
        raise NotImplementedError(f"{type(self).__name__} must define convolve")

    def _joined(self, x: Tensor, state: StreamState) -> Tensor:
        return torch.cat((*state, x), dim=1) if state else x[:, self.skipped :]

    def _guarded(self, joined: Tensor, stride: int) -> Tensor:
        if joined.shape[1] < self.receptive_field:  # an empty chunk
            return joined.new_zeros(joined.shape[0], 0, self.out_width)
        return self.convolve(joined, stride)


def he_normal(weight: Tensor, fan_in: int, generator: torch.Generator | None) -> None:
    """Fill with normal values of variance 2 / fan_in (He et al. 2015, eq. 10), from an explicit generator."""
    with torch.no_grad():
        weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)


def bias_parameter(count: int, used: bool) -> nn.Parameter | None:
    """Return ``count`` zeros, or None for a layer without bias, as one before a BatchNorm."""
    return nn.Parameter(torch.zeros(count)) if used else None
