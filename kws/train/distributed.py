"""Several processes that train one model: ``torchrun --nproc-per-node N -m kws train RECIPE``.

Every process holds the whole model and draws its part of each batch. Before the update they add up what they have:
counts of the loss's terms, statistics of batch norms, gradients. So each update is that of one process with the whole
batch, but for the order of summation. Process 0 alone writes files and prints.
"""

import importlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from kws.errors import KwsError
from kws.models.layers import BatchNorm
from kws.system import progress

T = TypeVar("T")

CPU = torch.device("cpu")
PATIENCE = timedelta(hours=12)
"""How long a process waits for another, which may be speaking a corpus. One that died is noticed at once."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is, and what it computes on. ``Ranks()`` is the only one, on the processor."""

    rank: int = 0
    world: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    def add(self, tensor: Tensor) -> Tensor:
        """Replace ``tensor`` by its sum over all processes and return it; no gradient."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def share(self, value: T) -> T:
        """Return process 0's ``value`` in every process; plain data and tensors on the CPU."""
        if self.world == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def wait(self) -> None:
        """Return when every process has come here."""
        self.add(torch.zeros(1, device=self.device))

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """Run the block in process 0, then in the others, which find the files that it has made.

        >>> with Ranks().first_before_others():
        ...     print("made")
        made
        """
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def bar(self, description: str, total: float) -> AbstractContextManager[progress.Advance]:
        """Return ``progress.bar``, which only process 0 shows."""
        return progress.bar(description, total) if self.first else nullcontext(_nothing)

    def part(self, clips: int) -> int:
        """Return how many clips of a batch are this process's.

        Raises:
            KwsError: the processes cannot have equal parts.
        """
        if clips % self.world:
            raise KwsError(
                f"train.batch_clips is {clips}, which {self.world} processes cannot share; make it a multiple of them"
            )
        return clips // self.world

    def add_gradients(self, model: nn.Module, loss: Tensor) -> float:
        """Add up the gradients and the loss of all processes, in place, in one message; return the whole loss."""
        if self.world == 1:
            return float(loss.detach())
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        flat = self.add(torch.cat([gradient.flatten() for gradient in gradients] + [loss.detach().flatten()]))
        begin = 0
        for gradient in gradients:
            gradient.copy_(flat[begin : begin + gradient.numel()].view_as(gradient))
            begin += gradient.numel()
        return float(flat[-1])

    def share_statistics(self, model: nn.Module) -> None:
        """Let every batch norm see the whole batch."""
        for module in model.modules() if self.world > 1 else ():
            if isinstance(module, BatchNorm):
                module.reduce = add_with_gradient


def add_with_gradient(tensor: Tensor) -> Tensor:
    """Return the sum over all processes; the gradient flows back into every process's summand."""
    total: Tensor = _Add.apply(tensor)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return total


class _Add(torch.autograd.Function):
    """All-reduce with its adjoint, which is an all-reduce as well: each loss depends on every summand."""

    @staticmethod
    def forward(context: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started (its environment says so), or be the only one.

    Args:
        device: "auto" (a GPU where there is one), "cpu" or "cuda"; process n of a machine takes its GPU n.

    Raises:
        KwsError: there is no such device.
    """
    place = choose_device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1 or "RANK" not in os.environ:
        yield Ranks(device=place)
        return
    # Its functions keep the group that exists when they are imported, which torch's optimizers do. A group that is not
    # freed has threads when the interpreter ends, and one of them may abort the process.
    importlib.import_module("torch.distributed.nn.functional")
    rank, backend, store = int(os.environ["RANK"]), "nccl" if place.type == "cuda" else "gloo", _store()
    if store is None:
        dist.init_process_group(backend, timeout=PATIENCE)
    else:
        dist.init_process_group(backend, timeout=PATIENCE, store=store, rank=rank, world_size=world)
    yield Ranks(dist.get_rank(), dist.get_world_size(), place)
    dist.destroy_process_group()  # not after an error: the others may never come to take leave


def _store() -> Any:
    """Return where the processes of this attempt find each other; None: torch's own way.

    torchrun keeps one store over its restarts, with the addresses of the processes that are gone (PyTorch issue
    135712), so each attempt gets its own part. Over several machines the attempts are not counted alike; there,
    restarts need TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1.
    """
    one_machine = os.environ.get("GROUP_WORLD_SIZE", "1") == "1"
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or not one_machine:
        return None
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    # torch exports both stores in a way that mypy does not see.
    store = dist.TCPStore(address, port, is_master=False, timeout=PATIENCE)  # type: ignore[attr-defined]
    return dist.PrefixStore(f"attempt_{attempt}", store)  # type: ignore[attr-defined]  # torch exports them so


def choose_device(device: str) -> torch.device:
    """Return the device of that name; see ``joined``."""
    if device == "cpu" or (device == "auto" and not torch.cuda.is_available()):
        return CPU
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if not torch.cuda.is_available() or number >= torch.cuda.device_count():
        raise KwsError(
            f"train.device is {device!r}, but process {number} of this machine has no GPU; start fewer or use cpu"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _nothing(steps: float = 1, note: str = "", before: bool = False) -> None:
    pass
