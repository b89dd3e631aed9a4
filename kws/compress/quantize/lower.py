"""A calibrated float graph to the integer graph of one step: int8 weights, int32 biases, explicit states."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from kws.compress.quantize.calibrate import Calibration
from kws.compress.quantize.nodes import (
    FEATURES,
    Add,
    Array,
    Convolution,
    Depthwise,
    FloatGraph,
    MaxPool,
    Mean,
    Node,
    Pad,
    Reshape,
    Windowed,
)
from kws.graph import ir
from kws.graph.check import check

Bits = Callable[[FloatGraph, Windowed], ir.WeightBits]
"""How many bits the weights of a convolution of the graph have."""

LARGEST_BIAS = 2.0**30
"""Bound on an int32 bias, half the range, so that accumulators have room."""


def eight_bits(graph: FloatGraph, node: Windowed) -> ir.WeightBits:
    """Return 8 for every convolution."""
    return 8


def four_bits(graph: FloatGraph, node: Windowed) -> ir.WeightBits:
    """Return 4 for every convolution but those that are few bytes and cost much: depthwise ones and the logits'.

    A depthwise channel has a handful of weights, whose errors nothing averages out; a logit's error is the posterior's.
    """
    return 8 if isinstance(node, Depthwise) or node.name == graph.output else 4


def lower(
    graph: FloatGraph, calibration: Calibration, latency_frames: int = 0, bits: Bits = eight_bits
) -> ir.QuantGraph:
    """Return the graph of one streaming step, checked; ``bits`` says how many each convolution's weights have.

    A step takes as many frames as the strides multiply to and gives one row of logits; a map before the last stride
    has several rows. Each convolution that remembers frames gets a state [frames, frequency, channels], joined before
    it.

    Raises:
        KwsError: the result breaks a rule of the graph.
    """
    builder = _Builder(graph, calibration, bits)
    for node in graph.nodes:
        builder.ops.append(_OPERATORS[type(node)](builder, node, [builder.tensors[name] for name in node.inputs]))
    lowered = ir.QuantGraph(
        tensors=tuple(builder.tensors.values()),
        ops=tuple(builder.ops),
        states=tuple(builder.states),
        input=FEATURES,
        output=graph.output,
        latency_frames=latency_frames,
    )
    check(lowered)
    return lowered


def quantize_weights(
    weights: Array, bias: Array, input_scale: float, input_mean: Array | float = 0.0, bits: ir.WeightBits = 8
) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.int32]]:
    """Quantize float64 weights [outputs, ...] and bias [outputs] of what reads activations of ``input_scale``.

    Return int8 weights of the same shape, float32 scales [outputs], int32 bias [outputs]: symmetric per output channel.
    Of eight bits they are -127..127, the largest at 127; of four -7..7, the scale being the one of the least squared
    error, which clips. A channel whose bias would not fit gets a larger scale. What the rounded
    weights make of ``input_mean`` (broadcast to the weights) too much is taken from the bias (Nagel et al. 2019,
    "Data-free quantization through weight equalization and bias correction", section 4.2).
    """
    rows = weights.reshape(len(weights), -1)
    most = 127 if bits == 8 else 7
    largest = np.abs(rows).max(axis=1) / most
    if bits == 4:
        largest *= _best_shares(rows, largest, most)
    for_bias = np.abs(bias) / (input_scale * LARGEST_BIAS)
    scales = np.maximum(np.maximum(largest, for_bias), 1e-9).astype(np.float32)
    exact = scales.astype(np.float64)
    quantized = np.clip(np.rint(rows / exact[:, None]), -most, most)
    errors = (quantized * exact[:, None] - rows).reshape(weights.shape) * input_mean
    corrected = bias - errors.reshape(len(weights), -1).sum(axis=1)
    quantized_bias = np.clip(np.rint(corrected / (input_scale * exact)), -(2**31) + 1, 2**31 - 1)
    return quantized.reshape(weights.shape).astype(np.int8), scales, quantized_bias.astype(np.int32)


def _best_shares(rows: Array, scales: Array, most: int) -> Array:
    """Return, of shares of each row's scale, the one by which the row is rounded and clipped with the least error."""
    safe = np.maximum(scales, 1e-12)[:, None]
    best, least = np.ones(len(rows)), np.full(len(rows), np.inf)
    for share in np.linspace(1.0, 0.5, 51):
        rounded = np.clip(np.rint(rows / (share * safe)), -most, most) * share * safe
        errors = np.square(rounded - rows).sum(axis=1)
        best, least = np.where(errors < least, share, best), np.minimum(errors, least)
    return best


