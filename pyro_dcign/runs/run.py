"""A run: one directory with a configuration, a graphics code, networks and what came of them."""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
import torch
from torch import nn

from pyro_dcign.code import FactorRange, GraphicsCode, name_problem
from pyro_dcign.config import Config, completed, configure, settings_of
from pyro_dcign.errors import InputError
from pyro_dcign.files import write_whole
from pyro_dcign.machine import device_of
from pyro_dcign.model import (
    Decoder,
    Encoder,
    Model,
    ResidualDecoder,
    ResidualEncoder,
    adopt,
    known_guides,
    load_guide,
)

CONFIG = "config.toml"
MAX_PARAMETERS = 10**9
"""A config may come from a stranger: one that asks for more is refused before it gets memory."""


def code_of(config: Config, factors: Mapping[str, FactorRange]) -> GraphicsCode:
    """The graphics code of a configuration for data with these extrinsic factors.

    Raises:
        InputError: Too few latents to leave one for the intrinsic factor.
    """
    sizes = {n: config.periodic_latents if r.period else 1 for n, r in factors.items()}
    intrinsic = config.latents - sum(sizes.values())
    if intrinsic < 1:
        raise InputError(
            f"latents is to exceed the {sum(sizes.values())} of {', '.join(sizes)}, got "
            f"{config.latents}; raise --latents"
        )
    return GraphicsCode(sizes, intrinsic)


@dataclass(frozen=True)
class Run:
    """A model and a guide with the configuration and the code that they were built from.

    Attributes:
        folder: The run directory.
        config: Its settings.
        factors: Range of each extrinsic factor of the data.
        code: The graphics code.
        model: Generative model.
        guide: Variational posterior.
        device: Where both are.
    """

    folder: Path
    config: Config
    factors: Mapping[str, FactorRange]
    code: GraphicsCode
    model: Model
    guide: Any
    device: torch.device

    @property
    def modules(self) -> nn.ModuleDict:
        """Model and guide as one module: every parameter once, by name."""
        return nn.ModuleDict({"model": self.model, "guide": self.guide})

    @property
    def figures(self) -> Path:
        """Folder of the figures."""
        return self.folder / "figures"


def _networks(
    config: Config, code: GraphicsCode
) -> tuple[Encoder, Decoder] | tuple[ResidualEncoder, ResidualDecoder]:
    if config.network == "residual":
        return (
            ResidualEncoder(config.side, config.encoder_maps, config.hidden),
            ResidualDecoder(code.latents, config.side, config.decoder_maps, config.hidden),
        )
    try:
        return (
            Encoder(config.side, config.encoder_maps, kernel=config.encoder_kernel),
            Decoder(code.latents, config.side, config.decoder_maps, config.decoder_kernels),
        )
    except ValueError as error:
        raise InputError(str(error)) from None


def _refuse_giants(config: Config, code: GraphicsCode) -> None:
    with torch.device("meta"):  # shapes only
        encoder, decoder = _networks(config, code)
    parameters = sum(p.numel() for m in (encoder, decoder) for p in m.parameters())
    parameters += 2 * encoder.features * code.latents
    if parameters > MAX_PARAMETERS:
        raise InputError(
            f"the networks are to have at most {MAX_PARAMETERS:,} parameters, got {parameters:,}; "
            "lower side, latents or the maps"
        )


def build(
    folder: Path,
    config: Config,
    factors: Mapping[str, FactorRange],
    *,
    guide: type[Any] | None = None,
) -> Run:
    """A run with freshly drawn networks: its seed decides every parameter.

    The caller's random state is left as it was.

    Args:
        folder: The run directory; nothing is written.
        config: Its settings.
        factors: Range of each extrinsic factor.
        guide: Class of the guide, where that is not one that ``config.guide`` finds.

    Raises:
        InputError: A setting that the networks, the guide or this machine cannot meet.
    """
    device = device_of(config.device)
    code = code_of(config, factors)
    guide_class = load_guide(config.guide) if guide is None else guide
    _refuse_giants(config, code)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoder, decoder = _networks(config, code)
        model = Model(decoder, code, likelihood=config.likelihood, pixel_scale=config.pixel_scale)
        built = guide_class(encoder, code)
        adopt(built, model)
    modules = nn.ModuleDict({"model": model, "guide": built}).to(device)
    modules.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Run(folder, config, factors, code, model, built, device)


