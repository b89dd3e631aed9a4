"""Mozilla Common Voice, one language: Ardila et al., "Common Voice: A Massively-Multilingual Speech Corpus", LREC 2020.

``clips/NAME.mp3`` and tables with tabs: ``train.tsv``, ``dev.tsv``, ``test.tsv``, of which no two share a speaker, and
``validated.tsv``, which holds them all and more. Newer releases have ``clip_durations.tsv``.
"""

from pathlib import Path

from kws.data.corpora.adapter import Adapter, ListedClip, Options, Skips, hint, read_table, require_folder
from kws.data.corpora.splits import by_name
from kws.data.manifest import SPEECH, SPLITS, WORD
from kws.errors import KwsError

COLUMNS = ("client_id", "path", "sentence")
LICENCE = "CC0-1.0"
SPEAKER_DIGITS = 16
"""Of the 128 hexadecimal digits of a client_id."""


def scan(folder: Path, options: Options, skips: Skips) -> list[ListedClip]:
    """Return the clips of the three splits; where a release has none of them, the validated ones, split by speaker."""
    require_folder(folder)
    rows = [(split, row) for split in SPLITS for row in _rows(folder / f"{split}.tsv")]
    if not rows:
        validated = _rows(folder / "validated.tsv")
        split_of = by_name(row["client_id"] for row in validated)
        rows = [(split_of[row["client_id"]], row) for row in validated]
    if not rows:
        meant = hint(folder, ("train.tsv", "validated.tsv"))
        raise KwsError(f"{folder}: has no train.tsv and no validated.tsv{meant}; give the folder of one language")
    durations = _durations(folder)
    clips = []
    for split, row in rows:
        path = folder / "clips" / (row["path"] if "." in row["path"] else row["path"] + ".mp3")
        sentence = row["sentence"].strip()
        if not sentence:
            skips.add(path, "its sentence is empty, so it has no transcript")
            continue
        label = SPEECH if len(sentence.split()) > 1 else WORD
        speaker = f"common_voice:{row['client_id'][:SPEAKER_DIGITS]}" if row["client_id"] else ""
        clips.append(ListedClip(path, split, label, LICENCE, speaker, sentence, durations.get(path.name)))
    return clips


def _rows(path: Path) -> list[dict[str, str]]:
    # Sentences have quotation marks of their own.
    return read_table(path, COLUMNS, tabs=True) if path.is_file() else []


def _durations(folder: Path) -> dict[str, float]:
    """Return the seconds of each clip, as far as the release gives them."""
    path = folder / "clip_durations.tsv"
    if not path.is_file():
        return {}
    column = "duration[ms]"
    rows = read_table(path, ("clip", column), tabs=True)
    try:
        return {row["clip"]: float(row[column]) / 1000.0 for row in rows}
    except ValueError as error:
        raise KwsError(f"{path}: a duration is not a number ({error}); unpack the corpus again") from error


ADAPTER = Adapter(
    kind="common_voice",
    name="Mozilla Common Voice",
    holds="read sentences of one language, many speakers and microphones",
    licences=(LICENCE,),
    scan=scan,
)
