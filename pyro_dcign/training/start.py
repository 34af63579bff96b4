"""Where training starts: at the mean grey, extrinsic latents along what they are to mean."""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from pyro import poutine
from torch import Tensor

from pyro_dcign.code import FactorRange, GraphicsCode
from pyro_dcign.images import Images, intensities
from pyro_dcign.runs import AtMean, Run
from pyro_dcign.training.feed import Feed

STEPS = 300
"""Updates of the guide before training, towards principal components."""
LABELLED_STEPS = 400
"""Updates of the guide before training, towards known values."""
LABELLED_IMAGES = 64
"""Images in each of those."""


def start_at_mean(run: Run, feed: Feed) -> None:
    """Set the decoder's last bias to the logit of the mean intensity of the training images.

    With a bias of 0 an untrained decoder draws grey, and on a white ground every pixel asks for
    more: within ten steps Adam drives the logits up until the sigmoid is flat, where the normal
    likelihood's gradient is gone before the first latent has been used. Begun at the mean, the
    pixels' wishes cancel and what is left of them is the picture. It takes a learning rate that
    rises (``warmup``) as well: at its full height Adam's first steps may overshoot from anywhere.
    """
    mean = feed.pixels[:, 0].float().mean() / 255  # an image of each minibatch will do
    torch.nn.init.constant_(run.model.decoder.bias, float(torch.logit(mean, eps=1e-3)))


def principal_scores(
    pixels: Float[Tensor, "minibatches images height width"], components: int
) -> Float[Tensor, "minibatches images components"]:
    """Scores of unit variance on the leading principal components *within* minibatches.

    Each minibatch is centred on its own mean, so what differs between scenes does not count. The
    images are overwritten: all of a type may take gigabytes as floats, and are to take them once.
    """
    rows = pixels.sub_(pixels.mean(1, keepdim=True)).flatten(2).flatten(0, 1)
    _, _, directions = torch.pca_lowrank(rows, components + 4, center=False, niter=4)
    scores = rows @ directions[:, :components]
    return (scores / scores.std(0)).view(*pixels.shape[:2], components)


def start_principal(
    run: Run, feed: Feed, *, steps: int = STEPS, without: Collection[str] = ()
) -> None:
    """Teach the guide to read each extrinsic factor as the principal component of its minibatches.

    A single latent that starts at random may learn a factor folded: for heads, |azimuth| explains
    almost as much as azimuth, and which of them the latent takes is the seed's choice, for good.
    The first principal component within azimuth minibatches is signed azimuth, whatever the seed.
    It needs no labels beyond the type of a minibatch. The paper starts at random (``--start
    random``); this is ours.
    """
    scores = {
        name: principal_scores(feed.rows(name).float().div_(255), size)
        for name, size in run.code.extrinsic.items()
        if len(feed.rows(name)) and name not in without
    }
    batches = (
        {
            name: (intensities(feed.rows(name)[step % len(wanted)]), wanted[step % len(wanted)])
            for name, wanted in scores.items()
        }
        for step in range(steps)
    )
    _teach(run, batches)


def labels_of(
    values: Float[Tensor, "... factors"], factors: Mapping[str, FactorRange], code: GraphicsCode
) -> Float[Tensor, "... extrinsic"]:
    """The targets of :func:`standardised` for all extrinsic latents in order; NaN where none."""
    wanted = standardised(values, factors, code)
    free = {name: values.new_full((*values.shape[:-1], n), math.nan) for name, n in
            code.extrinsic.items()}  # fmt: skip
    return torch.cat(list((free | wanted).values()), -1)


def standardised(
    values: Float[Tensor, "... factors"], factors: Mapping[str, FactorRange], code: GraphicsCode
) -> dict[str, Float[Tensor, "... _"]]:
    """Targets for each factor's latents: values of mean 0 and variance 1, in as many columns.

    A periodic factor with two latents or more gets its cosine and sine. A factor of which some
    values are unknown (NaN), or that has one value only, is left out.

    Example:
        >>> code, factors = GraphicsCode({"x": 1}, 2), {"x": FactorRange(0.0, 4.0)}
        >>> standardised(torch.tensor([[0.0], [4.0]]), factors, code)["x"].tolist()
        [[-1.0], [1.0]]
    """
    found = {}
    for number, (name, limits) in enumerate(factors.items()):
        own, size = values[..., number : number + 1], code.extrinsic[name]
        if limits.period and size > 1:
            phase = 2 * math.pi * own / limits.period
            own = torch.cat((phase.cos(), phase.sin()), -1)
        flat = own.flatten(0, -2)
        spread = flat.std(0, correction=0)
        if not own.isfinite().all() or (spread == 0).any():
            continue
        scaled = (own - flat.mean(0)) / spread
        found[name] = F.pad(scaled, (0, size - scaled.shape[-1]))
    return found


def start_labelled(
    run: Run,
    feed: Feed,
    values: Float[Tensor, "minibatches images factors"],
    *,
    steps: int = LABELLED_STEPS,
) -> None:
    """Teach the guide to read each extrinsic factor as its known value, before training.

    Where grounds and lamps vary from scene to scene, the principal component of a head that turns
    has another sign before a bright ground than before a dark one, and :func:`start_principal`
    teaches nothing. This start needs values of the factors; training after it needs the types of
    the minibatches alone, as the paper does. A factor without values starts along its principal
    component.

    Args:
        run: With untrained networks.
        feed: The training images.
        values: Of their factors, see :meth:`pyro_dcign.datasets.Store.values`.
        steps: Updates of the guide.
    """
    wanted = standardised(values.to(run.device), run.factors, run.code)
    if set(run.code.extrinsic) - set(wanted):
        start_principal(run, feed, without=wanted)
    size = values.shape[1]
    generator = torch.Generator().manual_seed(run.config.seed)
    chosen = torch.randint(values.shape[0] * size, (steps, LABELLED_IMAGES), generator=generator)
    _teach(run, (_labelled(feed, wanted, size, some.to(run.device)) for some in chosen))


def _labelled(
    feed: Feed, wanted: Mapping[str, Tensor], size: int, chosen: Int64[Tensor, " images"]
) -> dict[str, tuple[Images, Tensor]]:
    images = intensities(feed.pixels[chosen // size, chosen % size])
    return {
        name: (images, column[chosen // size, chosen % size]) for name, column in wanted.items()
    }


def _teach(run: Run, batches: Iterable[Mapping[str, tuple[Images, Tensor]]]) -> None:
    """Bring the guide's means of sites towards targets, by least squares."""
    optimizer = torch.optim.Adam(run.guide.parameters(), lr=1e-3)
    for batch in batches:
        loss, read = torch.zeros((), device=run.device), dict[int, Any]()
        for name, (images, wanted) in batch.items():
            if id(images) not in read:  # all factors of the same images are read at once
                read[id(images)] = poutine.trace(AtMean(run.code)(run.guide)).get_trace(images)
            loss = loss + F.mse_loss(read[id(images)].nodes[name]["value"], wanted)
        if not loss.requires_grad:  # a guide without an encoder has nothing to be taught
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
