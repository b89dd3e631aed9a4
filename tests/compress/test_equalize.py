"""Equalized graphs are the same function, and quantize better."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.compress.quantize.calibrate import calibrate, fake_quantize
from kws.compress.quantize.equalize import equalize
from kws.compress.quantize.float_run import run
from kws.compress.quantize.from_modules import stages
from kws.compress.quantize.nodes import FloatGraph, Windowed
from kws.models.layers import BatchNorm, Conv2d, Dense, DepthwiseConv2d, MaxPool2d, Relu, Residual, Sequential, TimeConv
from kws.models.streaming import Streaming


def uniform(clips: int, frames: int, bands: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(0.0, 20.0, (clips, frames, bands))


def by_name(graph: FloatGraph) -> dict[str, Windowed]:
    return {node.name: node for node in graph.nodes if isinstance(node, Windowed)}


def largest(graph: FloatGraph, x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    values = run(graph, torch.from_numpy(x))[name]
    found: NDArray[np.float64] = values.abs().amax(dim=(0, 1, 2)).numpy()
    return found


def uneven(layer: Conv2d | Dense | TimeConv) -> Streaming:
    with torch.no_grad():
        layer.weight *= torch.logspace(0, 1, layer.outputs).reshape(-1, *([1] * (layer.weight.dim() - 1)))
    return layer


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_any_model_stays_the_same_function(
    models: st.SearchStrategy[tuple[Streaming, int]], data: st.DataObject
) -> None:
    model, bands = data.draw(models)
    graph = stages(model)
    x = uniform(2, 6 * graph.stride, bands)
    before = run(graph, torch.from_numpy(x))["logits"]
    after = run(equalize(graph, x), torch.from_numpy(x))["logits"]
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9 * max(1.0, float(before.abs().max())))


def test_before_a_depthwise_convolution_channels_become_equally_large() -> None:
    pool = MaxPool2d(6, 4, 1, 2)
    depthwise = DepthwiseConv2d(3, 4, 3, 3, pad_frequency=(1, 1))
    graph = stages(Sequential([uneven(Conv2d(6, 1, 4, 2, 1)), Relu(), pool, depthwise, Relu(), Dense(12, 2)]))
    x = uniform(1, 30, 6)
    before, after = largest(graph, x, "layer_0"), largest(equalize(graph, x), x, "layer_0")
    alive = before > 0
    assert alive.sum() >= 2
    assert before.max() > 3.0 * before[alive].min()
    np.testing.assert_allclose(after[alive], after.max(), rtol=1e-5)


def test_a_channel_is_found_again_behind_a_reshape() -> None:
    """The norm of sub-bands reads the map as a row of frequency * channels, the last layer too."""
    norm = BatchNorm(4, 6, 2)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 1.5, 8))
    graph = stages(Sequential([uneven(Conv2d(6, 1, 4, 2, 1)), norm, Relu(), Dense(24, 2)]))
    x = uniform(1, 30, 6)
    assert largest(graph, x, "layer_0").max() > 3.0 * largest(graph, x, "layer_0").min()
    after = equalize(graph, x)
    np.testing.assert_allclose(largest(after, x, "layer_0"), largest(after, x, "layer_0").max(), rtol=1e-5)
    assert (by_name(after)["logits"].weights != by_name(graph)["logits"].weights).any()
    torch.testing.assert_close(run(after, torch.from_numpy(x))["logits"], run(graph, torch.from_numpy(x))["logits"])


def test_a_reshape_that_tears_channels_apart_is_not_crossed() -> None:
    graph = stages(Sequential([uneven(Dense(6, 8)), DepthwiseConv2d(4, 2, 2, 1), Dense(8, 2)]))
    after = equalize(graph, uniform(1, 30, 6))
    assert (by_name(after)["layer_0"].weights == by_name(graph)["layer_0"].weights).all()


def test_before_other_convolutions_activations_and_weights_share() -> None:
    graph = stages(Sequential([uneven(Dense(6, 16)), Dense(16, 2)]))
    x = uniform(1, 50, 6)
    after = equalize(graph, x)
    activations, weights = largest(graph, x, "layer_0"), np.abs(by_name(graph)["logits"].weights).max(axis=(0, 1, 2))
    scale = activations**0.75 / weights**0.25
    given = by_name(after)["layer_0"].weights[:, 0, 0, 0] * scale / by_name(graph)["layer_0"].weights[:, 0, 0, 0]
    np.testing.assert_allclose(given, given[0], rtol=1e-5)


def test_what_two_layers_read_is_left_alone() -> None:
    graph = stages(Sequential([uneven(Dense(6, 4)), Residual(TimeConv(4, 4, 2)), Dense(4, 2)]))
    after = equalize(graph, uniform(1, 20, 6))
    for name, node in by_name(graph).items():
        assert (by_name(after)[name].weights == node.weights).all()


def test_a_silent_channel_is_bounded() -> None:
    """A channel that calibration never saw active is scaled as if it were 1/32 of the largest."""
    first = Dense(6, 3)
    with torch.no_grad():
        first.weight.fill_(1.0)
        assert first.bias is not None
        first.bias.copy_(torch.tensor([0.0, -1e6, 0.0]))
    graph = stages(Sequential([first, Relu(), DepthwiseConv2d(1, 3, 2, 1), Relu(), Dense(3, 2)]))
    x = uniform(1, 30, 6)
    after = by_name(equalize(graph, x))["layer_0"].weights[:, 0, 0, 0]
    np.testing.assert_allclose(after, [1.0, 32.0, 1.0], rtol=1e-6)


def test_uneven_channels_lose_less() -> None:
    graph = stages(Sequential([uneven(Dense(6, 16)), Relu(), DepthwiseConv2d(1, 16, 3, 1), Relu(), Dense(16, 2)]))
    x = uniform(2, 100, 6)

    def relative_error(graph: FloatGraph) -> float:
        values = run(graph, torch.from_numpy(x))["layer_0"].numpy()
        error = fake_quantize(values, calibrate(graph, x).quants["layer_0"]) - values
        alive = values.std(axis=(0, 1, 2)) > 0
        return float((error.std(axis=(0, 1, 2))[alive] / values.std(axis=(0, 1, 2))[alive]).mean())

    assert relative_error(equalize(graph, x)) < 0.5 * relative_error(graph)
