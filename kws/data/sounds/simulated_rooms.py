"""Simulated rooms: image sources for the first 50 ms (Allen and Berkley, JASA 1979), diffuse noise afterwards.

The noise goes on with the power of the last images and the decay of the reverberation time (after Lehmann and
Johansson, "Diffuse reverberation model for efficient image-source simulation", IEEE TASL 2010): all image sources of a
room would be thousands of times as many. Walls absorb more at high frequencies, and each its own share.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kws.data.sounds.colours import SAMPLE_RATE_HZ
from kws.data.sounds.rooms import DIRECT, Signal
from kws.data.sounds.transforms import fast_length, spectrum, wave

SOUND_M_PER_S = 343.0
EARLY_S = 0.05
TAPS = 16
"""Samples on either side of an image source's arrival that its band-limited pulse takes."""
CROSSOVERS_HZ = (500.0, 2500.0)
BAND_DECAYS = (1.1, 1.0, 0.75)
"""Reverberation time below, between and above the crossovers, over the room's."""

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Room:
    """A rectangular room in metres with a source and a microphone in it.

    ``absorption`` says how the six walls (x = 0, x = size, y = 0, ..) share what the reverberation time asks for.
    """

    size_m: Point
    source_m: Point
    microphone_m: Point
    reverberation_s: float
    absorption: tuple[float, ...] = (1.0,) * 6

    @property
    def distance_m(self) -> float:
        """From source to microphone."""
        return math.dist(self.source_m, self.microphone_m)


@lru_cache(maxsize=8)
def bank(
    rooms: int, seed: int, reverberation_s: tuple[float, float], distance_m: tuple[float, float]
) -> tuple[Signal, ...]:
    """Return the responses of ``rooms`` drawn rooms, simulated at the first call (about 2 ms each) and then kept."""
    rng = np.random.default_rng(seed)
    return tuple(simulate(draw_room(reverberation_s, distance_m, rng), rng) for _ in range(rooms))


def draw_room(reverberation_s: tuple[float, float], distance_m: tuple[float, float], rng: np.random.Generator) -> Room:
    """Draw a room of 2 to 8 by 2 to 8 by 2.3 to 3.5 m; both times and distances are uniform in their logarithm."""
    width, length = rng.uniform(2.0, 8.0, 2).tolist()
    size = np.array([width, length, float(rng.uniform(2.3, 3.5))])
    distance = float(np.exp(rng.uniform(*np.log(distance_m))))
    microphone = source = size / 2.0
    for trial in range(64):
        microphone = rng.uniform(0.1 * size, 0.9 * size)
        way = rng.standard_normal(3) * (1.0, 1.0, 0.4)
        # A room may be too small for the distance: ask for less each time.
        source = microphone + way / np.linalg.norm(way) * distance * 0.97**trial
        if ((source > 0.05 * size) & (source < 0.95 * size)).all():
            break
    else:
        source = np.clip(source, 0.05 * size, 0.95 * size)
    return Room(
        size_m=_point(size),
        source_m=_point(source),
        microphone_m=_point(microphone),
        reverberation_s=float(np.exp(rng.uniform(*np.log(reverberation_s)))),
        absorption=tuple(np.exp(rng.normal(0.0, 0.5, 6)).tolist()),
    )


