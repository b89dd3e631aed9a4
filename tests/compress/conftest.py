"""Features, models of every layer with drawn statistics, and what a graph says of a clip."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.compress.quantize.calibrate import INPUT_QUANT, quantized_input, softmax
from kws.graph.arithmetic import quantize_features
from kws.graph.interpret import Interpreter
from kws.graph.ir import QuantGraph
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

Clips = NDArray[np.int16]
Posteriors = tuple[NDArray[np.float64], NDArray[np.float64]]


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """The same first weights in every run for layers that are made without a generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def features() -> Callable[..., Clips]:
    """Speech-like LFBE of clips, frames, bands, seed: levels that drift slowly, from silence to loud."""

    def make(clips: int, frames: int, bands: int, seed: int = 0) -> Clips:
        rng = np.random.default_rng(seed)
        drift = np.cumsum(rng.normal(0.0, 0.5, (clips, frames, 1)), axis=1) + np.cumsum(
            rng.normal(0.0, 0.8, (clips, frames, bands)), axis=2
        )
        return np.clip((18.0 + drift) * 512, 0, 24000).astype(np.int16)

    return make


@pytest.fixture(scope="session")
def prepare() -> Callable[[Streaming, Clips], Streaming]:
    """Give a model feature norms of these clips, batch norms near what they make of them, logits of size 2; evaluation.

    What training leaves behind, but for the weights: statistics that fit, and affine maps that are not 1 and 0.
    """
    return _prepare


def _prepare(model: Streaming, clips: Clips) -> Streaming:
    x = quantized_input(torch.from_numpy(clips))
    generator = torch.Generator().manual_seed(11)
    norms = [module for module in model.modules() if isinstance(module, BatchNorm)]
    for module in model.modules():
        if isinstance(module, FeatureNorm):
            module.set(x.flatten(0, 1).mean(dim=0), x.flatten(0, 1).std(dim=0))
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(x)
        for norm in norms:
            shape = norm.weight.shape
            norm.running_mean += 0.3 * norm.running_var.sqrt() * torch.randn(shape, generator=generator)
            norm.running_var *= 0.5 + torch.rand(shape, generator=generator)
            norm.weight.copy_(0.5 + torch.rand(shape, generator=generator))
            norm.bias.copy_(0.3 * torch.randn(shape, generator=generator))
        last = [module for module in model.modules() if isinstance(module, Dense | TimeConv)][-1]
        last.weight *= 2.0 / (model.eval()(x).std() + 1e-9)
    return model


@pytest.fixture(scope="session")
def posteriors() -> Callable[[Streaming, QuantGraph, Clips], Posteriors]:
    """Of the graph, run by the interpreter, and of the float model, on the same int8 features of one clip."""

    def run(model: Streaming, graph: QuantGraph, clip: Clips) -> Posteriors:
        logits = Interpreter(graph).run(quantize_features(clip, INPUT_QUANT)).astype(np.float64)
        with torch.no_grad():
            wanted = model(quantized_input(torch.from_numpy(clip[None])))[0].double().numpy()
        return softmax(logits * graph.tensor(graph.output).quant.scale), softmax(wanted)

    return run


@pytest.fixture(scope="session")
def models() -> st.SearchStrategy[tuple[Streaming, int]]:
    """Models of up to six blocks of any kind and nesting, with drawn statistics, and the bands that they take."""
    return st.composite(_draw_model)()


def _draw_model(draw: st.DrawFn) -> tuple[Streaming, int]:
    bands, wide = draw(st.integers(4, 9)), draw(st.booleans())
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    drawing = _Drawing(draw, generator, *((bands, 1) if wide else (1, bands)))
    layers = [drawing.conv2d(FeatureNorm(bands, shared=True)) if wide else drawing.time_conv(FeatureNorm(bands))]
    for _ in range(draw(st.integers(0, 6))):
        layers.append(drawing.block())
    layers.append(Dense(drawing.frequency * drawing.channels, 3, generator, bias=draw(st.booleans())))
    return _statistics(Sequential(layers), generator), bands


def _statistics(model: Streaming, generator: torch.Generator) -> Streaming:
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, FeatureNorm):
                module.set(*(8.0 + 4.0 * torch.rand(2, module.bands, generator=generator)))
            if isinstance(module, BatchNorm):
                for values in (module.weight, module.running_var):
                    values.copy_(0.5 + torch.rand(values.shape, generator=generator))
                for values in (module.bias, module.running_mean):
                    values.normal_(generator=generator)
            bias = getattr(module, "bias", None)
            if isinstance(bias, torch.nn.Parameter):
                bias.normal_(generator=generator)
    return model.eval()


