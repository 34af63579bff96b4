"""Which handler wraps the guide in a training step, said in one place."""

from collections.abc import Callable
from functools import partial
from typing import Any

from jaxtyping import Bool
from pyro.poutine.messenger import Messenger
from torch import Tensor

from pyro_dcign.code import GraphicsCode
from pyro_dcign.config import Config
from pyro_dcign.errors import InputError
from pyro_dcign.model.clamp import Clamp
from pyro_dcign.model.exchange import Exchange
from pyro_dcign.model.guide import supervises_itself
from pyro_dcign.model.sites import Active


class InGroups(Messenger):
    """A handler that tells a guide how its images form minibatches, while it runs.

    It sets the guide's attribute ``groups`` to which factor varies in each minibatch (a tensor,
    as for :class:`~pyro_dcign.model.clamp.Clamp`) and back to None, and touches no site.
    """

    def __init__(self, guide: Any, groups: Bool[Tensor, "*groups factors"]) -> None:
        super().__init__()
        self.guide, self.groups = guide, groups

    def __enter__(self) -> Any:
        self.guide.groups = self.groups
        return super().__enter__()

    def __exit__(self, *exception: Any) -> Any:
        self.guide.groups = None
        return super().__exit__(*exception)


Handler = Callable[[Active], Messenger]
"""What wraps the guide in a training step, given which factor varies."""


def handler_of(config: Config, code: GraphicsCode, guide: Any = None) -> Handler | None:
    """What wraps the guide in a training step, or None for an entangled code.

    A guide with weak supervision of its own takes the clamp's place.

    Raises:
        InputError: A clamp on parameters of a guide that can be clamped on its draws only.
    """
    if config.handler == "none":
        return None
    if supervises_itself(guide):
        return partial(InGroups, guide)
    if config.handler == "exchange":
        return partial(Exchange, code, agreement=config.agreement)
    if config.clamp_on == "parameters" and getattr(guide, "clamp_on", None) == "draw":
        raise InputError(
            f"--guide {config.guide} is clamped on its draws only, but --handler {config.handler} "
            'acts on parameters; use --handler exchange, or clamp_on = "draw" in a --config file'
        )
    options: dict[str, Any] = {"to": config.handler, "on": config.clamp_on}
    options["keep_kl"] = config.kl_gradient == "kept"
    return partial(Clamp, code, strength=config.strength, **options)
