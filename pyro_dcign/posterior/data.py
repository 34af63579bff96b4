"""A run and images as ArviZ data: draws, densities, pictures and what is known to be true."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from pyro_dcign.code import GraphicsCode
from pyro_dcign.datasets import EvaluationSet
from pyro_dcign.errors import InputError
from pyro_dcign.posterior import arviz_bridge
from pyro_dcign.posterior.weights import importance
from pyro_dcign.runs import Run, batch_size, origin_of, undisturbed

FILE = "posterior.nc"


def _sites(code: GraphicsCode, codes: torch.Tensor) -> dict[str, NDArray[Any]]:
    """(chains, draws, …, latents) as one variable a factor; a single latent has no axis."""
    parts = code.split(codes)
    return {
        name: (part.squeeze(-1) if part.shape[-1] == 1 else part).numpy()
        for name, part in parts.items()
    }


def posterior_data(
    run: Run, images: EvaluationSet, *, draws: int = 500, replicates: int = 10, seed: int = 0
) -> Any:
    """An ``InferenceData`` (ArviZ 0.23) or ``DataTree`` (1.x) of what a run says about images.

    The guide runs unclamped, nothing is trained and every generator is left as it was. Groups:
    ``posterior`` and ``prior`` (a variable for each factor; ``image`` and, where it has several
    latents, ``<factor>_latent`` are dimensions), ``posterior_predictive`` (``picture``, 0 to
    255, of the first ``replicates`` draws), ``log_likelihood`` (``of_image``, summed over
    pixels), ``sample_stats`` (``log_weight``, ``log_prior``, ``log_guide``, in nats),
    ``observed_data`` (``picture``) and ``constant_data`` (``true_<factor>`` in degrees for
    angles, ``identity``).

    Raises:
        InputError: No images.
    """
    if not len(images):
        raise InputError("the posterior needs 1 or more images, got none; give a larger set")
    images = images.resized(run.config.side)
    code = run.code
    drawn = importance(run, images.pixels, draws=draws, seed=seed)
    noise = torch.randn(draws, code.latents, generator=torch.Generator().manual_seed(seed))
    of_code = run.model.code_prior
    prior = of_code.loc.cpu() + noise @ of_code.root.cpu().mT
    pictures = _replicates(run, drawn.codes[:replicates], seed)
    groups: dict[str, dict[str, NDArray[Any]]] = {
        "posterior": _sites(code, drawn.codes[None]),
        "prior": _sites(code, prior[None]),
        "posterior_predictive": {"picture": pictures[None].astype(np.int16)},
        "log_likelihood": {"of_image": drawn.likelihood[None].numpy()},
        "sample_stats": {
            "log_weight": drawn.log_weights[None],
            "log_prior": drawn.prior[None].numpy(),
            "log_guide": drawn.guide[None].numpy(),
        },
        # ArviZ plots signed numbers only.
        "observed_data": {"picture": images.pixels.numpy().astype(np.int16)},
        "constant_data": {
            **{f"true_{name}": truth.numpy() for name, truth in images.factors.items()},
            "identity": images.identity.numpy(),
        },
    }
    return _tree(run, groups, len(images))


def drawn_data(
    run: Run, codes: Float[Tensor, "chains draws images latents"], values: Mapping[str, Any]
) -> Any:
    """An ``InferenceData`` or ``DataTree`` of draws: the sites, and ``values`` beside them.

    Args:
        run: Whose codes they are.
        codes: Draws of the codes of images.
        values: Other variables, (chains, draws, images) each.
    """
    dims, coords = _latents(run.code)
    dims = {name: ["image", *names] for name, names in dims.items()}
    dims |= {name: ["image"] for name in values}
    return arviz_bridge.tree(
        {"posterior": {**_sites(run.code, codes), **values}},
        coords={**coords, "image": list(range(codes.shape[2]))},
        dims=dims,
        attributes={"guide": run.config.guide},
    )


def _latents(code: GraphicsCode) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Dimensions of each site after the image, and the labels of those dimensions."""
    several = {name: size for name, size in code.sizes.items() if size > 1}
    dims = {name: [f"{name}_latent"] if name in several else [] for name in code.sizes}
    return dims, {f"{n}_latent": [f"{n}[{i}]" for i in range(k)] for n, k in several.items()}


def _tree(run: Run, groups: Mapping[str, Any], images: int) -> Any:
    dims: dict[str, list[str]] = {"picture": ["image", "row", "column"]}
    coords: dict[str, Any] = {"image": list(range(images))}
    for name in [*groups["sample_stats"], "of_image", *groups["constant_data"]]:
        dims[name] = ["image"]
    latent, labels = _latents(run.code)
    side = list(range(run.config.side))
    coords |= {**labels, "row": side, "column": side}
    # A variable has its dimensions by name, and prior draws belong to no image: two trees, one set.
    rest = {group: variables for group, variables in groups.items() if group != "prior"}
    attributes = {"run": run.folder.name, "guide": run.config.guide, "of": str(origin_of(run))}
    with_images = {name: ["image", *names] for name, names in latent.items()}
    made = arviz_bridge.tree(rest, coords=coords, dims=dims | with_images, attributes=attributes)
    prior = arviz_bridge.tree({"prior": groups["prior"]}, coords=coords, dims=latent)
    return arviz_bridge.joined(made, prior)


def _replicates(run: Run, codes: torch.Tensor, seed: int) -> NDArray[np.uint8]:
    """Pictures drawn from the likelihood: (draws, images, height, width) in 8 bits."""
    flat, found = codes.flatten(0, 1), []
    with undisturbed(run, seed=seed):
        for chunk in flat.split(batch_size(run)):
            pixels = run.model.likelihood(run.model.decoder(chunk.to(run.device))).sample()
            found.append((pixels.clamp(0, 1) * 255).round().to(torch.uint8).cpu())
    side = run.config.side
    pictures: NDArray[np.uint8] = torch.cat(found).view(*codes.shape[:2], side, side).numpy()
    return pictures
