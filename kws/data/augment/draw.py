"""What was drawn for one example, as plain data, and how it is drawn."""

import math
from dataclasses import dataclass, field

import numpy as np

from kws.data.augment.backgrounds import Backgrounds
from kws.data.augment.codec import Codec, draw_codec
from kws.data.augment.config import AugmentConfig
from kws.data.augment.filters import TOP_HZ, Channel, Microphone, draw_microphone


@dataclass(frozen=True)
class RoomDraw:
    """A room: "noise" (decaying), "recorded" or "simulated" (``index`` says which), nearer by ``nearer_db``.

    The others are of one kind each: ``channel`` (modulo their number) of recorded responses, reverberation time and
    ``direct_db`` (direct sound over reverberation) of decaying noise.
    """

    kind: str
    index: int = 0
    channel: int = 0
    nearer_db: float = 0.0
    reverberation_s: float = 0.0
    direct_db: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """What was drawn for one example; the default changes nothing.

    ``noise`` is a name of ``noise.GENERATORS``, "babble", "recorded", "music" or "". ``level_dbfs`` is the speech's
    level afterwards, None leaves it. ``gain_steps`` are (second, dB). ``seed`` draws the noise's own samples.
    """

    channel: Channel = field(default_factory=Channel)
    room: RoomDraw | None = None
    noise: str = ""
    snr_db: float = 20.0
    microphone: Microphone | None = None
    level_dbfs: float | None = None
    gain_steps: tuple[tuple[float, float], ...] = ()
    overdrive_db: float = 0.0
    overdrive_soft: bool = False
    codec: Codec | None = None
    seed: int = 0


def draw(
    config: AugmentConfig, rng: np.random.Generator, backgrounds: Backgrounds, seconds: float = 2.4
) -> Augmentation:
    """Draw one example's parameters; what ``backgrounds`` cannot give is replaced by what is generated.

    ``seconds`` is the example's length: gains step within it.
    """
    microphone, level, steps, clip, codec = rng.random(5).tolist()
    return Augmentation(
        channel=_channel(config, rng),
        room=_room(config, rng, backgrounds),
        noise=_noise_name(config, rng, backgrounds),
        snr_db=float(rng.uniform(config.snr_db_min, config.snr_db_max)),
        microphone=draw_microphone(rng) if microphone < config.microphone_share else None,
        level_dbfs=float(rng.uniform(config.level_dbfs_min, config.level_dbfs_max))
        if level < config.level_share
        else None,
        gain_steps=_gain_steps(seconds, rng) if steps < config.gain_step_share else (),
        overdrive_db=float(rng.uniform(3.0, 18.0)) if clip < config.clip_share else 0.0,
        overdrive_soft=bool(rng.random() < 0.5),
        codec=draw_codec(rng) if codec < config.codec_share else None,
        seed=int(rng.integers(2**63)),
    )


def _channel(config: AugmentConfig, rng: np.random.Generator) -> Channel:
    narrow = rng.random() < config.band_limit_share
    low_hz, high_hz = rng.uniform(60.0, 350.0), rng.uniform(2800.0, 7000.0)
    tilt, *equalizer = rng.uniform(-1.0, 1.0, 9).tolist()
    return Channel(
        tilt_db_per_octave=config.tilt_db_per_octave * tilt,
        equalizer_db=tuple(config.equalizer_db * gain for gain in equalizer) if config.equalizer_db else (),
        low_cut_hz=float(low_hz) if narrow else 0.0,
        high_cut_hz=float(high_hz) if narrow else TOP_HZ,
    )


def _room(config: AugmentConfig, rng: np.random.Generator, backgrounds: Backgrounds) -> RoomDraw | None:
    any_room, kind, index, nearer, time, direct = rng.random(6).tolist()
    channel = int(rng.integers(2**16))
    if any_room >= config.room_share:
        return None
    # What is not there leaves its share to the others.
    recorded = config.recorded_room_share if len(backgrounds.rooms) else 0.0
    simulated = config.simulated_room_share if len(backgrounds.simulated) else 0.0
    kind *= recorded + simulated + max(1.0 - config.recorded_room_share - config.simulated_room_share, 1e-9)
    if kind < recorded:
        return RoomDraw("recorded", int(index * len(backgrounds.rooms)), channel, config.nearer_db * nearer)
    if kind < recorded + simulated:
        return RoomDraw("simulated", int(index * len(backgrounds.simulated)))
    low, high = math.log(config.reverberation_s_min), math.log(config.reverberation_s_max)
    return RoomDraw(
        "noise",
        reverberation_s=math.exp(low + (high - low) * time),
        direct_db=config.direct_db_min + (config.direct_db_max - config.direct_db_min) * direct,
    )


def _noise_name(config: AugmentConfig, rng: np.random.Generator, backgrounds: Backgrounds) -> str:
    none, babble, recorded, generator = rng.random(4).tolist()
    if none >= config.noise_share:
        return ""
    if babble < config.babble_share and len(backgrounds.speech):
        return "babble"
    if recorded < config.recorded_share and len(backgrounds.noise):
        return "recorded"
    if config.recorded_share <= recorded < config.recorded_share + config.music_share and len(backgrounds.music):
        return "music"
    return config.generators[int(generator * len(config.generators))]


def _gain_steps(seconds: float, rng: np.random.Generator) -> tuple[tuple[float, float], ...]:
    """Draw one to three steps in order, to gains of -12 to 12 dB."""
    times = sorted(rng.uniform(0.0, seconds, int(rng.integers(1, 4))).tolist())
    return tuple((time_s, float(rng.uniform(-12.0, 12.0))) for time_s in times)
