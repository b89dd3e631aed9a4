"""Levels: the power of speech, gains that jump, recorders that clip."""

import numpy as np
from numpy.typing import NDArray

from kws.data.sounds.colours import SAMPLE_RATE_HZ

Signal = NDArray[np.float32]
BLOCK = 160
"""Samples in which power is measured: 10 ms."""
GLIDE_S = 0.03
"""How long an automatic gain takes from one value to the next."""


def active_power(signal: Signal) -> float:
    """Return the mean square over the 10 ms blocks within 30 dB of the loudest block; 0 for digital silence."""
    blocks = signal[: len(signal) - len(signal) % BLOCK].reshape(-1, BLOCK)
    powers = np.einsum("ij,ij->i", blocks, blocks) / BLOCK
    loudest = float(powers.max(initial=0.0))
    return float(powers[powers > loudest / 1000.0].mean()) if loudest > 0.0 else 0.0


def stepped(signal: Signal, steps: tuple[tuple[float, float], ...]) -> Signal:
    """Return the signal with a gain that is 0 dB at first; a step (second, dB) is what it is from there on."""
    times, values = [0.0], [1.0]
    for start_s, gain_db in steps:
        times += [start_s, start_s + GLIDE_S]
        values += [values[-1], 10.0 ** (gain_db / 20.0)]
    curve = np.interp(np.arange(len(signal)) / SAMPLE_RATE_HZ, times, values)
    return signal * curve.astype(np.float32)


def overdriven(signal: Signal, overdrive_db: float, soft: bool) -> Signal:
    """Return the signal clipped ``overdrive_db`` below its peak, hard, or bent towards that by a hyperbolic tangent."""
    ceiling = np.float32(float(np.abs(signal).max(initial=0.0)) * 10.0 ** (-overdrive_db / 20.0))
    if ceiling <= 0.0:
        return signal
    if soft:
        return np.asarray(ceiling * np.tanh(signal / ceiling))
    return np.clip(signal, -ceiling, ceiling)
