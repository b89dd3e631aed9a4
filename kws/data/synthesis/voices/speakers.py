"""Who speaks in training and who is held out: a partition of the speakers by their names alone."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from kws.data.manifest import SPLITS
from kws.data.synthesis.voices.espeak import EspeakVoice
from kws.data.synthesis.voices.voice import Voice
from kws.errors import KwsError

MAIN_ACCENTS = frozenset({"en-us", "en-gb"})
"""Always in training: most recordings of English sound like one of them."""


def partition(voices: Sequence[Voice], dev_share: float, test_share: float) -> dict[str, list[Voice]]:
    """Return the voices of each split; no speaker is in two, and of espeak-ng no variant and, given four, no accent.

    The names alone decide, so a speaker stays in its split whatever else is installed. A voice whose accent and
    variant belong to different splits is left out, which keeps both apart.

    Raises:
        KwsError: there are too few speakers to hold any out.
    """
    espeak = [voice for voice in voices if isinstance(voice, EspeakVoice)]
    others = [voice for voice in voices if not isinstance(voice, EspeakVoice)]
    split_of_variant = assign((family(voice.variant) for voice in espeak), dev_share, test_share)
    split_of_accent = _accents({voice.language for voice in espeak}, dev_share, test_share)
    split_of_speaker = assign((voice.speaker for voice in others), dev_share, test_share, fill=not espeak)
    parts: dict[str, list[Voice]] = {split: [] for split in SPLITS}
    for voice in espeak:
        split = split_of_variant[family(voice.variant)]
        if split in split_of_accent[voice.language]:
            parts[split].append(voice)
    for other in others:
        parts[split_of_speaker[other.speaker]].append(other)
    for split, share in (("train", 1.0), ("dev", dev_share), ("test", test_share)):
        if share > 0.0 and not parts[split]:
            instead = f", or set {split}_share to 0 and add recordings of the phrase with split {split} (--data)"
            raise KwsError(
                f"{len({voice.speaker for voice in voices})} speakers are too few to give {split} one; "
                f"allow more voices{'' if split == 'train' else instead}"
            )
    return parts


def family(variant: str) -> str:
    """Return what near copies of one variant share: "edward2" is "edward", "anikaRobot" is "anika"; "f1" is itself.

    >>> [family(name) for name in ("edward2", "anikaRobot", "Mike", "mike2", "f1", "")]
    ['edward', 'anika', 'mike', 'mike', 'f1', 'default']
    """
    name = re.sub(r"(?<=^anika)robot$|(?<=^whisper)f$", "", variant.lower())
    stem = name.rstrip("0123456789")
    return (stem if len(stem) >= 3 else name) or "default"


def assign(names: Iterable[str], dev_share: float, test_share: float, fill: bool = True) -> dict[str, str]:
    """Give each name a split by its hash; with ``fill`` a split that has a share but no name gets the nearest one.

    >>> sorted(set(assign((f"speaker {i}" for i in range(100)), 0.2, 0.2).values()))
    ['dev', 'test', 'train']
    """
    ranks = {name: _rank(name) for name in names}
    given = {name: _split(rank, dev_share, test_share) for name, rank in ranks.items()}
    if not fill or len(given) < 3:
        return given
    shares = (("train", 1.0), ("dev", dev_share), ("test", test_share))
    for split, share in shares:
        if share > 0.0 and split not in given.values():
            members: dict[str, list[str]] = defaultdict(list)
            for name in sorted(given, key=lambda name: ranks[name]):
                members[given[name]].append(name)
            donor = max(members.values(), key=len)
            given[donor[0]] = split
    return given


def _accents(languages: set[str], dev_share: float, test_share: float) -> dict[str, set[str]]:
    """Return the splits of each accent: one accent each for dev and test where there are four, else all in all."""
    free = sorted(languages - MAIN_ACCENTS, key=_rank)
    if len(languages) < 4 or len(free) < 3:
        return {language: set(SPLITS) for language in languages}
    splits = {language: {"train"} for language in languages}
    if dev_share > 0.0:
        splits[free[0]] = {"dev"}
    if test_share > 0.0:
        splits[free[1]] = {"test"}
    return splits


def _rank(name: str) -> float:
    """Return a number in 0..1 that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / float(1 << 48)


def _split(rank: float, dev_share: float, test_share: float) -> str:
    if rank < dev_share:
        return "dev"
    return "test" if rank < dev_share + test_share else "train"
