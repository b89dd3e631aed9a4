"""Trees of the same layout as the corpora, with sounds of a tenth of a second."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from kws.data import manifest, transcripts
from kws.data.corpora.adapter import Options
from kws.data.corpora.build import build
from kws.data.corpora.registry import ADAPTERS
from kws.data.corpora.report import Report
from kws.data.manifest import Clip

SECONDS = 0.1

MakeTree = Callable[..., Path]
Read = Callable[..., tuple[Report, dict[str, Clip]]]


def write_sound(path: Path, seconds: float = SECONDS, channels: int = 1) -> None:
    """Write noise at 16 kHz, other for each name, in the format that the name ends in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(zlib.crc32(str(path).encode())).uniform(
        -0.5, 0.5, (round(seconds * 16000), channels)
    )
    soundfile.write(path, samples, 16000)


@pytest.fixture
def tree(tmp_path: Path) -> MakeTree:
    """Make a folder with these sounds (names) and texts (name -> content); return it."""

    def make(name: str, sounds: tuple[str, ...], texts: dict[str, str] | None = None) -> Path:
        folder = tmp_path / name
        for sound in sounds:
            write_sound(folder / sound)
        for text, content in (texts or {}).items():
            (folder / text).parent.mkdir(parents=True, exist_ok=True)
            (folder / text).write_text(content, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def read() -> Read:
    """Build the manifest of a folder, and read it as training does: the report, and the clips by their names in it."""

    def run(kind: str, folder: Path, **options: Any) -> tuple[Report, dict[str, Clip]]:
        report = build(ADAPTERS[kind], folder, Options(**options))
        clips = manifest.read(report.manifest)
        return report, {Path(clip.path).relative_to(folder).as_posix(): clip for clip in clips}

    return run


@pytest.fixture
def transcripts_of() -> Callable[[Path], dict[str, tuple[float, float, str]]]:
    """Read ``utterances.csv`` beside a manifest as evaluation does: path -> start, end, transcript."""

    def run(path: Path) -> dict[str, tuple[float, float, str]]:
        found = transcripts.read(path)
        rows = {Path(clip).relative_to(path.parent).as_posix(): one for clip, (one,) in found.items()}
        return {name: (one.start_s, one.end_s, one.transcript) for name, one in rows.items()}

    return run
