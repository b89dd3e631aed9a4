"""A phone recognizer, made to align transcribed speech: first learned from synthetic speech, whose phones are known.

Synthetic speech comes with the time of every phone (espeak-ng's events). A network that has learned them finds the
phones of recorded, transcribed speech well enough to learn from its own alignments, twice over: embedded Viterbi
training (Rabiner 1989, section V). It looks at the future as well as at the past: it never ships.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from kws.data.examples.pool import UNKNOWN_PHONE
from kws.data.phones.inventory import Inventory
from kws.data.phones.speech import FRAME_HOPS, Aligned, AlignedSpeech, Utterance, segments
from kws.data.phones.viterbi import Path, align_together
from kws.frontend.config import LFBE_FRACTION_BITS, FrontendConfig
from kws.models.layers import he_normal, over_time
from kws.system.progress import Advance, bar

WARMUP_STEPS = 50
RECORDED_SHARE = 0.75
PRIOR_WEIGHT = 0.7
TOGETHER = 32
"""So many utterances are aligned at once."""
LEAST_SCORE = 0.5
"""Below this mean log likelihood ratio the transcript does not fit the recording."""


@dataclass(frozen=True)
class Effort:
    """How large the recognizer is and how long it learns; the defaults take about five minutes on two cores.

    ``rounds`` are steps: on synthetic speech alone, then each on the alignments that the round before gave. A step
    sees ``batch`` crops of ``crop_frames`` LFBE frames.
    """

    channels: int = 160
    blocks: int = 4
    kernel: int = 9
    rounds: tuple[int, ...] = (300, 300, 500)
    batch: int = 24
    crop_frames: int = 400


EFFORT = Effort()


@dataclass(frozen=True, eq=False)
class Labelled:
    """Features [frames, bands] with a phone for every second frame, int64 [frames / 2, up], or ``UNKNOWN_PHONE``."""

    features: NDArray[np.int16]
    phones: NDArray[np.int64]


class Recognizer(nn.Module):
    """LFBE [batch, frames, bands], normalized by utterance -> logits [batch, frames / 2, up, phones]."""

    def __init__(self, bands: int, phones: int, effort: Effort, generator: torch.Generator) -> None:
        super().__init__()
        channels = effort.channels
        self.first = nn.Conv1d(bands, channels, 7)
        self.first_norm = nn.BatchNorm1d(channels)
        self.blocks = nn.Sequential(*(_Block(channels, effort.kernel) for _ in range(effort.blocks)))
        self.last = nn.Linear(channels, phones)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Linear):
                he_normal(module.weight, module.weight[0].numel(), generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of every second frame."""
        y = F.relu(_normed(self.first_norm, _convolved(self.first, x, FRAME_HOPS)))
        logits: Tensor = self.last(self.blocks(y))
        return logits


class _Block(nn.Module):
    """Depthwise over time, two pointwise layers, added to the input."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel, groups=channels)
        self.one, self.other = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self.one_norm, self.other_norm = nn.BatchNorm1d(channels), nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(_normed(self.one_norm, self.one(_convolved(self.depthwise, x))))
        return F.relu(x + _normed(self.other_norm, self.other(y)))


def _convolved(layer: nn.Conv1d, x: Tensor, stride: int = 1) -> Tensor:
    """Return the layer's convolution of [batch, frames, channels] over time, as many frames around as it looks at."""
    around = layer.kernel_size[0] // 2
    return over_time(F.pad(x, (0, 0, around, around)), layer.weight, layer.bias, stride, groups=layer.groups)


