"""Drawn batches used more than once: the same for a resumed run, the labels' batch, other features."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from kws.data.augment import AugmentConfig
from kws.data.dataset import Batch
from kws.frontend import FrontendConfig
from kws.train.fit.reuse import GAIN_CONTROLLED, GROUP, batches, varied


def batch(number: int, clips: int = 6) -> Batch:
    rng = np.random.default_rng(number)
    features = rng.integers(6000, 12000, (clips, 20, 40)).astype(np.int16)
    kinds = ("positive", "cut", "near", "speech", "noise", "speech")[:clips]
    return Batch(torch.from_numpy(features), torch.full((clips, 1, 4), float(number)), kinds)


def draw(first: int, last: int) -> Iterator[Batch]:
    return (batch(number) for number in range(first, last))


def uses(first: int, last: int, reuse: int) -> list[tuple[float, int]]:
    return [(float(one.spans[0, 0, 0]), use) for one, use in batches(draw, first, last, reuse, seed=3)]


@pytest.mark.parametrize("reuse", [1, 2, 5])
def test_every_batch_comes_as_often_as_asked_first_as_it_was_drawn(reuse: int) -> None:
    seen = uses(0, 2 * GROUP * reuse, reuse)
    for number in range(2 * GROUP):
        assert [use for which, use in seen if which == number] == list(range(reuse))


@pytest.mark.parametrize("reuse", [1, 3])
@pytest.mark.parametrize("at", [1, 17, 3 * GROUP, 3 * GROUP + 5])
def test_a_run_taken_up_again_goes_on_with_the_same_batches(reuse: int, at: int) -> None:
    assert uses(at, 5 * GROUP, reuse) == uses(0, 5 * GROUP, reuse)[at:]


def test_uses_of_a_batch_are_spread_out() -> None:
    seen = [which for which, _ in uses(0, 4 * GROUP, 4)]
    assert sum(one == other for one, other in itertools.pairwise(seen)) < len(seen) // 4


def test_what_is_varied_differs_by_the_seed_alone() -> None:
    one, other = varied(batch(0), (1, 2)), varied(batch(0), (1, 3))
    assert torch.equal(one, varied(batch(0), (1, 2)))
    assert not torch.equal(one, other)
    assert one.dtype == torch.int16
    assert one.shape == batch(0).features.shape


@pytest.mark.parametrize("frontend", [FrontendConfig(), FrontendConfig.presets()["micro"]], ids=["lfbe", "micro"])
def test_what_the_recipe_switches_off_is_not_varied_either(frontend: FrontendConfig) -> None:
    off, on = AugmentConfig.off(), AugmentConfig()
    assert torch.equal(varied(batch(0), (1, 2), frontend, off), batch(0).features)
    for name in ("level_share", "microphone_share", "noise_share"):
        alone = AugmentConfig(**{**vars(off), name: 1.0})
        without = AugmentConfig(**{**vars(on), name: 0.0})
        full = varied(batch(0), (1, 2), frontend, on)
        assert not torch.equal(varied(batch(0), (1, 2), frontend, alone), batch(0).features)
        assert not torch.equal(varied(batch(0), (1, 2), frontend, without), full)


def ratios_db(augment: AugmentConfig) -> list[float]:
    """How far the noise that is laid under a clip lies below it, for each of many draws; 40 and more: none is."""
    features = torch.full((2, 20, 40), 24 * 512, dtype=torch.int16)
    features[0, 5:10] = 0
    found = []
    for seed in range(200):
        one = Batch(features, torch.zeros(2, 1, 4), ("positive", "speech"))
        energy = torch.exp2(varied(one, (seed, 1), augment=augment).double() / 512.0)[0].sum(dim=1)
        found.append(10.0 * float(torch.log10(energy[:5].mean() / energy[5:10].mean())))
    return found


def test_noise_keeps_to_the_recipes_range_and_share() -> None:
    quiet = [one for one in ratios_db(AugmentConfig(snr_db_min=20.0, snr_db_max=24.0)) if one < 40.0]
    assert quiet
    assert 19.0 < min(quiet) < max(quiet) < 27.0  # the clip's own level counts its silent quarter, 1.2 dB
    assert min(ratios_db(AugmentConfig(snr_db_min=60.0, snr_db_max=60.0))) > 40.0
    seldom = [one for one in ratios_db(AugmentConfig(noise_share=0.05)) if one < 40.0]
    assert 0 < len(seldom) < 25


def test_the_level_keeps_to_the_recipes_range_and_share() -> None:
    positives = dataclasses.replace(batch(0, 6), kinds=("positive",) * 6)

    def changes(**values: float) -> torch.Tensor:
        augment = AugmentConfig(**{**vars(AugmentConfig.off()), **values})
        found = [varied(positives, (seed, 1), augment=augment) - positives.features for seed in range(30)]
        return torch.stack(found)[:, :, 0, 0].double() / 512.0

    assert float(changes(level_share=1.0).abs().max()) > 2.0  # octaves
    narrow = changes(level_share=1.0, level_dbfs_min=-30.0, level_dbfs_max=-24.0).abs()
    assert 0.5 < float(narrow.max()) <= 1.0
    assert 0.1 < float((changes(level_share=0.2) != 0.0).double().mean()) < 0.3


def test_without_speech_to_lay_under_only_level_and_colour_change() -> None:
    positives = dataclasses.replace(batch(0), kinds=("positive",) * 6)
    change = varied(positives, (1, 2)).float() - positives.features.float()
    spread_over_time = (change.amax(dim=1) - change.amin(dim=1)).max()
    assert float(spread_over_time) <= 1.0  # rounding: the same change in every frame
    assert float(change.abs().max()) > 100.0


def test_noise_is_laid_under_half_of_the_clips_between_6_and_30_db_down() -> None:
    found = ratios_db(AugmentConfig())
    noisy = [ratio for ratio in found if ratio < 40.0]
    assert 0.35 < len(noisy) / len(found) < 0.65
    # the clip's own level counts its silent quarter, 1.2 dB
    assert 5.0 < min(noisy) < 9.0
    assert 28.0 < max(noisy) < 33.0


MICRO = FrontendConfig.presets()["micro"]


def test_gain_controlled_features_move_less_and_stay_silent_where_they_are() -> None:
    """PCAN takes a lasting level away; a band that the noise reduction left empty is empty at every level."""
    positives = dataclasses.replace(batch(0), kinds=("positive",) * 6)
    positives.features[:, 5:9] = 0
    again = varied(positives, (1, 2), MICRO)
    change = again.float() - positives.features.float()
    assert not again[:, 5:9].any()
    full = varied(positives, (1, 2)).float() - positives.features.float()
    share = change[:, 0].abs().mean() / full[:, 0].abs().mean()
    assert float(share) == pytest.approx(GAIN_CONTROLLED * MICRO.units_per_octave, rel=0.02)


def test_noise_under_gain_controlled_features_adds_energy() -> None:
    features = torch.full((2, 20, 40), 20 * 512, dtype=torch.int16)
    features[0, 5:10] = 0
    found = []
    for seed in range(100):
        again = varied(Batch(features, torch.zeros(2, 1, 4), ("positive", "speech")), (seed, 1), MICRO).double()
        octaves = again / 512.0 / MICRO.units_per_octave
        found.append(10.0 * np.log10(2.0) * float(octaves[0, 0].mean() - octaves[0, 7].mean()))
    noisy = [decibels for decibels in found if decibels < 40.0]
    assert 0.3 < len(noisy) / len(found) < 0.7
    assert 5.0 < min(noisy) < 11.0
    assert 26.0 < max(noisy) < 33.0
