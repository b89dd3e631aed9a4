"""Where in a recording its one word or phrase starts and ends, estimated from energy.

Recordings of a lone word often come without times; the hit window and the latency need them. The method is the
classic one of two levels and minimum durations (Rabiner and Sambur, "An algorithm for determining the endpoints of
isolated utterances", BSTJ 54, 1975), on frame energies alone:

1. Level of each 20 ms frame every 10 ms, after pre-emphasis (x[n] - 0.97 x[n - 1], which lifts consonants over hum),
   in dB, with a floor of -70 dBFS so that digital silence is not infinitely quiet.
2. Peak: the largest 3-frame mean. Background: the 10th percentile. A frame is speech when it is at least 12 dB above
   the background and at most 35 dB below the peak (and in any case when it is within 6 dB of the peak).
3. Runs of fewer than 4 frames (clicks up to 10 ms), and runs that stay 20 dB below the peak (breath), are dropped.
4. Runs closer than 200 ms (a stop's closure) are one word; the word with the most energy is taken.

``benchmarks/endpoints.py`` compares this with words whose ends are known.
"""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16000
FRAME_SAMPLES = 320
HOP_SAMPLES = 160

PRE_EMPHASIS = 0.97
FLOOR_POWER = 100.0
"""Power in int16 units squared: 10 least significant bits RMS, -70 dBFS."""

ABOVE_BACKGROUND_DB = 12.0
BELOW_PEAK_DB = 35.0
ALWAYS_BELOW_PEAK_DB = 6.0
BREATH_BELOW_PEAK_DB = 20.0
MIN_RUN_FRAMES = 4
MAX_GAP_FRAMES = 20


def levels_db(
    samples: NDArray[np.int16] | NDArray[np.float32], pre_emphasis: float = PRE_EMPHASIS
) -> NDArray[np.float64]:
    """Return the power of each 20 ms frame every 10 ms, in dB re 1 LSB squared: [n] -> float64 [frames].

    A signal shorter than a frame is one frame, padded with zeros.
    """
    signal = samples.astype(np.float64) - float(np.mean(samples))
    signal[1:] -= pre_emphasis * signal[:-1]
    if len(signal) < FRAME_SAMPLES:
        signal = np.pad(signal, (0, FRAME_SAMPLES - len(signal)))
    whole = len(signal) // HOP_SAMPLES * HOP_SAMPLES
    energy = np.square(signal[:whole]).reshape(-1, HOP_SAMPLES).sum(axis=1)
    power = (energy[1:] + energy[:-1]) / FRAME_SAMPLES
    decibels: NDArray[np.float64] = 10.0 * np.log10(power + FLOOR_POWER)
    return decibels


def estimate(samples: NDArray[np.int16]) -> tuple[float, float]:
    """Return the start and end in seconds of the loudest word in int16 [n]; the whole signal where nothing stands out.

    >>> word = np.zeros(16000, np.int16)
    >>> word[4000:9600] = np.random.default_rng(0).integers(-3000, 3000, 5600)
    >>> start_s, end_s = estimate(word)
    >>> abs(start_s - 0.25) < 0.02, abs(end_s - 0.6) < 0.02
    (True, True)
    """
    levels = levels_db(samples)
    peak = float(np.convolve(levels, np.full(3, 1 / 3), "same").max())
    background = float(np.percentile(levels, 10))
    threshold = min(max(peak - BELOW_PEAK_DB, background + ABOVE_BACKGROUND_DB), peak - ALWAYS_BELOW_PEAK_DB)
    words = _join(_runs(levels, threshold, peak - BREATH_BELOW_PEAK_DB))
    if not words or float(levels.max()) - background < ALWAYS_BELOW_PEAK_DB:
        return 0.0, len(samples) / SAMPLE_RATE_HZ
    power = 10.0 ** (levels / 10.0)
    first, after = max(words, key=lambda word: float(power[word[0] : word[1]].sum()))
    # a frame stands for the 10 ms around its middle
    quarter = (FRAME_SAMPLES - HOP_SAMPLES) // 2
    start = first * HOP_SAMPLES + quarter
    end = (after - 1) * HOP_SAMPLES + quarter + HOP_SAMPLES
    return start / SAMPLE_RATE_HZ, min(end, len(samples)) / SAMPLE_RATE_HZ


def _runs(levels: NDArray[np.float64], threshold: float, least_peak: float) -> list[tuple[int, int]]:
    """Return [first, after) of each run of frames above ``threshold`` that is long and loud enough."""
    edges = np.diff(np.concatenate(([0], (levels > threshold).astype(np.int8), [0])))
    runs = zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True)
    return [
        (first, after)
        for first, after in runs
        if after - first >= MIN_RUN_FRAMES and float(levels[first:after].max()) >= least_peak
    ]


def _join(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join runs that are separated by no more than a stop's closure."""
    words: list[tuple[int, int]] = []
    for first, after in runs:
        if words and first - words[-1][1] <= MAX_GAP_FRAMES:
            words[-1] = (words[-1][0], after)
        else:
            words.append((first, after))
    return words
