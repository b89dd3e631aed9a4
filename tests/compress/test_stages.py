"""The float graph is the model that it was made from."""

from typing import TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kws.compress.quantize.float_run import run
from kws.compress.quantize.from_modules import stages
from kws.compress.quantize.nodes import Add, Convolution, Depthwise, FloatGraph, Mean, Node, Pad, Reshape
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
from kws.models.streaming import Streaming, StreamState

T = TypeVar("T", bound=Node)


def logits(graph: FloatGraph, x: Tensor) -> Tensor:
    return run(graph, x)[graph.output].flatten(2)


def assert_equal(model: Streaming, bands: int, outputs: int = 6) -> FloatGraph:
    """The graph's logits are the model's less their mean, to 1e-9 of their size, from the first frame on."""
    graph = stages(model)
    assert (graph.bands, graph.stride, graph.output) == (bands, model.stride, "logits")
    generator = torch.Generator().manual_seed(1)
    x = 20.0 * torch.rand(2, outputs * model.stride, bands, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        wanted = model.double().eval()(x)
    wanted = wanted - wanted.mean(dim=-1, keepdim=True)
    given = logits(graph, x)
    assert given.shape == wanted.shape
    assert float((given - wanted).abs().max()) <= 1e-9 * max(float(wanted.abs().max()), 1e-3)
    return graph


def randomized(norm: BatchNorm, seed: int = 0) -> BatchNorm:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            values.copy_(0.5 + torch.rand(values.shape, generator=generator))
    return norm


def only(graph: FloatGraph, kind: type[T]) -> list[T]:
    return [node for node in graph.nodes if isinstance(node, kind)]


def names(graph: FloatGraph) -> list[str]:
    return [node.name for node in graph.nodes]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_model_is_the_same_function(models: st.SearchStrategy[tuple[Streaming, int]], data: st.DataObject) -> None:
    model, bands = data.draw(models)
    assert_equal(model, bands)


def test_norms_and_relus_are_folded_into_convolutions() -> None:
    model = Sequential(
        [
            Conv2d(8, 1, 4, 3, 3, norm=FeatureNorm(8, shared=True), bias=False),
            randomized(BatchNorm(4)),
            Relu(),
            DepthwiseConv2d(6, 4, 3, 1, bias=False),
            randomized(BatchNorm(4), 1),
            TimeConv(24, 5, 2),
            randomized(BatchNorm(5), 2),
            Relu(),
            Dense(5, 3),
            randomized(BatchNorm(3), 3),
        ]
    )
    graph = assert_equal(model, 8)
    assert names(graph) == ["features_8x1", "layer_0", "layer_3", "layer_4_1x24", "layer_5", "logits"]
    convolutions = [*only(graph, Convolution), *only(graph, Depthwise)]
    assert [node.activation for node in convolutions] == ["relu", "relu", "none", "none"]


def test_a_relu_after_an_addition_is_the_addition_s() -> None:
    body = Sequential([TimeConv(4, 4, 3), Relu(), Dense(4, 4)])
    graph = assert_equal(Sequential([Dense(6, 4), Residual(body), Relu(), Dense(4, 2)]), 6)
    (add,) = only(graph, Add)
    assert (add.activation, add.inputs) == ("relu", ("layer_1_body_2", "layer_0"))
    assert not only(graph, Depthwise)


def test_what_two_layers_read_is_not_folded_into() -> None:
    body = Sequential([randomized(BatchNorm(4)), Relu(), TimeConv(4, 4, 3)])
    graph = assert_equal(Sequential([TimeConv(6, 4, 2), Residual(body), Dense(4, 2)]), 6)
    (norm,) = only(graph, Depthwise)
    assert (norm.name, norm.activation, norm.is_pointwise) == ("layer_1_body_0", "relu", True)


def test_a_second_relu_changes_nothing_and_a_norm_after_a_relu_stays() -> None:
    graph = assert_equal(Sequential([Dense(6, 4), Relu(), Relu(), randomized(BatchNorm(4)), Dense(4, 2)]), 6)
    assert names(graph) == ["features_1x6", "layer_0", "layer_3", "logits"]


def test_sub_bands_are_a_depthwise_convolution_of_the_map_as_a_row() -> None:
    norm = randomized(BatchNorm(3, 6, 2))
    graph = assert_equal(Sequential([Conv2d(6, 1, 3, 2, 1), norm, Relu(), Dense(18, 2)]), 6)
    (node,) = only(graph, Depthwise)
    assert (node.frequency, node.channels, node.activation, node.inputs) == (1, 18, "relu", ("layer_0_1x18",))
    scale = node.weights.reshape(6, 3)
    assert (scale[:3] == scale[0]).all()
    assert (scale[3:] == scale[3]).all()
    assert not (scale[0] == scale[3]).any()


def test_sub_bands_of_a_map_without_frequencies_are_folded() -> None:
    graph = assert_equal(Sequential([Dense(5, 12), randomized(BatchNorm(3, 4, 2)), Relu(), Dense(12, 2)]), 5)
    assert not only(graph, Depthwise)


def test_padding_stands_before_the_convolution_and_means_zero() -> None:
    conv = Conv2d(5, 1, 2, 3, 3, pad_frequency=(2, 1), norm=FeatureNorm(5, shared=True))
    assert conv.norm is not None
    conv.norm.set(torch.full((5,), 9.0), torch.full((5,), 3.0))
    graph = assert_equal(Sequential([conv, Relu(), Dense(12, 2)]), 5)
    (pad,) = only(graph, Pad)
    assert (pad.before, pad.after, pad.frequency, pad.inputs) == (2, 1, 8, ("features_5x1",))


def test_a_broadcast_residual_is_two_additions() -> None:
    body2d = Sequential([DepthwiseConv2d(6, 2, 1, 3, pad_frequency=(1, 1)), randomized(BatchNorm(2, 6, 3))])
    body1d = Sequential([DepthwiseConv2d(1, 2, 3, 1, dilation_time=2), Relu(), Dense(2, 2)])
    block = BroadcastResidual(body2d, FrequencyMean(6, 2), body1d)
    graph = assert_equal(Sequential([Conv2d(6, 1, 2, 1, 1), block, Relu(), Dense(12, 2)]), 6)
    (mean,) = only(graph, Mean)
    broadcast, total = only(graph, Add)
    assert (broadcast.inputs, broadcast.frequency) == ((mean.inputs[0], "layer_1_body1d_2"), 6)
    assert (total.inputs, total.activation) == (("layer_1_broadcast", "layer_0"), "relu")


def test_a_mix_of_kernels_is_the_masked_one() -> None:
    conv = DepthwiseConv2d(1, 6, 5, 1, kernel_times=(3, 5))
    with torch.no_grad():
        conv.weight += 1.0  # what training could do where nothing looks
    graph = assert_equal(Sequential([Dense(4, 6), conv, Dense(6, 2)]), 4)
    (node,) = only(graph, Depthwise)
    assert not node.weights[:3, :2].any()


def test_strides_multiply_in_any_nesting() -> None:
    inner = Residual(Sequential([TimeConv(4, 4, 5, 2), Relu()]), TimeConv(4, 4, 1, 2))
    outer = Residual(Sequential([inner, TimeConv(4, 4, 3, 3)]), TimeConv(4, 4, 2, 6))
    model = Sequential([TimeConv(5, 4, 3, 2), Relu(), outer, MaxPool2d(1, 4, 2, 1), Dense(4, 2)])
    graph = assert_equal(model, 5)
    assert graph.stride == 24
    assert [graph.strides[node.name] for node in only(graph, Add)] == [4, 12]


def test_logits_that_no_convolution_gives_are_centred_by_a_matrix() -> None:
    mean = DepthwiseConv2d(1, 3, 4, 1, bias=False, trained=False)
    graph = assert_equal(Sequential([Dense(5, 3), mean]), 5)
    assert names(graph) == ["features_1x5", "layer_0", "layer_1", "logits"]
    graph = assert_equal(Sequential([Conv2d(4, 1, 2, 2, 3)]), 4)
    assert names(graph) == ["features_4x1", "layer_0", "layer_0_row", "logits"]
    assert only(graph, Reshape)[-1].channels == 4


def test_features_that_two_layers_read_are_reshaped_once_each() -> None:
    graph = assert_equal(Sequential([Residual(Conv2d(6, 1, 1, 3, 3, pad_frequency=(1, 1))), Dense(6, 2)]), 6)
    assert [node.name for node in only(graph, Reshape)] == ["features_6x1", "layer_0_1x6"]


def test_a_norm_of_the_features_alone_is_a_node() -> None:
    norm = FeatureNorm(4).set(torch.arange(4.0), 1.0 + torch.arange(4.0))
    graph = assert_equal(Sequential([norm, TimeConv(4, 2, 3)]), 4)
    assert names(graph) == ["features_1x4", "layer_0", "logits"]


class Unknown(Relu):
    """A layer that the graph has no operator for."""


class Doubled(Sequential):
    """A chain that does something else with its layers."""

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        return super().step(2.0 * x, state)


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ([Dense(8, 4), Unknown(), Dense(4, 2)], "layer_1: a Unknown cannot be lowered"),
        ([Dense(8, 4), Residual(Sequential([Unknown()]))], "layer_1_body_0: a Unknown cannot"),
        ([Dense(8, 4), Doubled([Dense(4, 2)])], "layer_1: a Doubled cannot"),
        (
            [Dense(8, 4), Residual(Sequential([]), Dense(4, 2))],
            "layer_1: takes 4 values per frame, but layer_1_shortcut",
        ),
        ([Residual(Sequential([]))], "layer_0: the body of a residual has no layer"),
        ([Relu(), Dense(8, 2)], "layer_0: features are never negative"),
        ([Dense(8, 2), Relu()], "layer_0: the last layer gives logits"),
        ([Dense(8, 2), Residual(Dense(2, 2)), Relu()], "layer_1: the last layer gives logits"),
        ([Dense(8, 4), Dense(5, 2)], "layer_1: takes 5 values per frame, but layer_0 has 4; the layers do not fit"),
        ([Dense(8, 4), BatchNorm(3), Dense(4, 2)], "layer_1: takes 3 values per frame, but layer_0 has 4"),
        ([], "the model has no layer"),
    ],
)
def test_what_cannot_be_lowered_is_named(layers: list[Streaming], named: str) -> None:
    with pytest.raises(KwsError, match=named):
        stages(Sequential(layers))


def test_windows_and_strides_of_nodes() -> None:
    graph = stages(Sequential([TimeConv(3, 4, 2, 5), DepthwiseConv2d(1, 4, 3, 1, dilation_time=4), Dense(4, 2)]))
    strided, dilated = only(graph, Convolution)[0], only(graph, Depthwise)[0]
    assert (strided.span, strided.carried, strided.skipped) == (2, 0, 3)
    assert (dilated.span, dilated.carried, dilated.skipped) == (9, 8, 0)
    assert isinstance(dilated.weights, np.ndarray)
