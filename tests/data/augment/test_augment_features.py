"""SpecAugment on integer features."""

import dataclasses
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kws.data.augment import AugmentConfig, mask_features
from kws.data.augment.features import Masks, draw_masks, masked

ALWAYS = AugmentConfig(mask_share=1.0)


def features(frames: int = 238, bands: int = 40) -> NDArray[np.int16]:
    return np.random.default_rng(0).integers(2000, 20000, (frames, bands)).astype(np.int16)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 80))
def test_only_what_was_drawn_is_masked_and_by_mean_or_floor(seed: int, frames: int, bands: int) -> None:
    given = features(frames, bands)
    kept = given.copy()
    masks = draw_masks(frames, bands, ALWAYS, np.random.default_rng(seed))
    result = mask_features(given, ALWAYS, np.random.default_rng(seed))
    assert np.array_equal(given, kept)
    assert result.dtype == np.int16
    inside = np.zeros((frames, bands), bool)
    for first, after in masks.frames:
        assert 0 <= first < after <= min(first + ALWAYS.time_mask_frames, frames)
        inside[first:after] = True
    for first, after in masks.bands:
        assert 0 <= first < after <= min(first + ALWAYS.band_mask_bands, bands)
        inside[:, first:after] = True
    assert np.array_equal(result[~inside], given[~inside])
    wanted = round(float(given.mean())) if masks.value == "mean" else given.min()
    assert (result[inside] == wanted).all()


def test_both_values_and_every_number_of_masks_are_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_masks(238, 40, ALWAYS, rng) for _ in range(300)]
    assert {one.value for one in drawn} == {"mean", "floor"}
    assert {len(one.frames) for one in drawn} == {len(one.bands) for one in drawn} == {0, 1, 2}


def test_each_kind_can_be_off() -> None:
    rng = np.random.default_rng(0)
    for setting in ("time_masks", "time_mask_frames", "band_masks", "band_mask_bands"):
        none: dict[str, Any] = {setting: 0}
        drawn = [draw_masks(99, 40, dataclasses.replace(ALWAYS, **none), rng) for _ in range(50)]
        assert any(one.frames for one in drawn) == (not setting.startswith("time"))
        assert any(one.bands for one in drawn) == (not setting.startswith("band"))
    assert draw_masks(99, 40, AugmentConfig.off(), rng) == Masks()
    given = features()
    assert mask_features(given, AugmentConfig.off(), rng) is given


def test_share_is_kept_and_empty_features_pass() -> None:
    rng = np.random.default_rng(0)
    some = dataclasses.replace(ALWAYS, mask_share=0.25)
    assert 400 < sum(draw_masks(99, 40, some, rng) != Masks() for _ in range(2000)) < 530
    assert masked(np.zeros((0, 40), np.int16), Masks(frames=((0, 1),))).shape == (0, 40)
