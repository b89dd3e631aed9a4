"""Held-out streams: what a model is judged by while it trains, laid out as ``kws.evaluate`` does.

From the clips of split dev: other voices than training's, and recordings where there are any. Half of them are
clean, half with noise at 10 dB: the split's own recordings of noise, or generated noise where it has none. The
streams' features are computed once.
"""

import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kws.data.manifest import SPEECH, Clip
from kws.data.phrases import positive_labels
from kws.data.transcripts import Transcripts
from kws.errors import KwsError
from kws.frontend import FrontendConfig, compute
from kws.recipe.train import TrainConfig
from kws.streams.layout import Layout, build, layout_for
from kws.streams.plan import Plan, both_ways, kind_of, noise_of
from kws.system.progress import bar
from kws.train.recipe_data import Domain

SPLIT = "dev"
NOISE_SNR_DB = 10.0
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
    noises = noise_of((clip for domain in domains for clip in domain.clips), SPLIT)
    planned: list[_Planned] = []
    for index, phrase in enumerate(phrases):
        # a folder of recordings may have the name of synthetic speech's
        by_origin: dict[tuple[str, bool], list[Clip]] = {}
        for domain in domains:
            by_origin.setdefault((domain.name, domain.recorded), []).extend(_positives(domain, phrase))
        present = {origin: clips for origin, clips in by_origin.items() if clips}
        recorded = {origin: clips for origin, clips in present.items() if origin[1]}
        if sum(map(len, recorded.values())) >= ENOUGH_RECORDED:
            present = recorded
        share = max(10, config.dev_positives // (len(phrases) * max(len(present), 1)))
        for (name, is_recorded), clips in present.items():
            group = f"recordings in {name}" if is_recorded and (name, False) in present else name
            chosen, twice = _choose(clips, share, rng), 2 * len(clips) <= share
            for plan in both_ways(chosen, SPLIT, phrase, noises, NOISE_SNR_DB, twice):
                planned.append(_Planned(plan, index, f"{group}, {'clean' if plan.noise_snr_db is None else 'noise'}"))
    negatives = _negatives(domains, phrases, config.dev_hours, rng)
    for plan in both_ways(negatives, SPLIT, phrases, noises, NOISE_SNR_DB):
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
    stream = build(planned.plan, transcripts)
    features = torch.from_numpy(compute(stream.samples, frontend))
    if planned.index >= 0:
        return HeldOutStream(features, {planned.index: stream.layout}, planned.group)
    layouts = [layout_for(planned.plan, stream.layout, phrase, transcripts) for phrase in phrases]
    return HeldOutStream(features, {index: one for index, one in enumerate(layouts) if one is not None}, "")


def _positives(domain: Domain, phrase: str) -> list[Clip]:
    alone, sentence = positive_labels(phrase)
    return [
        clip
        for clip in domain.clips
        if clip.split == SPLIT and (clip.label == alone or (clip.label == sentence and clip.kw_end_s is not None))
    ]


def _negatives(domains: Sequence[Domain], phrases: Sequence[str], hours: float, rng: np.random.Generator) -> list[Clip]:
    """Return ordinary speech; all other clips without a phrase where there is none of it."""
    excluded = {label for phrase in phrases for label in positive_labels(phrase)} | NO_SPEECH
    held_out = [[clip for clip in domain.clips if clip.split == SPLIT] for domain in domains]
    eligible = [[clip for clip in clips if clip.label not in excluded] for clips in held_out]
    ordinary = any(clip.label == SPEECH for clips in eligible for clip in clips)
    eligible = [[clip for clip in clips if clip.label == SPEECH or not ordinary] for clips in eligible]
    chosen = []
    filled = [clips for clips in eligible if clips]
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


def _check(planned: Sequence[_Planned], phrases: Sequence[str]) -> None:
    there = {one.index for one in planned}
    for index, phrase in enumerate(phrases):
        if index not in there:
            raise KwsError(f"the manifests have no {SPLIT} clip of {phrase!r} with its times; add some")
        if not any(kind_of(one.plan.label, phrase) == "negative" for one in planned if one.index < 0):
            raise KwsError(f"the manifests have no {SPLIT} clip without the phrase {phrase!r}; add other speech")
