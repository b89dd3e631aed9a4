"""A trained model as a float64 graph of what an integer graph knows: walk the module tree, then fold.

Everything that can be settled in float before quantization is settled here: the feature norm is in the first weights,
batch norms in the convolution before them, ReLUs in the node before them, and the logits are centred.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from kws.compress.quantize.fold import centre, fold
from kws.compress.quantize.nodes import FEATURES, Add, Array, Convolution, Depthwise, FloatGraph, MaxPool, Mean, Pad
from kws.compress.quantize.trace import Trace
from kws.errors import KwsError
from kws.models.layers import (
    BatchNorm,
    BroadcastResidual,
    Conv2d,
    Dense,
    DepthwiseConv2d,
    FeatureNorm,
    FrequencyMean,
    MaxPool2d,
    Relu,
    Residual,
    Sequential,
    TimeConv,
)
from kws.models.streaming import Streaming


def stages(model: Streaming) -> FloatGraph:
    """Return the model in evaluation as a graph, features to centred logits.

    Raises:
        KwsError: a layer has no place in the integer graph, layers do not fit together, or the last one gives no
            logits; the sentence names it.
    """
    trace = Trace()
    output = _layer(trace, model, "layer", FEATURES)
    if output == FEATURES or trace.bands is None:
        raise KwsError("the model has no layer; it cannot be lowered to an integer graph")
    return centre(fold(FloatGraph(trace.bands, tuple(trace.nodes.values()), output)))


def _layer(trace: Trace, layer: Streaming, name: str, source: str) -> str:
    """Append a layer that reads ``source``; return the name of what it gives."""
    if isinstance(layer, Sequential) and type(layer).step is Sequential.step:
        return _sequential(trace, layer, name, source)
    if type(layer) not in _LAYERS:
        raise KwsError(
            f"{name}: a {type(layer).__name__} cannot be lowered to the integer graph; build the model from the "
            "layers of kws.models.layers, or add a function for it to kws/compress/quantize/from_modules.py"
        )
    return _LAYERS[type(layer)](trace, layer, name, source)


# ---- a function per layer: append nodes that read ``source``, return the name of the last ----


def _sequential(trace: Trace, layer: Sequential, name: str, source: str) -> str:
    for index, child in enumerate(layer.children_in_order()):
        source = _layer(trace, child, f"{name}_{index}", source)
    return source


def _residual(trace: Trace, layer: Residual, name: str, source: str) -> str:
    body = _layer(trace, layer.body, f"{name}_body", source)
    other = source if layer.shortcut is None else _layer(trace, layer.shortcut, f"{name}_shortcut", source)
    return _sum(trace, name, body, other)


def _broadcast_residual(trace: Trace, layer: BroadcastResidual, name: str, source: str) -> str:
    frequency, channels = layer.mean.frequency, layer.mean.channels
    wide = _layer(trace, layer.body2d, f"{name}_body2d", source)
    wide = trace.as_map(wide, frequency, channels, f"{name}_mean")
    narrow = _layer(trace, layer.body1d, f"{name}_body1d", _frequency_mean(trace, layer.mean, f"{name}_mean", wide))
    narrow = trace.as_map(narrow, 1, channels, name)
    broadcast = f"{name}_broadcast" if layer.identity else name
    y = trace.add(Add(name=broadcast, inputs=(wide, narrow), frequency=frequency, channels=channels))
    return _sum(trace, name, y, source) if layer.identity else y


def _sum(trace: Trace, name: str, first: str, second: str) -> str:
    if first == FEATURES:
        raise KwsError(f"{name}: the body of a residual has no layer; remove the residual")
    frequency, channels = trace.nodes[first].frequency, trace.nodes[first].channels
    second = trace.as_map(second, frequency, channels, name)
    return trace.add(Add(name=name, inputs=(first, second), frequency=frequency, channels=channels))


def _time_conv(trace: Trace, layer: TimeConv, name: str, source: str) -> str:
    weights, bias = _array(layer.weight).transpose(0, 2, 1), _bias(layer.bias, layer.outputs)
    if layer.norm is not None:
        weights, bias = _behind_norm(weights, bias, _array(layer.norm.mean), _array(layer.norm.deviation))
    return trace.add(
        Convolution(
            name=name,
            inputs=(trace.as_map(source, 1, layer.inputs, name),),
            frequency=1,
            channels=layer.outputs,
            weights=weights[:, :, None, :],
            bias=bias,
            stride_time=layer.stride,
        )
    )


def _dense(trace: Trace, layer: Dense, name: str, source: str) -> str:
    return trace.add(
        Convolution(
            name=name,
            inputs=(trace.as_map(source, 1, layer.inputs, name),),
            frequency=1,
            channels=layer.outputs,
            weights=_array(layer.weight)[:, None, None, :],
            bias=_bias(layer.bias, layer.outputs),
        )
    )


def _conv2d(trace: Trace, layer: Conv2d, name: str, source: str) -> str:
    weights, bias = _array(layer.weight).transpose(0, 2, 3, 1), _bias(layer.bias, layer.outputs)
    if layer.norm is not None:  # shared: the same for all bands
        mean, deviation = _array(layer.norm.mean)[:1], _array(layer.norm.deviation)[:1]
        weights, bias = _behind_norm(weights, bias, mean, deviation)
    return trace.add(
        Convolution(
            name=name,
            inputs=(_padded_map(trace, layer, layer.inputs, name, source),),
            frequency=layer.out_frequency,
            channels=layer.outputs,
            weights=weights,
            bias=bias,
            stride_time=layer.stride_time,
            stride_frequency=layer.stride_frequency,
        )
    )


def _depthwise_conv2d(trace: Trace, layer: DepthwiseConv2d, name: str, source: str) -> str:
    weights = _array(layer.weight)
    if layer.mask is not None:
        weights = weights * _array(layer.mask)
    return trace.add(
        Depthwise(
            name=name,
            inputs=(_padded_map(trace, layer, layer.channels, name, source),),
            frequency=layer.out_frequency,
            channels=layer.channels,
            weights=weights,
            bias=_bias(layer.bias, layer.channels),
            stride_time=layer.stride_time,
            stride_frequency=layer.stride_frequency,
            dilation_time=layer.dilation_time,
        )
    )


def _padded_map(trace: Trace, layer: Conv2d | DepthwiseConv2d, channels: int, name: str, source: str) -> str:
    """Padding stands before the state, which holds it: padding every frame once costs less than every window."""
    source = trace.as_map(source, layer.frequency, channels, name)
    before, after = layer.pad_frequency
    if not (before or after):
        return source
    frequency = before + layer.frequency + after
    pad = Pad(name=f"{name}_pad", inputs=(source,), frequency=frequency, channels=channels, before=before, after=after)
    return trace.add(pad)


def _batch_norm(trace: Trace, layer: BatchNorm, name: str, source: str) -> str:
    scale = _array(layer.weight) / np.sqrt(_array(layer.running_var) + layer.eps)
    offset = _array(layer.bias) - _array(layer.running_mean) * scale
    width = trace.width(source) or layer.frequency * layer.channels
    repeats = max(width // scale.size, 1)  # frequencies that share a sub-band's numbers

    def per_value(values: Array) -> Array:
        parts = values.reshape(layer.sub_bands, 1, layer.channels)
        return np.broadcast_to(parts, (layer.sub_bands, repeats, layer.channels)).reshape(-1)

    return _affine(trace, per_value(scale), per_value(offset), name, source)


def _feature_norm(trace: Trace, layer: FeatureNorm, name: str, source: str) -> str:
    scale = 1.0 / _array(layer.deviation)
    return _affine(trace, scale, -_array(layer.mean) * scale, name, source)


def _affine(trace: Trace, scale: Array, offset: Array, name: str, source: str) -> str:
    """Append scale * x + offset, [values of a frame] each: per channel where all frequencies have the same."""
    channels = scale.size
    if source != FEATURES and trace.width(source) == scale.size:
        per_channel = trace.nodes[source].channels
        rows = [values.reshape(-1, per_channel) for values in (scale, offset)]
        if all((row == row[0]).all() for row in rows):
            scale, offset, channels = rows[0][0], rows[1][0], per_channel
    frequency = (trace.width(source) or channels) // channels
    return trace.add(_pointwise(name, trace.as_map(source, frequency, channels, name), frequency, scale, offset))


def _relu(trace: Trace, layer: Relu, name: str, source: str) -> str:
    if source == FEATURES:
        raise KwsError(f"{name}: features are never negative, a Relu before the first layer does nothing; remove it")
    ones = np.ones(trace.nodes[source].channels)
    node = _pointwise(name, source, trace.nodes[source].frequency, ones, 0.0 * ones)
    return trace.add(replace(node, activation="relu"))


def _max_pool(trace: Trace, layer: MaxPool2d, name: str, source: str) -> str:
    return trace.add(
        MaxPool(
            name=name,
            inputs=(trace.as_map(source, layer.frequency, layer.channels, name),),
            frequency=layer.out_frequency,
            channels=layer.channels,
            window_time=layer.window_time,
            window_frequency=layer.window_frequency,
        )
    )


def _frequency_mean(trace: Trace, layer: FrequencyMean, name: str, source: str) -> str:
    source = trace.as_map(source, layer.frequency, layer.channels, name)
    if layer.frequency == 1:
        return source
    return trace.add(Mean(name=name, inputs=(source,), frequency=1, channels=layer.channels))


_LAYERS: dict[type[Streaming], Callable[[Trace, Any, str, str], str]] = {
    BatchNorm: _batch_norm,
    BroadcastResidual: _broadcast_residual,
    Conv2d: _conv2d,
    Dense: _dense,
    DepthwiseConv2d: _depthwise_conv2d,
    FeatureNorm: _feature_norm,
    FrequencyMean: _frequency_mean,
    MaxPool2d: _max_pool,
    Relu: _relu,
    Residual: _residual,
    TimeConv: _time_conv,
}


def _pointwise(name: str, source: str, frequency: int, scale: Array, offset: Array) -> Depthwise:
    """Return the node of scale * x + offset, [channels] each."""
    return Depthwise(
        name=name,
        inputs=(source,),
        frequency=frequency,
        channels=scale.size,
        weights=scale[:, None, None],
        bias=offset,
    )


def _behind_norm(weights: Array, bias: Array, mean: Array, deviation: Array) -> tuple[Array, Array]:
    """Return weights [outputs, ..., inputs] and bias that make of x what the given make of (x - mean) / deviation."""
    weights = weights / deviation
    return weights, bias - (weights * mean).reshape(len(bias), -1).sum(axis=1)


def _bias(bias: Tensor | None, outputs: int) -> Array:
    return np.zeros(outputs) if bias is None else _array(bias)


def _array(tensor: Tensor) -> Array:
    return tensor.detach().cpu().numpy().astype(np.float64)
