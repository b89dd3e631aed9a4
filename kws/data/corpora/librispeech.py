"""LibriSpeech (OpenSLR 12) and Mini LibriSpeech (31): Panayotov et al., ICASSP 2015.

``SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-N.flac`` with ``SPEAKER-CHAPTER.trans.txt`` beside, and ``SPEAKERS.TXT``.
"""

import re
from pathlib import Path

from kws.data.corpora.adapter import Adapter, ListedClip, Options, Skips, hint, read_lines, require_folder, sound_files
from kws.data.manifest import SPEECH
from kws.errors import KwsError

SUBSET = re.compile(r"(train|dev|test)-(clean|other)(-\d+)?")
LICENCE = "CC-BY-4.0"


def scan(folder: Path, options: Options, skips: Skips) -> list[ListedClip]:
    """Return the utterances of every subset that is there, with their transcripts."""
    require_folder(folder)
    subsets = sorted(path for path in folder.iterdir() if path.is_dir() and SUBSET.fullmatch(path.name))
    if not subsets:
        meant = hint(folder, ("train-*", "dev-*", "test-*"))
        raise KwsError(f"{folder}: has no folder such as train-clean-100{meant}; give the folder LibriSpeech")
    split_of = _speakers(folder)
    clips = []
    for subset in subsets:
        split = subset.name.partition("-")[0]
        for speaker in sorted(path for path in subset.iterdir() if path.is_dir()):
            if split_of and split_of.get(speaker.name) != split:
                known = split_of.get(speaker.name)
                where = f"has this speaker in {known}" if known else "does not list this speaker"
                raise KwsError(f"{speaker}: SPEAKERS.TXT {where}; the folders are mixed up, unpack the corpus again")
            clips += _utterances(speaker, split, skips)
    return clips


def _speakers(folder: Path) -> dict[str, str]:
    """Return the split of each speaker by SPEAKERS.TXT ("ID | SEX | SUBSET | MINUTES | NAME"); nothing without one."""
    path = folder / "SPEAKERS.TXT"
    if not path.is_file():
        return {}
    split_of = {}
    for line in read_lines(path):
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith(";") or len(cells) < 4:
            continue
        split_of[cells[0]] = cells[2].partition("-")[0]
    return split_of


def _utterances(speaker: Path, split: str, skips: Skips) -> list[ListedClip]:
    transcripts: dict[Path, str] = {}
    for path in sorted(speaker.glob("*/*.trans.txt")):
        for line in filter(None, map(str.strip, read_lines(path))):
            name, _, text = line.partition(" ")
            transcripts[path.parent / f"{name}.flac"] = text
    clips = []
    for path in sound_files(speaker, skips):
        if path in transcripts:
            clips.append(ListedClip(path, split, SPEECH, LICENCE, f"librispeech:{speaker.name}", transcripts.pop(path)))
        else:
            skips.add(path, "no .trans.txt beside it has its transcript")
    for path in transcripts:
        skips.add(path, "its .trans.txt names it, but it is not there")
    return clips


ADAPTER = Adapter(
    kind="librispeech",
    name="LibriSpeech",
    holds="read English sentences, 1000 hours by 2484 speakers",
    licences=(LICENCE,),
    scan=scan,
)
