"""RIRS_NOISES (OpenSLR 28): Ko et al., "A Study on Data Augmentation of Reverberant Speech", ICASSP 2017.

Lists in Kaldi's form name room responses with their rooms, and noises. The point-source noises are those of MUSAN's
free-sound, which are in the public domain.
"""

import shlex
from pathlib import Path

from kws.data.corpora.adapter import Adapter, ListedClip, Options, Skips, hint, read_lines, require_folder, sound_files
from kws.data.corpora.splits import by_name
from kws.errors import KwsError

LICENCE = "Apache-2.0"
REAL_LICENCE = "Apache-2.0 (OpenSLR 28; recordings of AIR, RWCP and REVERB 2014)"
NOISE_LICENCE = "public-domain (MUSAN free-sound)"
PARTS = {
    "simulated_rirs/smallroom": LICENCE,
    "simulated_rirs/mediumroom": LICENCE,
    "simulated_rirs/largeroom": LICENCE,
    "real_rirs_isotropic_noises": REAL_LICENCE,
    "pointsource_noises": NOISE_LICENCE,
}
LISTS = ("rir_list", "noise_list")


def scan(folder: Path, options: Options, skips: Skips) -> list[ListedClip]:
    """Return responses and noises. A room, and the noise recorded in it, is in one split."""
    require_folder(folder)
    entries: list[tuple[Path, str, str, str]] = []
    for part, licence in PARTS.items():
        if (folder / part).is_dir():
            entries += [(path, label, group, licence) for path, label, group in _listed(folder, folder / part, skips)]
    if not entries:
        meant = hint(folder, ("simulated_rirs", "pointsource_noises"))
        raise KwsError(f"{folder}: has no list of responses or noises{meant}; give the folder RIRS_NOISES")
    splits = by_name(group for _, label, group, _ in entries if label == "rir")
    # A noise in a room of which there is no response is divided as the point sources are: by itself.
    splits |= by_name(group for _, label, group, _ in entries if label == "noise" and group not in splits)
    return [
        ListedClip(path, splits[group], label, licence, f"room:{group}" if label == "rir" else "")
        for path, label, group, licence in entries
    ]


def _listed(folder: Path, part: Path, skips: Skips) -> list[tuple[Path, str, str]]:
    """Return path, label and group (a room, or the file itself) of all that the lists of a part name."""
    lists = [part / name for name in LISTS if (part / name).is_file()]
    if not lists:
        raise KwsError(f"{part}: has neither rir_list nor noise_list; unpack the corpus again")
    entries = [_entry(folder, path, line) for path in lists for line in read_lines(path) if line.strip()]
    named = {path for path, _, _ in entries}
    for path in sound_files(part, skips):
        if path not in named:
            skips.add(path, "no list names it")
    return entries


def _entry(folder: Path, path: Path, line: str) -> tuple[Path, str, str]:
    """Read "--rir-id .. --room-id .. FILE" or "--noise-id .. --noise-type .. [--room-linkage ..] FILE"."""
    cells = shlex.split(line) if '"' in line else line.split()
    fields = dict(zip(cells[:-1:2], cells[1::2], strict=False))
    # The names in the lists start above the corpus' folder.
    place = folder.joinpath(*Path(cells[-1]).parts[1:])
    if len(cells) % 2 == 0 or any(not name.startswith("--") for name in fields) or place == folder:
        raise KwsError(f"{path}: cannot read the line {line.strip()!r}; unpack the corpus again")
    if path.name == "rir_list":
        return place, "rir", fields.get("--room-id") or place.parent.name
    return place, "noise", fields.get("--room-linkage") or place.stem


ADAPTER = Adapter(
    kind="rirs_noises",
    name="RIRS_NOISES",
    holds="60000 simulated and 325 measured room responses, 843 noises",
    licences=(LICENCE, REAL_LICENCE, NOISE_LICENCE),
    scan=scan,
)
