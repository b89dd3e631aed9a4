"""Applies what was drawn: a pure function of the sound, the drawn values and the backgrounds."""

import math

import numpy as np
from numpy.typing import NDArray

from kws.data.augment.backgrounds import Backgrounds, Samples
from kws.data.augment.codec import coded
from kws.data.augment.draw import Augmentation, RoomDraw
from kws.data.augment.filters import filtered
from kws.data.augment.level import active_power, overdriven, stepped
from kws.data.sounds import noise, rooms

Signal = NDArray[np.float32]
VOICES = (3, 10)
"""How many people talk at once in babble: from, and below."""


def apply(samples: Samples, drawn: Augmentation, backgrounds: Backgrounds) -> Samples:
    """Return the augmented sound, int16 [n] -> int16 [n]. Digital silence becomes noise alone at its level.

    Speech starts where it started: a room's direct path has no delay. The signal-to-noise ratio is the power of the
    reverberant speech, where it is active, over the noise's mean, before the microphone.
    """
    rng = np.random.default_rng(drawn.seed)
    room = None if drawn.room is None else _response(drawn.room, backgrounds, rng)
    signal = filtered(samples.astype(np.float32), drawn.channel.decibels(), room, 0 if room is None else rooms.DIRECT)
    power = active_power(signal)
    if drawn.noise:
        noise_power = (power or 1.0) / 10.0 ** (drawn.snr_db / 10.0)
        signal = signal + np.float32(math.sqrt(noise_power)) * _noise(len(samples), drawn.noise, backgrounds, rng)
        power = power or max(1.0, noise_power)
    if drawn.microphone is not None:
        signal = filtered(signal, drawn.microphone.decibels())
    if drawn.level_dbfs is not None:
        gain = 32768.0 * 10.0 ** (drawn.level_dbfs / 20.0) / math.sqrt(power or 1.0)
        signal = signal * np.float32(gain)
    if drawn.gain_steps:
        signal = stepped(signal, drawn.gain_steps)
    if drawn.overdrive_db > 0.0:
        signal = overdriven(signal, drawn.overdrive_db, drawn.overdrive_soft)
    if drawn.codec is not None:
        signal = coded(signal, drawn.codec)
    return np.asarray(np.clip(np.rint(signal), -32768, 32767)).astype(np.int16)


def _response(room: RoomDraw, backgrounds: Backgrounds, rng: np.random.Generator) -> Signal:
    if room.kind == "noise":
        return rooms.decaying_noise(room.reverberation_s, room.direct_db, rng)
    if room.kind == "simulated":
        return backgrounds.simulated[room.index]
    channels = backgrounds.rooms[room.index]
    return rooms.nearer(channels[room.channel % len(channels)], room.nearer_db)


def _noise(samples: int, name: str, backgrounds: Backgrounds, rng: np.random.Generator) -> Signal:
    if name == "babble":
        count = int(rng.integers(*VOICES))
        picked = [backgrounds.speech[int(rng.integers(len(backgrounds.speech)))] for _ in range(count)]
        return noise.babble(samples, picked, rng)
    if name in ("recorded", "music"):
        sounds = backgrounds.noise if name == "recorded" else backgrounds.music
        return noise.babble(samples, [sounds[int(rng.integers(len(sounds)))]], rng)
    return noise.GENERATORS[name](samples, rng)
