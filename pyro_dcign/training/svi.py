"""One typed step of stochastic variational inference."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyro
import torch
from pyro.infer import SVI
from pyro.optim import PyroOptim
from pyro.poutine.messenger import Messenger
from torch import nn

from pyro_dcign.images import Images
from pyro_dcign.machine import precision_of, tf32_matmul
from pyro_dcign.model import (
    Active,
    Fused,
    Handler,
    Labels,
    Losses,
    Wanted,
    handler_of,
    load_elbo,
    unclamped_losses,
)
from pyro_dcign.runs import Run
from pyro_dcign.training.optimizers import load_optimizer


class _OneOptimizer(PyroOptim):
    """One PyTorch optimiser over all parameters, where Pyro makes one for each."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        super().__init__(type(optimizer), {})
        self.optimizer = optimizer

    def __call__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.optimizer.step()


class TypedSVI(SVI):
    """Pyro's SVI whose step knows the type of its minibatch.

    Args:
        model: Pyro program with the site ``image``.
        guide: Module that samples the same latent sites, reparametrised.
        optimizer: One PyTorch optimiser over the parameters of both.
        elbo: See :func:`load_elbo`.
        handler: Wraps the guide while training; None trains an entangled code.
        precision: ``torch.bfloat16`` runs the convolutions under autocast.
        tf32: Let tensor cores round the factors of a GPU's float32 products to TF32, as they do
            beside bfloat16 convolutions anyway: the linear heads read features of 8 bits, and
            TF32 keeps 11.
        labels: What teaches known values, see :class:`~pyro_dcign.model.Labels`.
        reduce: Called with every parameter after the gradients, to sum them over processes.
    """

    def __init__(
        self,
        model: nn.Module,
        guide: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        elbo: Any,
        handler: Handler | None,
        precision: torch.dtype = torch.float32,
        tf32: bool = False,
        labels: Callable[[Wanted], Messenger] | None = None,
        reduce: Callable[[Iterable[nn.Parameter]], None] | None = None,
    ) -> None:
        super().__init__(model, guide, _OneOptimizer(optimizer), elbo)
        self.handler, self.precision, self.tf32 = handler, precision, tf32
        self.optimizer, self.labels, self.reduce = optimizer, labels, reduce

    def programs(
        self, images: Images, active: Active, wanted: Wanted | None = None
    ) -> tuple[Any, Any]:
        """Model and guide as a training step runs them: clamped, and fused on a GPU."""
        model: Any = self.model
        guide = self.handler(active)(self.guide) if self.handler else self.guide
        if wanted is not None:
            assert self.labels is not None
            guide = self.labels(wanted)(guide)
        return Fused()(model), Fused()(guide)

    @contextmanager
    def arithmetic(self, images: Images) -> Iterator[None]:
        """The precision in which a training step computes."""
        lowered = self.precision != torch.float32
        with (
            tf32_matmul(images, self.tf32 or lowered),
            torch.autocast(images.device.type, self.precision, enabled=lowered),
        ):
            yield

    def gradients(self, images: Images, active: Active, wanted: Wanted | None = None) -> Losses:
        """Losses of the clamped step; gradients are added to the parameters'."""
        model, guide = self.programs(images, active, wanted)
        with self.arithmetic(images):
            losses = self.loss_and_grads(model, guide, images)
        if self.reduce:
            self.reduce(p for group in self.optimizer.param_groups for p in group["params"])
        assert isinstance(losses, Losses)
        return losses

    def step(self, images: Images, active: Active, wanted: Wanted | None = None) -> Losses:
        """One update of every parameter; the losses stay on the device, unread."""
        self.optimizer.zero_grad(set_to_none=True)
        with pyro.validation_enabled(False):
            losses = self.gradients(images, active, wanted)
        self.optim(None)
        return losses

    def evaluate(self, images: Images) -> Losses:
        """Terms of the negative ELBO of the guide as it is, unclamped; trains nothing."""
        return unclamped_losses(self.model, self.guide, images)


def typed_svi(
    run: Run, *, reduce: Callable[[Iterable[nn.Parameter]], None] | None = None
) -> TypedSVI:
    """What a run trains with; ``reduce`` as in :class:`TypedSVI`."""
    config = run.config
    optimizer = load_optimizer(
        config.optimizer,
        run.modules,
        learning_rate=config.learning_rate,
        capturable=run.device.type == "cuda",
    )
    return TypedSVI(
        run.model,
        run.guide,
        optimizer,
        elbo=load_elbo(config.elbo, num_particles=config.num_particles, kl_weight=config.kl_weight),
        handler=handler_of(config, run.code, run.guide),
        precision=precision_of(config.precision, run.device),
        tf32=config.precision == "tf32",
        labels=partial(Labels, run.code, weight=config.labels),
        reduce=reduce,
    )
