"""Laws of the people: what belongs to an identity, what to a pose, and that no seam shows."""

import hashlib
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from pyro_dcign.code import FactorRange
from pyro_dcign.errors import InputError
from pyro_dcign.scenes import load_scene, people
from pyro_dcign.scenes.ground import textures, window
from pyro_dcign.scenes.heads import Heads
from pyro_dcign.scenes.looks import COLLARS, GLASSES, STYLES, looks
from pyro_dcign.scenes.people import People
from pyro_dcign.scenes.studio import AMBIENT, AXIS_FORWARD, FILL, studio

MANY = torch.arange(24)
NEUTRAL = dict.fromkeys(People.factors, 0.0) | {"size": 1.0}


@pytest.fixture(scope="module")
def scene() -> People:
    return People()


def shoot(scene: People, identity: Tensor, side: int = 40, **values: float) -> Tensor:
    given = {**NEUTRAL, **values}
    factors = {name: torch.full((len(identity),), value) for name, value in given.items()}
    return scene.render(identity, factors, side=side).int()


def before_black_and_white(
    scene: People, monkeypatch: pytest.MonkeyPatch, **values: float
) -> tuple[Tensor, Tensor]:
    both = []
    for tone in (0.0, 1.0):

        def flat(identity: Tensor, device: object, tone: float = tone) -> Tensor:
            return torch.full((len(identity), 64, 64), tone)

        monkeypatch.setattr(people, "textures", flat)
        both.append(shoot(scene, MANY, **values))
    return both[0], both[1]


