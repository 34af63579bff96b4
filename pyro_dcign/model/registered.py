"""What Pyro's own SVI trains: modules that tell it their parameters."""

import itertools
import weakref
from typing import Any

import pyro
from pyro.distributions import constraints
from pyro.poutine.runtime import _PYRO_STACK
from pyro.poutine.trace_messenger import TraceMessenger
from torch import nn

_NUMBERS: weakref.WeakKeyDictionary[nn.Module, int] = weakref.WeakKeyDictionary()
_COUNT = itertools.count()


def _forget(prefix: str) -> None:
    store = pyro.get_param_store()
    for name in [name for name in store if name.startswith(prefix)]:
        del store[name]


def _name(module: nn.Module) -> str:
    """A name that no other module of this process has had, nor will a copy of this one."""
    if module not in _NUMBERS:
        _NUMBERS[module] = next(_COUNT)
        name = f"{type(module).__name__}-{_NUMBERS[module]}"
        weakref.finalize(module, _forget, f"{name}$$$")
    return f"{type(module).__name__}-{_NUMBERS[module]}"


def register(module: nn.Module, inputs: Any = None) -> None:
    """Say ``pyro.param`` of each parameter where somebody collects them, as ``SVI.step`` does.

    Elsewhere nothing reaches Pyro's store: evaluation and this package's own step, whose optimiser
    has the parameters already, cost no more. The store forgets a module that is no longer used.
    """
    if not any(isinstance(h, TraceMessenger) and h.param_only for h in _PYRO_STACK):
        return
    store, prefix = pyro.get_param_store(), _name(module)
    for own, parameter in module.named_parameters():
        if parameter.requires_grad:
            name = f"{prefix}$$${own}"
            if store._params.get(name) is not parameter:
                # Not ``pyro.module``: the store would make a contiguous copy of a parameter in
                # channels-last order, and Pyro would train the copy.
                store._params[name], store._constraints[name] = parameter, constraints.real
                store._param_to_name[parameter] = name
            pyro.param(name)


class Registered(nn.Module):
    """A module whose call is a Pyro program that Pyro's own SVI trains.

    Two of them never share parameters, nor do a module and its copy, also without
    ``pyro.clear_param_store()``. Keep a trained one by its ``state_dict``, by ``torch.save`` or
    by pickle: the names in Pyro's store are those of one process.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program; its parameters are registered first where they are asked for."""
        register(self)
        return super().__call__(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        # Pyro hangs a weak reference on each parameter, which cannot be pickled.
        for parameter in self.parameters():
            parameter.__dict__.pop("unconstrained", None)
        return dict(self.__dict__)
