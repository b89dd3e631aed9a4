"""Google Speech Commands v1 and v2: Warden, "Speech Commands", arXiv 1804.03209, 2018.

``WORD/HASH_nohash_N.wav`` with a hash for each speaker, ``validation_list.txt`` and ``testing_list.txt``, and
``_background_noise_``.
"""

from pathlib import Path

from kws.data.corpora.adapter import (
    Adapter,
    ListedClip,
    Options,
    Skips,
    hint,
    read_lines,
    require_folder,
    sound_files,
)
from kws.data.corpora.splits import by_name
from kws.data.manifest import WORD, slug
from kws.errors import KwsError

LISTS = {"dev": "validation_list.txt", "test": "testing_list.txt"}
LICENCE = "CC-BY-4.0"
NOISES = ("_background_noise_", "_silence_")
UNKNOWN_WORDS = "_unknown_"
"""In the archive of the test set alone: clips of the words that are not to be recognized."""


def scan(folder: Path, options: Options, skips: Skips) -> list[ListedClip]:
    """Return the words with their speakers, split as the lists say, and the noises, split by file."""
    require_folder(folder)
    listed = {} if options.split else _listed(folder, skips)
    clips, noises = [], {}
    for path in sound_files(folder, skips):
        place = path.relative_to(folder)
        if len(place.parts) != 2:
            skips.add(path, "it is not in the folder of a word")
            continue
        word = place.parts[0]
        if word in NOISES:
            noises[place.as_posix()] = path
            continue
        speaker, mark, _ = path.stem.partition("_nohash_")
        if not mark:
            skips.add(path, "its name has no _nohash_, before which its speaker stands")
            continue
        label, text = (WORD, "") if word == UNKNOWN_WORDS else (slug(word), word)
        split = listed.get(place.as_posix(), "train")
        clips.append(ListedClip(path, split, label, LICENCE, f"speech_commands:{speaker}", text))
    if not clips:
        raise KwsError(f"{folder}: has no WORD/HASH_nohash_N.wav; give the folder that holds the words' folders")
    return clips + [ListedClip(noises[name], split, "noise", LICENCE) for name, split in by_name(noises).items()]


def _listed(folder: Path, skips: Skips) -> dict[str, str]:
    """Return the split of every file that a list names."""
    split_of: dict[str, str] = {}
    for split, name in LISTS.items():
        if not (folder / name).is_file():
            raise KwsError(
                f"{folder}: has no {name}, so this is not all of Speech Commands{hint(folder, (name,))}; "
                "unpack the archive again, or give --split to put all clips into one"
            )
        for line in filter(None, map(str.strip, read_lines(folder / name))):
            if line in split_of:
                raise KwsError(f"{folder / name}: lists {line}, which is listed already; unpack the archive again")
            split_of[line] = split
            if not (folder / line).is_file():
                skips.add(folder / line, f"{name} names it, but it is not there")
    return split_of


ADAPTER = Adapter(
    kind="speech_commands",
    name="Google Speech Commands",
    holds="35 single words (v1: 30) by 2600 speakers, 6 noises",
    licences=(LICENCE,),
    scan=scan,
)
