"""The models' typed configs, free of torch, so that a recipe can be read where nothing is trained."""

from dataclasses import dataclass, field
from typing import Literal


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
        if not 1 <= self.layers <= 16:
            raise ValueError("layers must be 1 to 16")
        if not 1 <= self.width <= 1024:
            raise ValueError("width must be 1 to 1024")
        if not 0 <= self.past_frames <= 200:
            raise ValueError("past_frames must be 0 to 200")
        if not 0 <= self.future_frames <= 100:
            raise ValueError("future_frames must be 0 to 100; each adds one hop of latency")

    @property
    def window_frames(self) -> int:
        """Frames that one decision sees: past, current and future."""
        return self.past_frames + 1 + self.future_frames


@dataclass(frozen=True)
class ModelConfig:
    """Which model, by its name in ``kws.models.registry``, and its own table of settings."""

    name: Literal["deepkws"] = "deepkws"
    deepkws: DeepKwsConfig = field(default_factory=DeepKwsConfig)
