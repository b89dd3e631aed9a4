"""Synthetic speech with the phone of every frame: sound where there are phones, none where there are not."""

import numpy as np
import pytest

from kws.data.examples.pool import UNKNOWN_PHONE
from kws.data.phones.inventory import Inventory, find_inventory
from kws.data.phones.speech import FRAME_HOPS
from kws.data.phones.synthetic import accents_and_variants, say_with_phones
from kws.frontend import FrontendConfig

US = "gmw/en-US"
TEXT = "she sells yellow shoes, and sees many"


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("frontend", [FrontendConfig(), FrontendConfig(hop_ms=8, window_ms=32)], ids=["10 ms", "8 ms"])
def test_labels_are_where_the_sound_is(seed: int, frontend: FrontendConfig) -> None:
    known = find_inventory([TEXT], US)
    features, phones = say_with_phones(TEXT, known, US, "Alex", frontend, np.random.default_rng(seed))
    assert len(phones) == (len(features) + 1) // FRAME_HOPS
    energy = features[::FRAME_HOPS].mean(axis=1) / 512.0
    spoken = phones != 0
    assert 0.5 < spoken.mean() < 1.0
    assert (energy[spoken] > 6.0).mean() > 0.95
    assert energy[~spoken].mean() < np.quantile(energy[spoken], 0.25)
    high = features[::FRAME_HOPS, -10:].mean(axis=1) - features[::FRAME_HOPS, :10].mean(axis=1)
    hissing = np.isin(phones, [known.symbols.index(symbol) for symbol in ("S", "s")])
    assert np.median(high[hissing]) > np.quantile(high[spoken & ~hissing], 0.9)


def test_phones_stand_in_the_order_of_the_text() -> None:
    known = find_inventory([TEXT], US)
    _, phones = say_with_phones("yellow shoes", known, US, "Alex", FrontendConfig(), np.random.default_rng(0))
    runs = [int(phone) for phone, before in zip(phones, [0, *phones], strict=False) if phone != before and phone]
    assert runs == [phone for word in known.words(["yellow shoes"], US)[0] for phone in word]


def test_a_sound_that_the_inventory_lacks_is_not_called_a_pause() -> None:
    known = find_inventory([TEXT], US)
    whole = say_with_phones(TEXT, known, US, "Alex", FrontendConfig(), np.random.default_rng(3))[1]
    shoe = known.symbols.index("S")
    less = Inventory(tuple(symbol if symbol != "S" else "other" for symbol in known.symbols))
    lacking = say_with_phones(TEXT, less, US, "Alex", FrontendConfig(), np.random.default_rng(3))[1]
    assert np.array_equal(lacking == UNKNOWN_PHONE, whole == shoe)
    assert np.array_equal(lacking[whole != shoe], whole[whole != shoe])


def test_accents_and_variants_are_many() -> None:
    accents, variants = accents_and_variants("en")
    assert US in accents
    assert len(accents) > 4
    assert len(variants) > 20
