"""The one streaming contract, applied to every layer and every model."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from kws.config import load
from kws.errors import KwsError
from kws.models.configs import ModelConfig
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
    Windowed,
)
from kws.models.registry import BUILDERS, build
from kws.models.streaming import Streaming

BANDS = 6
BATCH = 3


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def registered(name: str, bands: int, settings: dict[str, Any]) -> Callable[[], Streaming]:
    """Make the model that the registry has under this name, with these settings."""
    return lambda: build(load(ModelConfig, {"name": name, name: settings}), bands, 3, generator())


def norm(shared: bool = False) -> FeatureNorm:
    return FeatureNorm(BANDS, shared).set(torch.linspace(8.0, 14.0, BANDS), torch.linspace(2.0, 4.0, BANDS))


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


def batch_norm(channels: int, frequency: int = 1, sub_bands: int = 1) -> BatchNorm:
    """Return one with statistics and weights that are not the initial ones."""
    layer = BatchNorm(channels, frequency, sub_bands)
    for name, values in (*layer.named_parameters(), *layer.named_buffers()):
        values.data.uniform_(0.5, 2.0, generator=generator())
        assert name
    return layer


def residual() -> Residual:
    """A strided residual whose shortcut sees fewer frames than it strides over."""
    body = Sequential([TimeConv(BANDS, 5, 3, 2, generator=generator()), Relu(), TimeConv(5, 4, 2, bias=False)])
    return Residual(body, TimeConv(BANDS, 4, 1, 2, generator=generator()))


def broadcast(identity: bool) -> BroadcastResidual:
    """3 bands of 2 channels; f2 over frequency and 2 frames, f1 dilated over 5 frames."""
    body2d = DepthwiseConv2d(3, 2, 2, 3, pad_frequency=(1, 1), generator=generator())
    body1d = DepthwiseConv2d(1, 2, 3, 1, dilation_time=2, bias=False, generator=generator())
    return BroadcastResidual(body2d, FrequencyMean(3, 2), body1d, identity)


def conv2d(**settings: Any) -> Callable[[], Streaming]:
    return lambda: Conv2d(BANDS, 1, 4, 4, 3, generator=generator(), **settings)


def depthwise(**settings: Any) -> Callable[[], Streaming]:
    return lambda: DepthwiseConv2d(3, 2, 3, 2, generator=generator(), **settings)


FAMILIES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "small deepkws": ("deepkws", BANDS, {"layers": 1, "width": 16, "past_frames": 4, "future_frames": 2}),
    "cnn of one convolution": ("cnn", 12, {"row": "cnn-one-fstride4"}),
    "cnn with stride": ("cnn", 19, {"row": "cnn-tstride4"}),
    "cnn with pooling": ("cnn", 20, {"row": "cnn-tpool3"}),
    "ds_cnn S": ("ds_cnn", BANDS, {"size": "S", "average_steps": 3}),
    "ds_cnn M": ("ds_cnn", BANDS, {"size": "M", "average_steps": 2, "future_frames": 7}),
    "mixednet": ("mixednet", BANDS, {"first_channels": 8, "channels": 8, "kernels": [[3], [2, 5, 3]]}),
    "mixednet with residual": ("mixednet", BANDS, {"channels": 8, "kernels": [[3, 2], [4]], "residual": True}),
    "bc_resnet": ("bc_resnet", 20, {"tau": 1.0, "average_steps": 2}),
    "bc_resnet with sub-bands": ("bc_resnet", 40, {"tau": 0.5, "average_steps": 2}),
    "tc_resnet8": ("tc_resnet8", BANDS, {"width": 0.5, "average_steps": 2}),
    "mdtc": ("mdtc", BANDS, {"stacks": 3, "stack_size": 2, "kernel_time": 3, "channels": 8}),
    "wren": (
        "wren",
        BANDS,
        {
            "first_channels": 8,
            "channels": 8,
            "blocks": [3, 4],
            "short_share": 1.0,
            "residual": True,
            "future_frames": 5,
        },
    ),
    "wren in two dimensions": (
        "wren",
        BANDS,
        {
            "first_channels": 3,
            "first_frequency_kernel": 3,
            "first_frequency_stride": 2,
            "stride": 3,
            "channels": 8,
            "blocks": [3, 4],
            "short_share": 0.6,
            "dilations": [2, 3],
            "head_channels": 6,
            "final_steps": 3,
        },
    ),
}


MODULES: dict[str, Callable[[], Streaming]] = {
    "FeatureNorm": norm,
    "Relu": Relu,
    "Dense": lambda: Dense(BANDS, 4, generator()),
    "TimeConv": lambda: TimeConv(BANDS, 4, kernel=5, generator=generator()),
    "TimeConv of one frame": lambda: TimeConv(BANDS, 4, generator=generator()),
    "TimeConv with stride": lambda: TimeConv(BANDS, 4, kernel=7, stride=3, norm=norm(), generator=generator()),
    "TimeConv without overlap": lambda: TimeConv(BANDS, 4, kernel=4, stride=4, generator=generator()),
    "TimeConv that leaves frames out": lambda: TimeConv(BANDS, 4, kernel=2, stride=5, generator=generator()),
    "Sequential": stack,
    "BatchNorm": lambda: batch_norm(BANDS),
    "BatchNorm over frequency": lambda: batch_norm(2, 3),
    "BatchNorm of sub-bands": lambda: batch_norm(1, 6, 3),
    "Conv2d": conv2d(),
    "Conv2d of one frame": lambda: Conv2d(3, 2, 5, 1, 1, generator=generator()),
    "Conv2d with strides, padding, norm": conv2d(
        stride_time=2, stride_frequency=2, pad_frequency=(2, 1), norm=norm(shared=True), bias=False
    ),
    "DepthwiseConv2d": depthwise(),
    "DepthwiseConv2d dilated": depthwise(dilation_time=3, pad_frequency=(0, 1)),
    "DepthwiseConv2d with strides": depthwise(stride_time=3, stride_frequency=2, bias=False),
    "DepthwiseConv2d over time": lambda: DepthwiseConv2d(1, BANDS, 4, 1, dilation_time=2, generator=generator()),
    "moving average": lambda: DepthwiseConv2d(1, BANDS, 5, 1, bias=False, trained=False),
    "MaxPool2d": lambda: MaxPool2d(3, 2, 2, 2),
    "FrequencyMean": lambda: FrequencyMean(3, 2),
    "Residual": lambda: Residual(TimeConv(BANDS, BANDS, 4, generator=generator())),
    "Residual with shortcut and stride": residual,
    "BroadcastResidual": lambda: broadcast(True),
    "BroadcastResidual without identity": lambda: broadcast(False),
    "mixed kernels": lambda: DepthwiseConv2d(1, BANDS, 4, 1, kernel_times=(2, 4, 3), generator=generator()),
    **{title: registered(*family) for title, family in FAMILIES.items()},
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Chunks are small: on a busy machine threads would wait for each other far longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=MODULES, ids=str)
def module(request: pytest.FixtureRequest) -> Streaming:
    return MODULES[request.param]().double().eval()


def signal(module: Streaming, outputs: int = 40) -> torch.Tensor:
    bands = next((part.width for part in module.modules() if isinstance(part, Windowed)), BANDS)
    return 20.0 * torch.rand(BATCH, outputs * module.stride, bands, generator=generator()).double()


def test_every_family_is_here() -> None:
    assert {name for name, _, _ in FAMILIES.values()} == set(BUILDERS)


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
        silence = x.new_zeros(BATCH, module.receptive_field * module.stride, x.shape[2])
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
