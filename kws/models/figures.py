"""What a model costs and how late it decides, computed from the built model."""

from dataclasses import dataclass

from kws.models.configs import ModelConfig
from kws.models.layers import Sequential, Windowed
from kws.models.registry import build


@dataclass(frozen=True)
class Figures:
    """The figures of one model on one kind of features.

    Attributes:
        parameters: trained values: weights, biases, and the weights and biases of batch norms.
        macs_per_second: multiply-accumulates per second of audio when streaming, with norms folded away.
        step_ms: time between two decisions.
        receptive_field_ms: hops that one decision depends on.
        latency_ms: how much later than its own frame a decision is given, declared by the model.
        state_bytes: what a stream carries from step to step in int8, with the zeros that pad a frequency axis.
    """

    parameters: int
    macs_per_second: float
    step_ms: int
    receptive_field_ms: int
    latency_ms: int
    state_bytes: int


def figures(config: ModelConfig, bands: int, outputs: int, hop_ms: int) -> Figures:
    """Build the model and return its figures for LFBE of ``bands`` every ``hop_ms`` and ``outputs`` logits.

    >>> figures(ModelConfig("deepkws"), bands=40, outputs=3, hop_ms=10).parameters
    243459
    """
    return figures_of(build(config, bands, outputs), hop_ms)


def figures_of(model: Sequential, hop_ms: int) -> Figures:
    """Return the figures of a built model for features every ``hop_ms`` milliseconds."""
    return Figures(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs_per_second=model.macs * 1000.0 / (hop_ms * model.stride),
        step_ms=model.stride * hop_ms,
        receptive_field_ms=model.receptive_field * hop_ms,
        latency_ms=model.latency * hop_ms,
        state_bytes=sum(part.carried * part.padded_width for part in model.modules() if isinstance(part, Windowed)),
    )