@pytest.mark.parametrize("elevation", [-20.0, 0.0, 20.0])
def test_no_ground_shines_through_a_face(
    elevation: float, scene: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Lids and lips leave openings in the mesh.
    black, white = before_black_and_white(scene, monkeypatch, elevation=elevation)
    assert torch.equal(black[:, 14:29, 14:26], white[:, 14:29, 14:26])


def test_a_ground_does_not_turn_with_the_head(
    scene: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    poses = ({"azimuth": -60.0}, {"azimuth": 60.0, "elevation": 25.0}, {"light": 70.0})
    pictures = [shoot(scene, MANY, size=0.85, **pose) for pose in poses]
    seen = torch.ones_like(pictures[0], dtype=torch.bool)
    for pose in poses:
        black, white = before_black_and_white(scene, monkeypatch, size=0.85, **pose)
        seen &= (black == 0) & (white == 255)
    assert seen.float().mean() > 0.2
    for picture in pictures[1:]:
        assert torch.equal(picture[seen], pictures[0][seen])


def test_grounds_are_of_many_kinds() -> None:
    ground = textures(torch.arange(400))
    spread = ground.flatten(1).std(1)
    assert ground.min() == 0
    assert ground.max() <= 1
    assert 0.2 < (spread < 1e-6).float().mean() < 0.45  # black or grey
    assert (spread > 0.05).float().mean() > 0.25
    assert ground.mean((1, 2)).std() > 0.1


def test_the_farthest_window_lies_inside_a_ground() -> None:
    ramp = torch.arange(64.0).expand(1, 64, 64)
    found = window(ramp, torch.tensor([[0.12, -0.12]]), torch.tensor([0.8]), side=30)[0]
    assert found.diff(dim=1).min() > 0  # no column is the border's, repeated


def test_an_identity_is_the_same_in_another_process_and_another_batch(scene: People) -> None:
    here = shoot(scene, torch.tensor([5, 2**30 + 7, 3, -9]), azimuth=30.0)[[1, 3]]
    code = (
        "import sys, torch; from pyro_dcign.scenes.people import People; p = People();"
        "f = dict.fromkeys(p.factors, torch.zeros(2)) | {'size': torch.ones(2),"
        " 'azimuth': torch.full((2,), 30.0)};"
        "x = p.render(torch.tensor([2**30 + 7, -9]), f, side=40);"
        "sys.stdout.buffer.write(x.numpy().tobytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    there = torch.frombuffer(bytearray(done.stdout), dtype=torch.uint8).view(2, 40, 40).int()
    # One grey level: a vectorised power and its scalar tail may differ in the last bit.
    assert (here - there).abs().max() <= 1
    assert (here != there).float().mean() < 0.005


def test_numbers_of_a_person_are_pinned() -> None:
    """What a number looks like is a promise to every store that names it."""
    worn, about = looks(torch.arange(64)), studio(torch.arange(64))
    parts = (*vars(worn).values(), *vars(about).values())
    rounded = [(part.double() * 1e3).round().long() for part in parts]
    digest = hashlib.sha256(b"".join(part.numpy().tobytes() for part in rounded)).hexdigest()
    assert digest[:16] == "80b4e6fc9fca9783"


def test_looks_come_as_often_as_they_say() -> None:
    worn = looks(torch.arange(4000))
    # 4,000 draws: the standard error of a share is at most .008; five of them.
    assert worn.glasses[0].mean().item() == pytest.approx(GLASSES, abs=0.04)
    assert worn.curtain[0].mean().item() == pytest.approx(STYLES["long"], abs=0.04)
    for kind, share in enumerate(COLLARS.values()):
        assert (worn.collar[0] == kind).float().mean().item() == pytest.approx(share, abs=0.04)


def test_studios_fill_their_ranges() -> None:
    about = studio(torch.arange(4000))
    strength = about.fill.norm(dim=1)
    for found, (low, high) in (
        (about.ambient, AMBIENT),
        (about.axis[:, 1], AXIS_FORWARD),
        (strength[strength > 0], FILL),
    ):
        assert low - 1e-4 <= found.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < found.max() <= high + 1e-4
    angle = torch.rad2deg(2 * (about.spread / 2).atan())
    assert angle.min() < 14.2
    assert angle.max() > 34.8


def test_a_person_has_the_face_of_the_same_number_in_the_plain_scene(scene: People) -> None:
    number = torch.tensor([3, 8])
    meshes = scene.meshes(number, looks(number))
    shapes = Heads().shapes(number)
    x, y, z = scene.heads.fields[:3]
    face = (z > 0.35) & (y < 0.1) & (x.abs() < 0.15)  # no hair grows there
    head = meshes.vertices[:, : shapes.shape[1]]
    assert torch.equal(head[:, face], shapes[:, face])


def test_glasses_stand_before_the_eyes(scene: People) -> None:
    number = torch.arange(200)
    worn = looks(number)
    wearers = number[worn.glasses[0] > 0]
    head = scene.heads.shapes(wearers)
    rims = scene.glasses.vertices(head, looks(wearers).glasses)[:, : 2 * 18 * 4]
    eyes = head[:, scene.glasses.eyes]
    assert (rims[2].amin(0) > eyes[2].amax(0) - 0.02).all()  # rims bend back at the temples
    assert (rims[0].amax(0) > eyes[0].amax(0)).all()
    assert (rims[1].amax(0) > eyes[1].mean(0)).all()
    assert (rims[1].amin(0) < eyes[1].mean(0)).all()


def test_all_that_is_worn_faces_outwards(scene: People) -> None:
    worn = looks(torch.arange(200))
    number = torch.tensor([int(((worn.collar[0] == kind) & (worn.curtain[0] > 0)).nonzero()[0])
                           for kind in range(1, 5)])  # fmt: skip
    meshes = scene.meshes(number, looks(number))
    part = scene.fields[7][:, None].expand(-1, 4)
    x, _, z = meshes.vertices
    nx, ny, nz = meshes.normals
    outwards = nx * x + nz * (z + 0.1) + 0.3 * ny
    inner = scene.fields[2][:, None] > 0.5  # of the curtain
    assert (outwards[(part == 2) & ~inner] > 0).float().mean() > 0.9
    assert (outwards[(part == 2) & inner] < 0).float().mean() > 0.8
    assert (outwards[part == 1] > 0).float().mean() > 0.85  # a collar's fold looks inwards too


def test_a_missing_factor_is_named_in_one_line(scene: People) -> None:
    with pytest.raises(InputError, match=r"people need .* got no size; add it"):
        scene.render(MANY, dict.fromkeys(("azimuth", "elevation", "light", "shift_x", "shift_y"),
                                         torch.zeros(24)), side=8)  # fmt: skip
    with pytest.raises(InputError, match="1 or more"):
        shoot(scene, MANY, side=0)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["faces", "people"])
def test_a_gpu_draws_the_same_to_a_grey_level(name: str) -> None:
    cpu, gpu = load_scene(name), load_scene(name, device="cuda")
    g = torch.Generator().manual_seed(0)

    def drawn(limits: FactorRange) -> Tensor:
        return limits.low + (limits.high - limits.low) * torch.rand(96, generator=g)

    factors = {key: drawn(limits) for key, limits in cpu.factors.items()}
    identity = torch.arange(96) // 2
    wanted = cpu.render(identity, factors, side=64).int()
    apart = (gpu.render(identity, factors, side=64).cpu().int() - wanted).abs()
    # The rest: samples on an edge or a shadow's border, where the last bit decides.
    assert (apart > 1).float().mean() < 1e-3
