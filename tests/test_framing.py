"""Laws of the framing: it is the camera's, and exact."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pyro_dcign.scenes import load_scene
from pyro_dcign.scenes.framing import FRAMING
from pyro_dcign.scenes.heads import Heads
from pyro_dcign.scenes.render import SPREAD, Meshes, View, project, rotation

scene = cache(load_scene)

SIDE = 50
PEOPLE = torch.arange(6)
POSE = {"azimuth": 20.0, "elevation": -10.0, "light": 30.0}


def shoot(name: str, side: int = SIDE, **values: float) -> Tensor:
    given = {**POSE, "shift_x": 0.0, "shift_y": 0.0, "size": 0.9, **values}
    factors = {key: torch.full((len(PEOPLE),), value) for key, value in given.items()}
    return scene(name).render(PEOPLE, factors, side=side).int()


def centre(image: Tensor, dim: int) -> Tensor:
    """Mean column (dim 2) or row (dim 1) of what is not black."""
    weight = (image > 0).float().sum(3 - dim)
    return (weight * torch.arange(image.shape[dim])).sum(1) / weight.sum(1)


@pytest.mark.parametrize("name", ["faces", "people"])
@pytest.mark.parametrize(("right", "up"), [(4, 0), (0, 5), (-6, 3)])
def test_a_shift_moves_the_whole_picture_by_whole_pixels(name: str, right: int, up: int) -> None:
    still = shoot(name)
    moved = shoot(name, shift_x=right / SIDE, shift_y=up / SIDE)
    wanted = still.roll((-up, right), (1, 2))
    seen = (slice(max(0, -up), SIDE - max(0, up)), slice(max(0, right), SIDE + min(0, right)))
    apart = (moved - wanted).abs()[:, seen[0], seen[1]]
    # Where two triangles meet, the last bit of a coordinate may decide.
    assert (apart > 1).float().mean() < 0.005
    assert (moved - still).abs().float().mean() > 2


@pytest.mark.parametrize("shift", [-0.07, 0.03])
def test_a_shift_moves_the_silhouette_by_that_share_of_the_frame(shift: float) -> None:
    still = shoot("faces", side=100, size=0.8)
    moved = shoot("faces", side=100, size=0.8, shift_x=shift)
    assert (centre(moved, 2) - centre(still, 2)).tolist() == pytest.approx(
        [100 * shift] * 6, abs=0.2
    )


@pytest.mark.parametrize("size", [0.8, 1.15])
def test_a_size_magnifies_about_the_principal_point(size: float) -> None:
    vertices = torch.tensor([[0.3, -0.1], [0.2, 0.4], [0.1, -0.2]])[:, :, None]
    mesh = Meshes(vertices, vertices, torch.tensor([[0, 1, 0]]))

    def screen(spread: float, shift: Tensor) -> Tensor:
        turned = rotation(torch.tensor([30.0]), torch.tensor([10.0]))
        view = View(
            mesh=torch.tensor([0]),
            rotation=turned,
            lamp=turned[:, 0],
            distance=4.0,
            side=100,
            spread=torch.tensor([spread], dtype=torch.float64),
            shift=shift,
        )
        return project(mesh, view)[1][:2, :, 0]

    still = screen(SPREAD, torch.zeros(1, 2)) - 50
    moved = screen(SPREAD / size, torch.tensor([[0.1, 0.05]])) - torch.tensor([[60.0], [45.0]])
    torch.testing.assert_close(moved, size * still)


def test_a_smaller_head_is_narrower_by_its_size() -> None:
    # Bounding columns: a pixel at either side may be touched or not.
    wide, narrow = (
        (shoot("faces", side=150, azimuth=0.0, size=size) > 0).any(1).sum(1) for size in (1.0, 0.8)
    )
    assert (narrow - 0.8 * wide).abs().max() <= 2


def test_neutral_framing_is_no_framing_bit_for_bit() -> None:
    factors = {name: torch.full((6,), value) for name, value in POSE.items()}
    neutral = {"shift_x": torch.zeros(6), "shift_y": torch.zeros(6), "size": torch.ones(6)}
    scene = Heads()
    bare = scene.render(PEOPLE, factors, side=SIDE)
    assert torch.equal(bare, scene.render(PEOPLE, {**factors, **neutral}, side=SIDE))


def test_plain_heads_are_what_they_always_were() -> None:
    """Rendered before there was any framing; another CPU may round a pixel to the next grey."""
    with Image.open(Path(__file__).with_name("plain-heads.png")) as picture:
        wanted = torch.from_numpy(np.array(picture)).int()
    factors = {
        "azimuth": torch.tensor([0.0, 35, -70, 80, -20, 10]),
        "elevation": torch.tensor([0.0, 20, -25, 5, 30, -10]),
        "light": torch.tensor([25.0, -60, 40, 80, 0, -30]),
    }
    found = torch.cat(list(Heads().render(PEOPLE, factors, side=40)), 1).int()
    assert (found - wanted).abs().max() <= 1
    assert (found != wanted).float().mean() < 0.005


def test_the_point_about_which_a_head_turns_stays_where_it_is() -> None:
    origin = torch.zeros(3, 1, 1)
    mesh = Meshes(origin, origin, torch.tensor([[0, 0, 0]]))
    turned = rotation(torch.tensor([0.0, 50, -80]), torch.tensor([0.0, 30, -20]))
    view = View(
        mesh=torch.zeros(3, dtype=torch.int64),
        rotation=turned,
        lamp=turned[:, 0],
        distance=2.0,
        side=100,
        spread=0.5,
        height=torch.full((3,), -0.1),
    )
    # 0.1 below the axis at distance 2, where the frame is 1 unit high: 10 rows below the middle.
    screen = project(mesh, view)[1][:2, 0]
    torch.testing.assert_close(screen, torch.tensor([[50.0] * 3, [60.0] * 3]))


def test_the_ranges_hold_what_is_neutral() -> None:
    for name, limits in FRAMING.items():
        assert limits.low < (name == "size") < limits.high
