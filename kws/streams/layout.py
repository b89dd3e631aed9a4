"""Clips -> long streams with the events they hold: a detector is judged on what it hears all day, not on clips.

A plan lists the clips of one stream; ``build`` decodes and lays them out. Nothing in a stream marks where a clip
starts but the sound itself: clips fade in and out over 10 ms, and noise of -70 dBFS (seeded) lies under the whole
stream, gaps and clips alike, so that neither digital silence nor a cut edge gives a word away. Positive and negative
streams are made by the same lines.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kws.audio import SAMPLE_RATE_HZ
from kws.data.clip_sound import read_clip
from kws.data.manifest import RESERVED, Clip
from kws.data.phrases import contains, positive_labels, said, word_times
from kws.data.transcripts import Transcripts
from kws.streams.noise import NoiseBed
from kws.streams.room import Rooms

LEAD_IN_S = 1.5
"""Before the first clip: the detector's windows are full of something when the first word comes."""

TAIL_S = 1.5
"""After a positive clip: longer than a hit may be late, and than a second detection is ignored."""

NEGATIVE_GAP_S = 0.5
DITHER_DBFS = -70.0
FADE_SAMPLES = SAMPLE_RATE_HZ // 100
STREAM_S = 600.0
NOT_HEARD = frozenset({"rir", "array"})

Kind = Literal["positive", "negative"]


@dataclass(frozen=True)
class Event:
    """One spoken phrase in a stream, seconds from the stream's start; ``estimated``: times from energy."""

    path: str
    speaker: str
    start_s: float
    end_s: float
    estimated: bool = False


@dataclass(frozen=True)
class Span:
    """Where a clip lies in its stream."""

    path: str
    speaker: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Layout:
    """What a stream holds. ``ignored``: stretches with the phrase in them; detections there do not count."""

    name: str
    label: str
    duration_s: float
    spans: tuple[Span, ...]
    events: tuple[Event, ...] = ()
    ignored: tuple[tuple[float, float], ...] = ()

    @property
    def hours(self) -> float:
        """Hours of recordings, without the gaps laid between them and what is ignored."""
        heard_s = sum(span.end_s - span.start_s for span in self.spans)
        return (heard_s - sum(end_s - start_s for start_s, end_s in self.ignored)) / 3600.0


@dataclass(frozen=True, eq=False)
class Stream:
    """A layout and its sound: int16 [n] at 16 kHz."""

    layout: Layout
    samples: NDArray[np.int16]


@dataclass(frozen=True)
class Plan:
    """The clips of one stream and how to lay them; the same plan always gives the same samples."""

    name: str
    label: str
    kind: Kind
    phrase: str
    clips: tuple[Clip, ...]
    noises: tuple[Clip, ...] = ()
    noise_snr_db: float | None = None
    seed: int = 0
    rooms: tuple[Clip, ...] = ()

    @property
    def duration_s(self) -> float:
        """Seconds of recordings, as the manifest declares them."""
        return sum(clip.duration_s for clip in self.clips)


def plans(
    clips: Iterable[Clip],
    split: str,
    phrases: str | Sequence[str],
    noise_snr_db: float | None = None,
    seed: int = 0,
    room: bool = False,
) -> tuple[Plan, ...]:
    """Plan every stream of a split, some ten minutes at most each; every speaker's positives have their own.

    Negatives are all other labels that are sound to listen to, each label in its own streams. Labels that contain the
    phrase's words ("hey_computer" for "computer") are neither and are left out. With several phrases a plan has the one
    that it is a positive of, else the first that it is a negative of; ``layout_for`` says what it is to the others.
    With ``room`` every clip but noise and music is heard in one of the split's rooms ("rir").

    Raises:
        KwsError: noise or a room is asked for and the split has none.
    """
    mine = [clip for clip in clips if clip.split == split]
    noises = tuple(clip for clip in mine if clip.label == "noise") if noise_snr_db is not None else ()
    if noise_snr_db is not None:
        NoiseBed(noises, noise_snr_db)  # refuses a split without noise before any work is done
    rooms = Rooms([clip for clip in mine if clip.label == "rir"]).clips if room else ()
    planned = []
    for (label, kind, phrase, name), members in _group(mine, _several(phrases)).items():
        unmixed = label in ("noise", "music")  # the noise itself is heard as it is
        under, snr_db, walls = ((), None, ()) if unmixed else (noises, noise_snr_db, rooms)
        full_name = f"{split}/{label}/{name}"
        planned.append(Plan(full_name, label, kind, phrase, tuple(members), under, snr_db, seed, walls))
    return tuple(planned)


def _several(phrases: str | Sequence[str]) -> tuple[str, ...]:
    return (phrases,) if isinstance(phrases, str) else tuple(phrases)


def _group(clips: Sequence[Clip], phrases: Sequence[str]) -> dict[tuple[str, Kind, str, str], list[Clip]]:
    groups: dict[tuple[str, Kind, str, str], list[Clip]] = {}
    filled_s: dict[tuple[str, str], float] = {}
    roles = {label: _role(label, phrases) for label in {clip.label for clip in clips}}
    for clip in clips:
        role = roles[clip.label]
        if role is None:
            continue
        kind, phrase = role
        owner = clip.speaker if kind == "positive" else ""
        filled_s[clip.label, owner] = filled_s.get((clip.label, owner), 0.0) + clip.duration_s + _gap_s(kind)
        part = f"{int(filled_s[clip.label, owner] // STREAM_S):03d}"
        groups.setdefault((clip.label, kind, phrase, f"{owner}/{part}" if owner else part), []).append(clip)
    return groups


