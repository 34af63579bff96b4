"""A step whose numbers are not finite: which one, where in the program, and what it was fed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyro
import torch
from jaxtyping import UInt8
from pyro import poutine
from safetensors.torch import save
from torch import Tensor, nn

from pyro_dcign.files import write_whole
from pyro_dcign.images import Images
from pyro_dcign.model import Active
from pyro_dcign.training.feed import Draws, Feed
from pyro_dcign.training.resume import random_state, set_random_state
from pyro_dcign.training.steps import History
from pyro_dcign.training.svi import TypedSVI

FOLDER = "trouble"


class Before:
    """What a block of steps starts from, kept in memory so that the block can be taken again.

    Args:
        modules: Whose parameters the steps change.
        svi: Takes the steps.
        device: Where both are.
    """

    def __init__(self, modules: nn.Module, svi: TypedSVI, device: torch.device) -> None:
        self.modules, self.svi, self.device = modules, svi, device
        self.parameters = [p.detach().clone() for p in modules.parameters()]
        self.moments = {
            p: {name: t.clone() for name, t in held.items()}
            for p, held in svi.optimizer.state.items()
        }
        self.random = random_state(device)

    def restore(self) -> None:
        """Put parameters, moments and generators back."""
        with torch.no_grad():
            for parameter, old in zip(self.modules.parameters(), self.parameters, strict=True):
                parameter.copy_(old)
        self.svi.optimizer.state.clear()
        self.svi.optimizer.state.update(self.moments)
        set_random_state(self.random, self.device)


@dataclass(frozen=True)
class Trouble:
    """Where a block of steps went wrong.

    Attributes:
        step: Number of the step within the block.
        what: The first thing in the program that is not finite.
    """

    step: int
    what: str


def is_sound(modules: nn.Module, history: History) -> bool:
    """Whether every loss of a block and every parameter after it is finite."""
    held = [*modules.parameters(), history]
    return bool(torch.stack([t.detach().isfinite().all() for t in held]).all())


def find_trouble(before: Before, feed: Feed, draws: Draws) -> Trouble:
    """Take a block of steps again, one by one, up to the first whose numbers are not finite.

    The steps run uncaptured; parameters stay as they were before the step that is found.
    """
    svi = before.svi
    before.restore()
    for step, (rows, active) in enumerate(zip(draws.rows, draws.active, strict=True)):
        images = feed.images(rows)
        random = random_state(before.device)
        svi.optimizer.zero_grad(set_to_none=True)
        with pyro.validation_enabled(False):
            losses = svi.gradients(images, active)
        if not torch.stack(losses).isfinite().all():
            set_random_state(random, before.device)
            return Trouble(step, _site(svi, images, active) or "the loss")
        for name, parameter in before.modules.named_parameters():
            if parameter.grad is not None and not parameter.grad.isfinite().all():
                return Trouble(step, f"the gradient of {name}")
        svi.optimizer.step()
    return Trouble(len(draws.rows) - 1, "something that was finite when the steps were repeated")


@torch.no_grad()
def _site(svi: TypedSVI, images: Images, active: Active) -> str | None:
    """The first part of the program, in the order in which it runs, that is not finite."""
    model, guide = svi.programs(images, active)
    with pyro.validation_enabled(False), svi.arithmetic(images):
        drawn: Any = poutine.trace(guide).get_trace(images)
        scored: Any = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(images)
        for density, trace in (("q", drawn), ("p", scored)):
            for name, site in trace.nodes.items():
                if site["type"] != "sample" or name == "images":
                    continue
                if density == "q" and not site["value"].isfinite().all():
                    return f"the draw of site {name}"
                if not site["fn"].log_prob(site["value"]).isfinite().all():
                    return f"log {density} of site {name}"
    return None


def keep_minibatches(
    folder: Path, step: int, pixels: UInt8[Tensor, "m images height width"], said: dict[str, str]
) -> Path:
    """Write the minibatches of a step to ``trouble/step-….safetensors`` for inspection.

    Raises:
        OSError: The folder cannot be written to.
    """
    path = folder / FOLDER / f"step-{step:09d}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, save({"pixels": pixels.cpu().contiguous()}, metadata=said))
    return path
