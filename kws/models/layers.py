"""The streaming layers that models are made of. Each one can be lowered by ``kws.compress.lower``."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kws.models.streaming import Streaming, StreamState


class FeatureNorm(Streaming):
    """A fixed affine map per band, ``(x - mean) / deviation``: buffers, not parameters; folded away when lowered.

    Shape: [batch, frames, bands] -> the same. It never adapts to an utterance: what the device cannot know,
    training must not use.

    >>> FeatureNorm(2).set(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0]))(torch.tensor([[[3.0, 5.0]]]))
    tensor([[[1., 3.]]])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.bands = bands
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("deviation", torch.ones(bands))

    def set(self, mean: Tensor, deviation: Tensor) -> "FeatureNorm":
        """Set both from the training data, [bands] each, in log2 units; deviations are at least 1e-3."""
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.clamp(min=1e-3))
        return self

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Map every frame by itself."""
        return (x - self.mean) / self.deviation, state


class TimeConv(Streaming):
    """Causal convolution over time, all inputs to all outputs: y[n] = bias + sum over k of weight[:, :, k] x[..].

    Shape: [batch, frames, inputs] -> [batch, frames / stride, outputs]. The state is the last ``kernel - stride``
    inputs, zeros at first. ``norm`` stands between state and weights: the state holds raw features, so that the
    zeros before the first frame are digital silence and not the mean of the training data.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        norm: FeatureNorm | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= stride <= kernel:
            raise ValueError(f"stride must be 1 to the kernel's {kernel} frames, not {stride}")
        self.inputs, self.outputs, self.kernel, self.stride = inputs, outputs, kernel, stride
        self.receptive_field = kernel
        self.norm = norm
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        he_normal(self.weight, inputs * kernel, generator)

    def initial_state(self, batch: int) -> StreamState:
        """Return ``kernel - stride`` frames of zeros; nothing where no frame is carried over."""
        carried = self.kernel - self.stride
        return (self.weight.new_zeros(batch, carried, self.inputs),) if carried else ()

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Convolve the carried frames and the chunk; carry the last frames on."""
        self.check_chunk(x)
        joined = torch.cat((*state, x), dim=1)
        carried = tuple(joined[:, joined.shape[1] - old.shape[1] :] for old in state)
        return self._convolve(joined, self.stride), carried

    def sampled(self, x: Tensor, every: int, phase: int) -> Tensor:
        """Return ``forward(x)[:, phase::every]``, computing nothing else."""
        self.check_chunk(x)
        joined = torch.cat((*self.initial_state(x.shape[0]), x), dim=1)
        return self._convolve(joined[:, phase * self.stride :], every * self.stride)

    def _convolve(self, joined: Tensor, stride: int) -> Tensor:
        if joined.shape[1] < self.kernel:  # an empty chunk
            return joined.new_zeros(joined.shape[0], 0, self.outputs)
        normed = joined if self.norm is None else self.norm(joined)
        return F.conv1d(normed.transpose(1, 2), self.weight, self.bias, stride=stride).transpose(1, 2)


class Dense(Streaming):
    """The same fully connected layer for every frame: [batch, frames, inputs] -> [batch, frames, outputs]."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        he_normal(self.weight, inputs, generator)

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Map every frame by itself."""
        return F.linear(x, self.weight, self.bias), state


class Relu(Streaming):
    """max(x, 0), any shape; lowered as the fused activation of the layer before it."""

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Map every value by itself."""
        return F.relu(x), state


class Sequential(Streaming):
    """Layers one after the other; stride, latency, receptive field and state follow from theirs."""

    def __init__(self, layers: Sequence[Streaming]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.stride, self.latency, self.receptive_field = 1, 0, 1
        for layer in layers:
            self.receptive_field += (layer.receptive_field - 1) * self.stride
            self.latency += layer.latency * self.stride
            self.stride *= layer.stride
        self._states = [len(layer.initial_state(1)) for layer in layers]

    def children_in_order(self) -> list[Streaming]:
        """Return the layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Streaming)]

    def initial_state(self, batch: int) -> StreamState:
        """Return every layer's initial state, joined in order."""
        return tuple(part for layer in self.children_in_order() for part in layer.initial_state(batch))

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Run the chunk through every layer."""
        self.check_chunk(x)
        after: list[Tensor] = []
        begin = 0
        for layer, count in zip(self.children_in_order(), self._states, strict=True):
            x, part = layer.step(x, state[begin : begin + count])
            after.extend(part)
            begin += count
        return x, tuple(after)

    def sampled(self, x: Tensor, every: int, phase: int) -> Tensor:
        """Return ``forward(x)[:, phase::every]``; cheaper where only the first layer looks at more than one frame."""
        first, *rest = self.children_in_order()
        if any(layer.receptive_field > 1 for layer in rest):
            return super().sampled(x, every, phase)
        self.check_chunk(x)
        y = first.sampled(x, every, phase)
        for layer in rest:
            y = layer(y)
        return y


def he_normal(weight: Tensor, fan_in: int, generator: torch.Generator | None) -> None:
    """Fill with normal values of variance 2 / fan_in (He et al. 2015, eq. 10), from an explicit generator."""
    with torch.no_grad():
        weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
