"""Laws of the heads: conventions, determinism, size, and a second renderer's opinion."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import pyro_dcign.scenes
from pyro_dcign.errors import InputError
from pyro_dcign.scenes.albedo import complexion
from pyro_dcign.scenes.heads import Heads
from pyro_dcign.scenes.identity import normal, uniform
from pyro_dcign.scenes.scene import load_scene

ASSETS = Path(pyro_dcign.scenes.__file__).parent / "assets"
PEOPLE = torch.arange(8)


@pytest.fixture(scope="module")
def heads() -> Heads:
    return Heads()


def shoot(scene: Heads, people: Tensor, side: int = 48, **angles: float) -> Tensor:
    factors = {
        name: torch.full((len(people),), float(angles.get(name, 0))) for name in scene.factors
    }
    return scene.render(people, factors, side=side)


def centre(weight: Tensor, dim: int) -> Tensor:
    """Mean column (dim -1) or row (dim -2) of some weight, a picture."""
    other = -2 if dim == -1 else -1
    line = weight.float().sum(other)
    return (line * torch.arange(line.shape[-1])).sum(-1) / line.sum(-1)


def front(scene: Heads, people: Tensor, **angles: float) -> Tensor:
    """Pictures in which only the face, not the back of the head, throws back light."""
    factors = {
        name: torch.full((len(people),), float(angles.get(name, 0))) for name in scene.factors
    }
    fields = scene.fields
    scene.fields = fields.clone()
    scene.fields[6] = 1.0  # eyeballs all over: white away from the iris
    scene.fields[1] = torch.where(fields[2] > 0.3, 9.0, -0.018)  # front white, back dark iris
    scene.fields[0] = torch.where(fields[2] > 0.3, 9.0, 0.14)
    try:
        return scene.render(people, factors, side=48) > 150
    finally:
        scene.fields = fields


def test_positive_azimuth_turns_the_face_to_the_left(heads: Heads) -> None:
    left, right = (centre(front(heads, PEOPLE, azimuth=a), -1) for a in (40, -40))
    assert (left < 20).all()
    assert (right > 27).all()


def test_positive_elevation_looks_from_above(heads: Heads) -> None:
    above, below = (centre(front(heads, PEOPLE, elevation=e), -2) for e in (25, -25))
    assert (above > below + 6).all()  # the face sinks and the crown comes into view


def test_positive_light_comes_from_the_right(heads: Heads) -> None:
    image = shoot(heads, PEOPLE, light=60).float()
    assert (image[:, :, 24:].mean((1, 2)) > 1.2 * image[:, :, :24].mean((1, 2))).all()


def test_the_lamp_stays_with_the_camera_when_the_head_turns(heads: Heads) -> None:
    right, left = (centre(shoot(heads, PEOPLE, light=a, azimuth=70), -1) for a in (70, -70))
    assert (right > left + 4).all()


def test_chin_to_crown_fills_about_85_percent(heads: Heads) -> None:
    mean = heads.mean[:, :, 0]
    middle = mean[:, (mean[0].abs() < 0.012) & (mean[2] > 0)]
    chin = middle[1, (middle[1] - middle[2]).argmin()]
    assert float(mean[1].max() - chin) == pytest.approx(1, abs=0.01)
    rows = (shoot(heads, torch.arange(20), side=150) > 0).any(2)
    crown = rows.float().argmax(1).float()
    assert float(crown.mean()) / 150 == pytest.approx(0.075, abs=0.05)  # hair takes some


@settings(max_examples=10)
@given(
    people=st.lists(st.integers(-(2**62), 2**62), min_size=2, max_size=11),
    pick=st.integers(0, 10),
    azimuth=st.floats(-80, 80),
)
def test_a_picture_does_not_depend_on_its_batch(
    people: list[int], pick: int, azimuth: float
) -> None:
    scene = Heads()
    pick %= len(people)
    identity = torch.tensor(people)
    factors = {
        "azimuth": torch.full((len(people),), azimuth),
        "elevation": torch.linspace(-30, 30, len(people)),
        "light": torch.linspace(80, -80, len(people)),
    }
    batch = scene.render(identity, factors, side=24)[pick]
    alone = scene.render(identity[[pick]], {k: v[[pick]] for k, v in factors.items()}, side=24)[0]
    # One grey level: a vectorised power and its scalar tail may differ in the last bit.
    assert (batch.int() - alone.int()).abs().max() <= 1
    assert (batch != alone).float().mean() < 0.005


def test_numbers_of_a_person_are_the_same_everywhere() -> None:
    drawn = normal(torch.tensor([0, 1, -5]), stream=1, count=2)
    assert drawn.tolist() == [
        [-0.5325927734375, 1.1541290283203125],
        [-0.762237548828125, -0.095550537109375],
        [1.072174072265625, 0.665069580078125],
    ]
    assert uniform(torch.tensor([7]), stream=2, count=1).item() == 0.16798203294970526


def test_people_are_spread_as_a_standard_normal() -> None:
    # 160,000 draws: the mean's standard error is 0.0025, the variance's 0.0034; five of each.
    drawn = normal(torch.arange(2000), stream=1, count=80)
    assert abs(drawn.mean()) < 0.0125
    assert abs(drawn.var() - 1) < 0.017


def test_people_differ(heads: Heads) -> None:
    image = shoot(heads, PEOPLE).float()
    apart = (image[:, None] - image).abs().mean((2, 3))
    assert apart[~torch.eye(len(PEOPLE), dtype=torch.bool)].min() > 3


def test_tones_are_reflectances() -> None:
    tones = complexion(torch.arange(500))
    assert tones[:2].min() > 0.02
    assert tones[:2].max() < 0.7


@pytest.mark.parametrize("shadows", [False, True], ids=["plain", "shadows"])
@pytest.mark.parametrize("side", [64, 100])
@pytest.mark.parametrize("scene", ["faces", "people"])
def test_embree_agrees(scene: str, side: int, shadows: bool) -> None:
    pytest.importorskip("embreex")
    g = torch.Generator().manual_seed(side)
    ours, theirs = (
        load_scene(scene, renderer=name, shadows=shadows) for name in ("torch", "embree")
    )
    factors = {
        name: r.low + torch.rand(8, generator=g) * (r.high - r.low)
        for name, r in ours.factors.items()
    }
    people = torch.arange(8)
    ours, theirs = (each.render(people, factors, side=side) for each in (ours, theirs))
    difference = (ours.float() - theirs.float()).abs() / 255
    assert difference.mean() <= (0.003 if shadows else 0.0001)


def test_the_basis_is_small_and_says_where_it_comes_from() -> None:
    assert (ASSETS / "heads.safetensors").stat().st_size <= 2.5e6
    assert "CC0 1.0" in (ASSETS / "LICENSE-heads.md").read_text()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: load_scene("cats"), "faces"),
        (lambda: Heads(renderer="povray"), "torch, embree"),
        (lambda: Heads().render(PEOPLE, {}, side=8), "azimuth"),
        (lambda: shoot(Heads(), PEOPLE, side=0), "1 or more"),
    ],
    ids=["scene", "renderer", "factor", "side"],
)
def test_a_mistake_is_named_in_one_line(call: object, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)
