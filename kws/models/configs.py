"""The models' typed configs, free of torch, so that a recipe can be read where nothing is trained."""

from dataclasses import dataclass, field
from typing import Literal

from kws.config import check_range

MAX_FUTURE_FRAMES = 100
"""Bound on how much later than its own frame an output may be asked for; each frame adds one hop of latency."""


@dataclass(frozen=True)
class DeepKwsConfig:
    """DeepKWS (Chen, Parada, Heigold 2014, section 3): stacked frames, ``layers`` hidden layers of ``width`` ReLUs.

    ``future_frames`` is declared latency: a decision about a frame is made that many frames later.
    """

    layers: int = 3
    width: int = 128
    past_frames: int = 30
    future_frames: int = 10

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_range("layers", self.layers, 1, 16)
        check_range("width", self.width, 1, 1024)
        check_range("past_frames", self.past_frames, 0, 200)
        check_range("future_frames", self.future_frames, 0, MAX_FUTURE_FRAMES)

    @property
    def window_frames(self) -> int:
        """Frames that one decision sees: past, current and future."""
        return self.past_frames + 1 + self.future_frames


CnnName = Literal[
    "cnn-trad-fpool3",
    "cnn-one-fpool3",
    "cnn-one-fstride4",
    "cnn-one-fstride8",
    "cnn-tstride2",
    "cnn-tstride4",
    "cnn-tpool2",
    "cnn-tpool3",
]


@dataclass(frozen=True)
class CnnConfig:
    """A row of the tables of Sainath and Parada (2015): a window of 32 frames, ``future_frames`` of them to come."""

    row: CnnName = "cnn-trad-fpool3"
    future_frames: int = 8

    def __post_init__(self) -> None:
        """Check the bound."""
        check_range("future_frames", self.future_frames, 0, 31)


@dataclass(frozen=True)
class DsCnnConfig:
    """DS-CNN (Zhang et al. 2017), at one of its published sizes; the mean is over the last ``average_steps`` outputs.

    The published features have 10 values every 20 ms; 25 steps of 40 ms are then the published 1 s.
    """

    size: Literal["S", "M", "L"] = "S"
    average_steps: int = 25
    future_frames: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_range("average_steps", self.average_steps, 1, 400)
        check_range("future_frames", self.future_frames, 0, MAX_FUTURE_FRAMES)


@dataclass(frozen=True)
class MixedNetConfig:
    """A MixedNet as microWakeWord's v2 models: a strided convolution, then a MixConv block per tuple of ``kernels``.

    ``stride`` is in frames; the logits see the last ``final_steps`` outputs of the last block.
    """

    first_channels: int = 32
    first_kernel_time: int = 5
    stride: int = 3
    channels: int = 64
    kernels: tuple[tuple[int, ...], ...] = ((5,), (7, 11), (9, 15), (23,))
    residual: bool = False
    final_steps: int = 6
    future_frames: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_range("first_channels", self.first_channels, 8, 512)
        check_range("first_kernel_time", self.first_kernel_time, 1, 64)
        check_range("stride", self.stride, 1, self.first_kernel_time)
        check_range("channels", self.channels, 8, 512)
        check_range("final_steps", self.final_steps, 1, 200)
        check_range("future_frames", self.future_frames, 0, MAX_FUTURE_FRAMES)
        if not 1 <= len(self.kernels) <= 32 or not all(1 <= len(sizes) <= 8 for sizes in self.kernels):
            raise ValueError("kernels must be 1 to 32 lists of 1 to 8 kernel sizes")
        for size in (size for sizes in self.kernels for size in sizes):
            check_range("kernels", size, 1, 200)


@dataclass(frozen=True)
class BcResNetConfig:
    """BC-ResNet (Kim et al. 2021) of width factor ``tau``; published are 1, 1.5, 2, 3, 6 and 8."""

    tau: float = 1.0
    average_steps: int = 50
    future_frames: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_range("tau", self.tau, 0.5, 16.0)
        check_range("average_steps", self.average_steps, 1, 400)
        check_range("future_frames", self.future_frames, 0, MAX_FUTURE_FRAMES)