def _role(label: str, phrases: Sequence[str]) -> tuple[Kind, str] | None:
    """Return what a label is to the phrase that it is a positive of, else to the first that it is a negative of."""
    kinds = {phrase: _kind(label, phrase) for phrase in phrases}
    wanted: tuple[Kind, Kind] = ("positive", "negative")
    return next(((kind, phrase) for kind in wanted for phrase in phrases if kinds[phrase] == kind), None)


def _kind(label: str, phrase: str) -> Kind | None:
    if label in positive_labels(phrase):
        return "positive"
    if label in NOT_HEARD or (label not in RESERVED and contains(label, phrase)):
        return None
    return "negative"


def _gap_s(kind: Kind) -> float:
    return LEAD_IN_S + TAIL_S if kind == "positive" else NEGATIVE_GAP_S


def build(plan: Plan, transcripts: Transcripts | None = None) -> Stream:
    """Decode the plan's clips and lay them into one stream.

    Raises:
        KwsError: a clip cannot be read, or holds a sentence without the phrase's times.
    """
    rng = np.random.default_rng([plan.seed, zlib.crc32(plan.name.encode())])
    clips = [read_clip(clip) for clip in plan.clips]
    gap = round(_gap_s(plan.kind) * SAMPLE_RATE_HZ)
    starts, total = _positions([len(clip) for clip in clips], gap)
    mix = rng.standard_normal(total, dtype=np.float32) * np.float32(32768.0 * 10.0 ** (DITHER_DBFS / 20.0))
    rooms = Rooms(plan.rooms) if plan.rooms else None
    for start, clip in zip(starts, clips, strict=True):
        sound = _faded(clip) if rooms is None else rooms.heard(_faded(clip), rng)[: total - start]
        mix[start : start + len(sound)] += sound
    if plan.noise_snr_db is not None:
        bounds = [0, *(start - gap // 2 for start in starts[1:]), total]
        mix += NoiseBed(plan.noises, plan.noise_snr_db).under(clips, bounds, rng)
    if plan.noise_snr_db is not None or rooms is not None:
        mix *= np.float32(min(1.0, 32767.0 / max(1.0, float(np.abs(mix).max()))))  # louder than full scale: all down
    samples = np.clip(np.rint(mix), -32768, 32767).astype(np.int16)
    return Stream(_layout(plan, clips, starts, total, transcripts or {}), samples)


def _positions(lengths: Sequence[int], gap: int) -> tuple[list[int], int]:
    """Return each clip's first sample and the stream's length."""
    starts = []
    position = round(LEAD_IN_S * SAMPLE_RATE_HZ)
    for length in lengths:
        starts.append(position)
        position += length + gap
    return starts, position - gap + round(TAIL_S * SAMPLE_RATE_HZ)


def _faded(clip: NDArray[np.int16]) -> NDArray[np.float32]:
    faded = clip.astype(np.float32)
    fade = min(FADE_SAMPLES, len(clip) // 2)
    rise = np.sin(np.linspace(0.0, np.pi / 2, fade, dtype=np.float32)) ** 2
    faded[:fade] *= rise
    faded[len(faded) - fade :] *= rise[::-1]
    return faded


def _layout(
    plan: Plan, audio: Sequence[NDArray[np.int16]], starts: Sequence[int], total: int, transcripts: Transcripts
) -> Layout:
    spans, events, ignored = [], [], []
    for clip, samples, first in zip(plan.clips, audio, starts, strict=True):
        start_s = first / SAMPLE_RATE_HZ
        length_s = len(samples) / SAMPLE_RATE_HZ
        spans.append(Span(clip.path, clip.speaker, start_s, start_s + length_s))
        if plan.kind == "positive":
            word_start_s, word_end_s, estimated = word_times(clip, samples, plan.phrase)
            events.append(Event(clip.path, clip.speaker, start_s + word_start_s, start_s + word_end_s, estimated))
        else:
            there = said(clip, plan.phrase, length_s, transcripts)
            ignored += [(start_s + since_s, start_s + until_s) for since_s, until_s in there]
    return Layout(plan.name, plan.label, total / SAMPLE_RATE_HZ, tuple(spans), tuple(events), tuple(ignored))


def layout_for(plan: Plan, layout: Layout, phrase: str, transcripts: Transcripts) -> Layout | None:
    """Return what a plan's stream holds for another phrase than the plan's: no events; None where it is not to be used.

    Words of one phrase are something else to the other; where that one is said, too, detections do not count.
    """
    if phrase == plan.phrase:
        return layout
    if _kind(plan.label, phrase) is None:
        return None
    ignored = tuple(
        (span.start_s + since_s, span.start_s + until_s)
        for clip, span in zip(plan.clips, layout.spans, strict=True)
        for since_s, until_s in said(clip, phrase, span.end_s - span.start_s, transcripts)
    )
    return replace(layout, events=(), ignored=ignored)
