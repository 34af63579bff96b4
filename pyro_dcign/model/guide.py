"""Guides q(z | x): their base class, and finding one by name."""

import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from torch import nn

from pyro_dcign.errors import InputError
from pyro_dcign.model.registered import Registered, register
from pyro_dcign.model.sites import Active

GROUP = "pyro_dcign.guides"
"""Entry-point group in which third parties register guides, and the package of the shipped ones."""


class Guide(Registered):
    """q(z | x): a module whose call samples every factor's site inside ``plate("images")``.

    It is built as ``GuideClass(encoder, code)``, owns the encoder and adds its own heads. It never
    observes the site ``image`` and never looks at other data than the images it is given. A
    subclass defines ``__init__`` and ``forward(images)``; the rest has defaults.

    Attributes:
        clamp_on: ``"draw"`` where no location holds a site (a flow): the paper's clamp, on
            parameters, is then refused. None where both will do.
        takes_groups: Whether it has weak supervision of its own, in the handler's place.
        groups: For such a guide, which factors vary in each minibatch of the images; set by
            :class:`~pyro_dcign.model.handlers.InGroups` during a training step, else None.
    """

    clamp_on: str | None = None
    takes_groups: bool = False
    groups: Active | None = None

    def bind(self, model: Any) -> None:
        """Called once with the model, which a guide that climbs its ELBO keeps in a tuple."""


def adopt(guide: Any, model: nn.Module) -> None:
    """Bind a guide to its model; one without the base :class:`Guide` is registered here."""
    if not isinstance(guide, nn.Module):
        raise InputError(
            f"a guide is a torch.nn.Module, got {type(guide).__name__}; derive it from "
            "pyro_dcign.model.Guide"
        )
    if not isinstance(guide, Guide):
        guide.register_forward_pre_hook(register)
    bind: Any = getattr(guide, "bind", None)
    if bind is not None:
        bind(model)


def supervises_itself(guide: Any) -> bool:
    """Whether a guide brings its own weak supervision; ``groups`` says so without the base."""
    return guide.takes_groups if isinstance(guide, Guide) else hasattr(guide, "groups")


def known_guides() -> dict[str, str]:
    """Names of the shipped and the registered guides, and where each is defined."""
    package = importlib.import_module(GROUP)
    return {**package.GUIDES, **{e.name: e.value for e in entry_points(group=GROUP)}}


def load_guide(name: str) -> type[Any]:
    """The guide class of a known name, of ``package.module:Class`` or of ``FILE.py:Class``.

    Raises:
        InputError: An unknown name, a missing file or module, or a class that is not there.
    """
    where = known_guides().get(name, name)
    path, colon, attribute = where.rpartition(":")
    if not colon:
        raise InputError(
            f"guide is one of {', '.join(known_guides())}, FILE.py:CLASS or MODULE:CLASS, "
            f"got {name!r}; check the spelling"
        )
    try:
        module = _load_file(Path(path)) if path.endswith(".py") else importlib.import_module(path)
    except ModuleNotFoundError as error:
        raise InputError(f"guide {name!r} needs the module {error.name!r}; install it") from None
    if not isinstance(getattr(module, attribute, None), type):
        raise InputError(f"guide {name!r} names a class, {path} has no class {attribute!r}")
    found: type[Any] = getattr(module, attribute)
    return found


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"guide is a Python file, {path} does not exist; check the path")
    # One module for each file, so that a class loaded twice is the same class.
    alias = f"{GROUP}.file_{path.stem}_{abs(hash(path.resolve()))}"
    if alias not in sys.modules:
        spec = importlib.util.spec_from_file_location(alias, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[alias] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[alias])
        except BaseException:
            del sys.modules[alias]
            raise
    return sys.modules[alias]
