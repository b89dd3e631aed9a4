"""The quantized graph: frozen data, one streaming step at a time, state as explicit input and output.

A tensor of a step has no batch axis. The input is ``[stride, bands]`` int8; inside the graph feature maps are
``[time, frequency, channels]``. Weights are int8 or of four bits, biases int32, every activation int8 with one scale
and zero point. A real value is ``scale * (q - zero_point)``. A state starts at its zero point (the real value 0).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Activation = Literal["none", "relu"]
WeightBits = Literal[8, 4]


@dataclass(frozen=True)
class Quant:
    """Scale (exactly representable in float32, as the file formats store it) and zero point (-128..127)."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Tensor:
    """One int8 activation: a name that is unique in its graph, a shape without batch axis, its quantization."""

    name: str
    shape: tuple[int, ...]
    quant: Quant


@dataclass(frozen=True)
class State:
    """What a step carries to the next: ``read`` is filled from what the last step left in ``write``."""

    read: str
    write: str


@dataclass(frozen=True)
class Reshape:
    """The same values in the same order, in the output's shape."""

    input: str
    output: str


@dataclass(frozen=True)
class Concat:
    """Inputs joined along axis 0 (time), oldest first; all share shape[1:] and quantization."""

    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class Slice:
    """Rows ``begin`` .. ``begin + output rows - 1`` along axis 0 (time); the quantization stays."""

    input: str
    output: str
    begin: int


@dataclass(frozen=True, eq=False)
class Conv2D:
    """Valid two-dimensional convolution, per output channel weight scales, fused activation.

    Input [time, frequency, in], weights [out, kernel_time, kernel_frequency, in] int8 in -127..127 (symmetric),
    weight_scales [out] float32, bias [out] int32 at scale input.scale * weight_scales; output
    [1 + (time - kernel_time) // stride_time, 1 + (frequency - kernel_frequency) // stride_frequency, out].
    A dense layer is a 1 x 1 convolution of a 1 x 1 map. With ``weight_bits`` 4 the weights are -7..7, and files and
    devices hold two in a byte; the arithmetic is the same.
    """

    input: str
    output: str
    weights: NDArray[np.int8]
    weight_scales: NDArray[np.float32]
    bias: NDArray[np.int32]
    stride_time: int = 1
    stride_frequency: int = 1
    activation: Activation = "none"
    weight_bits: WeightBits = 8


@dataclass(frozen=True, eq=False)
class DepthwiseConv2D:
    """Valid convolution of each channel by itself, per channel weight scales, fused activation.

    Input [time, frequency, channels], weights [kernel_time, kernel_frequency, channels] int8 in -127..127,
    weight_scales [channels] float32, bias [channels] int32 at scale input.scale * weight_scales. With ``dilation_time``
    d the kernel's rows are d input rows apart, so that it spans (kernel_time - 1) * d + 1 rows. ``weight_bits`` as in
    ``Conv2D``.
    """

    input: str
    output: str
    weights: NDArray[np.int8]
    weight_scales: NDArray[np.float32]
    bias: NDArray[np.int32]
    stride_time: int = 1
    stride_frequency: int = 1
    dilation_time: int = 1
    activation: Activation = "none"
    weight_bits: WeightBits = 8


@dataclass(frozen=True)
class Pad:
    """``before`` and ``after`` more positions of the frequency axis, at the zero point; the quantization stays."""

    input: str
    output: str
    before: int
    after: int


@dataclass(frozen=True)
class Add:
    """The sum of two maps of one shape, rescaled to the output's quantization as TFLite does it (left shift 20).

    The second input may have a single frequency position, which is then added to all of the first's.
    """

    inputs: tuple[str, str]
    output: str
    activation: Activation = "none"


@dataclass(frozen=True)
class MaxPool2D:
    """The largest value of each window of ``window_time`` x ``window_frequency``; the stride is the window, floor.

    The quantization stays.
    """

    input: str
    output: str
    window_time: int
    window_frequency: int


@dataclass(frozen=True)
class AveragePool2D:
    """The mean of each window, rounded half away from zero on the int8 values; the stride is the window, floor.

    The quantization stays.
    """

    input: str
    output: str
    window_time: int
    window_frequency: int


Op = Reshape | Concat | Slice | Conv2D | DepthwiseConv2D | Pad | Add | MaxPool2D | AveragePool2D


@dataclass(frozen=True, eq=False)
class QuantGraph:
    """One streaming step: ``ops`` in execution order over named ``tensors``.

    ``input`` [stride, bands] takes the LFBE frames, quantized by ``arithmetic.quantize_features`` to its scale and
    zero point; ``output`` [1, 1, outputs] (or any shape with ``outputs`` values) holds the logits of one decision.
    ``latency_frames`` is how many frames later than its own a decision is made (declared by the model).
    """

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    states: tuple[State, ...]
    input: str
    output: str
    latency_frames: int = 0

    def tensor(self, name: str) -> Tensor:
        """Return the tensor called ``name``; ``KeyError`` when the graph has none."""
        for tensor in self.tensors:
            if tensor.name == name:
                return tensor
        raise KeyError(name)

    @property
    def stride(self) -> int:
        """LFBE frames taken by one step."""
        return self.tensor(self.input).shape[0]

    @property
    def outputs(self) -> int:
        """Logits given by one step."""
        return int(np.prod(self.tensor(self.output).shape))
