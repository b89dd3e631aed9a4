"""The one streaming contract, applied to every layer and every model."""

from collections.abc import Callable

import pytest
import torch

from kws.config import load
from kws.errors import KwsError
from kws.models.configs import DeepKwsConfig, ModelConfig
from kws.models.layers import Dense, FeatureNorm, Relu, Sequential, TimeConv
from kws.models.registry import BUILDERS, build
from kws.models.streaming import Streaming

BANDS = 6
BATCH = 3


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def registered(name: str) -> Callable[[], Streaming]:
    """Make the model that the registry has under this name."""
    return lambda: build(load(ModelConfig, {"name": name}), BANDS, 3, generator())


def norm() -> FeatureNorm:
    return FeatureNorm(BANDS).set(torch.linspace(8.0, 14.0, BANDS), torch.linspace(2.0, 4.0, BANDS))


def stack() -> Sequential:
    return Sequential(
        [
            TimeConv(BANDS, 8, kernel=5, stride=2, norm=norm(), generator=generator()),
            Relu(),
            TimeConv(8, 7, kernel=4, stride=3, generator=generator()),
            Relu(),
            TimeConv(7, 3, kernel=3, generator=generator()),
        ]
    )


MODULES: dict[str, Callable[[], Streaming]] = {
    "FeatureNorm": norm,
    "Relu": Relu,
    "Dense": lambda: Dense(BANDS, 4, generator()),
    "TimeConv": lambda: TimeConv(BANDS, 4, kernel=5, generator=generator()),
    "TimeConv of one frame": lambda: TimeConv(BANDS, 4, generator=generator()),
    "TimeConv with stride": lambda: TimeConv(BANDS, 4, kernel=7, stride=3, norm=norm(), generator=generator()),
    "TimeConv without overlap": lambda: TimeConv(BANDS, 4, kernel=4, stride=4, generator=generator()),
    "Sequential": stack,
    **{f"model {name}": registered(name) for name in BUILDERS},
    "small deepkws": lambda: build(ModelConfig(deepkws=DeepKwsConfig(1, 16, 4, 2)), BANDS, 2, generator()),
}


@pytest.fixture(params=MODULES, ids=str)
def module(request: pytest.FixtureRequest) -> Streaming:
    return MODULES[request.param]().double().eval()


def signal(module: Streaming, outputs: int = 40) -> torch.Tensor:
    return 20.0 * torch.rand(BATCH, outputs * module.stride, BANDS, generator=generator()).double()


def test_chunked_equals_whole(module: Streaming) -> None:
    x = signal(module)
    whole = module(x)
    assert whole.shape[:2] == (BATCH, x.shape[1] // module.stride)
    drawn = generator()
    for _ in range(2):
        parts, state, at = [], module.initial_state(BATCH), 0
        while at < x.shape[1]:
            size = module.stride * int(torch.randint(0, 12, (), generator=drawn))
            y, state = module.step(x[:, at : at + size], state)
            parts.append(y)
            at += size
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-9, atol=1e-9)


def test_causal_and_receptive_field_as_declared(module: Streaming) -> None:
    """The gradient of one output reaches exactly the declared frames: none later, none earlier, the first one too."""
    outputs = module.receptive_field // module.stride + 8
    x = signal(module, outputs).requires_grad_()
    index = outputs - 3
    y = module(x)
    # Inputs are kept above ReLU kinks by summing squares: a frame that matters has a gradient that is not 0.
    (gradient,) = torch.autograd.grad((y[:, index] ** 2).sum() + y[:, index].sum(), x)
    reached = torch.nonzero(gradient.abs().sum(dim=(0, 2))).flatten()
    last = (index + 1) * module.stride - 1
    assert int(reached.max()) == last
    assert int(reached.min()) == last - module.receptive_field + 1


def test_later_input_changes_nothing(module: Streaming) -> None:
    x = signal(module)
    y = module(x)
    for index in (0, 7, 20):
        changed = x.clone()
        changed[:, (index + 1) * module.stride :] += 3.0
        torch.testing.assert_close(module(changed)[:, : index + 1], y[:, : index + 1], rtol=1e-12, atol=1e-12)


def test_latency_lies_within_the_receptive_field(module: Streaming) -> None:
    assert 0 <= module.latency < module.receptive_field


def test_batch_rows_are_independent(module: Streaming) -> None:
    x = signal(module)
    y = module(x)
    other = x.clone()
    other[1] += 5.0
    torch.testing.assert_close(module(other)[[0, 2]], y[[0, 2]], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(module(x[:1]), y[:1], rtol=1e-9, atol=1e-9)


def test_initial_state_is_silence_before_the_start(module: Streaming) -> None:
    """Zeros in, as many as the receptive field, lead from the initial state to where it would have been anyway."""
    state = module.initial_state(BATCH)
    assert all(part.shape[0] == BATCH and not part.any() for part in state)
    y, after = module.step(signal(module, 1)[:, :0], state)
    assert y.shape[1] == 0
    assert all(torch.equal(old, new) for old, new in zip(state, after, strict=True))
    if isinstance(module, TimeConv) or (isinstance(module, Sequential) and len(state) == 1):
        x = signal(module)
        silence = x.new_zeros(BATCH, module.receptive_field * module.stride, BANDS)
        late = module(torch.cat((silence, x), dim=1))[:, module.receptive_field :]
        torch.testing.assert_close(late, module(x), rtol=1e-9, atol=1e-9)


def test_sampled_is_every_nth_output(module: Streaming) -> None:
    x = signal(module)
    whole = module(x)
    for every, phase in ((1, 0), (3, 0), (3, 2), (4, 1)):
        torch.testing.assert_close(module.sampled(x, every, phase), whole[:, phase::every], rtol=1e-9, atol=1e-9)


def test_a_chunk_must_be_a_multiple_of_the_stride(module: Streaming) -> None:
    if module.stride > 1:
        with pytest.raises(KwsError, match=f"multiple of {module.stride} frames"):
            module(signal(module)[:, :-1])


def test_a_chunk_without_batch_is_refused() -> None:
    with pytest.raises(KwsError, match="takes \\[batch, frames, features\\]"):
        TimeConv(BANDS, 4, kernel=3)(torch.zeros(10, BANDS))
