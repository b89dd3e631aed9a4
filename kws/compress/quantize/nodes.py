"""The float64 graph between a torch model and the integer graph: a few kinds of nodes over named maps.

A map is [frames, frequency, channels] (a batch axis in front when it is run); frequency and channels are a node's own,
frames follow from the strides. What a node cannot see yet, before the first frame, and what it pads is 0.0.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kws.graph.ir import Activation

FEATURES = "features"
"""The name of the input, [frames, bands]: no map yet, so that whoever reads it reshapes it."""

LOGITS = "logits"
"""The name of the last node."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """A name that is unique in its graph, the names that are read, frequency and channels of what is given."""

    name: str
    inputs: tuple[str, ...]
    frequency: int
    channels: int

    @property
    def frame_stride(self) -> int:
        """Input frames per output frame."""
        return 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Windowed(Node):
    """What both convolutions have: weights with outputs, kernel_time, kernel_frequency first; bias [outputs].

    Output n sees the ``span`` frames that end at frame (n + 1) stride_time - 1, the kernel's rows ``dilation_time``
    frames apart. There is no padding over frequency.
    """

    weights: Array
    bias: Array
    stride_time: int = 1
    stride_frequency: int = 1
    dilation_time: int = 1
    activation: Activation = "none"

    @property
    def frame_stride(self) -> int:
        """Input frames per output frame."""
        return self.stride_time

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows and columns of the kernel."""
        return self.weights.shape[1], self.weights.shape[2]

    @property
    def span(self) -> int:
        """Frames that one output sees, those between the kernel's rows included."""
        return (self.kernel[0] - 1) * self.dilation_time + 1

    @property
    def carried(self) -> int:
        """Input frames that are remembered from one step to the next."""
        return max(self.span - self.stride_time, 0)

    @property
    def skipped(self) -> int:
        """Input frames at the start of a step that nothing sees: those by which the stride exceeds the span."""
        return max(self.stride_time - self.span, 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Windowed):
    """Every input channel to every output channel: weights [outputs, kernel_time, kernel_frequency, inputs]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Depthwise(Windowed):
    """Each channel by itself: weights [channels, kernel_time, kernel_frequency]."""

    @property
    def is_pointwise(self) -> bool:
        """Whether it is an affine map of each value by itself (and its activation)."""
        return self.kernel == (1, 1) and (self.stride_time, self.stride_frequency) == (1, 1)

    @property
    def is_identity(self) -> bool:
        """Whether nothing but the activation is left of it."""
        return self.is_pointwise and bool((self.weights == 1.0).all()) and not self.bias.any()


@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(Node):
    """Zeros before and after the frequency axis."""

    before: int
    after: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Node):
    """The sum of two maps; the second may have a single frequency, which is added to all of the first's."""

    activation: Activation = "none"


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Node):
    """The largest value of each window; the stride is the window, what does not fill one is left."""

    window_time: int
    window_frequency: int

    @property
    def frame_stride(self) -> int:
        """Input frames per output frame."""
        return self.window_time


@dataclass(frozen=True, eq=False, kw_only=True)
class Mean(Node):
    """The mean over the frequency axis."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Node):
    """The same values in the same order, with another frequency axis."""


@dataclass(frozen=True)
class FloatGraph:
    """Nodes in execution order; ``output`` names the one that gives the logits, ``bands`` is the features' width."""

    bands: int
    nodes: tuple[Node, ...]
    output: str

    @cached_property
    def strides(self) -> dict[str, int]:
        """LFBE frames per frame of each map, by name."""
        strides = {FEATURES: 1}
        for node in self.nodes:
            strides[node.name] = strides[node.inputs[0]] * node.frame_stride
        return strides

    @property
    def stride(self) -> int:
        """LFBE frames per row of logits."""
        return self.strides[self.output]