class _Builder:
    """Tensors by name, operators and states, while the graph is made."""

    def __init__(self, graph: FloatGraph, calibration: Calibration, bits: Bits) -> None:
        self.graph, self.quants, self.means, self.bits = graph, calibration.quants, calibration.means, bits
        self.tensors: dict[str, ir.Tensor] = {}
        self.ops: list[ir.Op] = []
        self.states: list[ir.State] = []
        self.tensor(FEATURES, (graph.stride, graph.bands), self.quants[FEATURES])

    def tensor(self, name: str, shape: tuple[int, ...], quant: ir.Quant) -> ir.Tensor:
        """Add a tensor."""
        self.tensors[name] = ir.Tensor(name, shape, quant)
        return self.tensors[name]

    def output(self, node: Node) -> str:
        """Add the tensor that a node gives: as many rows as its stride leaves of a step's frames."""
        rows = self.graph.stride // self.graph.strides[node.name]
        return self.tensor(node.name, (rows, node.frequency, node.channels), self.quants[node.name]).name

    def window(self, node: Windowed, source: ir.Tensor) -> ir.Tensor:
        """Return what the kernel runs over: the carried frames and the step's, less those that it skips."""
        rows, *shape = source.shape
        if node.skipped:
            seen = self.tensor(f"{node.name}_seen", (rows - node.skipped, *shape), source.quant)
            self.ops.append(ir.Slice(source.name, seen.name, begin=node.skipped))
            return seen
        if not node.carried:
            return source
        past = self.tensor(f"{node.name}_past", (node.carried, *shape), source.quant)
        window = self.tensor(f"{node.name}_window", (node.carried + rows, *shape), source.quant)
        carry = self.tensor(f"{node.name}_next", (node.carried, *shape), source.quant)
        self.ops.append(ir.Concat((past.name, source.name), window.name))
        self.ops.append(ir.Slice(window.name, carry.name, begin=rows))
        self.states.append(ir.State(read=past.name, write=carry.name))
        return window

    def constants(
        self, node: Windowed, source: ir.Tensor
    ) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.int32], ir.WeightBits]:
        """Return a convolution's quantized weights, scales and bias, and the weights' bits."""
        under = sliding_window_view(self.means[node.inputs[0]], node.kernel[1], axis=0)[:: node.stride_frequency]
        mean = under.mean(axis=0)  # [inputs, kernel_frequency], over the kernel's places
        aligned = mean.T if isinstance(node, Convolution) else mean[:, None, :]
        bits = self.bits(self.graph, node)
        return *quantize_weights(node.weights, node.bias, source.quant.scale, aligned, bits), bits


# ---- a function per node: its operator, which reads ``sources`` ----


def _convolution(builder: _Builder, node: Convolution, sources: list[ir.Tensor]) -> ir.Op:
    source = builder.window(node, sources[0])
    weights, scales, bias, bits = builder.constants(node, source)
    return ir.Conv2D(
        input=source.name,
        output=builder.output(node),
        weights=weights,
        weight_scales=scales,
        bias=bias,
        stride_time=node.stride_time,
        stride_frequency=node.stride_frequency,
        activation=node.activation,
        weight_bits=bits,
    )


def _depthwise(builder: _Builder, node: Depthwise, sources: list[ir.Tensor]) -> ir.Op:
    source = builder.window(node, sources[0])
    weights, scales, bias, bits = builder.constants(node, source)
    return ir.DepthwiseConv2D(
        input=source.name,
        output=builder.output(node),
        weights=np.ascontiguousarray(weights.transpose(1, 2, 0)),
        weight_scales=scales,
        bias=bias,
        stride_time=node.stride_time,
        stride_frequency=node.stride_frequency,
        dilation_time=node.dilation_time,
        activation=node.activation,
        weight_bits=bits,
    )


def _pad(builder: _Builder, node: Pad, sources: list[ir.Tensor]) -> ir.Op:
    return ir.Pad(sources[0].name, builder.output(node), node.before, node.after)


def _add(builder: _Builder, node: Add, sources: list[ir.Tensor]) -> ir.Op:
    return ir.Add((sources[0].name, sources[1].name), builder.output(node), node.activation)


def _max_pool(builder: _Builder, node: MaxPool, sources: list[ir.Tensor]) -> ir.Op:
    return ir.MaxPool2D(sources[0].name, builder.output(node), node.window_time, node.window_frequency)


def _mean(builder: _Builder, node: Mean, sources: list[ir.Tensor]) -> ir.Op:
    return ir.AveragePool2D(sources[0].name, builder.output(node), 1, sources[0].shape[1])


def _reshape(builder: _Builder, node: Reshape, sources: list[ir.Tensor]) -> ir.Op:
    return ir.Reshape(sources[0].name, builder.output(node))


_OPERATORS: dict[type[Node], Callable[[_Builder, Any, list[ir.Tensor]], ir.Op]] = {
    Convolution: _convolution,
    Depthwise: _depthwise,
    Pad: _pad,
    Add: _add,
    MaxPool: _max_pool,
    Mean: _mean,
    Reshape: _reshape,
}