def write_run_config(run: Run) -> None:
    """Write ``config.toml``: every setting and the range of every factor."""
    ranges = {
        name: {key: value for key, value in dataclasses.asdict(limits).items() if value is not None}
        for name, limits in run.factors.items()
    }
    text = tomli_w.dumps({**settings_of(run.config), "factors": ranges})
    run.folder.mkdir(parents=True, exist_ok=True)
    write_whole(run.folder / CONFIG, text)


def untrained_run(
    folder: Path,
    *,
    device: str | None = None,
    trusted: Sequence[str] = (),
    guide: str | type[Any] | None = None,
) -> Run:
    """A run as its ``config.toml`` describes it, with untrained networks.

    Another ``guide`` than the run's examines its model by another way of inference; its parameters
    have to be those of the run's.

    A run may come from a stranger, and a guide from a file or a module is code: one that is neither
    shipped nor installed under a name is loaded only where it is among the ``trusted`` ones. A
    ``guide`` class takes the place of the named one.

    Raises:
        InputError: No such run, a configuration that is damaged, or a guide that is not trusted.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{folder} is to be a run directory, but has no {CONFIG}; check the path")
    try:
        if path.stat().st_size > 2**20:
            raise ValueError("larger than 1 MB")
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        factors = {n: _factor_range(n, r) for n, r in settings.pop("factors", {}).items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is to be a run's config: {error}; restore the file") from None
    config = configure(completed(settings), source=str(path))
    if isinstance(guide, str):
        config, trusted = dataclasses.replace(config, guide=guide), [guide]
        guide = None
    if guide is None and config.guide not in known_guides() and config.guide not in trusted:
        raise InputError(
            f"{folder} is to use an installed guide, but names the code {config.guide!r}; if you "
            f"trust it, run it with --guide {config.guide}"
        )
    if device is not None:
        config = dataclasses.replace(config, device=device)
    elif config.device == "cuda" and not torch.cuda.is_available():
        # A run trained on a GPU is read wherever the user is.
        config = dataclasses.replace(config, device="cpu")
    return build(folder, config, factors, guide=guide)


def _factor_range(name: str, found: Any) -> FactorRange:
    known = {"low", "high", "values", "period"}
    if problem := name_problem(name):
        raise ValueError(f"no factor can have this name: {problem}")
    if not name.isidentifier() or not isinstance(found, dict) or set(found) - known:
        raise ValueError(f"factor {name!r} has to have low, high, values and period only")
    values = [found.get("low"), found.get("high"), *found.get("values", ())]
    values += [found["period"]] if "period" in found else []
    numbers = [float(n) for n in values if isinstance(n, int | float) and abs(n) <= 1e9]
    if len(numbers) != len(values):
        raise ValueError(f"factor {name!r} has to have numbers within 1e9")
    period = numbers.pop() if "period" in found else None
    if numbers[0] > numbers[1] or (period is not None and period <= 0):
        raise ValueError(f"factor {name!r} has to have low up to high, and a positive period")
    return FactorRange(numbers[0], numbers[1], tuple(numbers[2:]), period)


def default_run() -> Path:
    """The network that ships with the package: heads at 64 pixels, see its model card."""
    return Path(__file__).with_name("pretrained") / "faces-small"


def people_run() -> Path:
    """The shipped network of people before many grounds, in many framings and lights."""
    return Path(__file__).with_name("pretrained") / "people-small"
