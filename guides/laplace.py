"""The encoder proposes, Gauss-Newton steps find the normal of each image."""

from typing import Any

import torch
from torch import Tensor

from pyro_dcign.code import GraphicsCode
from pyro_dcign.images import Images
from pyro_dcign.model import (
    AnyEncoder,
    Guide,
    Model,
    NormalFit,
    linear_head,
    nearest_normal,
    sample_correlated,
    sample_diagonal,
)

KEPT = 4096


class Laplace(Guide):
    """Trained, the mean field; read (``eval()``), a normal with full covariance for each image.

    Its parameters are a mean field's, and so is its training: any run of that guide can be opened
    with this one. Where it is read, it climbs log p(x, z) from the encoder's mean, and fits mean
    and covariance there (see :func:`~pyro_dcign.model.nearest.nearest_normal`): the Laplace
    approximation, but averaged over draws and not at the mode. The normals of the last 4,096
    images are kept until a parameter changes.

    Attributes:
        effort: How far it goes; more buys a nearer normal with time.
    """

    effort = NormalFit()

    def __init__(self, encoder: AnyEncoder, code: GraphicsCode) -> None:
        super().__init__()
        self.encoder, self.code = encoder, code
        self.loc = linear_head(encoder.features, code.latents)
        self.log_variance = linear_head(encoder.features, code.latents)
        self.seen: tuple[Model, ...] = ()
        self.kept: dict[bytes, tuple[Tensor, Tensor]] = {}
        self.version: Any = None

    def bind(self, model: Model) -> None:
        """The model whose posterior it is; in a tuple, its parameters are not the guide's."""
        self.seen = (model,)

    def _fits(self, images: Images) -> tuple[Tensor, Tensor]:
        (model,) = self.seen
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(*self.effort.noise, self.code.latents, generator=generator)
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            start = self.loc(self.encoder(images))
            return nearest_normal(model, images, start, noise.to(start), self.effort)

    def normals(self, images: Images) -> tuple[Tensor, Tensor]:
        """Mean and root of the covariance of each image's code."""
        parameters = [*self.parameters(), *self.seen[0].parameters()]
        version = (self.effort, tuple((p.data_ptr(), p._version) for p in parameters))
        if version != self.version:
            self.version, self.kept = version, {}
        keys = [image.cpu().contiguous().numpy().tobytes() for image in images]
        new = [i for i, key in enumerate(keys) if key not in self.kept]
        if new:
            fits = zip(*(part.cpu() for part in self._fits(images[new])), strict=True)
            if len(self.kept) + len(new) > KEPT:
                self.kept = {key: self.kept[key] for key in keys if key in self.kept}
            self.kept |= dict(zip((keys[i] for i in new), fits, strict=True))
        loc, root = (torch.stack(part) for part in zip(*map(self.kept.get, keys), strict=True))
        return loc.to(images.device), root.to(images.device)

    def forward(self, images: Images) -> None:
        """Sample every factor's site, given the factors before it where the guide is read."""
        if not self.training:
            sample_correlated(self.code, *self.normals(images))
            return
        features = self.encoder(images)
        with torch.autocast(images.device.type, enabled=False):
            loc = self.loc(features)
            scale = (self.log_variance(features) / 2).exp()
        sample_diagonal(self.code, loc, scale)
