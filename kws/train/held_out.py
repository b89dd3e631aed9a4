"""Held-out streams: what a model is judged by while it trains, laid out as ``kws.evaluate`` does.

From the clips of split dev: other voices than training's, and recordings where there are any. Half of them are heard
clean, half with noise at 10 dB: the split's own recordings of noise, or generated noise where it has none. The
streams' features are computed once.
"""

import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kws.audio import SAMPLE_RATE_HZ
from kws.data.manifest import SPEECH, Clip
from kws.data.phrases import positive_labels, said
from kws.data.sounds.noise import GENERATORS
from kws.data.transcripts import Transcripts
from kws.errors import KwsError
from kws.frontend import FrontendConfig, compute
from kws.recipe.train import TrainConfig
from kws.streams.layout import Layout, Plan, Stream, build, plans
from kws.streams.noise import active_power
from kws.system.progress import bar

SPLIT = "dev"
NOISE_SNR_DB = 10.0
NOISE_PIECE_S = 5
ENOUGH_RECORDED = 20
"""With so many held-out recordings of a phrase, synthetic voices have no say: what they hear well, people may not."""
NO_SPEECH = {"noise", "music", "rir", "array"}
WORKERS = 4


@dataclass(frozen=True, eq=False)
class HeldOutStream:
    """One stream: LFBE int16 [frames, bands], and what it holds for each phrase (by index) that it is about.

    ``group`` names what the words of a positive stream are averaged with; it is empty for negatives.
    """

    features: Tensor
    layouts: Mapping[int, Layout]
    group: str


@dataclass(frozen=True)
class Domain:
    """Clips of one origin, such as synthetic voices or a user's recordings (``recorded``); each weighs the same."""

    name: str
    clips: tuple[Clip, ...]
    recorded: bool = False


