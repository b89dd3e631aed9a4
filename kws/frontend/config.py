"""What the audio frontend computes, and in which unit."""

import math
from dataclasses import dataclass, field
from typing import Literal

from kws.config import ADDED_LATER

LFBE_FRACTION_BITS = 9
"""An LFBE value is an int16 holding log2(band energy) in Q6.9: ``value / 512`` is log2 of the energy, floored at 0.

The energy is sum(weight * |X|^2) over a band's FFT bins, X the DFT of the int16 samples under a periodic Hann window
(no other scaling), the weights triangles of height 1 on HTK's mel scale (``librosa.filters.mel(htk=True, norm=None)``).
So full scale is near 46 * 512 and digital silence is 0.

A feature of kind "micro" is in the same Q6.9, ``value / 512`` being v / 25.6, the float that pymicro-features gives for
the frontend's integer v = 64 ln(amplitude): 0 in digital silence to 26, seldom more. It has been rounded to the grid of
the firmware's int8 (``FrontendConfig.int8_step``)."""

MICRO_STEP = 666.0 / 256.0 / 25.6
MICRO_UNITS_PER_OCTAVE = 64.0 * math.log(2.0) / 2.0 / 25.6
"""What a doubling of a band's energy (half an octave of amplitude) adds to a feature of kind "micro"."""

_MICRO = {
    "sample_rate_hz": 16000,
    "window_ms": 30,
    "hop_ms": 10,
    "fft_size": 512,
    "bands": 40,
    "low_hz": 125.0,
    "high_hz": 7500.0,
}


@dataclass(frozen=True)
class FrontendConfig:
    """Log filter-bank energies: 25 ms Hann window, 10 ms hop, 512-point FFT, 40 mel bands from 60 to 7600 Hz.

    ``kind`` "micro" is TensorFlow Lite Micro's audio frontend with noise reduction and gain control, as ESPHome's
    micro_wake_word runs it (``kws.frontend.micro``); the firmware fixes all of its values. ``frontend = "micro"`` in a
    recipe stands for them.

    Raises:
        ValueError: a value is outside its checked bounds; the sentence starts with the field's name.
    """

    sample_rate_hz: int = 16000
    window_ms: int = 25
    hop_ms: int = 10
    fft_size: int = 512
    bands: int = 40
    low_hz: float = 60.0
    high_hz: float = 7600.0
    kind: Literal["lfbe", "micro"] = field(default="lfbe", metadata=ADDED_LATER)

    @classmethod
    def presets(cls) -> "dict[str, FrontendConfig]":
        """Return what a name stands for in a recipe: ``frontend = "micro"``."""
        return {"lfbe": cls(), "micro": cls(**_MICRO, kind="micro")}  # type: ignore[arg-type]  # ints and floats by name

    def __post_init__(self) -> None:
        """Check every bound that the fixed-point arithmetic was proven for."""
        if self.kind == "micro":
            self._check_micro()
            return
        if self.sample_rate_hz != 16000:
            raise ValueError("sample_rate_hz must be 16000; audio at other rates is resampled when it is read")
        if self.fft_size not in (256, 512, 1024):
            raise ValueError("fft_size must be 256, 512 or 1024")
        if not 8 <= self.window_ms <= 64 or self.window_samples > self.fft_size:
            raise ValueError(f"window_ms must be 8 to 64 and at most fft_size samples long ({self.fft_size // 16} ms)")
        if not 5 <= self.hop_ms <= self.window_ms:
            raise ValueError("hop_ms must be at least 5 and at most window_ms")
        if not 8 <= self.bands <= 80:
            raise ValueError("bands must be 8 to 80")
        if not (math.isfinite(self.low_hz) and 0.0 <= self.low_hz < self.high_hz <= self.sample_rate_hz / 2):
            raise ValueError(f"low_hz must be at least 0 and below high_hz, high_hz at most {self.sample_rate_hz / 2}")
        self._check_bands_hold_bins()

    def _check_micro(self) -> None:
        for name, value in _MICRO.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f'{name} must be {value} with kind = "micro", as the firmware fixes it; write frontend = "micro" '
                    "instead of the table"
                )

    def _check_bands_hold_bins(self) -> None:
        """Refuse a band that lies between two FFT bins: it would be a feature that never moves."""
        bin_hz = self.sample_rate_hz / self.fft_size
        corners = self.band_edges_hz
        for band, (left, centre, right) in enumerate(zip(corners, corners[1:], corners[2:], strict=False)):
            below = math.floor(centre / bin_hz) * bin_hz
            weight = max((below - left) / (centre - left), (right - below - bin_hz) / (right - centre))
            if weight < 1 / 64:
                raise ValueError(
                    f"bands must be fewer, fft_size larger or low_hz to high_hz wider: band {band} "
                    f"({left:.0f} to {right:.0f} Hz) lies between two FFT bins, which stand {bin_hz:g} Hz apart"
                )

    @property
    def int8_step(self) -> float:
        """What a step of the int8 features stands for, in units of a feature; the zero point is -128, for 0.

        "lfbe": log2 energies 0 to 40 in steps of 0.157 (0.47 dB); what lies above, one band within 10 dB of a
        full-scale tone, is clipped. "micro": as the firmware has it, clip((v * 256 + 333) / 666 - 128) by integer
        division (micro_wake_word.cpp), so 666 / 256 of v. Published models declare 26 / 255 in place of this 0.10162,
        which the firmware does not look at; with this one the desktop's runtime has the device's integers, too.
        """
        return MICRO_STEP if self.kind == "micro" else 40.0 / 255.0

    @property
    def units_per_octave(self) -> float:
        """What a doubling of a band's energy adds to a feature, before gain control."""
        return MICRO_UNITS_PER_OCTAVE if self.kind == "micro" else 1.0

    @property
    def window_samples(self) -> int:
        """Samples in one window."""
        return self.sample_rate_hz * self.window_ms // 1000

    @property
    def hop_samples(self) -> int:
        """Samples from one window's start to the next's."""
        return self.sample_rate_hz * self.hop_ms // 1000

    @property
    def band_edges_hz(self) -> tuple[float, ...]:
        """The bands + 2 corners of the triangular filters in Hz, evenly spaced on HTK's mel scale.

        Band i rises from corner i to its centre, corner i + 1, and falls to corner i + 2. mel = 2595 log10(1 + f / 700)
        as in HTK (Young et al., The HTK Book, section 5.6) and Kaldi.
        """
        low, high = (math.log1p(hz / 700.0) for hz in (self.low_hz, self.high_hz))
        steps = self.bands + 1
        return tuple(700.0 * math.expm1(low + (high - low) * step / steps) for step in range(steps + 1))
