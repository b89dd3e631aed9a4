"""Clips -> long streams with the events they hold: a detector is judged on whole days, not on clips.

A plan lists the clips of one stream; ``build`` decodes and lays them out. Nothing in a stream marks where a clip
starts but the sound itself: clips fade in and out over 10 ms, and noise of -70 dBFS (seeded) lies under the whole
stream, gaps and clips alike, so that neither digital silence nor a cut edge gives a word away. Positive and negative
streams are made by the same lines.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kws.audio import SAMPLE_RATE_HZ
from kws.data.clip_sound import read_clip
from kws.data.phrases import phrase_spans, word_times
from kws.data.transcripts import Transcripts
from kws.streams.noise import NoiseBed, with_built_in_noise
from kws.streams.plan import LEAD_IN_S, TAIL_S, Plan, gap_s, kind_of
from kws.streams.room import Rooms

DITHER_DBFS = -70.0
FADE_SAMPLES = SAMPLE_RATE_HZ // 100


@dataclass(frozen=True)
class Event:
    """The phrase once in a stream, seconds from the stream's start; ``estimated``: times from energy."""

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
        recorded_s = sum(span.end_s - span.start_s for span in self.spans)
        return (recorded_s - sum(end_s - start_s for start_s, end_s in self.ignored)) / 3600.0


@dataclass(frozen=True, eq=False)
class Stream:
    """A layout and its sound: int16 [n] at 16 kHz."""

    layout: Layout
    samples: NDArray[np.int16]


def build(plan: Plan, transcripts: Transcripts | None = None) -> Stream:
    """Decode the plan's clips and lay them into one stream.

    Raises:
        KwsError: a clip cannot be read, or holds a sentence without the phrase's times.
    """
    rng = np.random.default_rng([plan.seed, zlib.crc32(plan.name.encode())])
    clips = [read_clip(clip) for clip in plan.clips]
    gap = round(gap_s(plan.kind) * SAMPLE_RATE_HZ)
    starts, total = _positions([len(clip) for clip in clips], gap)
    mix = rng.standard_normal(total, dtype=np.float32) * np.float32(32768.0 * 10.0 ** (DITHER_DBFS / 20.0))
    rooms = Rooms(plan.rooms) if plan.rooms else None
    for start, clip in zip(starts, clips, strict=True):
        sound = _faded(clip) if rooms is None else rooms.convolved(_faded(clip), rng)[: total - start]
        mix[start : start + len(sound)] += sound
    recorded = plan.noise_snr_db if plan.noises else None
    if recorded is not None:
        bounds = [0, *(start - gap // 2 for start in starts[1:]), total]
        mix += NoiseBed(plan.noises, recorded).under(clips, bounds, rng)
    if recorded is not None or rooms is not None:
        mix *= np.float32(min(1.0, 32767.0 / max(1.0, float(np.abs(mix).max()))))  # louder than full scale: all down
    samples = np.clip(np.rint(mix), -32768, 32767).astype(np.int16)
    layout = _layout(plan, clips, starts, total, transcripts or {})
    if plan.noise_snr_db is not None and recorded is None:
        spans = [(int(one.start_s * SAMPLE_RATE_HZ), int(one.end_s * SAMPLE_RATE_HZ)) for one in layout.spans]
        draws = np.random.default_rng(zlib.crc32(plan.name.encode()))
        samples = with_built_in_noise(samples, spans, plan.noise_snr_db, draws)
    return Stream(layout, samples)


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
            there = phrase_spans(clip, plan.phrase, length_s, transcripts)
            ignored += [(start_s + since_s, start_s + until_s) for since_s, until_s in there]
    return Layout(plan.name, plan.label, total / SAMPLE_RATE_HZ, tuple(spans), tuple(events), tuple(ignored))


def layout_for(plan: Plan, layout: Layout, phrase: str, transcripts: Transcripts) -> Layout | None:
    """Return what a plan's stream holds for another phrase than the plan's: no events; None where it is not to be used.

    Words of one phrase are something else to the other; where that one is said, too, detections do not count.
    """
    if phrase == plan.phrase:
        return layout
    if kind_of(plan.label, phrase) is None:
        return None
    ignored = tuple(
        (span.start_s + since_s, span.start_s + until_s)
        for clip, span in zip(plan.clips, layout.spans, strict=True)
        for since_s, until_s in phrase_spans(clip, phrase, span.end_s - span.start_s, transcripts)
    )
    return replace(layout, events=(), ignored=ignored)
