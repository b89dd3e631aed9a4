"""Which phones a language's transcripts are made of, as espeak-ng's mnemonics name them, merged where they sound alike.

espeak-ng tells stress, length marks and many reduced vowels apart that a recognizer of an hour of speech cannot.
``ALIKE`` joins those of English (its mnemonics: espeak-ng, docs/phonemes.md); a symbol that it does not name, of any
language, is a phone of its own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kws.data.synthesis.voices import espeak

SILENCE = 0
"""The phone of pauses, in every inventory."""

ALIKE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("@", "@2", "@-", "a#", "V"), ("@",)),
    **dict.fromkeys(("I", "I2", "I#"), ("I",)),
    **dict.fromkeys(("i", "i:"), ("i:",)),
    **dict.fromkeys(("3", "3:"), ("3:",)),
    **dict.fromkeys(("t", "t2", "?"), ("t",)),
    **dict.fromkeys(("d", "t#"), ("d",)),  # Americans flap both: "latter" and "ladder"
    **dict.fromkeys(("0", "O2", "A:"), ("A:",)),
    **dict.fromkeys(("O", "O:"), ("O:",)),
    **dict.fromkeys(("a", "aa"), ("a",)),
    **dict.fromkeys(("E", "e"), ("E",)),
    **dict.fromkeys(("r", "r-"), ("r",)),
    **dict.fromkeys(("o@", "O@"), ("O:", "r")),
    **dict.fromkeys(("i@3", "i@"), ("I", "r")),
    **dict.fromkeys(("aI@", "aI3"), ("aI", "3:")),
    "aU@": ("aU", "3:"),
    "A@": ("A:", "r"),
    "e@": ("E", "r"),
    "U@": ("U", "r"),
    "@L": ("@", "l"),
    "n-": ("@", "n"),
    ";": (),
    "!": (),
    "!w": (),
}
_MARKS = "',%=|_:"
LEAST_SHARE = 2e-4
"""A symbol that is rarer than this among all is left out: foreign names, slips of the pronunciation rules."""
PHONES_AT_MOST = 127
"""Labels are int8."""


def merged(mnemonic: str) -> tuple[str, ...]:
    """Return the phones of one espeak-ng mnemonic.

    >>> merged("'u:"), merged("A@"), merged(";")
    (('u:',), ('A:', 'r'), ())
    """
    symbol = mnemonic.lstrip(_MARKS)
    return ALIKE.get(symbol, (symbol,) if symbol else ())


@dataclass(frozen=True)
class Inventory:
    """The phones, ``symbols[0]`` being silence."""

    symbols: tuple[str, ...]

    def numbers(self, mnemonics: Iterable[str]) -> list[int]:
        """Return the phones of some mnemonics as numbers; those that the inventory lacks are left out."""
        known = {symbol: number for number, symbol in enumerate(self.symbols)}
        return [known[symbol] for mnemonic in mnemonics for symbol in merged(mnemonic) if symbol in known]

    def words(self, texts: Sequence[str], identifier: str) -> list[list[list[int]]]:
        """Return for each text its words, each a list of phones, as the accent ``identifier`` says them."""
        phonemes = espeak.phonemes(list(texts), identifier, ipa=False)
        return [[phones for word in words if (phones := self.numbers(word))] for words in phonemes]

    def can_say(self, mnemonics: Iterable[str]) -> bool:
        """Return whether every phone of a word is in the inventory."""
        return all(symbol in self.symbols for mnemonic in mnemonics for symbol in merged(mnemonic))


def find_inventory(texts: Sequence[str], identifier: str) -> Inventory:
    """Return the phones that occur in ``texts``, by name, rare ones left out."""
    counts = Counter(
        symbol
        for words in espeak.phonemes(list(texts), identifier, ipa=False)
        for word in words
        for mnemonic in word
        for symbol in merged(mnemonic)
    )
    least = LEAST_SHARE * sum(counts.values())
    common = counts.most_common(PHONES_AT_MOST - 1)
    return Inventory(("", *sorted(symbol for symbol, count in common if count >= least)))