def _normed(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    normed: Tensor = norm(x.flatten(0, 1))
    return normed.view_as(x)


def align_speech(
    utterances: Sequence[Utterance],
    synthetic: Sequence[Labelled],
    inventory: Inventory,
    frontend: FrontendConfig,
    seed: int,
    effort: Effort = EFFORT,
) -> tuple[AlignedSpeech, float]:
    """Return every utterance that its transcript fits, aligned, and how often the recognizer agrees with it (0..1).

    ``synthetic`` is speech in the same inventory with known phones. Utterances without a word, and those too short
    for their words, are left out.
    """
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng((seed, 1))
    model = Recognizer(frontend.bands, len(inventory.symbols), effort, generator)
    usable = [one for one in utterances if len(one.features) // FRAME_HOPS > _phones(one) + 4 > 4]
    signals = [normalized(one.features) for one in usable]
    made = [(normalized(one.features), one.phones) for one in synthetic]
    prior = _prior([one.phones for one in synthetic], len(inventory.symbols))
    known: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
    paths: list[Path] = []
    agreement = 0.0
    with bar("Aligning transcribed speech", sum(effort.rounds)) as advance:
        for steps in effort.rounds:
            _fit(model, known, made, steps, effort, rng, advance)
            paths, agreement = _align_all(model, signals, usable, prior)
            known = list(zip(signals, (path.phones for path in paths), strict=True))
    aligned = tuple(
        Aligned(one, path.phones, segments(path.phones, path.places), path.score)
        for one, path in zip(usable, paths, strict=True)
        if path.score >= LEAST_SCORE
    )
    return AlignedSpeech(inventory, frontend, aligned), agreement


def _phones(utterance: Utterance) -> int:
    return sum(map(len, utterance.words))


def _prior(labels: Sequence[NDArray[np.int64]], phones: int) -> NDArray[np.float32]:
    """Return the weighted log probability of each phone, float32 [phones]."""
    known = np.concatenate(labels)
    counts = np.bincount(known[known != UNKNOWN_PHONE], minlength=phones)
    return np.asarray(PRIOR_WEIGHT * np.log(counts / counts.sum() + 1e-4), np.float32)


def normalized(features: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return LFBE less the utterance's mean of each band, in units of 4 log2 steps, clipped: float32, same shape."""
    x = features.astype(np.float32) * np.float32(2.0**-LFBE_FRACTION_BITS)
    return np.asarray(np.clip((x - x.mean(axis=0)) / 4.0, -4.0, 4.0), np.float32)


def _fit(
    model: Recognizer,
    known: list[tuple[NDArray[np.float32], NDArray[np.int64]]],
    made: list[tuple[NDArray[np.float32], NDArray[np.int64]]],
    steps: int,
    effort: Effort,
    rng: np.random.Generator,
    advance: Advance,
) -> None:
    """Train for ``steps`` with a warm-up and half a cosine; most of a batch from ``known`` where there is any."""
    rate = 2e-3 if known else 3e-3
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-2)
    recorded = round(effort.batch * RECORDED_SHARE) if known else 0
    warmup = max(min(WARMUP_STEPS, steps // 4), 1)
    lengths = np.array([len(x) for x, _ in known], float)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / warmup) * 0.5 * (1.0 + np.cos(np.pi * step / steps))
        drawn = [known[i] for i in (rng.choice(len(known), recorded, p=lengths / lengths.sum()) if recorded else ())]
        drawn += [made[i] for i in rng.integers(len(made), size=effort.batch - recorded)]
        crops = [_crop(x, phones, effort.crop_frames, rng) for x, phones in drawn]
        x = torch.from_numpy(np.stack([x for x, _ in crops]))
        targets = torch.from_numpy(np.stack([phones for _, phones in crops]))
        loss = F.cross_entropy(model(x).flatten(0, 1), targets.flatten(), ignore_index=UNKNOWN_PHONE)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        advance(note=f"loss {loss.item():.2f}")


def _crop(
    x: NDArray[np.float32], phones: NDArray[np.int64], frames: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return ``frames`` frames from anywhere, in another microphone's colour, sometimes with a band masked."""
    begin = FRAME_HOPS * int(rng.integers(0, max(len(x) - frames, 0) // FRAME_HOPS + 1))
    x, phones = x[begin : begin + frames], phones[begin // FRAME_HOPS :][: frames // FRAME_HOPS]
    missing = frames - len(x)
    x = np.pad(x, ((0, missing), (0, 0))) + rng.normal(0.0, 0.12, (1, x.shape[1])).astype(np.float32)
    targets = np.full(frames // FRAME_HOPS, UNKNOWN_PHONE, np.int64)
    targets[: len(phones)] = phones
    if rng.random() < 0.5:
        low = int(rng.integers(0, x.shape[1] - 4))
        x[:, low : low + int(rng.integers(1, 6))] = 0.0
    return x, targets


def _align_all(
    model: Recognizer, signals: Sequence[NDArray[np.float32]], usable: Sequence[Utterance], prior: NDArray[np.float32]
) -> tuple[list[Path], float]:
    """Return the best path of every utterance, and the share of frames that the recognizer alone names alike."""
    model.eval()
    paths: dict[int, Path] = {}
    agreed = frames = 0
    by_length = sorted(range(len(signals)), key=lambda number: len(signals[number]))
    for begin in range(0, len(by_length), TOGETHER):
        group = by_length[begin : begin + TOGETHER]
        with torch.no_grad():
            scored = [torch.log_softmax(model(torch.from_numpy(signals[one][None]))[0], dim=1).numpy() for one in group]
        aligned = align_together([scores - prior for scores in scored], [usable[one].words for one in group])
        paths |= dict(zip(group, aligned, strict=True))
        agreed += sum(
            int((scores.argmax(axis=1) == path.phones).sum()) for scores, path in zip(scored, aligned, strict=True)
        )
        frames += sum(map(len, scored))
    return [paths[number] for number in range(len(signals))], agreed / max(frames, 1)
