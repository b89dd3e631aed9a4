"""What a run tells while it goes: the note beside the progress bar, and logs for TensorBoard."""

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

from kws.train.selection import Trial

STEPS_PER_ENTRY = 20
"""The curves get a point every so many steps, the mean over them."""


class Meter:
    """Examples per second and the share of time spent waiting for them, trials left out."""

    def __init__(self) -> None:
        self.examples, self.seconds, self.waited_s = 0, 0.0, 0.0
        self._began = time.perf_counter()

    def add(self, examples: int, waited_s: float) -> None:
        """Count one step, which began when the last one ended; ``waited_s`` of it stood still."""
        now = time.perf_counter()
        self.examples += examples
        self.seconds += now - self._began
        self.waited_s += waited_s
        self._began = now

    def skip(self) -> None:
        """Leave out what was done since the last step."""
        self._began = time.perf_counter()

    @property
    def examples_per_s(self) -> float:
        """Examples per second so far."""
        return self.examples / max(self.seconds, 1e-9)

    @property
    def waited_share(self) -> float:
        """Share of the time in which the model stood still, 0..1."""
        return min(1.0, self.waited_s / max(self.seconds, 1e-9))

    def text(self) -> str:
        """Return both for people."""
        return f"{self.examples_per_s:.0f} examples/s, {self.waited_share:.0%} waiting"


class Logs:
    """Curves for TensorBoard; nothing where no directory is given or the package is not installed.

    A run taken up again after ``step`` steps goes on in the same curves: what was logged after that step is left out
    when they are shown, and what was logged at it stays.
    """

    def __init__(self, directory: Path | None, step: int) -> None:
        self._writer: Any = None
        self._losses: list[float] = []
        if directory is None:
            return
        if importlib.util.find_spec("tensorboard") is None:
            print("tensorboard is not installed, so no curves are logged (pip install 'kws[train]')", file=sys.stderr)
            return
        from torch.utils.tensorboard import SummaryWriter  # a second of imports that only these logs need

        self._writer = SummaryWriter(str(directory), purge_step=step + 1 if step else 0)

    def step(self, step: int, loss: float, gradient_norm: float, learning_rate: float, meter: Meter) -> None:
        """Log a step of training, ``STEPS_PER_ENTRY`` of them at a time."""
        self._losses.append(loss)
        if self._writer is None or step % STEPS_PER_ENTRY:
            return
        self._add("train/loss", sum(self._losses) / len(self._losses), step)
        self._add("train/gradient_norm", gradient_norm, step)
        self._add("train/learning_rate", learning_rate, step)
        self._add("train/examples_per_s", meter.examples_per_s, step)
        self._add("train/waited_share", meter.waited_share, step)
        self._losses.clear()

    def trial(self, trial: Trial) -> None:
        """Log a look at the held-out streams."""
        if self._writer is None:
            return
        self._add("held_out/false_reject_rate", trial.false_reject_rate, trial.step)
        self._add("held_out/mean_false_reject_rate", trial.mean_false_reject_rate, trial.step)
        self._add("held_out/false_accepts_per_hour", trial.false_accepts_per_hour, trial.step)
        self._add("held_out/loss", trial.loss, trial.step)
        for name, rate in trial.groups.items():
            self._add(f"held_out_false_reject_rate/{name}", rate, trial.step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()

    def _add(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)
