"""Detects sound whose samples never change: a muted microphone, a recorder that stored nothing."""

from typing import Any

from numpy.typing import NDArray


class Steady:
    """Counts how many samples, up to now, have all had the same value: ``samples``.

    >>> import numpy as np
    >>> steady = Steady()
    >>> steady.push(np.zeros(3)), steady.push(np.zeros(4)), steady.samples, steady.remark
    (None, None, 7, 'is digital silence throughout: every sample is 0')
    >>> steady.push(np.ones(2)), steady.samples, steady.remark
    (None, 2, '')
    """

    def __init__(self) -> None:
        self.samples, self._total, self._value = 0, 0, 0.0

    def push(self, sound: NDArray[Any]) -> None:
        """Look at the next samples [n]: floats in -1..1, or int16."""
        if not len(sound):
            return
        first = float(sound[0])
        same = bool((sound == sound[0]).all())
        if not same or (self._total and first != self._value):
            self.samples = 0
        self.samples += len(sound) if same else 0
        self._total += len(sound)
        self._value = float(sound[-1])

    @property
    def silent(self) -> bool:
        """Whether the unchanged value is 0."""
        return self.samples > 0 and self._value == 0.0

    @property
    def throughout(self) -> bool:
        """Whether no sample has differed since the start."""
        return 0 < self.samples == self._total

    @property
    def remark(self) -> str:
        """What is wrong with a sound that has not changed since its start; "" for any other."""
        if not self.throughout:
            return ""
        if self.silent:
            return "is digital silence throughout: every sample is 0"
        return f"holds no sound: every sample is {self._value:.4g} of full scale"
