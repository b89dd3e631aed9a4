"""The streaming contract: offline is streaming with one chunk.

A module is a function ``step(x, state) -> (y, state)``; ``forward(x)`` is ``step`` from the initial state, so that
there is no second code path. Time is counted in frames of the module's own input; the output frame with index n
is given with input frame ``(n + 1) * stride - 1`` and depends on the ``receptive_field`` frames that end there.
"""

from torch import Tensor, nn

from kws.errors import KwsError

StreamState = tuple[Tensor, ...]
"""What a module carries from one chunk to the next: one tensor [batch, frames, features] per layer that remembers."""


class Streaming(nn.Module):
    """Base of every layer and model. Shapes: x [batch, frames, in], y [batch, frames / stride, out].

    Attributes:
        stride: input frames per output frame; a chunk must hold a multiple of it.
        latency: how many input frames later than its own an output is given. Nothing later than its input is seen:
            a module that looks ahead gives its output late.
        receptive_field: input frames that one output depends on.
        macs: multiply-accumulates per output frame when streaming, with norms folded into the weights before them.

    A layer without memory declares nothing and overrides ``step`` alone.
    """

    stride: int = 1
    latency: int = 0
    receptive_field: int = 1
    macs: int = 0

    def initial_state(self, batch: int) -> StreamState:
        """Return the state before the first frame, on the parameters' device: zeros, which is digital silence."""
        return ()

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Take a chunk of any length and the state it starts from; return the outputs and the state it ends in."""
        # Not an abstract method: nn.Module has no ABCMeta, and a layer without a step must still say its own name.
        raise NotImplementedError(f"{type(self).__name__} must define step")

    def forward(self, x: Tensor) -> Tensor:
        """Run a whole signal: ``step`` from the initial state."""
        return self.step(x, self.initial_state(x.shape[0]))[0]

    def sampled(self, x: Tensor, every: int, phase: int) -> Tensor:
        """Return ``forward(x)[:, phase::every]``; a model that can leave out the rest's work overrides it."""
        return self.forward(x)[:, phase::every]

    def check_chunk(self, x: Tensor) -> None:
        """Refuse a chunk that is not [batch, frames, features] or not a multiple of the stride."""
        if x.dim() != 3:
            raise KwsError(f"{type(self).__name__} takes [batch, frames, features], not {tuple(x.shape)}")
        if x.shape[1] % self.stride:
            raise KwsError(
                f"{type(self).__name__} takes a multiple of {self.stride} frames at a time, not {x.shape[1]}; "
                f"keep the last {x.shape[1] % self.stride} for the next chunk"
            )
