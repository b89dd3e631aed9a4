"""ESC-50: Piczak, "ESC: Dataset for Environmental Sound Classification", ACM Multimedia 2015.

``audio/*.wav`` and ``meta/esc50.csv``. Clips of one recording share a fold. The whole is CC BY-NC, but the
part ESC-10 is CC BY.
"""

from pathlib import Path

from kws.data.corpora.adapter import Adapter, ListedClip, Options, Skips, hint, read_table, require_folder
from kws.errors import KwsError

SPLIT_OF_FOLD = {"1": "train", "2": "train", "3": "train", "4": "dev", "5": "test"}
NON_COMMERCIAL = "CC-BY-NC-3.0"
ATTRIBUTION = "CC-BY-3.0 (ESC-10)"


def scan(folder: Path, options: Options, skips: Skips) -> list[ListedClip]:
    """Return the clips, all of them noise; folds 1 to 3 are train, 4 dev, 5 test."""
    require_folder(folder)
    table = folder / "meta" / "esc50.csv"
    if not table.is_file():
        meant = hint(folder, ("meta",))
        raise KwsError(f"{folder}: has no meta/esc50.csv{meant}; give the folder ESC-50-master")
    clips = []
    for row in read_table(table, ("filename", "fold", "esc10")):
        if row["fold"] not in SPLIT_OF_FOLD:
            raise KwsError(
                f"{table}: {row['filename']} is in fold {row['fold']!r}, not 1 to 5; unpack the corpus again"
            )
        licence = ATTRIBUTION if row["esc10"].strip().lower() == "true" else NON_COMMERCIAL
        clips.append(ListedClip(folder / "audio" / row["filename"], SPLIT_OF_FOLD[row["fold"]], "noise", licence))
    return clips


ADAPTER = Adapter(
    kind="esc50",
    name="ESC-50",
    holds="2000 clips of 5 s: animals, nature, people, household, city",
    licences=(NON_COMMERCIAL, ATTRIBUTION),
    scan=scan,
)
