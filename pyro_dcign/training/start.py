"""Where training starts: at the mean grey, extrinsic latents along their principal component."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pyro import poutine
from torch import Tensor

from pyro_dcign.images import intensities
from pyro_dcign.runs import AtMean, Run
from pyro_dcign.training.feed import Feed

STEPS = 300
"""Updates of the guide before training."""


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


def start_principal(run: Run, feed: Feed, *, steps: int = STEPS) -> None:
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
        if len(feed.rows(name))
    }
    optimizer = torch.optim.Adam(run.guide.parameters(), lr=1e-3)
    for step in range(steps):
        loss = torch.zeros((), device=run.device)
        for name, wanted in scores.items():
            row = step % len(wanted)
            images = intensities(feed.rows(name)[row])
            nodes: Any = poutine.trace(AtMean(run.code)(run.guide)).get_trace(images).nodes
            loss = loss + F.mse_loss(nodes[name]["value"], wanted[row])
        if not loss.requires_grad:  # a guide without an encoder has nothing to be taught
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
