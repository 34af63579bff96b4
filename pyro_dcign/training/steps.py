"""A block of typed steps: run one by one, or captured once on CUDA and replayed."""

import warnings
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import pyro
import torch
from jaxtyping import Float
from torch import Tensor

from pyro_dcign.images import Images
from pyro_dcign.machine import timed_convolutions
from pyro_dcign.model import Active, Losses, Wanted
from pyro_dcign.training.feed import Draws, Feed

History = Float[Tensor, "steps 2 minibatches"]
"""Mean reconstruction and KL terms of an image, for each step and each of its minibatches."""


@runtime_checkable
class Typed(Protocol):
    """What takes a typed step: :class:`TypedSVI`, or the rival without Pyro of a benchmark."""

    optimizer: torch.optim.Optimizer

    def gradients(self, images: Images, active: Active, wanted: Wanted | None = None) -> Losses:
        """Losses of a step; gradients are added to the parameters'."""
        ...

    def step(self, images: Images, active: Active, wanted: Wanted | None = None) -> Losses:
        """One update of every parameter."""
        ...


@runtime_checkable
class Steps(Protocol):
    """Takes a block of steps and returns their losses, still on the device."""

    def __call__(self, draws: Draws) -> History:
        """Update the parameters once for each step of the block."""
        ...


def _means(losses: Losses, minibatches: int) -> Float[Tensor, "2 minibatches"]:
    return torch.stack(losses).view(2, minibatches, -1).mean(-1)


class PlainSteps:
    """One :meth:`Typed.step` after another.

    Args:
        svi: Takes the steps.
        feed: Its minibatches.
        stop: Asked after each step; the rest of a block is left when it says yes.
    """

    def __init__(self, svi: Typed, feed: Feed, stop: Callable[[], bool] | None = None) -> None:
        self.svi, self.feed, self.stop = svi, feed, stop

    def __call__(self, draws: Draws) -> History:
        """Update the parameters once for each step of the block."""
        history = []
        for rows, active in zip(draws.rows, draws.active, strict=True):
            images = self.feed.images(rows)
            losses = self.svi.step(images, active, self.feed.wanted(rows))
            history.append(_means(losses, len(rows)))
            if self.stop and self.stop():
                break
        return torch.stack(history)


class CapturedSteps:
    """One CUDA graph of the whole step, replayed: Python and Pyro run only while capturing.

    The minibatch and its type are data in fixed buffers, and so are the losses; a replay reads
    the next row of the draws and writes the next row of the history, so a block of steps needs no
    word from the host. A guide that makes the host wait cannot be captured; its steps run one by
    one, and a warning says why.

    Args:
        svi: With an optimiser that is ``capturable``.
        feed: On a CUDA device.
        block: Most steps in one call.
        minibatches: In each step.
    """

    def __init__(self, svi: Typed, feed: Feed, *, block: int, minibatches: int) -> None:
        self.svi, self.feed, self.minibatches = svi, feed, minibatches
        device = feed.pixels.device
        factors = len(feed.code.factors)
        self.rows = torch.zeros(block, minibatches, dtype=torch.int64, device=device)
        self.active = torch.zeros(block, minibatches, factors, dtype=torch.bool, device=device)
        self.history = torch.zeros(block, 2, minibatches, device=device)
        self.counter = torch.zeros(1, dtype=torch.int64, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.plain: PlainSteps | None = None

    def _step(self) -> None:
        rows = self.rows.index_select(0, self.counter)[0]
        active = self.active.index_select(0, self.counter)[0]
        images = self.feed.images(rows)
        self.svi.optimizer.zero_grad(set_to_none=True)
        losses = self.svi.gradients(images, active, self.feed.wanted(rows))
        self.svi.optimizer.step()
        means = _means(losses, self.minibatches).unsqueeze(0).to(self.history.dtype)
        self.history.index_copy_(0, self.counter, means)
        self.counter += 1

    def _warm_up(self) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for last in (False, False, True):  # cuDNN chooses kernels, the allocator its blocks
                self.counter.zero_()
                if last:
                    # What makes the host wait cannot be captured: say so before trying.
                    with warnings.catch_warnings():
                        warnings.filterwarnings("ignore", "Synchronization debug mode")
                        torch.cuda.set_sync_debug_mode("error")
                self._step()
        torch.cuda.current_stream().wait_stream(stream)

    def _capture(self) -> torch.cuda.CUDAGraph:
        parameters = [p for g in self.svi.optimizer.param_groups for p in g["params"]]
        before = [p.detach().clone() for p in parameters]
        state = torch.cuda.get_rng_state(self.feed.pixels.device)
        moments = [t.clone() for s in self.svi.optimizer.state.values() for t in s.values()]
        graph = torch.cuda.CUDAGraph()
        try:
            with pyro.validation_enabled(False), timed_convolutions():
                self._warm_up()
                self.svi.optimizer.zero_grad(set_to_none=True)
                # Other threads, such as NCCL's watchdog, may speak to the device meanwhile.
                with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                    self._step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
            # The warm-up trained on whatever the buffers held: undo it.
            with torch.no_grad():
                for parameter, old in zip(parameters, before, strict=True):
                    parameter.copy_(old)
                tensors = [t for s in self.svi.optimizer.state.values() for t in s.values()]
                for i, tensor in enumerate(tensors):
                    if moments:
                        tensor.copy_(moments[i])
                    else:
                        tensor.zero_()
            torch.cuda.set_rng_state(state, self.feed.pixels.device)
        return graph

    def __call__(self, draws: Draws) -> History:
        """Update the parameters once for each step of the block."""
        if self.plain is not None:
            return self.plain(draws)
        steps = len(draws.rows)
        self.rows[:steps].copy_(draws.rows)
        self.active[:steps].copy_(draws.active)
        if self.graph is None:
            reason = ""
            try:
                self.graph = self._capture()
            except RuntimeError as error:
                reason = str(error).partition("\n")[0]
            # Out of the handler, where the error would keep the half-made step's graph alive.
            if self.graph is None:
                warnings.warn(
                    f"this step cannot be captured and runs uncaptured, which is slower: {reason}",
                    stacklevel=2,
                )
                self.plain = PlainSteps(self.svi, self.feed)
                return self.plain(draws)
        self.counter.zero_()
        for _ in range(steps):
            self.graph.replay()
        return self.history[:steps].clone()

    def release(self) -> None:
        """Give the graph back; another call captures anew.

        A communicator that was captured waits at its end for the graph's (PyTorch issue 115388).
        """
        if self.graph is not None:
            self.graph.reset()
            self.graph = None
