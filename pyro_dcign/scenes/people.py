"""People: heads with hair, shoulders and glasses, in many lights, before many grounds, framed."""

from collections.abc import Mapping
from functools import partial
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.errors import InputError
from pyro_dcign.images import Pixels
from pyro_dcign.scenes.body import Body
from pyro_dcign.scenes.framing import FRAMING, framing
from pyro_dcign.scenes.glasses import Glasses
from pyro_dcign.scenes.ground import textures, window
from pyro_dcign.scenes.hair import PRESSED, Curtain, lift
from pyro_dcign.scenes.heads import CHUNK, SHARE, Heads
from pyro_dcign.scenes.looks import Looks, looks
from pyro_dcign.scenes.paint import CLOTH, FRAME, HAIR, HOLLOW, SKIN, person
from pyro_dcign.scenes.plugs import Plugs
from pyro_dcign.scenes.render import (
    SAMPLES,
    Lamps,
    Meshes,
    Paint,
    View,
    draw,
    lamp,
    neighbours,
    rotation,
    vertex_normals,
)
from pyro_dcign.scenes.studio import studio


@final
class People:
    """The people of :class:`~.heads.Heads`, each with looks, a studio and a ground of their own.

    Everything but pose, light and framing goes with the identity: hair, clothes, glasses, the axis
    of turning, the camera's angle, the lamp's height, ambient light, a second lamp and the ground.
    A number has the face of the same number in the plain scene.

    Args:
        device: Where to render.
        renderer: ``torch`` anywhere, or ``embree`` (a ray tracer for CPUs, an optional extra).
        shadows: Whether people throw shadows on themselves.

    Raises:
        InputError: An unknown renderer, or Embree is not installed.
    """

    name = "people"
    factors: Mapping[str, FactorRange] = {**Heads.factors, **FRAMING}

    def __init__(
        self, *, device: str | torch.device = "cpu", renderer: str = "torch", shadows: bool = True
    ) -> None:
        self.heads = Heads(device=device, renderer=renderer, shadows=shadows)
        self.device = self.heads.device
        head = self.heads.fields
        self.plugs = Plugs(head[:3], self.heads.triangles)
        self.curtain = Curtain(head)
        first = head.shape[1] + self.curtain.count + self.plugs.count
        self.body = Body(head[:3], self.heads.triangles, start=first)
        self.glasses = Glasses(head)
        positions = (
            (self.curtain.fields(), HAIR),
            (self.plugs.vertices(head[:3, :, None])[:, :, 0], HOLLOW),
            *zip(self.body.fields(head[:3]), (SKIN, CLOTH), strict=True),
            (torch.zeros(3, self.glasses.count, device=self.device), FRAME),
        )
        # Beside a head: no lips, no lids, no ears, no eyes.
        neutral = torch.tensor([-1.0, 1.0, 0.0, 0.0], device=self.device)[:, None]
        columns = [torch.cat((head, torch.full_like(head[:1], SKIN)))]
        for position, part in positions:
            rest = neutral.expand(-1, position.shape[1])
            columns.append(torch.cat((position, rest, torch.full_like(position[:1], part))))
        self.fields = torch.cat(columns, 1)
        triangles, start = [self.heads.triangles], head.shape[1]
        for piece in (self.curtain, self.plugs, self.body, self.glasses):
            triangles.append(piece.triangles + start * (piece is not self.body))
            start += piece.count
        self.triangles = torch.cat(triangles)
        self.around = neighbours(self.triangles, start)

    def meshes(self, identity: Int64[Tensor, " people"], worn: Looks) -> Meshes:
        """Shape of each person: the head, lifted by hair, and all that goes with it."""
        bare = self.heads.shapes(identity)
        head = self.heads.fields
        lifted = bare + lift(head, worn.tones) * self.heads.outwards
        lifted[0] *= 1 - PRESSED * head[5, :, None] * worn.curtain[0]
        vertices = torch.cat(
            (
                lifted,
                self.curtain.vertices(lifted, worn.tones, worn.curtain),
                self.plugs.vertices(bare),
                self.body.vertices(bare, worn.collar),
                self.glasses.vertices(bare, worn.glasses),
            ),
            1,
        )
        normals = vertex_normals(vertices, self.triangles, self.around)
        # Heads and hair throw shadows. Those of thin frames would be too hard.
        casting = len(self.heads.triangles) + len(self.curtain.triangles)
        return Meshes(vertices, normals, self.triangles, shading=head.shape[1], casting=casting)

    def render(
        self,
        identity: Int64[Tensor, " images"],
        factors: Mapping[str, Float[Tensor, " images"]],
        *,
        side: int,
    ) -> Pixels:
        """Grey 8-bit images of ``side`` x ``side`` pixels; angles in degrees.

        Angles are those of the plain scene. Shifts are shares of the frame, positive to the right
        and up; a size is a magnification.

        Raises:
            InputError: A factor is missing or ``side`` is not positive.
        """
        if side < 1:
            raise InputError(f"side is a number of pixels, 1 or more, got {side}; raise it")
        missing = [name for name in self.factors if name not in factors]
        if missing:
            raise InputError(f"people need {', '.join(self.factors)}, got no {missing[0]}; add it")
        people, mesh = identity.cpu().unique(return_inverse=True)
        mesh = mesh.to(self.device)
        worn = Looks(*(part.to(self.device) for part in vars(looks(people)).values()))
        about = studio(people)
        spread, ambient, fill, height, axis = (
            part.to(self.device) for part in vars(about).values()
        )
        meshes = self.meshes(people, worn)
        meshes.vertices[1:] -= axis.T[:, None]  # turn about this person's own axis
        behind = textures(people, self.device)

        azimuth, elevation, light = (factors[name].to(self.device) for name in Heads.factors)
        turned = rotation(azimuth, elevation)
        shift, size = framing(factors, azimuth)
        lights = torch.stack((lamp(light, height[mesh]), fill[mesh]), 1)
        # Lamps stand still in the camera's axes; the mesh sees them turned back.
        toward = (turned[:, None] * lights[:, :, :, None]).sum(2)

        albedo = Paint(
            partial(person, self.fields, worn.tones), "person", (self.fields, worn.tones)
        )
        samples = (side * SAMPLES) ** 2
        chunk = max(4, min(16, CHUNK // samples)) if self.device.type == "cpu" else 512
        out = []
        for rows in torch.arange(len(mesh), device=self.device).split(chunk):
            which = mesh[rows]
            view = View(
                which,
                turned[rows],
                toward[rows, 0],
                (1 / SHARE / spread[which]).float(),
                side * SAMPLES,
                spread[which] / size[rows],
                shift[rows],
                axis[which, 0],
            )
            ground = window(behind[which], shift[rows], size[rows], side=side)
            out.append(
                draw(
                    meshes,
                    view,
                    albedo,
                    lamps=Lamps(ambient[which], toward[rows, 1]),
                    ground=ground,
                    shadows=self.heads.shadows,
                    tracer=self.heads.tracer,
                )
            )
        return torch.cat(out)
