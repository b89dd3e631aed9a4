"""A manifest's clips and their transcripts: what is measured on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kws.data import copies, transcripts
from kws.data import manifest as manifests
from kws.data.manifest import Clip
from kws.data.transcripts import Transcripts


@dataclass(frozen=True)
class Corpus:
    """Clips with absolute paths; ``manifest`` is the file that lists them, as it was given."""

    manifest: Path
    clips: tuple[Clip, ...]
    transcripts: Transcripts

    @property
    def folder(self) -> Path:
        """Where the manifest lies."""
        return self.manifest.absolute().parent


def read(manifest: Path, labels: Sequence[str] = (), check: bool = True) -> Corpus:
    """Read a manifest and ``utterances.csv`` beside it; with ``labels``, only the clips that have one of them.

    With ``check``, recordings that are there twice and voices in several splits are looked for (``copies.check``).

    Raises:
        KwsError: one of the files cannot be read or is not as it must be, or a recording is in two splits.
    """
    every = manifests.read(manifest)
    if check:
        copies.check(every, str(manifest))
    by_clip = transcripts.read(manifest, {clip.path: clip.duration_s for clip in every})
    return Corpus(manifest, tuple(clip for clip in every if not labels or clip.label in labels), by_clip)
