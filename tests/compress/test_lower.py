"""Lowered graphs behave as the float model that they were made from."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.compress.quantize import quantize_model
from kws.compress.quantize.calibrate import INPUT_QUANT, calibrate, quantized_input
from kws.compress.quantize.from_modules import stages
from kws.compress.quantize.lower import lower, quantize_weights
from kws.config import load
from kws.errors import KwsError
from kws.graph import ir
from kws.graph.arithmetic import quantize_features
from kws.graph.interpret import Interpreter
from kws.graph.ir import Conv2D, DepthwiseConv2D, QuantGraph
from kws.models.configs import DeepKwsConfig, ModelConfig
from kws.models.deepkws import DeepKws
from kws.models.layers import (
    Conv2d,
    Dense,
    DepthwiseConv2d,
    FeatureNorm,
    MaxPool2d,
    Relu,
    Residual,
    Sequential,
    TimeConv,
)
from kws.models.registry import BUILDERS, build
from kws.models.streaming import Streaming

pytestmark = pytest.mark.slow

Clips = NDArray[np.int16]
Features = Callable[..., Clips]
Prepare = Callable[[Streaming, Clips], Streaming]
Posteriors = Callable[[Streaming, QuantGraph, Clips], tuple[NDArray[np.float64], NDArray[np.float64]]]

POSTERIOR_BOUND = 0.1
POSTERIOR_MEAN_BOUND = 0.02
FAMILY_MEAN_BOUND = 0.03
"""The largest mean is MDTC's, 0.019, after 24 convolutions and 14 additions; the others are below 0.012."""
ANY_SHAPE_BOUND = 0.3
"""Over 1,000 random shapes with random weights the largest difference was 0.23, the largest mean 0.009."""
ANY_SHAPE_MEAN_BOUND = 0.03


def lowered(model: Streaming, clips: Clips) -> QuantGraph:
    return quantize_model(model, quantized_input(torch.from_numpy(clips)).numpy())


def assert_streams(graph: QuantGraph, features: NDArray[np.int8]) -> None:
    """Chunks of any number of steps give what the whole gives."""
    whole = Interpreter(graph).run(features)
    interpreter, parts, at = Interpreter(graph), [], 0
    for steps in (1, 3, 2, len(whole)):
        parts.append(interpreter.run(features[at : at + steps * graph.stride]))
        at += steps * graph.stride
    np.testing.assert_array_equal(np.concatenate(parts), whole)


FAMILIES: dict[str, dict[str, object]] = {
    **{name: {"name": name} for name in BUILDERS},
    "cnn-tpool2": {"name": "cnn", "cnn": {"row": "cnn-tpool2"}},
    "cnn-one-fstride4": {"name": "cnn", "cnn": {"row": "cnn-one-fstride4"}},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_stays_close(family: str, features: Features, prepare: Prepare, posteriors: Posteriors) -> None:
    """With untrained weights and batch norms that are not 1 and 0, on clips it was not calibrated on."""
    model = build(load(ModelConfig, FAMILIES[family]), 40, 3, torch.Generator().manual_seed(0))
    steps = 96 // model.stride
    prepare(model, features(4, 3 * 96, 40))
    graph = lowered(model, features(6, 96, 40, seed=1))
    assert (graph.stride, graph.outputs, graph.latency_frames) == (model.stride, 3, model.latency)
    clip = features(1, 2 * steps * model.stride, 40, seed=9)[0]
    given, wanted = posteriors(model, graph, clip)
    assert given.shape == wanted.shape == (2 * steps, 3)
    assert np.abs(given - wanted).mean() < FAMILY_MEAN_BOUND
    assert_streams(graph, quantize_features(clip[: 12 * model.stride], INPUT_QUANT))


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_any_model_lowers_and_streams(
    models: st.SearchStrategy[tuple[Streaming, int]], features: Features, data: st.DataObject
) -> None:
    model, bands = data.draw(models)
    clips = features(2, 10 * model.stride, bands)
    graph = lowered(model, clips)
    assert (graph.stride, graph.outputs) == (model.stride, 3)
    assert_streams(graph, quantize_features(clips[0], INPUT_QUANT))


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 48), st.integers(0, 12), st.integers(0, 6), st.integers(8, 24), st.integers(2, 6)
)
def test_every_shape_of_deepkws_stays_close(
    features: Features,
    posteriors: Posteriors,
    layers: int,
    width: int,
    past: int,
    future: int,
    bands: int,
    outputs: int,
) -> None:
    model = DeepKws(
        DeepKwsConfig(layers, width, past, future), bands, outputs, torch.Generator().manual_seed(layers + width)
    )
    clips = features(4, 120, bands, seed=width)
    set_norm(model, clips)
    graph = lowered(model, clips)
    assert (graph.stride, graph.outputs, graph.latency_frames) == (1, outputs, future)
    given, wanted = posteriors(model, graph, clips[0])
    assert np.abs(given - wanted).mean() < ANY_SHAPE_MEAN_BOUND
    assert np.abs(given - wanted).max() < ANY_SHAPE_BOUND


