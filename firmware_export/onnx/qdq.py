"""The operators that compute, in QDQ form: DequantizeLinear, the float operator, QuantizeLinear.

Runtimes and accelerators recognize this form and fuse it into integer operators of their own, which round once where
the graph rounds twice: ``rounding`` bounds the difference. The exact form is ``integer``.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_export.lowering import Lowerings
from firmware_export.onnx.builder import Writer, name_of
from firmware_export.onnx.lowering import LOWERINGS as MOVES
from kws.graph.ir import Activation, Add, AveragePool2D, Conv2D, DepthwiseConv2D

LOWERINGS = Lowerings[Writer]("ONNX", MOVES)


@LOWERINGS.of(Conv2D)
def _conv_2d(writer: Writer, op: Conv2D) -> None:
    _convolve(writer, op, op.weights.transpose(0, 3, 1, 2))


@LOWERINGS.of(DepthwiseConv2D)
def _depthwise_conv_2d(writer: Writer, op: DepthwiseConv2D) -> None:
    weights = op.weights.transpose(2, 0, 1)[:, None]
    _convolve(writer, op, weights, group=len(weights), dilations=[op.dilation_time, 1])


def _convolve(writer: Writer, op: Conv2D | DepthwiseConv2D, weights: NDArray[np.int8], **attributes: Any) -> None:
    """Write a convolution with ``weights`` [out, in, time, frequency]."""
    name = op.output
    scales = op.weight_scales.astype(np.float32)
    bias_scales = np.float32(writer.graph.tensor(op.input).quant.scale) * scales
    sources = [
        _real(writer, op.input, f"real_input/{name}", channels_first=True),
        _dequantized(writer, writer.weights(f"weights/{name}", weights, op.weight_bits), scales),
        _dequantized(writer, writer.constant(f"bias/{name}", op.bias), bias_scales),
    ]
    attributes |= {"strides": [op.stride_time, op.stride_frequency], "kernel_shape": list(weights.shape[2:])}
    real = writer.node("Conv", sources, f"sum/{name}", **attributes)
    _quantize(writer, real, name, op.activation, channels_first=True)


@LOWERINGS.of(Add)
def _add(writer: Writer, op: Add) -> None:
    first = all(map(writer.is_first, op.inputs))
    sources = [_real(writer, name, f"real_input{index}/{op.output}", first) for index, name in enumerate(op.inputs)]
    _quantize(writer, writer.node("Add", sources, f"sum/{op.output}"), op.output, op.activation, first)


@LOWERINGS.of(AveragePool2D)
def _average_pool_2d(writer: Writer, op: AveragePool2D) -> None:
    window = [op.window_time, op.window_frequency]
    source = _real(writer, op.input, f"real_input/{op.output}", channels_first=True)
    real = writer.node("AveragePool", [source], f"mean/{op.output}", kernel_shape=window, strides=window)
    _quantize(writer, real, op.output, "none", channels_first=True)


def _dequantized(writer: Writer, constant: str, scales: NDArray[np.float32]) -> str:
    """Add the real values of a symmetric constant, with a scale for each index of axis 0; return their name."""
    sources = [constant, writer.constant(f"scales/{constant}", scales)]
    return writer.node("DequantizeLinear", sources, f"real/{constant}", axis=0)


def _real(writer: Writer, tensor: str, name: str, channels_first: bool) -> str:
    """Add ``name`` with the real values of ``tensor``; return it."""
    source = writer.value(tensor, channels_first)
    return writer.node("DequantizeLinear", [source, *writer.quant(name, writer.graph.tensor(tensor).quant)], name)


def _quantize(writer: Writer, real: str, tensor: str, activation: Activation, channels_first: bool) -> None:
    """Make the graph's ``tensor`` from real values: apply the activation and quantize."""
    if activation == "relu":
        real = writer.node("Relu", [real], f"relu/{tensor}")
    name = name_of(tensor, channels_first)
    writer.node("QuantizeLinear", [real, *writer.quant(name, writer.graph.tensor(tensor).quant)], name)
    writer.define(tensor, name, channels_first)
