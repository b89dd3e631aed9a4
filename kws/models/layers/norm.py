"""Normalization: of the features by fixed numbers, of activations by the batch's statistics while training."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kws.models.streaming import Streaming, StreamState


class FeatureNorm(Streaming):
    """A fixed affine map per band, ``(x - mean) / deviation``: buffers, not parameters; folded away when lowered.

    Shape: [batch, frames, bands] -> the same. It never adapts to an utterance: what the device cannot know,
    training must not use. ``shared`` gives all bands one mean and one deviation, for a convolution over frequency,
    whose weights are shared by all bands as well.

    >>> FeatureNorm(2).set(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0]))(torch.tensor([[[3.0, 5.0]]]))
    tensor([[[1., 3.]]])
    >>> FeatureNorm(2, shared=True).set(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])).mean
    tensor([1.5000, 1.5000])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, bands: int, shared: bool = False) -> None:
        super().__init__()
        self.bands, self.shared = bands, shared
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("deviation", torch.ones(bands))

    def set(self, mean: Tensor, deviation: Tensor) -> "FeatureNorm":
        """Set both from the training data, [bands] each, in log2 units; deviations are at least 1e-3.

        A shared norm takes the mean and deviation of all bands' values together.
        """
        if self.shared:
            deviation = (deviation.square().mean() + mean.var(unbiased=False)).sqrt()
            mean = mean.mean()
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.clamp(min=1e-3))
        return self

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Map every frame by itself."""
        return (x - self.mean).div_(self.deviation), state  # in its own memory: new pages cost as much


def own_statistics(sums: Tensor) -> Tensor:
    """Return the sums as they are: one process has the whole batch."""
    return sums


class BatchNorm(Streaming):
    """Per channel ``weight * (x - mean) / sqrt(variance + eps) + bias`` (Ioffe and Szegedy 2015).

    Shape: [batch, frames, frequency * channels] -> the same. While training, mean and variance are the batch's, over
    clips, frames and frequency; in evaluation they are the running ones, so that every frame is mapped by itself.
    With ``sub_bands`` above 1 each of that many equal parts of the frequency axis has its own statistics and affine
    map (sub-spectral normalization, Chang et al. 2021). ``weight``, ``bias``, ``running_mean`` and ``running_var``:
    [sub_bands * channels], index = sub_band * channels + channel.

    ``reduce`` is called while training with float64 [2 n + 1]: the n sums, the n sums of squares, the count of
    values, and returns the same summed over all processes (differentiably), so that each normalizes by the global
    batch.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, channels: int, frequency: int = 1, sub_bands: int = 1, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        if frequency % sub_bands:
            raise ValueError(f"sub_bands must divide the {frequency} positions of the frequency axis, not {sub_bands}")
        self.channels, self.frequency, self.sub_bands = channels, frequency, sub_bands
        self.eps, self.momentum = eps, momentum
        # One per channel is folded into the weights before it; sub-bands share those, so theirs remain.
        self.macs = 0 if sub_bands == 1 else frequency * channels
        self.reduce: Callable[[Tensor], Tensor] = own_statistics
        self.weight = nn.Parameter(torch.ones(sub_bands * channels))
        self.bias = nn.Parameter(torch.zeros(sub_bands * channels))
        self.register_buffer("running_mean", torch.zeros(sub_bands * channels))
        self.register_buffer("running_var", torch.ones(sub_bands * channels))

    def step(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Map every value by its channel's (and sub-band's) statistics."""
        if self.sub_bands == 1:
            return self._normalize(x.reshape(-1, self.channels)).view(x.shape), state
        parts = x.reshape(*x.shape[:2], self.sub_bands, self.frequency // self.sub_bands, self.channels).transpose(2, 3)
        normed = self._normalize(parts.reshape(-1, self.sub_bands * self.channels)).view(parts.shape)
        return normed.transpose(2, 3).reshape(x.shape), state

    def _normalize(self, rows: Tensor) -> Tensor:
        if self.training and self.reduce is not own_statistics:
            return self._by_reduced_statistics(rows)
        return F.batch_norm(
            rows, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )

    def _by_reduced_statistics(self, rows: Tensor) -> Tensor:
        """Normalize by what ``reduce`` makes of the sums; float64, since a variance is a difference of large sums."""
        sums, squares = rows.sum(dim=0, dtype=torch.float64), rows.square().sum(dim=0, dtype=torch.float64)
        total = self.reduce(torch.cat((sums, squares, sums.new_tensor([len(rows)]))))
        size, count = rows.shape[1], total[-1]
        mean = total[:size] / count
        variance = (total[size:-1] / count - mean.square()).clamp(min=0.0)
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(rows.dtype), self.momentum)
            self.running_var.lerp_((variance * count / (count - 1.0)).to(rows.dtype), self.momentum)
        factor = self.weight * torch.rsqrt(variance + self.eps).to(rows.dtype)
        return (rows - mean.to(rows.dtype)) * factor + self.bias