@dataclass(frozen=True)
class TcResNet8Config:
    """TC-ResNet8 (Choi et al. 2019), its channels times ``width``; a step is 8 frames, 13 of them about 1 s."""

    width: float = 1.0
    average_steps: int = 13
    future_frames: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_range("width", self.width, 0.25, 8.0)
        check_range("average_steps", self.average_steps, 1, 100)
        check_range("future_frames", self.future_frames, 0, MAX_FUTURE_FRAMES)


@dataclass(frozen=True)
class MdtcConfig:
    """MDTC (Hou et al. 2020) as wekws has it: ``stacks`` of ``stack_size`` blocks, dilations 1, 2, 4 .. in each."""

    stacks: int = 3
    stack_size: int = 4
    kernel_time: int = 5
    channels: int = 32
    future_frames: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_range("stacks", self.stacks, 1, 8)
        check_range("stack_size", self.stack_size, 1, 8)
        check_range("kernel_time", self.kernel_time, 2, 64)
        check_range("channels", self.channels, 4, 512)
        check_range("future_frames", self.future_frames, 0, MAX_FUTURE_FRAMES)


@dataclass(frozen=True)
class WrenConfig:
    """Wren, this project's own: a strided first convolution, then blocks of depthwise and pointwise convolutions.

    Attributes:
        first_channels, first_kernel_time, stride: the first convolution; ``stride`` (frames) is the whole model's.
        first_frequency_kernel: 0: the first convolution sees all bands; above: it is two-dimensional, with this kernel
            and ``first_frequency_stride`` over the bands, and a pointwise layer brings its map to ``channels``.
        blocks: the depthwise kernel of each block, in steps; ``dilations``: their dilations, none given: all 1.
        short_share: half of each block's channels have kernels of that share of its length (MixConv, Tan and Le 2019).
        channels: the width of the blocks.
        residual: add a block's input to its output, where the widths are equal.
        head_channels: a hidden layer before the logits; 0: none.
        final_steps: the logits see the last so many outputs of the layer before them.
        future_frames: how many frames later than its own an output is asked for, the declared latency.
    """

    first_channels: int = 32
    first_kernel_time: int = 5
    stride: int = 3
    first_frequency_kernel: int = 0
    first_frequency_stride: int = 1
    blocks: tuple[int, ...] = (5, 11, 15, 23)
    short_share: float = 0.6
    dilations: tuple[int, ...] = ()
    channels: int = 60
    residual: bool = False
    head_channels: int = 0
    final_steps: int = 6
    future_frames: int = 0

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_range("first_channels", self.first_channels, 2, 512)
        check_range("first_kernel_time", self.first_kernel_time, 1, 64)
        check_range("stride", self.stride, 1, self.first_kernel_time)
        check_range("final_steps", self.final_steps, 1, 200)
        check_range("first_frequency_kernel", self.first_frequency_kernel, 0, 64)
        check_range("first_frequency_stride", self.first_frequency_stride, 1, 16)
        check_range("channels", self.channels, 2, 512)
        check_range("head_channels", self.head_channels, 0, 512)
        check_range("future_frames", self.future_frames, 0, MAX_FUTURE_FRAMES)
        if not 1 <= len(self.blocks) <= 32:
            raise ValueError("blocks must be 1 to 32 kernel sizes")
        check_range("short_share", self.short_share, 0.01, 1.0)
        if len(self.dilations) not in (0, len(self.blocks)):
            raise ValueError(f"dilations must be as many as blocks, {len(self.blocks)}, or none")
        for name in ("blocks", "dilations"):
            for value in getattr(self, name):
                check_range(name, value, 1, 200)


@dataclass(frozen=True)
class ModelConfig:
    """Which model, by its name in ``kws.models.registry``, and its own table of settings."""

    name: Literal["deepkws", "cnn", "ds_cnn", "mixednet", "bc_resnet", "tc_resnet8", "mdtc", "wren"] = "wren"
    deepkws: DeepKwsConfig = field(default_factory=DeepKwsConfig)
    cnn: CnnConfig = field(default_factory=CnnConfig)
    ds_cnn: DsCnnConfig = field(default_factory=DsCnnConfig)
    mixednet: MixedNetConfig = field(default_factory=MixedNetConfig)
    bc_resnet: BcResNetConfig = field(default_factory=BcResNetConfig)
    tc_resnet8: TcResNet8Config = field(default_factory=TcResNet8Config)
    mdtc: MdtcConfig = field(default_factory=MdtcConfig)
    wren: WrenConfig = field(default_factory=WrenConfig)
