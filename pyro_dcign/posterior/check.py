"""Is the posterior right? Every check of a run, measured; the words are in ``verdicts``."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_dcign.code import INTRINSIC
from pyro_dcign.datasets import EvaluationSet
from pyro_dcign.errors import InputError
from pyro_dcign.images import Pixels, intensities
from pyro_dcign.posterior import predictive, sbc
from pyro_dcign.posterior.amortisation import refined_elbo
from pyro_dcign.posterior.findings import Findings
from pyro_dcign.posterior.nuts import nuts
from pyro_dcign.posterior.weights import importance
from pyro_dcign.runs import IMAGES_AT_ONCE, Run, draw_codes, encode, undisturbed


@dataclass(frozen=True)
class Effort:
    """How much a check looks at.

    Attributes:
        images: For k̂, the bounds and the predictive check.
        draws: Of each image's code for k̂.
        simulations: For SBC.
        reference: Images that NUTS runs on.
        reference_draws: Draws of each of its two chains, after two thirds as many to warm up.
        refined: Images that SVI refines.
        means: Images for the aggregate posterior and the latents in use.
    """

    images: int = 64
    draws: int = 1000
    simulations: int = 400
    reference: int = 2
    reference_draws: int = 150
    refined: int = 16
    means: int = 2500


Say = Callable[[str], None]

Read = Mapping[str, Callable[[Tensor], Tensor]]
"""For each extrinsic factor: codes (images, latents) to its values, in degrees for angles."""

REFUSED = {
    "sbc": sbc.REFUSED,
    "predictive": predictive.REFUSED,
    "loo_pit": predictive.REFUSED,
}


def measure(
    run: Run,
    images: EvaluationSet,
    *,
    effort: Effort | None = None,
    read: Read | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
) -> Findings:
    """Every check of a run on images of identities that it was not trained on.

    The guide runs unclamped, the networks are fixed and every generator is left as it was. Images
    are taken in a seeded order.

    Args:
        read: What codes say of each factor, as a calibration does. Where the true values are
            known, they are then held against the guide's intervals.

    Raises:
        InputError: No images, or codes that are not finite.
    """
    if not len(images):
        raise InputError("a check needs 1 or more images, got none; give a larger set")
    effort = effort or Effort()
    images = images.resized(run.config.side)
    order = np.random.default_rng(seed).permutation(len(images))
    pixels = images.pixels[torch.from_numpy(order)]
    few = pixels[: effort.images]
    arrays: dict[str, NDArray[Any]] = {}
    say(f"posterior means of {len(pixels[: effort.means])} images")
    means = encode(run, pixels[: effort.means])
    arrays["means"] = means.numpy()
    with _frozen(run):
        say(f"k̂: {effort.draws} draws for each of {len(few)} images, of the whole code")
        arrays["joint"] = importance(run, few, draws=effort.draws, seed=seed).log_weights
        say("k̂: and of the extrinsic latents")
        block = importance(run, few, draws=effort.draws, seed=seed, extrinsic=True)
        arrays["extrinsic"] = block.log_weights
        prior = run.model.code_prior
        drawn = _one_draw(run, pixels[: effort.means], seed)
        scaled = (drawn - prior.loc.cpu()) / prior.scale().cpu()
        arrays |= _by_factor(run, "aggregate", scaled)
        truths = {name: values[torch.from_numpy(order)] for name, values in images.factors.items()}
        arrays |= _coverage(run, few, read or {}, truths, seed)
        say(f"amortisation gap: SVI on {min(effort.refined, len(few))} images")
        refined, error = refined_elbo(run, few[: effort.refined], seed=seed)
        arrays["refined"], arrays["refined_error"] = refined.numpy(), error.numpy()
        arrays |= _reference(run, few[: effort.reference], effort.reference_draws, seed, say)
        refused = {
            name: reasons[run.config.likelihood]
            for name, reasons in REFUSED.items()
            if run.config.likelihood in reasons
        }
        if not refused:
            say(f"SBC: {effort.simulations} simulations")
            for name, found in sbc.ranks(run, simulations=effort.simulations, seed=seed).items():
                arrays[f"sbc/{name}"] = found.numpy()
            say("posterior predictive check")
            shares, arrays["loo_pit"] = predictive.predictive(run, few, seed=seed)
            arrays["predictive"] = shares.numpy()
    return Findings(arrays, refused)


@contextlib.contextmanager
def _frozen(run: Run) -> Iterator[None]:
    """No parameter asks for a gradient, so no graph reaches one."""
    wanted = [(p, p.requires_grad) for p in run.modules.parameters()]
    try:
        for parameter, _ in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, grad in wanted:
            parameter.requires_grad_(grad)


def _by_factor(run: Run, check: str, codes: Tensor) -> dict[str, NDArray[Any]]:
    parts = run.code.split(codes)
    return {f"{check}/{n}": part.numpy() for n, part in parts.items() if n != INTRINSIC}


def _coverage(
    run: Run, pixels: Pixels, read: Read, truths: Mapping[str, Tensor], seed: int
) -> dict[str, NDArray[Any]]:
    """``coverage/F``: what 1,000 draws say of each true value, see :class:`Findings`."""
    known = {name: truths[name][: len(pixels)] for name in read if name in truths}
    known = {name: truth for name, truth in known.items() if bool(truth.isfinite().all())}
    if not known:
        return {}
    with undisturbed(run, seed=seed):
        chunks = intensities(pixels).split(IMAGES_AT_ONCE)
        codes = torch.cat([draw_codes(run, c.to(run.device), 1000).cpu() for c in chunks], 1)
    found = {}
    for name, truth in known.items():
        off = read[name](codes.flatten(0, 1)).view(codes.shape[:2]) - truth
        period = run.factors[name].period
        if period:
            off = (off + period / 2) % period - period / 2
        below = (off < 0).float().mean(0) + (off == 0).float().mean(0) / 2
        found[f"coverage/{name}"] = torch.stack([below, off.std(0), off.mean(0)], -1).numpy()
    return found


def _one_draw(run: Run, pixels: Pixels, seed: int) -> Tensor:
    with undisturbed(run, seed=seed):
        chunks = pixels.split(64)
        parts = [draw_codes(run, intensities(c.to(run.device)), 1)[0].cpu() for c in chunks]
    return torch.cat(parts)


def _reference(
    run: Run, pixels: Pixels, draws: int, seed: int, say: Say
) -> dict[str, NDArray[Any]]:
    found, guides = [], []
    if not len(pixels):
        return {}
    for i, one in enumerate(pixels.split(1)):
        say(f"NUTS on image {i + 1} of {len(pixels)}, the decoder fixed: 2 chains of {draws} draws")
        chains, _ = nuts(run, one, draws=draws, warmup=max(50, draws * 2 // 3), seed=seed + i)
        found += chains
        with undisturbed(run, seed=seed + i):
            guides.append(draw_codes(run, intensities(one.to(run.device)), 1000)[:, 0].cpu())
    return {
        **_by_factor(run, "nuts", torch.stack(found)),
        **_by_factor(run, "guide", torch.stack(guides)),
    }
