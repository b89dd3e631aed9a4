"""Layers made of layers; stride, latency, receptive field and state follow from the parts."""

from collections.abc import Sequence

from torch import Tensor, nn

from kws.models.layers.maps import FrequencyMean
from kws.models.streaming import Streaming, StreamState


class Sequential(Streaming):
    """Layers one after the other."""

    def __init__(self, layers: Sequence[Streaming]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.stride, self.latency, self.receptive_field = 1, 0, 1
        for layer in layers:
            # In frames of the whole chain's input. A layer may see fewer frames than it strides over.
            self.receptive_field += (layer.receptive_field - 1) * self.stride
            self.latency += layer.latency * self.stride
            self.stride *= layer.stride
            self.macs = self.macs * layer.stride + layer.macs
        self._states = [len(layer.initial_state(1)) for layer in layers]

    def children_in_order(self) -> list[Streaming]:
        """Return the layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Streaming)]

    def initial_state(self, batch: int) -> StreamState:
        """Return every layer's initial state, joined in order."""
        return tuple(part for layer in self.children_in_order() for part in layer.initial_state(batch))

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Run the chunk through every layer."""
        self.check_chunk(x)
        after: list[Tensor] = []
        begin = 0
        for layer, count in zip(self.children_in_order(), self._states, strict=True):
            x, part = layer.step(x, state[begin : begin + count])
            after.extend(part)
            begin += count
        return x, tuple(after)

    def sampled(self, x: Tensor, every: int, phase: int) -> Tensor:
        """Return ``forward(x)[:, phase::every]``; the last layer with a memory and all after it leave out the rest.

        While training, a ``BatchNorm`` behind that layer has the statistics of the frames that are computed.
        """
        self.check_chunk(x)
        layers = self.children_in_order()
        last = max((i for i, layer in enumerate(layers) if layer.receptive_field > 1 or layer.stride > 1), default=0)
        for layer in layers[:last]:
            x = layer(x)
        x = layers[last].sampled(x, every, phase)
        for layer in layers[last + 1 :]:
            x = layer(x)
        return x


class Residual(Streaming):
    """y = body(x) + shortcut(x), or body(x) + x: both aligned at the newest frame, of equal stride and width.

    Raises:
        ValueError: body and shortcut differ in stride or latency.
    """

    def __init__(self, body: Streaming, shortcut: Streaming | None = None) -> None:
        super().__init__()
        if (body.stride, body.latency) != ((shortcut.stride, shortcut.latency) if shortcut else (1, 0)):
            raise ValueError("a residual's body and shortcut must have the same stride and latency")
        self.body, self.shortcut = body, shortcut
        self.stride, self.latency = body.stride, body.latency
        self.receptive_field = max(body.receptive_field, shortcut.receptive_field if shortcut else 1)
        self.macs = body.macs + (shortcut.macs if shortcut else 0)
        self._body_states = len(body.initial_state(1))

    def initial_state(self, batch: int) -> StreamState:
        """Return the body's state, then the shortcut's."""
        rest = self.shortcut.initial_state(batch) if self.shortcut else ()
        return self.body.initial_state(batch) + rest

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Run both and add."""
        self.check_chunk(x)
        y, after = self.body.step(x, state[: self._body_states])
        if self.shortcut is None:
            return y + x, after
        other, rest = self.shortcut.step(x, state[self._body_states :])
        return y + other, after + rest

    def sampled(self, x: Tensor, every: int, phase: int) -> Tensor:
        """Return ``forward(x)[:, phase::every]`` from sampled parts."""
        other = x[:, phase::every] if self.shortcut is None else self.shortcut.sampled(x, every, phase)
        return self.body.sampled(x, every, phase) + other


class BroadcastResidual(Streaming):
    """BC-ResNet's block without its last ReLU (Kim et al. 2021, eq. 3 and 4): [x +] f2(x) + broadcast(f1(mean(f2(x)))).

    ``body2d`` maps [batch, frames, frequency * channels] to the ``mean``'s frequency and channels, ``body1d`` maps
    [batch, frames, channels] to itself over time; its result is added at every frequency. ``identity`` adds x.
    """

    def __init__(self, body2d: Streaming, mean: FrequencyMean, body1d: Streaming, identity: bool = True) -> None:
        super().__init__()
        if body2d.stride != 1 or body1d.stride != 1:
            raise ValueError("a broadcast residual's bodies must have no stride over time")
        self.body2d, self.mean, self.body1d, self.identity = body2d, mean, body1d, identity
        self.receptive_field = body2d.receptive_field + body1d.receptive_field - 1
        self.macs = body2d.macs + body1d.macs
        self._body2d_states = len(body2d.initial_state(1))

    def initial_state(self, batch: int) -> StreamState:
        """Return the two-dimensional body's state, then the other's."""
        return self.body2d.initial_state(batch) + self.body1d.initial_state(batch)

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Run both bodies and add, the second one at every frequency."""
        y, after = self.body2d.step(x, state[: self._body2d_states])
        z, rest = self.body1d.step(self.mean(y), state[self._body2d_states :])
        positions = y.reshape(*y.shape[:2], self.mean.frequency, self.mean.channels)
        y = (positions + z.unsqueeze(2)).flatten(2)
        return (y + x if self.identity else y), after + rest
