"""Guides q(z | x): the protocol, finding one by name, and codes read from one."""

import importlib
import importlib.util
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pyro_dcign.code import GraphicsCode
from pyro_dcign.errors import InputError
from pyro_dcign.images import Images
from pyro_dcign.model.residual import AnyEncoder

GROUP = "pyro_dcign.guides"
"""Entry-point group in which third parties register guides, and the package of the shipped ones."""


@runtime_checkable
class Guide(Protocol):
    """A module whose call samples every factor's site inside ``plate("images")``.

    It is built as ``GuideClass(encoder, code)``, owns the encoder and adds its own heads. It never
    observes the site ``image`` and never looks at other data than the images it is given.

    Two things are optional. A guide that climbs the model's own ELBO has ``bind(model)``, called
    once after both are built. A guide with weak supervision of its own has the attribute
    ``groups``, which :class:`InGroups` sets during a training step, in the clamp's place.
    """

    def __init__(self, encoder: AnyEncoder, code: GraphicsCode) -> None: ...

    def __call__(self, images: Images) -> Any:
        """Sample the sites of the graphics code for each image."""
        ...


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
