"""SpecAugment: stretches of frames and of bands of the features blotted out (Park et al., Interspeech 2019)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kws.data.augment.config import AugmentConfig

Features = NDArray[np.int16]


@dataclass(frozen=True)
class Masks:
    """Spans (first, after the last) of frames and of bands, and what is put there: the mean or the least value."""

    frames: tuple[tuple[int, int], ...] = ()
    bands: tuple[tuple[int, int], ...] = ()
    value: Literal["mean", "floor"] = "mean"


def mask_features(features: Features, config: AugmentConfig, rng: np.random.Generator) -> Features:
    """Draw masks and return the features int16 [frames, bands] (LFBE) under them; the given array is left as it is."""
    return masked(features, draw_masks(features.shape[0], features.shape[1], config, rng))


def draw_masks(frames: int, bands: int, config: AugmentConfig, rng: np.random.Generator) -> Masks:
    """Draw one example's masks: up to the config's numbers of them, none in 1 - ``mask_share`` of the examples."""
    if rng.random() >= config.mask_share:
        return Masks()
    return Masks(
        frames=_spans(frames, config.time_masks, config.time_mask_frames, rng),
        bands=_spans(bands, config.band_masks, config.band_mask_bands, rng),
        value="mean" if rng.random() < 0.5 else "floor",
    )


def masked(features: Features, masks: Masks) -> Features:
    """Return the features with every span at their mean or at their least value.

    >>> masked(np.array([[2, 4], [6, 8]], np.int16), Masks(frames=((0, 1),)))
    array([[5, 5],
           [6, 8]], dtype=int16)
    """
    if not features.size or not (masks.frames or masks.bands):
        return features
    value = np.int16(round(float(features.mean())) if masks.value == "mean" else features.min())
    features = features.copy()
    for first, after in masks.frames:
        features[first:after] = value
    for first, after in masks.bands:
        features[:, first:after] = value
    return features


def _spans(length: int, most: int, widest: int, rng: np.random.Generator) -> tuple[tuple[int, int], ...]:
    """Draw up to ``most`` spans of 1 to ``widest`` within ``length``."""
    widest = min(widest, length)
    if widest < 1:
        return ()
    widths = [int(rng.integers(1, widest + 1)) for _ in range(int(rng.integers(0, most + 1)))]
    starts = [int(rng.integers(0, length - width + 1)) for width in widths]
    return tuple((start, start + width) for start, width in zip(starts, widths, strict=True))
