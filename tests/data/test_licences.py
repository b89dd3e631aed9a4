"""What licences say of commercial use: every one of shared/corpus, of the synthesizers, of the corpora; and text."""

import pytest

from kws.data import licences
from kws.data.corpora.registry import ADAPTERS
from kws.data.synthesis.voices import espeak

ATTRIBUTION, BOTH = ("attribution",), ("attribution", "share-alike")

SHARED_CORPUS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Apache-2.0": ("yes", ATTRIBUTION),
    "CC (per README)": ("unclear", ()),
    "CC-BY": ("yes", ATTRIBUTION),
    "CC-BY-3.0": ("yes", ATTRIBUTION),
    "CC-BY-4.0": ("yes", ATTRIBUTION),
    "CC-BY-4.0 (README: free, commercial and non-commercial)": ("yes", ATTRIBUTION),
    "CC-BY-4.0/CC-BY-SA (per LICENSE.md)": ("yes", BOTH),
    "CC-BY-SA-3.0": ("yes", BOTH),
    "CC-BY-SA-4.0": ("yes", BOTH),
    "CC-BY/CC-BY-SA-3.0 (per CREDITS.md)": ("yes", BOTH),
    "CC0": ("yes", ()),
    "CC0 (README) / self-recorded": ("yes", ()),
    "CC0 or Pixabay Content License (per README)": ("unclear", ()),
    "MIT": ("yes", ATTRIBUTION),
    "MIT repo": ("unclear", ()),
    "MIT repo (MC-WSJ-AV excerpt)": ("unclear", ()),
    "MIT repo (OpenAIR origin)": ("unclear", ()),
    "MIT repo; README: CC-BY-4.0/CC0/PD sources": ("yes", ATTRIBUTION),
    "PD": ("yes", ()),
    "public-domain": ("yes", ()),
    "public-domain-waiver": ("yes", ()),
}
"""Every string in the column "licence" of shared/corpus/manifest.csv."""

OTHERS: dict[str, tuple[str, tuple[str, ...]]] = {
    espeak.LICENCE: ("yes", ()),
    "synthetic speech, no terms of its own (engine and voices flite: BSD-like)": ("yes", ()),
    "synthetic speech (engine festival: BSD-like; see the voice's own licence)": ("unclear", ()),
    "synthetic speech (engine piper; terms of the voice en_US-x: see its model card)": ("unclear", ()),
    "unknown": ("unclear", ()),
    "": ("unclear", ()),
    "(CC0)": ("unclear", ()),
    "own recordings": ("yes", ()),
    "own recordings, CC-BY-SA-4.0": ("yes", BOTH),
    "CC0-1.0": ("yes", ()),
    "cc by 4.0 International": ("yes", ATTRIBUTION),
    "CC-BY-3.0-US": ("yes", ATTRIBUTION),
    "CC_BY_SA 2.5": ("yes", BOTH),
    "Apache License 2.0": ("yes", ATTRIBUTION),
    "BSD-3-Clause": ("yes", ATTRIBUTION),
    "CC-BY-NC": ("no", ()),
    "CC BY-NC-SA 3.0": ("no", ()),
    "CC-BY-NC-ND-4.0": ("no", ()),
    "CC0/CC-BY-NC-4.0": ("no", ()),
    "CC-BY-4.0 and CC-BY-NC-4.0": ("no", ()),
    "for research only": ("no", ()),
    "non-commercial use": ("no", ()),
    "CC-BY-4.0 (non-commercial use only)": ("unclear", ()),
    "CC-BY-ND-4.0": ("unclear", ()),
    "CC-Sampling+": ("unclear", ()),
    "GPL-3.0-or-later": ("unclear", ()),
    "All rights reserved": ("unclear", ()),
    "self-recorded": ("unclear", ()),
    "ODbL-1.0": ("unclear", ()),
}


@pytest.mark.parametrize("licence", [*SHARED_CORPUS, *OTHERS])
def test_every_licence_has_its_answer(licence: str) -> None:
    wanted, duties = {**SHARED_CORPUS, **OTHERS}[licence]
    found = licences.terms(licence)
    assert (found.commercial, found.duties) == (wanted, duties)
    assert bool(found.reason) == (wanted != "yes"), "what is not clear says why"


def test_the_adapters_write_licences_that_are_known_or_unclear_on_purpose() -> None:
    answers = {one: licences.terms(one).commercial for adapter in ADAPTERS.values() for one in adapter.licences}
    assert {one for one, answer in answers.items() if answer != "yes"} == {
        "CC-BY-NC-SA",
        "CC-BY-NC-3.0",
        "unknown (MUSAN's LICENSE does not say)",
        "CC-BY-4.0/ODbL-1.0 (Edinburgh corpus, PTDB-TUG)",
    }


def test_one_line_sums_up() -> None:
    every = licences.commercial_use(SHARED_CORPUS)
    assert not every.clear
    assert every.duties == BOTH
    assert [name.split(" (")[0] for name in every.because] == [
        "CC",
        "CC0 or Pixabay Content License",
        "MIT repo",
        "MIT repo",
        "MIT repo",
    ]
    assert "\n" not in every.text()
    clear = [licence for licence, (answer, _) in SHARED_CORPUS.items() if answer == "yes"]
    assert licences.commercial_use(clear).text() == "commercial use: clear, with attribution and share-alike"
    assert licences.commercial_use(["CC0", espeak.LICENCE]).text() == "commercial use: clear"
    assert not licences.commercial_use([]).clear, "who does not say what was learned from has no clear ledger"
    assert licences.commercial_use([""]).because == ("an empty licence (no licence is named)",)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("CC BY-NC-SA 3.0", ("CC-BY-NC-SA-3.0",)),
        ("CC BY-ND 4.0", ("CC-BY-ND-4.0",)),
        ("Concert is licensed under a Attribution-ShareAlike 3.0 International License.", ("CC-BY-SA-3.0",)),
        ("Album is licensed under a Attribution License.", ("CC-BY",)),
        ("License: Attribution 3.0\nhttps://creativecommons.org/licenses/by/3.0/us/", ("CC-BY-3.0",)),
        ("https://creativecommons.org/licenses/by-nc-nd/4.0/", ("CC-BY-NC-ND-4.0",)),
        ("CC BY\nhttps://creativecommons.org/licenses/by-nc/3.0/", ("CC-BY", "CC-BY-NC-3.0")),
        ("License: Public Domain\nCC0 1.0", ("CC0-1.0", "public-domain")),
        ("http://creativecommons.org/publicdomain/zero/1.0/", ("CC0-1.0",)),
        ("No attribution needed. All rights reserved", ()),
        ("", ()),
    ],
)
def test_licences_are_found_in_text(text: str, names: tuple[str, ...]) -> None:
    assert licences.in_text(text) == names
