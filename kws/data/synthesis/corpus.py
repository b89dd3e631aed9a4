"""A whole corpus for a phrase or several: FLAC clips under SPLIT/LABEL/ and manifest.csv, written last."""

import hashlib
import io
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from kws.config import to_data
from kws.data import manifest
from kws.data.manifest import Clip, Word
from kws.data.synthesis.config import SynthesisConfig
from kws.data.synthesis.plan import Job, plan
from kws.data.synthesis.text import sentences
from kws.data.synthesis.voices import espeak
from kws.data.synthesis.voices.find import find_voices
from kws.data.synthesis.voices.timing import frame_energies, loud_span
from kws.data.synthesis.voices.voice import SAMPLE_RATE_HZ, Utterance, Voice
from kws.errors import KwsError
from kws.system import progress
from kws.system.files import replace_file, unwritable
from kws.system.lock import locked
from kws.system.processes import in_order, processors

MARKER = "synthesis.json"
MANIFEST = "manifest.csv"
FORMAT = 1
"""Raised when the same config and seed begin to give other clips."""
_CHUNK = 40
_FAILURES_ALLOWED = 0.02


def synthesize(
    config: SynthesisConfig, phrases: str | Sequence[str], directory: Path, seed: int, processes: int | None = None
) -> Path:
    """Make the corpus of one phrase or several in ``directory`` and return the path of its manifest.

    The same arguments, voices and espeak-ng give the same bytes, whatever the number of processes. A directory that
    already holds this very corpus is left as it is.

    Args:
        config: the texts and the voices.
        phrases: the wake phrase, or all of them, as written; no negative of one sounds like another.
        directory: a new or empty directory, or one with this corpus.
        seed: of everything that is drawn.
        processes: how many to synthesize with; by default one for each processor.

    Raises:
        KwsError: a phrase cannot be synthesized, both counts are 0, a voice is missing or fails, the directory holds
            something else, or the disk is full.
    """
    directory, phrases = Path(directory), (phrases,) if isinstance(phrases, str) else tuple(phrases)
    if not config.positives and not config.negatives:
        raise KwsError(
            "synthesis.positives and negatives are both 0: there is nothing to synthesize; raise one of them"
        )
    names = ", ".join(map(repr, phrases))
    voices = find_voices(config)
    marker = _marker(config, phrases, seed, voices)
    if _is_complete(directory, marker):
        print(f"{directory}: already holds these clips of {names}; using them as they are", file=sys.stderr)
        return directory / MANIFEST
    _warn_without_sentences(config)
    jobs = plan(config, phrases, voices, seed)
    with locked(directory):
        if not _is_complete(directory, marker):  # another process may have made it meanwhile
            replace_file(directory / MARKER, marker)
            for folder in sorted({(directory / job.path).parent for job in jobs}):
                _make(folder)
            with progress.bar(f"Synthesizing {names} and near misses", len(jobs)) as advance:
                clips = _synthesize_all(jobs, directory, processes or processors(), advance)
            manifest.write(clips, directory / MANIFEST)
    return directory / MANIFEST


def _warn_without_sentences(config: SynthesisConfig) -> None:
    if config.negatives and not sentences.are_known(config.language) and not config.sentences_path:
        print(
            f"language {config.language!r}: kws has no sentences in it, so the negatives are parts of the phrase, the "
            "phrase with other sounds, and numbers; to add sentences, name a file in the recipe's "
            "synthesis.sentences_path",
            file=sys.stderr,
        )


