"""Everything the frontend multiplies with, computed once in float64 and rounded to integers.

``Tables`` has the fields of the C struct ``kws_lfbe_tables_t`` (``firmware_export/runtime/kws_lfbe.h``): the same names
in the same order, scalars first. An exporter needs nothing else: ``scalars()`` are plain numbers, ``arrays()`` are flat
C arrays whose type is the name of their dtype with ``_t`` behind.
"""

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kws.errors import KwsError
from kws.frontend.config import FrontendConfig

PEAK_BITS = 24
"""Windowed samples are shifted so that the largest magnitude of a frame is in 2^23 .. 2^24: the FFT cannot overflow."""

POWER_SHIFT = 14
"""Bits taken off |X|^2 (at most 2^60), so that a band's sum of 16-bit weights times powers fits into 64 bits."""

LOG2_SEGMENTS = 64
"""Straight pieces of the log2 table; linear interpolation is then wrong by at most 4.4e-5."""


@dataclass(frozen=True, eq=False)
class Tables:
    """The frontend of one config in integers; arrays are one-dimensional, C-contiguous and read-only.

    With N = fft_size / 2, the length of the complex FFT that holds the even samples as real and the odd ones as
    imaginary parts:

    - window [window_samples] Q15: periodic Hann, 1.0 as 32767.
    - twiddles Q31: for every radix-4 pass over blocks of n = N, N/4, ... > 4 points and every k = 1 .. n/4 - 1 the six
      numbers cos t, sin t, cos 2t, sin 2t, cos 3t, sin 3t with t = 2 pi k / n.
    - split Q31: cos t, sin t with t = 2 pi k / fft_size for k = 1 .. N/2 - 1 (the step from the complex FFT to the
      real signal's spectrum).
    - order [N]: where the in-place FFT leaves bin k.
    - mel_edges [bands + 2]: piece j of the mel axis, from one band's centre to the next one's, holds the bins
      mel_edges[j] .. mel_edges[j + 1] - 1.
    - mel_weights [mel_edges[bands + 1] - mel_edges[0]] Q16: the rising weight of each bin, in bin order; what is
      missing to 1.0 is the falling weight of the band before.
    - log2_table [65] Q15: log2(1 + i / 64).

    ``energy_bits``: a band's accumulated energy is 2^(energy_bits + 2 * shift) times the true one, ``shift`` being the
    frame's left shift.
    """

    window_samples: int
    hop_samples: int
    fft_size: int
    bands: int
    energy_bits: int
    window: NDArray[np.int16]
    twiddles: NDArray[np.int32]
    split: NDArray[np.int32]
    order: NDArray[np.uint16]
    mel_edges: NDArray[np.uint16]
    mel_weights: NDArray[np.uint16]
    log2_table: NDArray[np.uint16]

    def scalars(self) -> Iterator[tuple[str, int]]:
        """Yield (name, value) of the C struct's numbers, in its order."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, np.ndarray):
                yield field.name, value

    def arrays(self) -> Iterator[tuple[str, NDArray[np.int16] | NDArray[np.uint16] | NDArray[np.int32]]]:
        """Yield (name, array) of the C struct's pointers, in its order."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                yield field.name, value


@functools.lru_cache(maxsize=32)
def build(config: FrontendConfig) -> Tables:
    """Compute the tables of ``config``; equal configs share one object.

    Raises:
        KwsError: the config is of the kind "micro", which these tables, and the C code that uses them, do not have.

    >>> tables = build(FrontendConfig())
    >>> dict(tables.scalars())
    {'window_samples': 400, 'hop_samples': 160, 'fft_size': 512, 'bands': 40, 'energy_bits': 12}
    >>> [(name, array.dtype.name, len(array)) for name, array in tables.arrays()][:2]
    [('window', 'int16', 400), ('twiddles', 'int32', 486)]
    """
    if config.kind == "micro":
        raise KwsError(
            'C and ONNX have no frontend "micro", which this model has; export it --to esphome, or train it without '
            'frontend = "micro"'
        )
    points = config.fft_size // 2
    edges, weights = _mel(config)
    tables = Tables(
        window_samples=config.window_samples,
        hop_samples=config.hop_samples,
        fft_size=config.fft_size,
        bands=config.bands,
        energy_bits=_energy_bits(points),
        window=_window(config.window_samples),
        twiddles=_twiddles(points),
        split=_phasors(np.arange(1, points // 2) / config.fft_size).ravel(),
        order=_order(points).astype(np.uint16),
        mel_edges=edges,
        mel_weights=weights,
        log2_table=np.rint(np.log2(1 + np.arange(LOG2_SEGMENTS + 1) / LOG2_SEGMENTS) * 2**15).astype(np.uint16),
    )
    for _, array in tables.arrays():
        array.setflags(write=False)
    return tables


def pass_sizes(points: int) -> list[int]:
    """Return the block sizes of the radix-4 passes that have twiddles; a pass of 4 or 2 points without any ends it.

    >>> pass_sizes(256), pass_sizes(512)
    ([256, 64, 16], [512, 128, 32, 8])
    """
    sizes = []
    while points > 4:
        sizes.append(points)
        points //= 4
    return sizes


def _energy_bits(points: int) -> int:
    # x * window: 15; normalised to 31 bits, then to PEAK_BITS; each pass with twiddles halves; squared; mel weight Q16
    amplitude_bits = 15 - (31 - PEAK_BITS) - len(pass_sizes(points))
    return 2 * amplitude_bits - POWER_SHIFT + 16


def _window(samples: int) -> NDArray[np.int16]:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(samples) / samples)
    return np.minimum(np.rint(hann * 2**15), 2**15 - 1).astype(np.int16)


def _phasors(turns: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return cos and sin of ``turns`` full turns in Q31, along a new last axis; 1.0 becomes 2^31 - 1."""
    angle = 2 * np.pi * turns
    exact = np.rint(np.stack([np.cos(angle), np.sin(angle)], axis=-1) * 2.0**31)
    return np.minimum(exact, 2.0**31 - 1).astype(np.int32)


def _twiddles(points: int) -> NDArray[np.int32]:
    passes = [_phasors(np.outer(np.arange(1, n // 4), [1, 2, 3]) / n).ravel() for n in pass_sizes(points)]
    return np.concatenate(passes)


def _order(points: int) -> NDArray[np.int64]:
    """Return where decimation in frequency leaves each bin: block r of a radix-4 pass holds the bins 4 i + r."""
    if points <= 4:
        return np.arange(points)
    quarter = _order(points // 4)
    return np.stack([quarter + r * (points // 4) for r in range(4)], axis=1).ravel()


def _mel(config: FrontendConfig) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    edges_hz = np.array(config.band_edges_hz)
    bin_hz = config.sample_rate_hz / config.fft_size
    edges = np.maximum(np.ceil(edges_hz / bin_hz), 1).astype(np.int64)  # bin 0 never has a weight
    piece = np.repeat(np.arange(config.bands + 1), np.diff(edges))
    bins_hz = np.arange(edges[0], edges[-1]) * bin_hz
    rising = (bins_hz - edges_hz[piece]) / np.diff(edges_hz)[piece]
    return edges.astype(np.uint16), np.minimum(np.rint(rising * 2**16), 2**16 - 1).astype(np.uint16)
