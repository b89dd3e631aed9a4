"""MS-SNSD: Reddy et al., "A Scalable Noisy Speech Dataset and Online Subjective Test Framework", Interspeech 2019.

``noise_train``, ``noise_test`` (``KIND_N.wav``), ``clean_train``, ``clean_test``. Its README: noises from Freesound
(CC0) and DEMAND (CC BY-SA 3.0), speech from the Edinburgh corpus (CC BY 4.0) and PTDB-TUG (Open Database License).
"""

import re
from pathlib import Path

from kws.data.corpora.adapter import Adapter, ListedClip, Options, Skips, hint, require_folder, sound_files
from kws.data.corpora.splits import by_name
from kws.data.manifest import SPEECH
from kws.errors import KwsError

NOISE_LICENCE = "CC0-1.0/CC-BY-SA-3.0 (Freesound, DEMAND)"
SPEECH_LICENCE = "CC-BY-4.0/ODbL-1.0 (Edinburgh corpus, PTDB-TUG)"
PARTS = {
    "noise_train": ("train", "noise", NOISE_LICENCE),
    "noise_test": ("test", "noise", NOISE_LICENCE),
    "clean_train": ("train", SPEECH, SPEECH_LICENCE),
    "clean_test": ("test", SPEECH, SPEECH_LICENCE),
}


def scan(folder: Path, options: Options, skips: Skips) -> list[ListedClip]:
    """Return noises and speech. Dev has some kinds of noise out of noise_train, and no speech: no speaker is named."""
    require_folder(folder)
    clips = []
    for part, (split, label, licence) in PARTS.items():
        if not (folder / part).is_dir():
            continue
        paths = list(sound_files(folder / part, skips))
        # Files of a kind may be cut from one recording, so kinds are divided; what would be test stays train.
        kinds = by_name(map(_kind, paths)) if part == "noise_train" else {}
        for path in paths:
            held_out = kinds.get(_kind(path)) == "dev"
            clips.append(ListedClip(path, "dev" if held_out else split, label, licence, _speaker(path)))
    if not clips:
        meant = hint(folder, tuple(PARTS))
        raise KwsError(f"{folder}: has no sound in {', '.join(PARTS)}{meant}; give the folder MS-SNSD")
    return clips


def _kind(path: Path) -> str:
    """Return what makes the noise.

    >>> _kind(Path("noise_train/AirConditioner_10.wav"))
    'AirConditioner'
    """
    return path.stem.partition("_")[0]


def _speaker(path: Path) -> str:
    """Return the speaker where a name has the Edinburgh corpus' form (p234_002)."""
    match = re.match(r"(p\d{3})_", path.name)
    return f"ms_snsd:{match[1]}" if match else ""


ADAPTER = Adapter(
    kind="ms_snsd",
    name="MS-SNSD",
    holds="noises of office, street and home, read English speech",
    licences=(NOISE_LICENCE, SPEECH_LICENCE),
    scan=scan,
)
