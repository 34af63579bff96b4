"""Heads: people from the MakeHuman head, turned, tilted and lit."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float, Float32, Int64
from safetensors.torch import load_file
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.errors import InputError
from pyro_dcign.images import Pixels
from pyro_dcign.scenes.albedo import complexion, hair_volume, skin
from pyro_dcign.scenes.framing import framing
from pyro_dcign.scenes.identity import normal
from pyro_dcign.scenes.render import (
    SAMPLES,
    SPREAD,
    Meshes,
    Paint,
    Tracer,
    View,
    distance,
    draw,
    lamp,
    neighbours,
    rasterize,
    rotation,
    vertex_normals,
)

BASIS = Path(__file__).with_name("assets") / "heads.safetensors"
SHARE = 0.85  # of the frame's height, chin to crown
FIELDS = ("lips", "lids", "ears", "eyes")
STREAM = 1  # of random words: shape; the albedo has its own
CHUNK = 600_000  # samples at a time on a CPU: its cache holds them


class Heads:
    """Faces of people who do not exist (MakeHuman, CC0).

    Args:
        device: Where to render.
        renderer: ``torch`` anywhere, or ``embree`` (a ray tracer for CPUs, an optional extra).
        shadows: Whether heads throw shadows on themselves.

    Raises:
        InputError: An unknown renderer, or Embree is not installed.
    """

    name = "faces"
    factors: Mapping[str, FactorRange] = {
        "azimuth": FactorRange(-80.0, 80.0),
        "elevation": FactorRange(-30.0, 30.0),
        "light": FactorRange(-80.0, 80.0),
    }

    def __init__(
        self, *, device: str | torch.device = "cpu", renderer: str = "torch", shadows: bool = True
    ) -> None:
        self.device = torch.device(device)
        self.shadows = shadows
        self.tracer = _tracer(renderer)
        basis = load_file(BASIS, device=str(self.device))
        self.triangles = basis["faces"].long()
        mean = basis["mean"].T.contiguous()
        # A head turns about the axis through its ears. About its middle instead, a profile to the
        # left and one to the right differ less than a profile and a front do: |azimuth| is then
        # the first principal component of turning, and a single latent may learn it folded.
        ears = basis["ears"].float()
        mean[2] -= (mean[2] * ears).sum() / ears.sum()
        self.mean = mean.double()[:, :, None]
        self.modes = basis["modes"].double().permute(2, 1, 0).flatten(0, 1)
        self.around = neighbours(self.triangles, mean.shape[1])
        self.outwards = vertex_normals(mean[:, :, None], self.triangles, self.around)
        self.fields = torch.cat((mean, torch.stack([basis[name].float() for name in FIELDS])))

    def meshes(
        self, identity: Int64[Tensor, " people"], tones: Float[Tensor, "tones people"]
    ) -> Meshes:
        """Shape of each person: the mean plus 80 modes, each a draw of one standard deviation.

        Hair lifts the surface; ``tones`` (from `complexion`) say where and how much.
        """
        volume = hair_volume(self.fields, tones)
        vertices = self.shapes(identity) + volume * self.outwards
        normals = vertex_normals(vertices, self.triangles, self.around)
        return Meshes(vertices, normals, self.triangles)

    def shapes(self, identity: Int64[Tensor, " people"]) -> Float32[Tensor, "3 vertices people"]:
        """Vertices of each person without hair."""
        draws = torch.from_numpy(normal(identity, stream=STREAM, count=self.modes.shape[1]))
        offset = (self.modes @ draws.to(self.device).T).unflatten(0, (3, -1))
        # On a grid, so that the order in which a matmul adds does not show.
        found: Tensor = ((self.mean + offset) * 2**20).round().mul_(2**-20).float()
        return found

    def render(
        self,
        identity: Int64[Tensor, " images"],
        factors: Mapping[str, Float[Tensor, " images"]],
        *,
        side: int,
    ) -> Pixels:
        """Grey 8-bit images of ``side`` x ``side`` pixels; angles in degrees.

        Positive azimuth turns the face to the picture's left, positive elevation shows it from
        above, positive light comes from the picture's right. Framing (`framing.FRAMING`) is neutral
        where it is not given.

        Raises:
            InputError: A factor is missing or ``side`` is not positive.
        """
        if side < 1:
            raise InputError(f"side is a number of pixels, 1 or more, got {side}; raise it")
        missing = [name for name in self.factors if name not in factors]
        if missing:
            raise InputError(
                f"faces need {', '.join(self.factors)} in degrees, got no {missing[0]}; add it"
            )
        people, mesh = identity.unique(return_inverse=True)
        tones = complexion(people).to(self.device)
        meshes = self.meshes(people, tones)
        azimuth, elevation, light = (factors[name].to(self.device) for name in self.factors)
        turned = rotation(azimuth, elevation)
        # The lamp stands still in the camera's axes; the mesh sees it turned back.
        toward = (turned * lamp(light)[:, :, None]).sum(1)
        mesh = mesh.to(self.device)
        shift, size = framing(factors, azimuth)
        spread = SPREAD / size

        albedo = Paint(partial(skin, self.fields, tones), "skin", (self.fields, tones))
        samples = (side * SAMPLES) ** 2
        chunk = max(4, min(16, CHUNK // samples)) if self.device.type == "cpu" else 512
        out = []
        for rows in torch.arange(len(mesh), device=self.device).split(chunk):
            view = View(
                mesh[rows],
                turned[rows],
                toward[rows],
                distance(SHARE),
                side * SAMPLES,
                spread[rows],
                shift[rows],
            )
            out.append(draw(meshes, view, albedo, shadows=self.shadows, tracer=self.tracer))
        return torch.cat(out)


def _tracer(renderer: str) -> Tracer:
    if renderer == "torch":
        return rasterize
    if renderer == "embree":
        from pyro_dcign.scenes.embree import Embree  # noqa: PLC0415  an optional extra

        return Embree()
    raise InputError(f"a renderer is one of torch, embree, got {renderer!r}; name one of them")
