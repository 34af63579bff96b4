"""Several processes that train one network, one for each GPU or machine, started by torchrun."""

import importlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from pyro_dcign.errors import InputError
from pyro_dcign.training.feed import Draws
from pyro_dcign.training.steps import History


@dataclass(frozen=True)
class Processes:
    """This process among those that train together; by default it is alone.

    Each takes whole typed minibatches, so the clamp's mean stays a mean over one minibatch, and
    the gradients are summed: the update is that of one process with all the minibatches.

    Attributes:
        rank: Number of this process; 0 writes checkpoints and logs, and evaluates.
        count: How many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.count > 1:
            distributed.barrier()

    def any(self, wish: bool, device: torch.device) -> bool:
        """Whether one of the processes wishes it: all of them get the same answer."""
        if self.count == 1:
            return wish
        wishes = torch.tensor([int(wish)], device=device)
        distributed.all_reduce(wishes)
        return bool(wishes.item())

    def objects(self, mine: str) -> list[str]:
        """What each process has to say, in order."""
        said = [mine] * self.count
        if self.count > 1:
            distributed.all_gather_object(said, mine)
        return said

    def portion(self, minibatches: int) -> int:
        """Minibatches of this process in each step.

        Raises:
            InputError: A number that the processes cannot share equally.
        """
        if minibatches % self.count:
            raise InputError(
                f"minibatches is to be a multiple of the {self.count} processes, got "
                f"{minibatches}; use --minibatches {self.count * (minibatches // self.count + 1)}"
            )
        return minibatches // self.count

    def share(self, draws: Draws) -> Draws:
        """This process's minibatches of each step of a draw that all have made alike."""
        size = self.portion(draws.rows.shape[1])
        mine = slice(self.rank * size, (self.rank + 1) * size)
        return Draws(draws.rows[:, mine], draws.active[:, mine])

    def gather(self, history: History) -> History:
        """The losses of every process's minibatches, in the order of the draw."""
        if self.count == 1:
            return history
        parts = [torch.empty_like(history) for _ in range(self.count)]
        distributed.all_gather(parts, history.contiguous())
        return torch.cat(parts, -1)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes, in one message."""
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view(gradient.shape))

    def same(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's values."""
        if self.count > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def random(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every process's generators by name; the first one's keep their own."""
        if self.count == 1:
            return dict(state)
        states: list[Mapping[str, Tensor]] = [{} for _ in range(self.count)]
        distributed.all_gather_object(states, dict(state))
        return {_name(k, rank): t for rank, each in enumerate(states) for k, t in each.items()}

    def own_random(self, states: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """This process's generators among :meth:`random`'s; None where there were fewer then."""
        names = {_name(kind, self.rank): kind for kind in ("cpu", "cuda")}
        found = {names[name]: state for name, state in states.items() if name in names}
        return found or None


def _name(kind: str, rank: int) -> str:
    return f"{kind}.{rank}" if rank else kind


def is_first() -> bool:
    """Whether this process is alone or the first of those that torchrun has started."""
    return int(os.environ.get("RANK", "0")) == 0


def take_own_gpu() -> None:
    """Make the GPU of this process's number on its machine the one that ``cuda`` means."""
    if "LOCAL_RANK" in os.environ and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def join(device: torch.device) -> Processes:
    """Meet the processes that torchrun has started; alone without it.

    Gradients travel by NCCL between GPUs and by gloo between CPUs.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or "RANK" not in os.environ:
        return Processes()
    kind, own = "gloo", None
    if device.type == "cuda":
        take_own_gpu()
        kind, own = "nccl", torch.device("cuda", torch.cuda.current_device())
    if not distributed.is_initialized():
        # Its functions take the group that is there when it is imported, which an optimiser does,
        # and keep it: the group's threads would outlive leave() and abort the interpreter's end.
        importlib.import_module("torch.distributed.nn.functional")
        # The first process may evaluate, or render its data, for long.
        distributed.init_process_group(kind, timeout=timedelta(hours=2), device_id=own)
    return Processes(distributed.get_rank(), count)


def leave() -> None:
    """Part from the other processes, if there are any."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