def set_norm(model: Streaming, clips: Clips) -> None:
    for module in model.modules():
        if isinstance(module, FeatureNorm):
            values = quantized_input(torch.from_numpy(clips)).flatten(0, 1)
            module.set(values.mean(dim=0), values.std(dim=0))


def test_the_published_size_stays_close_on_clips_it_was_not_calibrated_on(
    features: Features, posteriors: Posteriors
) -> None:
    model = DeepKws(DeepKwsConfig(), 40, 3, torch.Generator().manual_seed(3))
    clips = features(8, 200, 40)
    set_norm(model, clips)
    graph = lowered(model, clips)
    given, wanted = posteriors(model, graph, features(1, 400, 40, seed=99)[0])
    assert np.abs(given - wanted).mean() < POSTERIOR_MEAN_BOUND
    assert np.abs(given - wanted).max() < POSTERIOR_BOUND


def test_strides_and_several_states(features: Features, prepare: Prepare, posteriors: Posteriors) -> None:
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
    graph = lowered(prepare(model, clips), clips)
    assert graph.stride == 6
    assert [graph.tensor(state.read).shape for state in graph.states] == [(3, 1, 10), (1, 1, 24), (2, 1, 24)]
    given, wanted = posteriors(model, graph, clips[1])
    assert given.shape == wanted.shape == (20, 3)
    assert np.abs(given - wanted).max() < POSTERIOR_BOUND


def test_maps_before_a_stride_have_several_rows_in_a_step(
    features: Features, prepare: Prepare, posteriors: Posteriors
) -> None:
    """Pooling by 2, a residual of stride 2 whose shortcut skips a row: 4 rows, 2, 1; the state holds padded maps."""
    generator = torch.Generator().manual_seed(3)
    depthwise = DepthwiseConv2d(5, 4, 3, 3, stride_time=2, pad_frequency=(1, 1), generator=generator)
    body = Sequential([depthwise, Relu(), Conv2d(5, 4, 8, 1, 1, generator=generator)])
    shortcut = Conv2d(5, 4, 8, 1, 1, stride_time=2, generator=generator)
    first = Conv2d(10, 1, 4, 3, 3, pad_frequency=(1, 1), norm=FeatureNorm(10, shared=True), generator=generator)
    layers = [first, Relu(), MaxPool2d(10, 4, 2, 2), Residual(body, shortcut), Relu(), Dense(40, 3, generator)]
    model, clips = Sequential(layers), features(4, 120, 10)
    graph = lowered(prepare(model, clips), clips)
    shapes = {tensor.name: tensor.shape for tensor in graph.tensors}
    assert (shapes["features"], shapes["layer_0"], shapes["layer_2"]) == ((4, 10), (4, 10, 4), (2, 5, 4))
    assert (shapes["layer_3"], shapes["logits"]) == ((1, 5, 8), (1, 1, 3))
    assert [shapes[state.read] for state in graph.states] == [(2, 12, 1), (1, 7, 4)]
    assert shapes["layer_3_shortcut_seen"] == (1, 5, 4)
    given, wanted = posteriors(model, graph, clips[1])
    assert np.abs(given - wanted).max() < POSTERIOR_BOUND


