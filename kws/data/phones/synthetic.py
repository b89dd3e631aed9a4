"""Synthetic speech with the phone of every frame, from espeak-ng's own events: what alignment starts from."""

from collections.abc import Sequence

import numpy as np
import soxr
from numpy.typing import NDArray

from kws.data.examples.pool import UNKNOWN_PHONE
from kws.data.phones.inventory import SILENCE, Inventory, merged
from kws.data.phones.speech import FRAME_HOPS
from kws.data.synthesis.voices import espeak
from kws.data.synthesis.voices import espeak_library as library
from kws.frontend import FrontendConfig, compute

WORDS_AT_MOST = 18


def say_with_phones(
    text: str, inventory: Inventory, accent: str, variant: str, frontend: FrontendConfig, rng: np.random.Generator
) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Say a text at a random rate and pitch; return LFBE int16 [frames, bands] and phones int64 [frames / 2, up].

    Frame k of the phones is about LFBE frame 2 k. A text that has no sound gives no frames.

    Raises:
        KwsError: espeak-ng is missing or does not know the voice.
    """
    with library.opened() as engine:
        engine.set_voice(f"{accent}+{variant}")
        engine.set_parameter(library.PARAMETER_RATE, rng.uniform(110.0, 230.0))
        engine.set_parameter(library.PARAMETER_PITCH, rng.uniform(15.0, 85.0))
        engine.set_parameter(library.PARAMETER_RANGE, rng.uniform(20.0, 80.0))
        sound, events = engine.synthesize(" ".join(text.split()[:WORDS_AT_MOST]), 0)
        rate_hz = engine.rate_hz
    resampled = soxr.resample(sound.astype(np.float32), rate_hz, frontend.sample_rate_hz) * rng.uniform(0.2, 1.0)
    features = compute(np.clip(np.rint(resampled), -32768, 32767).astype(np.int16), frontend)
    ends_s = len(sound) / rate_hz
    return features, _labels(len(features), [(e.sample / rate_hz, e) for e in events], ends_s, inventory, frontend)


def _labels(
    frames: int,
    events: Sequence[tuple[float, library.Event]],
    ends_s: float,
    inventory: Inventory,
    frontend: FrontendConfig,
) -> NDArray[np.int64]:
    """Return the phone of every second frame; a mnemonic of two phones is halved between them.

    A phone that the inventory lacks is unknown: it is no pause.
    """
    labels = np.full(frames, SILENCE, np.int64)
    marks = [mark for mark in events if mark[1].kind in (library.EVENT_PHONEME, library.EVENT_END)]
    middle_s = frontend.window_samples / frontend.sample_rate_hz / 2.0
    for (begin_s, event), (end_s, _) in zip(marks, [*marks[1:], (ends_s, None)], strict=True):
        if event.kind != library.EVENT_PHONEME:
            continue
        names = merged(event.phoneme)
        edges = np.linspace(begin_s, end_s, max(len(names), 1) + 1)
        for name, first_s, last_s in zip(names, edges, edges[1:], strict=False):
            first, last = (round((time_s - middle_s) * 1000 / frontend.hop_ms) for time_s in (first_s, last_s))
            labels[max(first, 0) : max(last, 0)] = (inventory.numbers([name]) or [UNKNOWN_PHONE])[0]
    return labels[::FRAME_HOPS]


def accents_and_variants(language: str) -> tuple[list[str], tuple[str, ...]]:
    """Return the identifiers of the language's accents and every variant, what voices are drawn from."""
    return [accent.identifier for accent in espeak.accents(language)], espeak.variants()
