"""Lowered graphs behave as the float model that they were made from."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.compress.calibrate import INPUT_QUANT, calibrate, fake_quantize, quantized_input, softmax
from kws.compress.lower import lower, quantize_weights
from kws.compress.stages import Stage, stages
from kws.errors import KwsError
from kws.graph.arithmetic import quantize_features
from kws.graph.interpret import Interpreter
from kws.graph.ir import Conv2D, QuantGraph
from kws.models.configs import DeepKwsConfig
from kws.models.deepkws import DeepKws
from kws.models.layers import Dense, FeatureNorm, Relu, Sequential, TimeConv

POSTERIOR_BOUND = 0.1
POSTERIOR_MEAN_BOUND = 0.02
ANY_SHAPE_BOUND = 0.3
"""Over 4,000 random shapes with random weights the largest difference was 0.20, the largest mean 0.031."""
ANY_SHAPE_MEAN_BOUND = 0.05


def features(clips: int, frames: int, bands: int, seed: int = 0) -> NDArray[np.int16]:
    """Speech-like LFBE: levels that drift slowly over time and bands, from silence to loud."""
    rng = np.random.default_rng(seed)
    drift = np.cumsum(rng.normal(0.0, 0.5, (clips, frames, 1)), axis=1) + np.cumsum(
        rng.normal(0.0, 0.8, (clips, frames, bands)), axis=2
    )
    return np.clip((18.0 + drift) * 512, 0, 24000).astype(np.int16)


def set_norm(model: Sequential, clips: NDArray[np.int16]) -> None:
    for module in model.modules():
        if isinstance(module, FeatureNorm):
            values = quantized_input(torch.from_numpy(clips)).flatten(0, 1)
            module.set(values.mean(dim=0), values.std(dim=0))


def lowered(model: Sequential, clips: NDArray[np.int16]) -> QuantGraph:
    parts = stages(model)
    return lower(parts, calibrate(parts, quantized_input(torch.from_numpy(clips)).double().numpy()), model.latency)


def posteriors(model: Sequential, graph: QuantGraph, clip: NDArray[np.int16]) -> tuple[NDArray[np.float64], ...]:
    """Of the graph, run by the interpreter, and of the float model on the same int8 features."""
    logits = Interpreter(graph).run(quantize_features(clip, INPUT_QUANT)).astype(np.float64)
    with torch.no_grad():
        wanted = model(quantized_input(torch.from_numpy(clip[None])))[0].double().numpy()
    return softmax(logits * graph.tensor(graph.output).quant.scale), softmax(wanted)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 48), st.integers(0, 12), st.integers(0, 6), st.integers(8, 24), st.integers(2, 6)
)
def test_every_shape_of_deepkws_stays_close(
    layers: int, width: int, past: int, future: int, bands: int, outputs: int
) -> None:
    config = DeepKwsConfig(layers, width, past, future)
    model = DeepKws(config, bands, outputs, torch.Generator().manual_seed(layers + width))
    clips = features(4, 120, bands, seed=width)
    set_norm(model, clips)
    graph = lowered(model, clips)
    assert (graph.stride, graph.outputs, graph.latency_frames) == (1, outputs, future)
    given, wanted = posteriors(model, graph, clips[0])
    assert np.abs(given - wanted).mean() < ANY_SHAPE_MEAN_BOUND
    assert np.abs(given - wanted).max() < ANY_SHAPE_BOUND


def test_the_published_size_stays_close_on_clips_it_was_not_calibrated_on() -> None:
    model = DeepKws(DeepKwsConfig(), 40, 3, torch.Generator().manual_seed(3))
    clips = features(8, 200, 40)
    set_norm(model, clips)
    graph = lowered(model, clips)
    given, wanted = posteriors(model, graph, features(1, 400, 40, seed=99)[0])
    assert np.abs(given - wanted).mean() < POSTERIOR_MEAN_BOUND
    assert np.abs(given - wanted).max() < POSTERIOR_BOUND


def test_strides_and_several_states() -> None:
    generator = torch.Generator().manual_seed(2)
    model = Sequential(
        [
            TimeConv(10, 24, kernel=5, stride=2, norm=FeatureNorm(10), generator=generator),
            Relu(),
            TimeConv(24, 24, kernel=4, stride=3, generator=generator),
            Relu(),
            TimeConv(24, 24, kernel=3, generator=generator),
            Dense(24, 3, generator),
        ]
    )
    clips = features(4, 120, 10)
    set_norm(model, clips)
    graph = lowered(model, clips)
    assert graph.stride == 6
    assert [graph.tensor(state.read).shape for state in graph.states] == [(3, 1, 10), (1, 1, 24), (2, 1, 24)]
    given, wanted = posteriors(model, graph, clips[1])
    assert given.shape == wanted.shape == (20, 3)
    assert np.abs(given - wanted).max() < POSTERIOR_BOUND


def test_the_first_frames_hear_digital_silence_in_both() -> None:
    """The state before the start is raw zeros: the norm comes after it, so graph and model agree from frame 0."""
    model = DeepKws(DeepKwsConfig(2, 32, 20, 5), 16, 2, torch.Generator().manual_seed(4))
    clips = features(4, 100, 16)
    set_norm(model, clips)
    given, wanted = posteriors(model, lowered(model, clips), clips[0])
    assert np.abs(given - wanted)[:5].max() < POSTERIOR_BOUND


def test_folding_changes_nothing() -> None:
    model = DeepKws(DeepKwsConfig(2, 16, 6, 2), 12, 3, torch.Generator().manual_seed(5))
    clips = features(2, 60, 12)
    set_norm(model, clips)
    x = quantized_input(torch.from_numpy(clips)).double()
    y = x[0].numpy()
    for stage in stages(model):
        y = stage.run(y)
    wanted = model.double()(x)[0].detach().numpy()
    np.testing.assert_allclose(y, wanted - wanted.mean(axis=-1, keepdims=True), atol=1e-9)


def test_weights_are_symmetric_and_scales_are_float32() -> None:
    model = DeepKws(DeepKwsConfig(), 40, 3, torch.Generator().manual_seed(6))
    clips = features(2, 100, 40)
    set_norm(model, clips)
    graph = lowered(model, clips)
    convolutions = [op for op in graph.ops if isinstance(op, Conv2D)]
    assert [op.weights.shape for op in convolutions] == [
        (128, 41, 1, 40),
        (128, 1, 1, 128),
        (128, 1, 1, 128),
        (3, 1, 1, 128),
    ]
    for op in convolutions:
        assert op.weights.dtype == np.int8
        assert np.abs(op.weights.astype(int)).max(axis=(1, 2, 3)).tolist() == [127] * len(op.weights)
        assert op.weight_scales.dtype == np.float32
        assert op.bias.dtype == np.int32
    for tensor in graph.tensors:
        assert np.float32(tensor.quant.scale) == tensor.quant.scale


def test_a_huge_bias_still_fits() -> None:
    stage = Stage("layer", np.full((1, 1, 2), 1e-6), np.array([1e4]), 1, "none")
    weights, scales, bias = quantize_weights(stage, INPUT_QUANT)
    assert bias.tolist() == [pytest.approx(1e4 / (INPUT_QUANT.scale * float(scales[0])), abs=1)]
    assert abs(int(bias[0])) <= 2**30 + 2**8  # the scale is rounded to float32
    assert weights.any() or scales[0] > 1e-6


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
    hidden = Stage("layer_0", np.ones((1, 1, 1)), np.zeros(1), 1, "relu")
    last = Stage("logits", np.array([[[1.0]], [[-1.0]]]), np.zeros(2), 1, "none")
    chosen = calibrate([hidden, last], x).outputs[0]
    values = x[0, 1:, 0]
    error = ((fake_quantize(values, chosen) - values) ** 2).mean()
    full = ((np.rint(values / (60.0 / 255)) * (60.0 / 255) - values) ** 2).mean()
    assert error < 0.2 * full


def test_logits_keep_every_difference_that_a_posterior_shows() -> None:
    """Huge logits must not make the range so wide, nor a clever choice so narrow, that posteriors suffer."""
    for largest in (2.0, 20.0, 60.0):
        x = np.linspace(-largest, largest, 2001)[None, :, None]
        quant = calibrate([Stage("logits", np.array([[[1.0]], [[-1.0]]]), np.zeros(2), 1, "none")], x).outputs[0]
        assert quant.zero_point == 0
        assert 127 * quant.scale >= min(largest, 5.5) - 1e-5
        logits = np.concatenate([x[0], -x[0]], axis=1)
        error = np.abs(softmax(fake_quantize(logits, quant)) - softmax(logits))
        assert error.max() < (0.03 if largest < 60.0 else 0.12)


class Unknown(Relu):
    """A layer that the graph has no operator for."""


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ([Dense(8, 4), Unknown(), Dense(4, 2)], "layer_1: a Unknown"),
        ([FeatureNorm(8), Dense(8, 2)], "layer_0: a FeatureNorm"),
        ([Dense(8, 4), Relu(), Relu(), Dense(4, 2)], "layer_2: a Relu"),
        ([Dense(8, 2), Relu()], "layer_0: the last layer gives logits"),
        ([], "the model has no layer"),
    ],
)
def test_what_cannot_be_lowered_is_named(layers: list[Dense], named: str) -> None:
    with pytest.raises(KwsError, match=named):
        stages(Sequential(layers))


def test_layers_that_do_not_fit_are_named() -> None:
    parts = stages(Sequential([Dense(8, 4), Dense(5, 2)]))
    quants = calibrate(stages(Sequential([Dense(8, 4), Dense(4, 2)])), np.zeros((1, 5, 8)))
    with pytest.raises(KwsError, match="logits: takes 5 channels"):
        lower(parts, quants)


def test_calibration_refuses_nothing_and_not_a_number() -> None:
    parts = stages(Sequential([Dense(8, 2)]))
    with pytest.raises(KwsError, match="no features"):
        calibrate(parts, np.zeros((0, 5, 8)))
    with pytest.raises(KwsError, match="not finite"):
        calibrate(parts, np.full((1, 5, 8), np.nan))