def test_states_have_the_quantization_of_what_they_remember(features: Features, prepare: Prepare) -> None:
    generator = torch.Generator().manual_seed(4)
    dilated = DepthwiseConv2d(1, 8, 3, 1, dilation_time=4, generator=generator)
    model, clips = Sequential([TimeConv(6, 8, 3, generator=generator), dilated, Dense(8, 2)]), features(2, 60, 6)
    graph = lowered(prepare(model, clips), clips)
    quants = {tensor.name: tensor.quant for tensor in graph.tensors}
    for name, source in (("layer_0", "features"), ("layer_1", "layer_0")):
        assert quants[f"{name}_past"] == quants[f"{name}_window"] == quants[f"{name}_next"] == quants[source]
    assert graph.tensor("layer_1_past").shape == (8, 1, 8)
    (op,) = [op for op in graph.ops if isinstance(op, DepthwiseConv2D)]
    assert (op.dilation_time, op.weights.shape) == (4, (3, 1, 8))


def test_the_first_frames_hear_digital_silence_in_both(features: Features, posteriors: Posteriors) -> None:
    """The state before the start is raw zeros: the norm comes after it, so graph and model agree from frame 0."""
    model = DeepKws(DeepKwsConfig(2, 32, 20, 5), 16, 2, torch.Generator().manual_seed(4))
    clips = features(4, 100, 16)
    set_norm(model, clips)
    given, wanted = posteriors(model, lowered(model, clips), clips[0])
    assert np.abs(given - wanted)[:5].max() < POSTERIOR_BOUND


def test_weights_are_symmetric_and_scales_are_float32(features: Features, prepare: Prepare) -> None:
    model = build(load(ModelConfig, {"name": "wren"}), 40, 3, torch.Generator().manual_seed(6))
    clips = features(2, 102, 40)
    graph = lowered(prepare(model, clips), clips)
    for op in graph.ops:
        if isinstance(op, Conv2D | DepthwiseConv2D):
            rows = op.weights if isinstance(op, Conv2D) else op.weights.transpose(2, 0, 1)
            assert op.weights.dtype == np.int8
            assert np.abs(rows.astype(int)).reshape(len(rows), -1).max(axis=1).tolist() == [127] * len(rows)
            assert op.weight_scales.dtype == np.float32
            assert op.bias.dtype == np.int32
    for tensor in graph.tensors:
        assert np.float32(tensor.quant.scale) == tensor.quant.scale


def test_weights_of_four_bits_where_they_are_many(features: Features, prepare: Prepare, posteriors: Posteriors) -> None:
    clips = features(2, 102, 40)
    model = prepare(build(load(ModelConfig, {"name": "wren"}), 40, 3, torch.Generator().manual_seed(6)), clips)
    inputs = quantized_input(torch.from_numpy(clips)).numpy()
    eight, four = quantize_model(model, inputs), quantize_model(model, inputs, weight_bits=4)
    convolutions = [op for op in four.ops if isinstance(op, Conv2D | DepthwiseConv2D)]
    for op in convolutions:
        wanted = 8 if isinstance(op, DepthwiseConv2D) or op is convolutions[-1] else 4
        assert op.weight_bits == wanted
        assert np.abs(op.weights).max() == {8: 127, 4: 7}[wanted]
    means = [np.abs(np.subtract(*posteriors(model, graph, clips[0]))).mean() for graph in (eight, four)]
    assert means[0] < means[1] < 0.1


def test_four_bits_are_scaled_for_the_least_error() -> None:
    """A single large weight is clipped rather than all others rounded to nothing."""
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(1, 1, 4000))
    weights[0, 0, 0] = 6.0
    quantized, scales, _ = quantize_weights(weights, np.zeros(1), 0.1, bits=4)
    assert scales[0] < 0.8 * 6.0 / 7
    errors = [np.square(quantized * scales[0] - weights).sum()]
    errors += [np.square(np.clip(np.rint(weights / scale), -7, 7) * scale - weights).sum() for scale in (6.0 / 7, 0.5)]
    assert errors[0] < min(errors[1:])


