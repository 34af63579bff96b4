"""The ELBO of test images while training goes on."""

import torch

from pyro_dcign.datasets.store import Store
from pyro_dcign.errors import InputError
from pyro_dcign.images import Images, intensities
from pyro_dcign.training.svi import TypedSVI

TEST_IMAGES = 400


def held_out_images(store: Store) -> Images:
    """Images of test identities, spread evenly over the minibatch types."""
    each = []
    for varying in store.types:
        count = store.count("test", varying)
        wanted = min(count, max(1, TEST_IMAGES // (len(store.types) * store.size)))
        each += [store.minibatch("test", varying, i * count // wanted) for i in range(wanted)]
    if not each:
        raise InputError(f"{store.folder} needs test minibatches to evaluate on; make some")
    return intensities(torch.cat([minibatch.pixels for minibatch in each]))


def held_out_elbo(svi: TypedSVI, images: Images) -> dict[str, float]:
    """Mean ELBO of an image and its terms, unclamped, with draws of their own fixed seed."""
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        parts = [svi.evaluate(chunk) for chunk in images.split(100)]
    reconstruction, kl = (torch.cat(term).mean().item() for term in zip(*parts, strict=True))
    return {"reconstruction": reconstruction, "kl": kl, "elbo": -reconstruction - kl}
