"""Layers over time and over single frames, for maps without a frequency axis."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kws.models.layers.convolve import over_time
from kws.models.layers.norm import FeatureNorm
from kws.models.layers.windowed import Windowed, bias_parameter, he_normal
from kws.models.streaming import Streaming, StreamState


class TimeConv(Windowed):
    """Causal convolution over time, all inputs to all outputs: y[n] = bias + sum over k of weight[:, :, k] x[..].

    Shape: [batch, frames, inputs] -> [batch, frames / stride, outputs]; weight [outputs, inputs, kernel], bias
    [outputs] or None. The state is the last ``kernel - stride`` inputs, zeros at first; with a stride above the kernel
    the first ``skipped`` frames of each step are left out. ``norm`` stands between state and weights: the state holds
    raw features, so that the zeros before the first frame are digital silence and not the mean of the training data.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        norm: FeatureNorm | None = None,
        generator: torch.Generator | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(kernel, stride, inputs, outputs)
        self.inputs, self.outputs, self.kernel = inputs, outputs, kernel
        self.norm = norm
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel))
        self.bias = bias_parameter(outputs, bias)
        self.macs = self.weight.numel()
        he_normal(self.weight, inputs * kernel, generator)

    def convolve(self, joined: Tensor, stride: int) -> Tensor:
        """Convolve over time; one frame at a time is a matrix product."""
        normed = joined if self.norm is None else self.norm(joined)
        if self.kernel == 1:
            return F.linear(normed[:, ::stride], self.weight[:, :, 0], self.bias)
        return over_time(normed, self.weight, self.bias, stride)


class Dense(Streaming):
    """The same fully connected layer for every frame: [batch, frames, inputs] -> [batch, frames, outputs].

    weight [outputs, inputs], bias [outputs] or None.
    """

    def __init__(
        self, inputs: int, outputs: int, generator: torch.Generator | None = None, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = bias_parameter(outputs, bias)
        self.macs = self.weight.numel()
        he_normal(self.weight, inputs, generator)

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Map every frame by itself."""
        return F.linear(x, self.weight, self.bias), state


class Relu(Streaming):
    """max(x, 0), any shape; lowered as the fused activation of the layer before it."""

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Map every value by itself."""
        return F.relu(x), state
