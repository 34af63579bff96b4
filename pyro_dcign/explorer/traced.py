"""What is traced for ONNX: a guide's location and scale, and the decoder's mean picture."""

from collections.abc import Mapping
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from pyro import poutine
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pyro_dcign.code import GraphicsCode, Latents
from pyro_dcign.errors import InputError
from pyro_dcign.images import Images
from pyro_dcign.model import Model
from pyro_dcign.runs import Run, undisturbed

Codes = Float[Tensor, "images latents"]


class NotNormalError(Exception):
    """A site of a guide that has no location and scale."""


class AtNoise(Messenger):
    """Replace each draw of a graphics code's site by ``loc + scale · noise``.

    Raises:
        NotNormalError: A site that is not normal.
    """

    def __init__(self, code: GraphicsCode, noise: Tensor) -> None:
        super().__init__()
        self.parts: Mapping[str, Tensor] = code.split(noise)

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] not in self.parts or msg["is_observed"]:
            return
        normal = msg["fn"]
        while isinstance(normal, dist.Independent):
            normal = normal.base_dist
        if not isinstance(normal, dist.Normal):
            raise NotNormalError(f"the site {msg['name']} is a {type(normal).__name__}")
        msg["value"] = normal.loc + normal.scale * self.parts[msg["name"]]
        msg["done"] = True


def at_noise(guide: Any, code: GraphicsCode, images: Images, noise: Tensor) -> Latents:
    """The code that a guide draws of each image where its standard normal noise is this."""
    nodes: Any = poutine.trace(AtNoise(code, noise)(guide)).get_trace(images).nodes
    return code.join({name: nodes[name]["value"] for name in code.factors})


class Reader(nn.Module):
    """Location and marginal scale of the code of each picture.

    The code of a normal guide is affine in its noise, z = loc + L ε. So the columns of L are what
    unit noise adds, also where a factor's site depends on the draws before it, and the scale is the
    root of L's squared rows.

    The number of pictures stays a symbol of the graph: ``len(images)`` would make it a constant,
    and what asks for it is the plate, which is left out. Independence has no bearing on a reading.
    """

    def __init__(self, guide: nn.Module, code: GraphicsCode) -> None:
        super().__init__()
        self.guide, self.code = guide, code

    def forward(self, picture: Images) -> tuple[Codes, Codes]:
        """``loc`` and ``scale``."""
        noise = torch.eye(self.code.latents, device=picture.device, dtype=picture.dtype)
        noise = torch.cat([torch.zeros_like(noise[:1]), noise]).unsqueeze(1)

        with InPlainOperators(), patch.object(pyro, "plate", lambda *_, **__: nullcontext()):
            codes = at_noise(self.guide, self.code, picture, noise)
        return codes[0], (codes[1:] - codes[:1]).square().sum(0).sqrt()


class Renderer(nn.Module):
    """The mean picture of each code."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, code: Codes) -> Images:
        """``picture``."""
        return self.model.decode(code)


class InPlainOperators(TorchFunctionMode):
    """Spell out what ONNX has no node for.

    The Cholesky factor of a small matrix becomes sums and roots, an order of memory is left out,
    and the length of a tensor is 1, see :class:`Reader`.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """The same values by plain operators; every other function as it is."""
        if func is torch.linalg.cholesky_ex:
            factor = cholesky(args[0])
            return SimpleNamespace(L=factor)
        if func is torch.Tensor.__len__:
            return 1
        if func is torch.Tensor.contiguous:
            return args[0]
        return func(*args, **(kwargs or {}))


def cholesky(matrix: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    """The lower Cholesky factor, row by row.

    Example:
        >>> cholesky(torch.tensor([[4.0, 2.0], [2.0, 5.0]])).tolist()
        [[2.0, 0.0], [1.0, 2.0]]
    """
    size, zero = matrix.shape[-1], torch.zeros_like(matrix[..., 0, 0])
    rows: list[list[Tensor]] = []
    for i in range(size):
        row: list[Tensor] = []
        for j in range(i + 1):
            above = row if i == j else rows[j]
            rest = matrix[..., i, j]
            for left, right in zip(row[:j], above[:j], strict=True):
                rest = rest - left * right
            row.append(rest.sqrt() if i == j else rest / rows[j][j])
        rows.append(row)
    full = [torch.stack([*row, *[zero] * (size - len(row))], -1) for row in rows]
    return torch.stack(full, -2)


def refuse_other_than_normal(run: Run) -> None:
    """Check that a guide's code is normal given the picture.

    Raises:
        InputError: A site that is not normal, or a code that is not affine in the noise.
    """
    side, code = run.config.side, run.code
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(1, 1, side, side, generator=draw).to(run.device)
    noise = torch.randn(1, code.latents, generator=draw).to(run.device)
    with undisturbed(run):
        try:
            zero, once, twice = (
                at_noise(run.guide, code, images, times * noise) for times in (0.0, 1.0, 2.0)
            )
        except NotNormalError as error:
            raise _refused(run, str(error)) from None
    bend = (twice - 2 * once + zero).abs().max()
    if not bend <= 1e-3 * (once - zero).abs().max():
        raise _refused(run, "a site bends with the draws before it")


def _refused(run: Run, found: str) -> InputError:
    return InputError(
        f"an exported guide is to be normal given the picture, but of {run.config.guide} {found}; "
        "train a mean_field guide"
    )
