"""What the audio frontend computes, and in which unit."""

import math
from dataclasses import dataclass

LFBE_FRACTION_BITS = 9
"""An LFBE value is an int16 holding log2(band energy) in Q6.9: ``value / 512`` is log2 of the energy, floored at 0.

The energy is sum(weight * |X|^2) over a band's FFT bins, X the DFT of the Hann-windowed int16 samples (no other
scaling), so full scale is near 46 * 512 and digital silence is 0."""


@dataclass(frozen=True)
class FrontendConfig:
    """Log filter-bank energies: 25 ms Hann window, 10 ms hop, 512-point FFT, 40 mel bands from 60 to 7600 Hz.

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

    def __post_init__(self) -> None:
        """Check every bound that the fixed-point arithmetic was proven for."""
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

    @property
    def window_samples(self) -> int:
        """Samples in one window."""
        return self.sample_rate_hz * self.window_ms // 1000

    @property
    def hop_samples(self) -> int:
        """Samples from one window's start to the next's."""
        return self.sample_rate_hz * self.hop_ms // 1000
