"""Which phones there are, and what their names are merged from."""

import pytest

from kws.data.phones import inventory
from kws.data.phones.inventory import SILENCE, Inventory, find_inventory, merged

US = "gmw/en-US"


@pytest.mark.parametrize(
    ("mnemonic", "phones"),
    [("'A@", ("A:", "r")), (",a#", ("@",)), ("t#", ("d",)), ("dZ", ("dZ",)), ("_:", ()), ("_", ()), ("'0", ("A:",))],
)
def test_what_sounds_alike_is_one_phone_whatever_its_stress(mnemonic: str, phones: tuple[str, ...]) -> None:
    assert merged(mnemonic) == phones


def test_merging_gives_phones_that_merge_to_themselves() -> None:
    """So the inventory's symbols are what mnemonics become, not names on the way there."""
    for phones in inventory.ALIKE.values():
        assert all(merged(phone) == (phone,) for phone in phones)


def test_the_phones_of_texts_are_found_and_rare_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["the cat sat on the mat"] * 20 + ["oil"]
    found = find_inventory(texts, US)
    assert found.symbols[SILENCE] == ""
    assert {"D", "@", "k", "a", "t", "s", "A:", "n", "m", "OI", "l"} == set(found.symbols[1:])
    monkeypatch.setattr(inventory, "LEAST_SHARE", 0.01)
    assert "OI" not in find_inventory(texts, US).symbols
    monkeypatch.setattr(inventory, "PHONES_AT_MOST", 3)
    assert set(find_inventory(texts, US).symbols[1:]) == {"t", "a"}


def test_a_text_is_its_words_phones() -> None:
    few = Inventory(("", "k", "a", "t"))
    assert few.words(["cat attack", "oh", "cat"], US) == [[[1, 2, 3], [3, 2, 1]], [], [[1, 2, 3]]]
    assert few.can_say(["k", "'a", "t2"])
    assert not few.can_say(["k", "aI", "t"])