def held_out_streams(
    domains: Sequence[Domain],
    phrases: Sequence[str],
    transcripts: Transcripts,
    frontend: FrontendConfig,
    config: TrainConfig,
    seed: int,
) -> list[HeldOutStream]:
    """Lay out the streams; at most ``config.dev_positives`` positives and ``config.dev_hours`` of other speech.

    Raises:
        KwsError: a clip cannot be read, or the split has no positive of a phrase or nothing without it.
    """
    rng = np.random.default_rng((seed, zlib.crc32(b"held-out streams")))
    noises = tuple(clip for domain in domains for clip in domain.clips if _is_noise(clip))
    planned: list[_Planned] = []
    for index, phrase in enumerate(phrases):
        found: dict[tuple[str, bool], list[Clip]] = {}  # a folder of recordings may be called as synthetic speech is
        for domain in domains:
            found.setdefault((domain.name, domain.recorded), []).extend(_positives(domain, phrase))
        heard = {origin: clips for origin, clips in found.items() if clips}
        recorded = {origin: clips for origin, clips in heard.items() if origin[1]}
        if sum(map(len, recorded.values())) >= ENOUGH_RECORDED:
            heard = recorded
        share = max(10, config.dev_positives // (len(phrases) * max(len(heard), 1)))
        for (name, is_recorded), clips in heard.items():
            group = f"recordings in {name}" if is_recorded and (name, False) in heard else name
            for plan in _both_ways(_choose(clips, share, rng), phrase, noises, repeat=2 * len(clips) <= share):
                planned.append(_Planned(plan, index, f"{group}, {'noise' if _is_noisy(plan) else 'clean'}"))
    negatives = _negatives(domains, phrases, config.dev_hours, rng)
    for plan in _both_ways(negatives, phrases[0], noises, repeat=False):
        planned.append(_Planned(plan, -1, ""))
    _check(planned, phrases)
    with ThreadPoolExecutor(WORKERS) as pool, bar("Held-out streams", len(planned)) as advance:
        made = []
        for one in pool.map(lambda item: _make(item, phrases, transcripts, frontend), planned):
            made.append(one)
            advance()
    return made


@dataclass(frozen=True)
class _Planned:
    """A stream to be built: of the phrase with this index, or of other speech (-1)."""

    plan: Plan
    index: int
    group: str


def _make(
    planned: _Planned, phrases: Sequence[str], transcripts: Transcripts, frontend: FrontendConfig
) -> HeldOutStream:
    plan = planned.plan
    stream = build(plan, transcripts)
    samples = stream.samples
    if _is_noisy(plan) and not plan.noises:
        samples = with_generated_noise(stream, np.random.default_rng(zlib.crc32(plan.name.encode())))
    features = torch.from_numpy(compute(samples, frontend))
    if planned.index >= 0:
        return HeldOutStream(features, {planned.index: stream.layout}, planned.group)
    layouts = {number: _without(plan, stream.layout, phrase, transcripts) for number, phrase in enumerate(phrases)}
    return HeldOutStream(features, layouts, "")


def _without(plan: Plan, layout: Layout, phrase: str, transcripts: Transcripts) -> Layout:
    """Return a negative stream's layout as it is for one of several phrases."""
    ignored = [
        (span.start_s + since_s, span.start_s + until_s)
        for clip, span in zip(plan.clips, layout.spans, strict=True)
        for since_s, until_s in said(clip, phrase, span.end_s - span.start_s, transcripts)
    ]
    return replace(layout, ignored=tuple(ignored))


def with_generated_noise(stream: Stream, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return the stream with built-in noises, a new one every few seconds, at 10 dB below its mean active speech."""
    samples = stream.samples.astype(np.float32)
    spans = [(int(span.start_s * SAMPLE_RATE_HZ), int(span.end_s * SAMPLE_RATE_HZ)) for span in stream.layout.spans]
    power = float(np.mean([active_power(stream.samples[begin:end]) for begin, end in spans]))
    gain = np.float32(np.sqrt(power / 10.0 ** (NOISE_SNR_DB / 10.0)))
    names = sorted(GENERATORS)
    size = NOISE_PIECE_S * SAMPLE_RATE_HZ
    for begin in range(0, len(samples), size):
        piece = samples[begin : begin + size]
        piece += gain * GENERATORS[names[int(rng.integers(len(names)))]](size, rng)[: len(piece)]
    samples *= np.float32(min(1.0, 32767.0 / max(1.0, float(np.abs(samples).max()))))
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def _positives(domain: Domain, phrase: str) -> list[Clip]:
    alone, sentence = positive_labels(phrase)
    return [
        clip
        for clip in domain.clips
        if clip.split == SPLIT and (clip.label == alone or (clip.label == sentence and clip.kw_end_s is not None))
    ]


def _negatives(domains: Sequence[Domain], phrases: Sequence[str], hours: float, rng: np.random.Generator) -> list[Clip]:
    """Return ordinary speech; all other clips without a phrase where there is none of it."""
    unheard = {label for phrase in phrases for label in positive_labels(phrase)} | NO_SPEECH
    heard = [[clip for clip in domain.clips if clip.split == SPLIT and clip.label not in unheard] for domain in domains]
    ordinary = any(clip.label == SPEECH for clips in heard for clip in clips)
    heard = [[clip for clip in clips if clip.label == SPEECH or not ordinary] for clips in heard]
    chosen = []
    filled = [clips for clips in heard if clips]
    for clips in filled:
        left_s = hours * 3600.0 / len(filled)
        for clip in (clips[place] for place in rng.permutation(len(clips))):
            if left_s > 0.0:
                chosen.append(clip)
                left_s -= clip.duration_s
    return sorted(chosen, key=lambda clip: clip.path)


def _choose(clips: list[Clip], count: int, rng: np.random.Generator) -> list[Clip]:
    """Return at most ``count`` of the clips, in their order."""
    return [clips[place] for place in sorted(rng.permutation(len(clips))[:count])]


def _both_ways(clips: list[Clip], phrase: str, noises: tuple[Clip, ...], repeat: bool) -> list[Plan]:
    """Plan every other clip clean and the rest with noise; with ``repeat`` every clip both ways."""
    clean, noisy = (clips, clips) if repeat else (clips[::2], clips[1::2])
    under = [
        replace(plan, name=f"{plan.name}/noise", noises=noises, noise_snr_db=NOISE_SNR_DB if noises else None)
        for plan in plans(noisy, SPLIT, phrase)
    ]
    return [*plans(clean, SPLIT, phrase), *under]


def _is_noisy(plan: Plan) -> bool:
    return plan.name.endswith("/noise")


def _is_noise(clip: Clip) -> bool:
    return clip.split == SPLIT and clip.label == "noise"


def _check(planned: Sequence[_Planned], phrases: Sequence[str]) -> None:
    there = {one.index for one in planned}
    missing = [phrase for index, phrase in enumerate(phrases) if index not in there]
    if missing:
        raise KwsError(f"the manifests have no {SPLIT} clip of {missing[0]!r} with its times; add some")
    if -1 not in there:
        raise KwsError(f"the manifests have no {SPLIT} clip without the phrase; add other speech")
