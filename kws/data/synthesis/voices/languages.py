"""Which language of espeak-ng may be meant by a code that it does not have."""

import difflib
from collections.abc import Iterable

from kws.data.synthesis.voices.espeak_library import Accent

COUNTRIES = {
    "at": "de",
    "cn": "cmn",
    "cz": "cs",
    "dk": "da",
    "gr": "el",
    "il": "he",
    "in": "hi",
    "ir": "fa",
    "iw": "he",
    "jp": "ja",
    "kr": "ko",
    "rs": "sr",
    "se": "sv",
    "ua": "uk",
    "vn": "vi",
}
"""Codes of countries (and an old one of a language) that are taken for those of their languages."""

MOST = 4


def nearest(language: str, accents: Iterable[Accent]) -> list[Accent]:
    """Return what may be meant, the best first: by another code of the voice, a country, the name or the spelling.

    >>> known = [Accent("cmn", "Chinese (Mandarin)", "sit/cmn", ("zh-cmn", "zh")), Accent("el", "Greek", "grk/el")]
    >>> [accent.language for code in ("zh-TW", "gr", "greek", "xx") for accent in nearest(code, known)]
    ['cmn', 'el', 'el']
    """
    code = language.strip().casefold().replace("_", "-")
    base = code.split("-")[0]
    every = list(accents)

    def with_code(*codes: str) -> list[Accent]:
        return [one for one in every if {one.language.casefold(), *one.other_codes} & set(codes)]

    matches = (
        with_code(code)
        or with_code(base)
        or [one for one in every if one.language.startswith(f"{base}-")]
        or with_code(COUNTRIES.get(base, ""))
        or [one for one in every if one.language.endswith(f"-{base}")]
        or [one for one in every if len(base) > 2 and one.name.casefold().startswith(base)]
        or with_code(*difflib.get_close_matches(base, [one.language for one in every], n=2, cutoff=0.7))
    )
    # "cmn" stands for "cmn-latn-pinyin" as well, and two voices of one language are one answer.
    by_code = {one.language: one for one in reversed(matches)}
    kept = [name for name in reversed(by_code) if not any(name.startswith(f"{other}-") for other in by_code)]
    return [by_code[name] for name in kept[:MOST]]
