"""Ranges of activations, and the grid of the input."""

import numpy as np
import pytest
import torch

from kws.compress.quantize.calibrate import INPUT_QUANT, calibrate, fake_quantize, quantized_input, softmax
from kws.compress.quantize.from_modules import stages
from kws.compress.quantize.nodes import Array, Convolution, FloatGraph, Node, Reshape
from kws.errors import KwsError
from kws.graph.arithmetic import quantize_features
from kws.graph.ir import Activation, Quant
from kws.models.layers import (
    Conv2d,
    Dense,
    DepthwiseConv2d,
    FrequencyMean,
    MaxPool2d,
    Relu,
    Residual,
    Sequential,
)


def dense(name: str, source: str, weights: list[list[float]], activation: Activation = "none") -> Convolution:
    rows = np.array(weights)[:, None, None, :]
    bias = np.zeros(len(rows))
    return Convolution(
        name=name, inputs=(source,), frequency=1, channels=len(rows), weights=rows, bias=bias, activation=activation
    )


def graph(*nodes: Node) -> FloatGraph:
    start = Reshape(name="map", inputs=("features",), frequency=1, channels=1)
    return FloatGraph(1, (start, *nodes), nodes[-1].name)


def chosen(node: Convolution, x: Array) -> Quant:
    parts = [node] if node.name == "logits" else [node, dense("logits", node.name, [[1.0], [-1.0]])]
    return calibrate(graph(*parts), x).quants[node.name]


def test_input_quantization_is_the_graph_s_own() -> None:
    every = np.arange(0, 24000, 7, dtype=np.int16)
    device = (quantize_features(every, INPUT_QUANT).astype(np.float64) + 128) * INPUT_QUANT.scale
    training = quantized_input(torch.from_numpy(every)).numpy()
    differing = np.abs(training - device) > 1e-4
    assert differing.mean() < 0.01  # ties, which the integers round twice
    np.testing.assert_allclose(training, device, atol=1.01 * INPUT_QUANT.scale)


def test_a_rare_outlier_does_not_cost_the_others_their_resolution() -> None:
    rng = np.random.default_rng(0)
    x = np.abs(rng.laplace(0.0, 1.0, (1, 100_000, 1)))
    x[0, 0] = 60.0
    quant = chosen(dense("hidden", "map", [[1.0]], "relu"), x)
    values = x[0, 1:, 0]
    error = ((fake_quantize(values, quant) - values) ** 2).mean()
    full = ((np.rint(values / (60.0 / 255)) * (60.0 / 255) - values) ** 2).mean()
    assert quant.zero_point == -128
    assert error < 0.2 * full


def test_a_range_without_a_relu_has_both_signs_and_an_exact_zero() -> None:
    x = np.linspace(0.0, 10.0, 1001)[None, :, None]
    parts = graph(dense("hidden", "map", [[1.0], [-0.5]]), dense("logits", "hidden", [[1.0, 1.0], [0.0, 1.0]]))
    quant = calibrate(parts, x).quants["hidden"]
    assert quant.scale == pytest.approx(15.0 / 255, rel=0.01)
    assert quant.zero_point == pytest.approx(-128 + 5.0 / quant.scale, abs=1)


def test_logits_keep_every_difference_that_a_posterior_shows() -> None:
    """Huge logits must not make the range so wide, nor a clever choice so narrow, that posteriors suffer."""
    for largest in (2.0, 20.0, 60.0):
        x = np.linspace(-largest, largest, 2001)[None, :, None]
        quant = chosen(dense("logits", "map", [[1.0], [-1.0]]), x)
        assert quant.zero_point == 0
        assert 127 * quant.scale >= min(largest, 5.5) - 1e-5
        logits = np.concatenate([x[0], -x[0]], axis=1)
        error = np.abs(softmax(fake_quantize(logits, quant)) - softmax(logits))
        assert error.max() < (0.03 if largest < 60.0 else 0.12)


def test_what_computes_nothing_keeps_its_input_s_quantization() -> None:
    body = Sequential([DepthwiseConv2d(6, 2, 3, 3, pad_frequency=(1, 1)), Relu(), Conv2d(6, 2, 2, 1, 1)])
    layers = [Conv2d(6, 1, 2, 3, 1), Residual(body), Relu(), MaxPool2d(6, 2, 2, 2), FrequencyMean(3, 2), Dense(2, 2)]
    parts = stages(Sequential(layers))
    quants = calibrate(parts, np.random.default_rng(0).uniform(0, 20, (2, 40, 6))).quants
    assert quants["features"] == quants["features_6x1"] == INPUT_QUANT
    assert quants["layer_1_body_0_pad"] == quants["layer_0"]
    assert quants["layer_1"] == quants["layer_3"] == quants["layer_4"]
    computed = ("layer_0", "layer_1_body_0", "layer_1_body_2", "layer_1", "logits")
    assert len({quants[name] for name in computed}) == len(computed)


def test_every_channel_is_looked_at_however_long_the_clips() -> None:
    """Activations are taken at even distances; a distance that the channels divide would see one of them alone."""
    weights = [[float(channel == 3)] for channel in range(8)]
    x = np.full((1, 100_000, 1), 7.0)
    node = dense("hidden", "map", weights, "relu")
    last = dense("logits", "hidden", [[1.0] * 8, [0.0] * 8])
    quant = calibrate(graph(node, last), x).quants["hidden"]
    assert 255 * quant.scale == pytest.approx(7.0, rel=1e-3)


def test_means_are_those_of_what_convolutions_read() -> None:
    x = np.random.default_rng(0).uniform(0, 20, (3, 40, 6))
    conv = Conv2d(6, 1, 2, 3, 3)
    calibration = calibrate(stages(Sequential([conv, Relu(), Dense(8, 2)])), x)
    assert set(calibration.means) == {"features_6x1", "layer_1_1x8"}
    np.testing.assert_allclose(calibration.means["features_6x1"][:, 0], x.mean(axis=(0, 1)), rtol=1e-5)
    with torch.no_grad():
        hidden = conv(torch.from_numpy(x).float()).relu().mean(dim=(0, 1))
    np.testing.assert_allclose(calibration.means["layer_1_1x8"][0], hidden, rtol=1e-4)


def test_calibration_refuses_nothing_and_not_a_number() -> None:
    parts = stages(Sequential([Dense(8, 2)]))
    with pytest.raises(KwsError, match="no features"):
        calibrate(parts, np.zeros((0, 5, 8)))
    with pytest.raises(KwsError, match="logits: activations are not finite"):
        calibrate(parts, np.full((1, 5, 8), np.nan))