def simulate(room: Room, rng: np.random.Generator) -> Signal:
    """Return the room's response, float32 [n]: down to -60 dB, direct path at ``DIRECT`` with unit energy."""
    samples = DIRECT + int(max(room.reverberation_s * max(BAND_DECAYS), EARLY_S) * SAMPLE_RATE_HZ)
    length = fast_length(samples + TAPS)
    tail = rng.standard_normal(length, dtype=np.float32)
    total = np.zeros(length // 2 + 1, np.complex64)
    delay, loss, spread = image_sources(room)
    for weight, decay in zip(_band_weights(length), BAND_DECAYS, strict=True):
        size = spread * np.exp(-loss / decay)
        late = tail * _envelope(delay, size, room.reverberation_s * decay, length)
        total += weight * spectrum(_pulses(delay, size, length) + late, length)
    response = wave(total, length)[:samples]
    direct = response[: DIRECT + TAPS]
    return response / np.float32(np.sqrt(np.dot(direct, direct)))


def image_sources(room: Room) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each image's arrival in samples after the direct path, its loss at walls (nepers) and distance ratio.

    Images are those that arrive within ``EARLY_S`` after the direct path.
    """
    reach_m = room.distance_m + EARLY_S * SOUND_M_PER_S
    nepers = wall_nepers(room)
    offsets, losses = [], []
    for axis, (size, source, microphone) in enumerate(zip(room.size_m, room.source_m, room.microphone_m, strict=True)):
        order = np.arange(-math.ceil(reach_m / (2 * size)), math.ceil(reach_m / (2 * size)) + 1)
        # Even images stand at 2 n size + source, odd ones, mirrored once more at the wall at 0, at 2 n size - source.
        even, odd = 2 * order * size + source, 2 * order * size - source
        low, high = nepers[2 * axis], nepers[2 * axis + 1]
        offsets.append(np.concatenate([even, odd]) - microphone)
        losses.append(np.concatenate([np.abs(order) * (low + high), np.abs(order - 1) * low + np.abs(order) * high]))
    square, loss = _outer([np.square(part) for part in offsets]), _outer(losses)
    near = square <= reach_m**2
    distance = np.maximum(np.sqrt(square[near]), 0.05)
    direct_m = max(room.distance_m, 0.05)
    return (distance - direct_m) * (SAMPLE_RATE_HZ / SOUND_M_PER_S), loss[near], direct_m / distance


def _outer(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the sums of one value of each of three arrays, [x, y, z]."""
    x, y, z = parts
    return np.asarray(x[:, None, None] + y[:, None] + z)


def wall_nepers(room: Room) -> NDArray[np.float64]:
    """Return how much each wall takes from an amplitude, in nepers, so that the whole has the reverberation time.

    T = 24 ln(10) V / (c * sum(-S ln(1 - alpha))) (Millington 1932), and alpha = 1 - exp(-2 nepers).
    """
    width, length, height = room.size_m
    areas = np.repeat([length * height, width * height, width * length], 2)
    total = 24.0 * math.log(10.0) * width * length * height / (SOUND_M_PER_S * room.reverberation_s)
    shares = np.asarray(room.absorption)
    return np.asarray(shares * total / float((areas * shares).sum()) / 2.0)


def _pulses(delay: NDArray[np.float64], size: NDArray[np.float64], length: int) -> Signal:
    """Return band-limited pulses (Hann-windowed sinc) of these sizes, ``DIRECT`` + delay samples after the start."""
    whole = np.rint(delay).astype(np.int64)
    taps = np.arange(-TAPS, TAPS + 1)
    at = taps - (delay - whole)[:, None]
    shape = np.sinc(at) * (0.5 + 0.5 * np.cos(np.pi * np.clip(at / (TAPS + 1), -1.0, 1.0)))
    places = np.clip((whole + DIRECT)[:, None] + taps, 0, length - 1)
    return np.bincount(places.ravel(), (size[:, None] * shape).ravel(), length).astype(np.float32)


def _envelope(delay: NDArray[np.float64], size: NDArray[np.float64], reverberation_s: float, length: int) -> Signal:
    """Return the tail's amplitude: from the power of the last 15 ms of images on, 60 dB in the reverberation time."""
    early, window = EARLY_S * SAMPLE_RATE_HZ, 0.015 * SAMPLE_RATE_HZ
    nepers = 3.0 * math.log(10.0) / (reverberation_s * SAMPLE_RATE_HZ)
    last = delay > early - window
    # Each image counts as much as it will have decayed to when the tail takes over.
    power = np.square(size[last] * np.exp((delay[last] - early) * nepers)).sum() / window
    late = np.arange(length) - DIRECT - early
    return np.asarray(math.sqrt(power) * np.exp(-nepers * np.maximum(late, 0.0)) * (late > 0.0), np.float32)


@lru_cache(maxsize=256)
def _band_weights(length: int) -> tuple[Signal, ...]:
    """Return each band's share in every bin; they add up to 1."""
    octave = np.log2(np.maximum(np.linspace(0.0, SAMPLE_RATE_HZ / 2.0, length // 2 + 1), 1.0))
    above = [np.clip(octave - math.log2(edge) + 0.5, 0.0, 1.0) for edge in CROSSOVERS_HZ]
    return tuple(part.astype(np.float32) for part in (1.0 - above[0], above[0] - above[1], above[1]))


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = values.tolist()
    return x, y, z
