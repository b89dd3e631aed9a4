"""A trained streaming model to the integer graph: int8 weights per output channel, int32 biases, explicit state."""

import numpy as np
from numpy.typing import NDArray

from kws.compress.calibrate import Calibration
from kws.compress.stages import Stage
from kws.errors import KwsError
from kws.graph.check import check
from kws.graph.ir import Concat, Conv2D, Op, Quant, QuantGraph, Reshape, Slice, State, Tensor

LARGEST_BIAS = 2.0**30
"""Bound on an int32 bias, half the range, so that accumulators have room."""


def lower(model_stages: list[Stage], calibration: Calibration, latency_frames: int = 0) -> QuantGraph:
    """Return the graph of one streaming step, checked.

    A step takes as many frames as the stages' strides multiply to and gives one row of logits. Each stage that
    remembers frames gets a state [frames, 1, channels], joined before its convolution.

    Raises:
        KwsError: the stages do not fit together, or the result breaks a rule of the graph.
    """
    stride = int(np.prod([stage.stride for stage in model_stages]))
    bands = model_stages[0].weights.shape[2]
    builder = _Builder(calibration.input, stride, bands)
    for stage, quant in zip(model_stages, calibration.outputs, strict=True):
        builder.add(stage, quant)
    graph = QuantGraph(
        tensors=tuple(builder.tensors),
        ops=tuple(builder.ops),
        states=tuple(builder.states),
        input="features",
        output=builder.current.name,
        latency_frames=latency_frames,
    )
    check(graph)
    return graph


class _Builder:
    """Appends stages to a graph; ``current`` is the tensor [frames, 1, channels] that the next one reads."""

    def __init__(self, quant: Quant, stride: int, bands: int) -> None:
        self.tensors = [Tensor("features", (stride, bands), quant)]
        self.ops: list[Op] = []
        self.states: list[State] = []
        self.current = self._tensor("features_map", (stride, 1, bands), quant)
        self.ops.append(Reshape("features", "features_map"))

    def add(self, stage: Stage, quant: Quant) -> None:
        """Append one stage, its state and its output's quantization."""
        if stage.weights.shape[2] != self.current.shape[2]:
            raise KwsError(
                f"{stage.name}: takes {stage.weights.shape[2]} channels, but {self.current.name} has "
                f"{self.current.shape[2]}; the layers do not fit together"
            )
        source = self._with_past(stage)
        weights, scales, bias = quantize_weights(stage, source.quant)
        frames = self.current.shape[0] // stage.stride
        self.current = self._tensor(stage.name, (frames, 1, len(bias)), quant)
        self.ops.append(
            Conv2D(
                input=source.name,
                output=stage.name,
                weights=weights[:, :, None, :],
                weight_scales=scales,
                bias=bias,
                stride_time=stage.stride,
                activation=stage.activation,
            )
        )

    def _with_past(self, stage: Stage) -> Tensor:
        """Join the carried frames before the current ones, and carry the last on; nothing where none is carried."""
        if not stage.carried:
            return self.current
        frames, _, channels = self.current.shape
        quant = self.current.quant
        past = self._tensor(f"{stage.name}_past", (stage.carried, 1, channels), quant)
        window = self._tensor(f"{stage.name}_window", (stage.carried + frames, 1, channels), quant)
        carry = self._tensor(f"{stage.name}_next", (stage.carried, 1, channels), quant)
        self.ops.append(Concat((past.name, self.current.name), window.name))
        self.ops.append(Slice(window.name, carry.name, begin=frames))
        self.states.append(State(read=past.name, write=carry.name))
        return window

    def _tensor(self, name: str, shape: tuple[int, ...], quant: Quant) -> Tensor:
        tensor = Tensor(name, shape, quant)
        self.tensors.append(tensor)
        return tensor


def quantize_weights(
    stage: Stage, input_quant: Quant
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.int32]]:
    """Return int8 weights [outputs, kernel, inputs] in -127..127, float32 scales [outputs], int32 bias [outputs].

    Symmetric per output channel, the largest weight at 127; a channel whose bias would not fit gets a larger scale.
    """
    largest = np.abs(stage.weights).max(axis=(1, 2)) / 127.0
    for_bias = np.abs(stage.bias) / (input_quant.scale * LARGEST_BIAS)
    scales = np.maximum(np.maximum(largest, for_bias), 1e-9).astype(np.float32)
    exact = scales.astype(np.float64)
    weights = np.clip(np.rint(stage.weights / exact[:, None, None]), -127, 127).astype(np.int8)
    bias = np.rint(stage.bias / (input_quant.scale * exact)).astype(np.int64)
    return weights, scales, np.clip(bias, -(2**31) + 1, 2**31 - 1).astype(np.int32)