def _marker(config: SynthesisConfig, phrases: Sequence[str], seed: int, voices: Sequence[Voice]) -> bytes:
    """Return what the marker file holds: everything that decides the clips."""
    names = hashlib.sha256("\n".join(voice.speaker for voice in voices).encode()).hexdigest()[:16]
    data = {
        "format": FORMAT,
        **({"phrase": phrases[0]} if len(phrases) == 1 else {"phrases": list(phrases)}),
        "seed": seed,
        "espeak": espeak.version(),
        "voices": names,
        "config": to_data(config),
        # These clips have changed: their negatives were English words once.
        **({} if sentences.are_known(config.language) else {"texts": "own words"}),
    }
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def _is_complete(directory: Path, marker: bytes) -> bool:
    """Whether the directory already holds the corpus; raise ``KwsError`` when it holds anything else."""
    try:
        names = {path.name for path in directory.iterdir() if not path.name.startswith(".")}
    except FileNotFoundError:
        return False
    except OSError as error:
        raise KwsError(f"{directory}: cannot be used ({error.strerror}); name a directory for the clips") from error
    if not names:
        return False
    if MARKER not in names:
        raise KwsError(f"{directory}: holds other files; name a new or empty directory for the clips")
    if (directory / MARKER).read_bytes() != marker:
        raise KwsError(
            f"{directory}: holds clips of another phrase, seed, config or set of voices; "
            "delete it or name another directory"
        )
    return MANIFEST in names


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def _synthesize_all(jobs: Sequence[Job], directory: Path, processes: int, advance: progress.Advance) -> list[Clip]:
    chunks = [jobs[start : start + _CHUNK] for start in range(0, len(jobs), _CHUNK)]
    every: list[Clip | str] = []
    for made in in_order(_ChunkSynthesizer(directory, chunks), len(chunks), processes if processes > 1 else 0):
        every += made
        advance(len(made))
    failures = [result for result in every if isinstance(result, str)]
    if len(failures) > _FAILURES_ALLOWED * len(jobs):
        raise KwsError(f"{len(failures)} of {len(jobs)} clips could not be synthesized; the first: {failures[0]}")
    return [result for result in every if isinstance(result, Clip)]


@dataclass(frozen=True)
class _ChunkSynthesizer:
    """What a process does: synthesize and write a chunk; where a voice fails, its error message is the result."""

    directory: Path
    chunks: Sequence[Sequence[Job]]

    def __call__(self, index: int) -> list[Clip | str]:
        made: list[Clip | str] = []
        for job in self.chunks[index]:
            try:
                utterance = job.voice.say(job.text, job.style)
            except KwsError as error:
                made.append(str(error))
            else:
                made.append(_write(job, placed(utterance, job.margins_ms, job.peak_dbfs), self.directory))
        return made


def placed(utterance: Utterance, margins_ms: tuple[float, float], peak_dbfs: float) -> Utterance:
    """Return the utterance cut or padded to these margins of silence before and after, at this peak level.

    >>> loud = Utterance(np.full(1600, 9, dtype=np.int16), (Word("a", 0.0, 0.1),))
    >>> moved = placed(loud, (100.0, 50.0), -6.0)
    >>> len(moved.samples), int(moved.samples.max()), moved.words[0].start_s
    (4000, 16422, 0.1)
    """
    samples = utterance.samples.astype(np.float32)
    duration_s = len(samples) / SAMPLE_RATE_HZ
    span = loud_span(frame_energies(samples, SAMPLE_RATE_HZ), 0.0, duration_s, floor_db=50.0)
    begin, end = (round(moment * SAMPLE_RATE_HZ) for moment in span or (0.0, duration_s))
    before, after = (round(margin * SAMPLE_RATE_HZ / 1000.0) for margin in margins_ms)
    peak = max(1.0, float(np.abs(samples).max()))
    loud = np.rint(samples[begin:end] * (32767.0 * 10.0 ** (peak_dbfs / 20.0) / peak)).astype(np.int16)
    shift_s = (before - begin) / SAMPLE_RATE_HZ
    first_s, last_s = before / SAMPLE_RATE_HZ, (before + len(loud)) / SAMPLE_RATE_HZ
    words = []
    for word in utterance.words:
        start, stop = (min(max(moment + shift_s, first_s), last_s) for moment in (word.start_s, word.end_s))
        words.append(Word(word.text, round(start, 4), round(stop, 4)))
    return Utterance(np.concatenate([_silence(before), loud, _silence(after)]), tuple(words))


def _silence(samples: int) -> NDArray[np.int16]:
    return np.zeros(samples, dtype=np.int16)


def _write(job: Job, utterance: Utterance, directory: Path) -> Clip:
    """Write the clip; it needs no renaming, because the manifest that names it comes last."""
    encoded = io.BytesIO()
    soundfile.write(encoded, utterance.samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    path = directory / job.path
    try:
        path.write_bytes(encoded.getvalue())
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise unwritable(path, error) from error
    phrase = utterance.words[slice(*job.phrase_words)] if job.phrase_words else ()
    return Clip(
        path=job.path,
        split=job.split,
        label=job.label,
        speaker=job.voice.speaker,
        source=job.voice.source,
        licence=job.voice.licence,
        duration_s=len(utterance.samples) / SAMPLE_RATE_HZ,
        kw_start_s=phrase[0].start_s if phrase else None,
        kw_end_s=phrase[-1].end_s if phrase else None,
        text=job.text,
        words=utterance.words,
    )
