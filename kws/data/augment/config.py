"""How far training examples may differ from the clips: one field per switch, each of them 0 when off."""

from dataclasses import dataclass
from typing import Self

from kws.config import check_range
from kws.data.sounds.noise import GENERATORS

SHARES = (
    "voice_share", "shift_share", "band_limit_share", "room_share", "recorded_room_share", "simulated_room_share",
    "noise_share", "babble_share", "recorded_share", "music_share", "microphone_share", "level_share",
    "gain_step_share", "clip_share", "codec_share", "mask_share",
)  # fmt: skip
EXTENTS = {
    "speed_percent": 40.0,
    "pitch_semitones": 6.0,
    "tempo_percent": 40.0,
    "formant_percent": 25.0,
    "gain_db": 30.0,
    "tilt_db_per_octave": 12.0,
    "equalizer_db": 30.0,
    "nearer_db": 40.0,
}
"""The largest value of each extent; the smallest is 0, which switches it off."""
SPANS = {
    "snr_db": (-40.0, 80.0),
    "level_dbfs": (-90.0, 0.0),
    "reverberation_s": (0.05, 3.0),
    "direct_db": (-30.0, 40.0),
    "distance_m": (0.1, 20.0),
}
COUNTS = {
    "simulated_rooms": 10_000,
    "rooms_seed": 2**32 - 1,
    "time_masks": 10,
    "time_mask_frames": 100,
    "band_masks": 10,
    "band_mask_bands": 40,
}


@dataclass(frozen=True)
class AugmentConfig:
    """How far the world may differ from the clips. A share is a probability; an extent is drawn from - to + of it.

    The defaults of noise, level, speed, equalizer, band limits and room share were chosen on real recordings of other
    words than the phrases the project reports on: a detector of synthesized "alexa", 45,000 examples each. Rooms,
    speeds and milder noise found more of the real ones.

    Raises:
        ValueError: a value is out of its bounds; the sentence starts with the field's name.
    """

    # The voice of every clip, before it is placed. Speed moves pitch, formants and tempo alike, as a tape does.
    speed_percent: float = 20.0
    # How many of the clips also get pitch, tempo and vocal tract changed apart from one another.
    voice_share: float = 0.3
    pitch_semitones: float = 2.5
    tempo_percent: float = 10.0
    formant_percent: float = 10.0
    # A clip is quieter than its neighbours by up to this.
    gain_db: float = 6.0
    # How many phrases stand anywhere in the window; the others in its middle.
    shift_share: float = 1.0
    # Spectral tilt and the strength of a random equalizer with one gain per octave, on speech.
    tilt_db_per_octave: float = 3.0
    equalizer_db: float = 6.0
    # Narrow channels: telephone lines, small loudspeakers.
    band_limit_share: float = 0.2
    # Of the rooms: how many recorded (where a manifest has clips labelled rir), how many simulated; the rest is
    # a direct sound and exponentially decaying noise.
    room_share: float = 0.7
    recorded_room_share: float = 0.3
    simulated_room_share: float = 0.4
    reverberation_s_min: float = 0.1
    reverberation_s_max: float = 0.7
    # Direct sound over reverberation, of decaying noise; simulated rooms have the distance instead.
    direct_db_min: float = -6.0
    direct_db_max: float = 12.0
    distance_m_min: float = 0.3
    distance_m_max: float = 4.0
    # A recorded room is moved nearer to the source: everything after the direct sound is lower by up to this.
    nearer_db: float = 10.0
    # Simulated once, from a seed of their own, and kept.
    simulated_rooms: int = 200
    rooms_seed: int = 0
    # Of the noises: how many are babble; of what is left how many recorded and how many music (where a manifest has
    # clips labelled so); the others are generated.
    noise_share: float = 0.85
    babble_share: float = 0.3
    recorded_share: float = 0.5
    music_share: float = 0.1
    generators: tuple[str, ...] = tuple(GENERATORS)
    snr_db_min: float = 0.0
    snr_db_max: float = 30.0
    # A microphone's high-pass, tilt and resonances, on speech and noise.
    microphone_share: float = 0.3
    # Level of the speech, RMS over its active parts; 0 dBFS is the RMS of a full-scale square wave.
    level_share: float = 1.0
    level_dbfs_min: float = -50.0
    level_dbfs_max: float = -12.0
    # An automatic gain that jumps while someone speaks.
    gain_step_share: float = 0.1
    clip_share: float = 0.05
    codec_share: float = 0.15
    # SpecAugment (Park et al., Interspeech 2019) on the features: at most this many masks, at most so wide.
    mask_share: float = 0.2
    time_masks: int = 2
    time_mask_frames: int = 10
    band_masks: int = 2
    band_mask_bands: int = 5

    def __post_init__(self) -> None:
        """Check every bound."""
        for name in SHARES:
            check_range(name, getattr(self, name), 0.0, 1.0)
        for name, high in EXTENTS.items():
            check_range(name, getattr(self, name), 0.0, high)
        for name, (low, high) in SPANS.items():
            check_range(f"{name}_min", getattr(self, f"{name}_min"), low, high)
            check_range(f"{name}_max", getattr(self, f"{name}_max"), getattr(self, f"{name}_min"), high)
        for name, most in COUNTS.items():
            check_range(name, getattr(self, name), 0, most)
        for name, other in (("recorded_room_share", "simulated_room_share"), ("recorded_share", "music_share")):
            if getattr(self, name) + getattr(self, other) > 1.0:
                raise ValueError(f"{name} must be at most 1 together with {other}")
        unknown = sorted(set(self.generators) - set(GENERATORS))
        if unknown:
            raise ValueError(f"generators has {unknown[0]!r}; the built-in noises are {', '.join(GENERATORS)}")
        if self.noise_share > 0.0 and not self.generators:
            raise ValueError("generators must name one noise at least; noise_share = 0 switches noise off")

    @classmethod
    def off(cls) -> Self:
        """Return the config that changes nothing.

        >>> AugmentConfig.off().noise_share
        0.0
        """
        return cls(**dict.fromkeys(SHARES, 0.0), **dict.fromkeys(EXTENTS, 0.0))  # type: ignore[arg-type]  # all float