class _Drawing:
    """Draws layers that fit the map they get: ``frequency`` x ``channels``, kept up to date."""

    def __init__(self, draw: st.DrawFn, generator: torch.Generator, frequency: int, channels: int) -> None:
        self.draw, self.generator = draw, generator
        self.frequency, self.channels = frequency, channels

    def block(self) -> Streaming:
        """Draw any block."""
        kinds = [
            self.conv2d,
            self.depthwise,
            self.time_conv,
            self.pool,
            self.norm,
            Relu,
            self.mean,
            self.residual,
            self.identity,
            self.broadcast,
        ]
        return self.draw(st.sampled_from(kinds))()

    def _int(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    def conv2d(self, norm: FeatureNorm | None = None) -> Streaming:
        """A convolution of any stride and padding."""
        layer = Conv2d(
            self.frequency,
            self.channels,
            self._int(1, 4),
            self._int(1, 3),
            self._int(1, min(3, self.frequency)),
            stride_time=self._int(1, 2),
            stride_frequency=self._int(1, 2),
            pad_frequency=(self._int(0, 1), self._int(0, 1)),
            norm=norm,
            bias=self.draw(st.booleans()),
            generator=self.generator,
        )
        self.frequency, self.channels = layer.out_frequency, layer.outputs
        return layer

    def depthwise(self) -> Streaming:
        """A depthwise convolution of any stride, dilation and padding."""
        layer = DepthwiseConv2d(
            self.frequency,
            self.channels,
            self._int(1, 3),
            self._int(1, min(3, self.frequency)),
            stride_time=self._int(1, 2),
            stride_frequency=self._int(1, 2),
            dilation_time=self._int(1, 3),
            pad_frequency=(self._int(0, 1), self._int(0, 1)),
            trained=self.draw(st.booleans()),
            generator=self.generator,
        )
        self.frequency = layer.out_frequency
        return layer

    def time_conv(self, norm: FeatureNorm | None = None) -> Streaming:
        """A convolution of all that there is in a frame; its stride may be greater than its kernel."""
        layer = TimeConv(
            self.frequency * self.channels, 5, self._int(1, 4), self._int(1, 2), norm=norm, generator=self.generator
        )
        self.frequency, self.channels = 1, 5
        return layer

    def pool(self) -> Streaming:
        """A maximum over windows."""
        layer = MaxPool2d(self.frequency, self.channels, self._int(1, 2), self._int(1, min(3, self.frequency)))
        self.frequency = layer.out_frequency
        return layer

    def norm(self) -> Streaming:
        """A batch norm, of sub-bands where they can be."""
        counts = [count for count in (1, 2, 3) if self.frequency % count == 0]
        return BatchNorm(self.channels, self.frequency, self.draw(st.sampled_from(counts)))

    def mean(self) -> Streaming:
        """The mean over frequency."""
        layer = FrequencyMean(self.frequency, self.channels)
        self.frequency = 1
        return layer

    def residual(self) -> Streaming:
        """Two paths of one stride."""
        frequency, channels, stride = self.frequency, self.channels, self._int(1, 2)
        pointwise = Conv2d(frequency, channels, 4, 1, 1, stride_time=stride, generator=self.generator)
        depthwise = DepthwiseConv2d(frequency, channels, 3, 1, stride_time=stride, generator=self.generator)
        self.channels = 4
        body = [depthwise, Relu(), Conv2d(frequency, channels, 4, 1, 1, generator=self.generator), BatchNorm(4)]
        return Sequential([Residual(Sequential(body), pointwise), Relu()])

    def identity(self) -> Streaming:
        """A path around norm, ReLU, convolution: what it reads is read twice."""
        frequency, channels = self.frequency, self.channels
        conv = Conv2d(frequency, channels, channels, 2, 1, generator=self.generator)
        return Residual(Sequential([BatchNorm(channels), Relu(), conv, Residual(Sequential([Relu(), self.norm()]))]))

    def broadcast(self) -> Streaming:
        """BC-ResNet's block."""
        frequency, channels = self.frequency, self.channels
        wide = DepthwiseConv2d(frequency, channels, 1, 3, pad_frequency=(1, 1), generator=self.generator)
        narrow = DepthwiseConv2d(1, channels, 3, 1, dilation_time=self._int(1, 2), generator=self.generator)
        body1d = Sequential([narrow, BatchNorm(channels), Relu(), Dense(channels, channels, self.generator)])
        body2d, mean = Sequential([wide, self.norm()]), FrequencyMean(frequency, channels)
        return Sequential([BroadcastResidual(body2d, mean, body1d, identity=self.draw(st.booleans())), Relu()])
