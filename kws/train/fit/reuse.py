"""Examples used more than once, each time changed: drawing one costs as much as several steps of training.

What is changed on the features costs next to nothing: the level, the microphone's colour (a smooth curve over the
bands) and more noise, another example of the batch without a keyword laid under it. Energies add up where sounds do, on
average; the interference between them is left out, as in spectral-domain mixing of speech and noise (Ephraim 1992).
What the recipe switches off on waveforms (``augment.level_share``, ``microphone_share``, ``noise_share``) is off here;
what it has seldom, is seldom, and noise and level keep to its ranges.

Features of the frontend "micro" went through a gain control that takes a lasting level and colour away again, nearly
all of it (PCAN, strength 0.95). Of both only as much is drawn as it leaves, and as its estimate of the noise is off
while it settles. What lies under a clip there is another's noise after its reduction.

Nothing is kept between steps but drawn batches: step n always trains on the same batch with the same changes, wherever
a run was taken up again.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from kws.data.augment import AugmentConfig
from kws.data.dataset import Batch
from kws.frontend.config import LFBE_FRACTION_BITS, FrontendConfig

GROUP = 16
"""So many drawn batches are shuffled among their uses; they are kept in memory together."""

LEVEL_OCTAVES = 3.0
COLOUR_OCTAVES = 0.8
COLOUR_POINTS = 6
GAIN_CONTROLLED = 0.2
"""The share of level and colour that is drawn where a gain control took most of them away."""
NOISE_SHARE = 0.5
NOISE_DB = (6.0, 30.0)
NOTHING = -100.0
LARGEST = 63.0 * 2.0**LFBE_FRACTION_BITS
_DB_PER_OCTAVE = 10.0 * float(np.log10(2.0))

Draw = Callable[[int, int], Iterator[Batch]]
"""From a first and a last number to the drawn batches in between, in order."""


def batches(draw: Draw, first: int, last: int, reuse: int, seed: int) -> Generator[tuple[Batch, int], None, None]:
    """Yield for each step ``first`` .. ``last - 1`` its batch and which use of it this is (0: as it was drawn).

    Each drawn batch serves ``reuse`` steps of a group of ``GROUP * reuse``, in an order drawn from ``seed``.
    """
    if reuse == 1:
        with closing(_Closing(draw(first, last))) as drawn:
            yield from ((next(drawn), 0) for _ in range(first, last))
        return
    with closing(_Closing(draw(first // (GROUP * reuse) * GROUP, -(-last // (GROUP * reuse)) * GROUP))) as drawn:
        kept: list[Batch] = []
        group = -1
        for step in range(first, last):
            if step // (GROUP * reuse) != group:
                group = step // (GROUP * reuse)
                kept = []
            which, use = _order(group, reuse, seed)[step % (GROUP * reuse)]
            while len(kept) <= which:
                kept.append(next(drawn))
            yield kept[which], use


def _order(group: int, reuse: int, seed: int) -> list[tuple[int, int]]:
    """Return (batch, use) for the steps of a group: batches come in as they are drawn, then again in random order.

    The first use of batch i stands at place i * reuse or later only if it has been drawn by then.
    """
    rng = np.random.default_rng((seed, 23, group))
    places = [(batch + spread, batch, use) for batch in range(GROUP) for use, spread in enumerate(_spread(reuse, rng))]
    return [(batch, use) for _, batch, use in sorted(places)]


def _spread(reuse: int, rng: np.random.Generator) -> list[float]:
    return [0.0, *sorted(rng.uniform(0.0, GROUP, reuse - 1).tolist())]


class _Closing:
    """An iterator whose ``close`` is there whatever it is made of."""

    def __init__(self, inner: Iterator[Batch]) -> None:
        self.inner = inner

    def __next__(self) -> Batch:
        return next(self.inner)

    def close(self) -> None:
        close = getattr(self.inner, "close", None)
        if close is not None:
            close()


def varied(
    batch: Batch, seed: tuple[int, ...], frontend: FrontendConfig | None = None, augment: AugmentConfig | None = None
) -> Tensor:
    """Return the features, int16 [clips, frames, bands], at another level, in another colour, with more noise.

    Each of the three is left out where its share in ``augment`` is 0. At most the recipe's share of the clips are
    louder or softer, or have more noise, within its ranges.
    """
    frontend, augment = frontend or FrontendConfig(), augment or AugmentConfig()
    rng = np.random.default_rng(seed)
    clips, _, bands = batch.features.shape
    unit = 2.0**-LFBE_FRACTION_BITS / frontend.units_per_octave
    x = batch.features.float() * unit  # octaves of energy
    share = 1.0
    if frontend.kind == "micro":
        share = GAIN_CONTROLLED
        x = x.where(x > 0.0, NOTHING)  # the noise reduction left nothing there, which no gain makes louder
    points = rng.normal(0.0, COLOUR_OCTAVES, (clips, COLOUR_POINTS))
    places = np.linspace(0.0, COLOUR_POINTS - 1.0, bands)
    curves = np.stack([np.interp(places, np.arange(COLOUR_POINTS), row) for row in points])
    octaves = min(LEVEL_OCTAVES, (augment.level_dbfs_max - augment.level_dbfs_min) / 2.0 / _DB_PER_OCTAVE)
    level = rng.uniform(-octaves, octaves, (clips, 1))
    curves *= augment.microphone_share > 0.0
    if augment.level_share < 1.0:
        level *= rng.random((clips, 1)) < augment.level_share
    x = x + torch.from_numpy((share * (curves + level)).astype(np.float32))[:, None]
    if augment.noise_share > 0.0:
        x = _with_noise(x, batch, rng, augment)
    return x.div_(unit).clamp_(0.0, LARGEST).round_().to(torch.int16)


def _with_noise(x: Tensor, batch: Batch, rng: np.random.Generator, augment: AugmentConfig) -> Tensor:
    """Lay a clip that holds no keyword under some of the others, at a random signal-to-noise ratio."""
    others = [index for index, kind in enumerate(batch.kinds) if kind not in ("positive", "cut", "near")]
    if not others:
        return x
    noise = x[torch.from_numpy(rng.choice(others, len(x)))]
    louder = (torch.exp2(x).mean(dim=(1, 2)).log2() - torch.exp2(noise).mean(dim=(1, 2)).log2())[:, None, None]
    least, most = np.clip(NOISE_DB, augment.snr_db_min, augment.snr_db_max)
    decibels = rng.uniform(least, most, len(x)).astype(np.float32)
    decibels[rng.random(len(x)) >= min(NOISE_SHARE, augment.noise_share)] = 200.0
    ratio = torch.from_numpy(decibels / np.float32(_DB_PER_OCTAVE))[:, None, None]
    return torch.logaddexp2(x, noise + louder - ratio)
