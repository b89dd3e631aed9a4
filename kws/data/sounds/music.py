"""Something like music: chords of a scale, a bass and a melody in one beat, with drums or without."""

import numpy as np
from numpy.typing import NDArray

from kws.data.sounds.colours import SAMPLE_RATE_HZ, Signal, unit_rms, white
from kws.data.sounds.machines import TABLE, turn

SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))
"""Major, minor, pentatonic: semitones above the key's note."""


def music(samples: int, rng: np.random.Generator) -> Signal:
    """Return two to four voices of plucked or held notes in one key and tempo, and drums in half of the cases."""
    beat = int(SAMPLE_RATE_HZ * 60.0 / rng.uniform(70.0, 160.0))
    scale = SCALES[int(rng.integers(len(SCALES)))]
    key = float(rng.uniform(0.0, 12.0))
    total = np.zeros(samples, np.float32)
    for voice in range(int(rng.integers(2, 5))):
        # The first is a bass an octave below, with a note a beat; others have up to four.
        length = beat // int(rng.integers(1, 5)) if voice else beat
        octave = voice and int(rng.integers(0, 3))
        total += np.float32(rng.uniform(0.3, 1.0)) * _voice(samples, length, key + 12.0 * octave, scale, rng)
    if rng.random() < 0.5:
        total += np.float32(rng.uniform(0.3, 1.5)) * _drums(samples, beat, rng)
    return unit_rms(total)


def _voice(samples: int, length: int, base: float, scale: tuple[int, ...], rng: np.random.Generator) -> Signal:
    """Return notes of ``length`` samples, each decaying; ``base`` is in semitones above 65 Hz."""
    notes = samples // length + 2
    semitones = base + np.take(scale, rng.integers(len(scale), size=notes))
    loudness = rng.uniform(0.2, 1.0, notes) * (rng.random(notes) < 0.85)
    steps = 65.4 * 2.0 ** (semitones / 12.0) * (TABLE / SAMPLE_RATE_HZ)
    begin = int(rng.integers(length))
    turns = np.cumsum(np.repeat(steps, length)[begin : begin + samples])
    decay = np.exp(np.arange(length) * (-rng.uniform(0.5, 6.0) / length)) * np.minimum(np.arange(length) / 80.0, 1.0)
    envelope = (loudness[:, None] * decay).astype(np.float32).reshape(-1)[begin : begin + samples]
    period = turn(int(rng.integers(2, 12)), float(rng.uniform(0.7, 2.0)), rng)
    return np.asarray(unit_rms(period).take(turns.astype(np.int64) % TABLE) * envelope)


def _drums(samples: int, beat: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return noise bursts on every beat or half beat, and a thump on every other beat."""
    step = beat // int(rng.integers(1, 3))
    begin = int(rng.integers(step))
    count = samples // step + 2
    decay = np.exp(np.arange(step) * (-1.0 / rng.uniform(200.0, 1500.0)))
    strikes = (rng.uniform(0.2, 1.0, count)[:, None] * decay).astype(np.float32).reshape(-1)[begin : begin + samples]
    time = np.arange(2 * beat, dtype=np.float32)
    thump = np.sin(2.0 * np.pi * 60.0 / SAMPLE_RATE_HZ * time) * np.exp(-time / np.float32(1500.0))
    kicks = np.tile(thump.astype(np.float32), samples // (2 * beat) + 2)[begin : begin + samples]
    return np.asarray(white(samples, rng) * strikes + kicks)
