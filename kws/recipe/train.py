"""The settings of training and of a teacher."""

from dataclasses import dataclass, field
from typing import Literal

from kws.config import check_range
from kws.models.configs import ModelConfig


@dataclass(frozen=True)
class TrainConfig:
    """How the model is trained. Steps, not minutes, so that a seed gives the same model on the same machine."""

    steps: int = 2500
    # The batch of all processes together.
    batch_clips: int = 128
    # muon: Muon for the matrices of hidden layers, AdamW for the rest; adamw: for all (kws.train.fit.optimizers).
    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: float = 1e-2
    warmup_share: float = 0.05
    weight_decay: float = 1e-2
    # The gradient's norm is clipped to this; 0: never.
    gradient_norm: float = 5.0
    # The model that is evaluated and kept averages the weights of the last 1 / (1 - decay) steps; 0: no average.
    average_decay: float = 0.998
    # The loss is taken at every n-th step of the model, with an offset that rotates: neighbours are nearly alike, so
    # more clips in the same time teach more. Max-pooling picks the best of all steps.
    frame_step: int = 1
    # frame: cross-entropy of every frame's label. max_pool: of only the best frame in the label's window, for words
    # whose end is only roughly known (see kws.train.loss). It learns more slowly, as one frame of a window teaches.
    loss: Literal["frame", "max_pool"] = "frame"
    # The window around a phrase's end (max_pool: a label's end) in which the detector should fire, and how far before
    # and after that window frames do not count in the loss.
    label_before_ms: int = 100
    label_after_ms: int = 300
    label_guard_ms: int = 250
    # Frames this close to the edge of a keyword word are left out of the frame loss: their label is uncertain.
    edge_ms: int = 20
    label_smoothing: float = 0.0
    # Weight of a keyword frame (max_pool: of a keyword) in the loss, relative to filler.
    keyword_weight: float = 1.0
    # The filler frames of each clip with the largest loss: their share, and the weight of their extra loss term.
    hard_share: float = 0.05
    hard_weight: float = 0.3
    # How many times the model is evaluated on streams of held-out voices during training; the best state is kept,
    # judged by the misses around this many false accepts per hour.
    trials: int = 10
    select_false_accepts_per_hour: float = 1.0
    # At most so many held-out recordings of the phrase, hours of other speech, examples for the held-out loss.
    dev_positives: int = 300
    dev_hours: float = 1.0
    dev_clips: int = 256
    # How many steps train on each drawn batch, every time at another level, with another frequency response and more
    # noise. Only with 1 do several processes have the loss curve of one: above, each mixes only its own clips.
    reuse: int = 4
    # Weight of the teacher's posteriors relative to the labels, if the recipe has a teacher.
    teacher_weight: float = 1.0
    # Feature shards to train on (a path with * and ?), instead of drawing examples during training.
    shards: str = ""
    # A checkpoint is written after each evaluation, every so many seconds, and when the run is stopped.
    checkpoint_every_s: float = 120.0
    # Logs for TensorBoard beside the checkpoint, if the package is installed.
    tensorboard: bool = True
    # auto: a GPU if there is one.
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # Workers that prepare examples, and threads of torch; 0: share the processors between them.
    workers: int = 0
    threads: int = 0

    def __post_init__(self) -> None:
        """Check every bound."""
        for name, low, high in _TRAIN_BOUNDS:
            check_range(name, getattr(self, name), low, high)


_TRAIN_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("steps", 1, 10_000_000),
    ("batch_clips", 1, 65_536),
    ("learning_rate", 1e-7, 1.0),
    ("warmup_share", 0.0, 0.9),
    ("weight_decay", 0.0, 10.0),
    ("gradient_norm", 0.0, 1e6),
    ("average_decay", 0.0, 0.99999),
    ("frame_step", 1, 100),
    ("label_before_ms", 0, 2000),
    ("label_after_ms", 10, 2000),
    ("label_guard_ms", 0, 5000),
    ("edge_ms", 0, 200),
    ("label_smoothing", 0.0, 0.5),
    ("keyword_weight", 0.01, 100.0),
    ("hard_share", 0.001, 1.0),
    ("hard_weight", 0.0, 100.0),
    ("reuse", 1, 100),
    ("teacher_weight", 0.0, 100.0),
    ("trials", 1, 1000),
    ("select_false_accepts_per_hour", 0.01, 1000.0),
    ("dev_positives", 10, 100_000),
    ("dev_hours", 0.001, 1000.0),
    ("dev_clips", 16, 100_000),
    ("checkpoint_every_s", 1.0, 1e6),
    ("workers", 0, 64),
    ("threads", 0, 256),
)


@dataclass(frozen=True)
class TeacherConfig:
    """A larger model, trained first on the same data, whose posteriors the model learns from; 0 steps: none.

    It must decide as often as the model does. It is dropped when training ends.
    """

    steps: int = 0
    learning_rate: float = 1e-2
    model: ModelConfig = field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        """Check the bounds."""
        check_range("steps", self.steps, 0, 10_000_000)
        check_range("learning_rate", self.learning_rate, 1e-7, 1.0)