def test_a_huge_bias_still_fits() -> None:
    weights, scales, bias = quantize_weights(np.full((1, 1, 2), 1e-6), np.array([1e4]), INPUT_QUANT.scale)
    assert bias.tolist() == [pytest.approx(1e4 / (INPUT_QUANT.scale * float(scales[0])), abs=1)]
    assert abs(int(bias[0])) <= 2**30 + 2**8  # the scale is rounded to float32
    assert weights.any() or scales[0] > 1e-6


def test_the_bias_takes_back_what_rounded_weights_add_to_the_mean() -> None:
    rng = np.random.default_rng(0)
    weights, bias, mean = rng.normal(size=(5, 3, 2, 7)), rng.normal(size=5), rng.uniform(5.0, 20.0, (2, 7))
    quantized, scales, quantized_bias = quantize_weights(weights, bias, 0.1, mean)
    rounded = quantized * scales.astype(np.float64)[:, None, None, None]
    given = (rounded * mean).sum(axis=(1, 2, 3)) + quantized_bias * 0.1 * scales
    wanted = (weights * mean).sum(axis=(1, 2, 3)) + bias
    assert np.abs(given - wanted).max() <= 0.1 * scales.max()
    assert np.abs(((rounded - weights) * mean).sum(axis=(1, 2, 3))).max() > 20 * 0.1 * scales.max()  # else no proof


def test_biases_are_corrected_by_what_each_place_of_the_kernel_sees(features: Features, prepare: Prepare) -> None:
    """Without the means the logits of a norm over large features are off by a constant."""
    generator = torch.Generator().manual_seed(5)
    conv = Conv2d(12, 1, 8, 4, 3, stride_frequency=2, norm=FeatureNorm(12, shared=True), generator=generator)
    clips = features(4, 100, 12)
    model = prepare(Sequential([conv, Relu(), Dense(conv.out_frequency * 8, 3, generator)]), clips)
    graph, x = stages(model), quantized_input(torch.from_numpy(clips)).numpy()
    calibration = calibrate(graph, x)
    nothing = replace(calibration, means={name: 0.0 * mean for name, mean in calibration.means.items()})
    with torch.no_grad():
        wanted = model(torch.from_numpy(x)).numpy()
    wanted = wanted - wanted.mean(axis=-1, keepdims=True)
    offsets = []
    for used in (calibration, nothing):
        lowered = lower(graph, used)
        scale = lowered.tensor("logits").quant.scale
        given = np.array([Interpreter(lowered).run(quantize_features(clip, INPUT_QUANT)) for clip in clips]) * scale
        offsets.append(np.abs((given - wanted).mean(axis=(0, 1))).max())
    assert offsets[0] < 0.5 * offsets[1]


def test_frames_that_do_not_fill_a_step_are_left_out(features: Features) -> None:
    model = Sequential([TimeConv(6, 4, 3, 2), Relu(), Dense(4, 2)])
    whole, longer = (quantized_input(torch.from_numpy(features(2, 60, 6)[:, :frames])).numpy() for frames in (50, 51))
    one, other = quantize_model(model, whole), quantize_model(model, longer)
    assert [tensor.quant for tensor in one.tensors] == [tensor.quant for tensor in other.tensors]
    with pytest.raises(KwsError, match="no features; give at least one clip of at least one step"):
        quantize_model(model, whole[:, :1])


def test_operators_are_those_of_the_graph(features: Features, prepare: Prepare) -> None:
    model = build(load(ModelConfig, {"name": "bc_resnet"}), 40, 2, torch.Generator().manual_seed(0))
    clips = features(1, 60, 40)
    kinds = {type(op) for op in lowered(prepare(model, clips), clips).ops}
    assert kinds == {
        ir.Reshape, ir.Pad, ir.Concat, ir.Slice, ir.Conv2D, ir.DepthwiseConv2D, ir.Add, ir.AveragePool2D
    }  # fmt: skip
