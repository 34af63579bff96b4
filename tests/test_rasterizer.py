"""Laws of the z-buffer, on triangles small enough to work out by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pyro_dcign.scenes.rasterizer import interpolate, nearest, resolve
from pyro_dcign.scenes.render import Lamps, Meshes, Surface, View, draw, lamp, rotation
from pyro_dcign.scenes.shadow import ShadowMap


def screen(*corners: tuple[float, float, float]) -> Tensor:
    return torch.tensor(corners).T[:, :, None].contiguous()


ONE = torch.tensor([[0, 1, 2]])
# Anticlockwise as seen, rows running downwards: covers sample (c, r) where c + r + 1 <= 4.
CORNER = ((0.0, 0.0, 1.0), (0.0, 4.0, 1.0), (4.0, 0.0, 1.0))


def covered(packed: Tensor) -> Tensor:
    return packed >= 1 << 32


def test_a_triangle_covers_the_samples_inside_it() -> None:
    hit = covered(nearest(screen(*CORNER), ONE, side=6))[0]
    expected = torch.tensor([[c + r + 1 <= 4 for c in range(6)] for r in range(6)])
    assert hit.equal(expected)


@pytest.mark.parametrize("side", [1, 37, 600])
def test_a_triangle_as_large_as_the_frame_fills_it(side: int) -> None:
    large = screen((-1.0, -1.0, 1.0), (-1.0, 3.0 * side, 1.0), (3.0 * side, -1.0, 1.0))
    assert covered(nearest(large, ONE, side=side)).all()


def test_a_triangle_that_faces_away_is_culled() -> None:
    turned = screen(CORNER[0], CORNER[2], CORNER[1])
    assert not covered(nearest(turned, ONE, side=6)).any()
    assert covered(nearest(turned, ONE, side=6, cull=False)).sum() == 10


@pytest.mark.parametrize("first", [0, 1], ids=["near-first", "far-first"])
def test_the_nearest_triangle_wins_whatever_the_order(first: int) -> None:
    near = [(x, y, 2.0) for x, y, _ in CORNER]
    far = [(3 * x - 1, 3 * y - 1, 1.0) for x, y, _ in CORNER]
    pair = [near, far] if first == 0 else [far, near]
    both = screen(*pair[0], *pair[1])
    packed = nearest(both, torch.tensor([[0, 1, 2], [3, 4, 5]]), side=6)[0]
    triangle = (packed & 0xFFFFFFFF)[:4, :4]
    expected = torch.tensor(
        [[first if c + r + 1 <= 4 else 1 - first for c in range(4)] for r in range(4)]
    )
    assert triangle.equal(expected)


def test_depths_cross_where_two_triangles_meet() -> None:
    # Nearness 1 + column / 8 against 1.5: they meet at column 4.
    slope = [(x, y, 1 + x / 8) for x, y in ((-20.0, -20.0), (-20.0, 40.0), (40.0, -20.0))]
    slope = [(x, y, w + 5) for x, y, w in slope]
    flat = [(-20.0, -20.0, 6.5), (-20.0, 40.0, 6.5), (40.0, -20.0, 6.5)]
    packed = nearest(screen(*slope, *flat), torch.tensor([[0, 1, 2], [3, 4, 5]]), side=8)[0]
    triangle = packed & 0xFFFFFFFF
    assert triangle[:, :4].eq(1).all()
    assert triangle[:, 4:].eq(0).all()


def test_an_attribute_is_interpolated_in_space_not_on_the_screen() -> None:
    # Corners at depths 1, 1 and 3; half-way on the screen is a quarter of the way in space.
    s = screen((0.0, 0.0, 1.0), (0.0, 8.0, 1.0), (8.0, 0.0, 1 / 3))
    hits = resolve(nearest(s, ONE, side=8), s, ONE)
    value = interpolate(
        torch.tensor([[0.0, 0.0, 1.0]]), ONE.T.expand(3, len(hits.sample)), hits.weight
    )
    column = (hits.sample % 8) + 0.5
    t = column / 8
    torch.testing.assert_close(value[0], t / 3 / (1 - t + t / 3))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), side=st.integers(1, 70), count=st.integers(1, 12))
def test_the_blocks_find_what_trying_every_sample_finds(seed: int, side: int, count: int) -> None:
    g = torch.Generator().manual_seed(seed)
    corners = torch.rand(3, 3 * count, 2, generator=g) * 1.6 * side - 0.3 * side
    corners[2] = torch.rand(3 * count, 2, generator=g) + 0.5
    triangles = torch.arange(3 * count).view(-1, 3)
    packed = nearest(corners, triangles, side=side, cull=False)
    centre = torch.arange(side, dtype=torch.float64) + 0.5
    best = torch.zeros(2, side, side, dtype=torch.float64)
    margin = torch.full_like(best, torch.inf)
    for a, b, c in corners.double().unflatten(1, (count, 3)).permute(1, 2, 0, 3):
        p = torch.stack(torch.broadcast_tensors(centre[None, :, None], centre[:, None, None]), 0)
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        wb = ((p[0] - a[0]) * (c[1] - a[1]) - (p[1] - a[1]) * (c[0] - a[0])) / area
        wc = ((b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])) / area
        wa = 1 - wb - wc
        least = torch.minimum(torch.minimum(wa, wb), wc).permute(2, 0, 1)
        depth = (wa * a[2] + wb * b[2] + wc * c[2]).permute(2, 0, 1)
        best = torch.where((least >= 0) & (depth > best), depth, best)
        margin = torch.minimum(margin, least.abs())
    clear = margin > 2e-3  # samples on no triangle's edge
    near = (packed >> 32).to(torch.int32).view(torch.float32).double()
    torch.testing.assert_close(near[clear], best[clear], rtol=1e-3, atol=1e-3)


def plane_and_blocker() -> Meshes:
    """A plate of half width 1 at z = 0, and a small one of half width 0.2 at z = 0.5."""
    plate = [(-1.0, -1.0, 0.0), (1.0, -1.0, 0.0), (1.0, 1.0, 0.0), (-1.0, 1.0, 0.0)]
    small = [(0.2 * x, 0.2 * y, 0.5) for x, y, _ in plate]
    vertices = torch.tensor(plate + small).T[:, :, None].contiguous()
    normals = torch.zeros_like(vertices)
    normals[2] = 1
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    return Meshes(vertices, normals, triangles)


def test_a_shadow_falls_where_the_lamp_throws_it() -> None:
    mesh = plane_and_blocker()
    toward = torch.nn.functional.normalize(torch.tensor([[1.0, 0.0, 1.0]]))
    shadow = ShadowMap(mesh.vertices, mesh.triangles, toward, side=256)
    # From the right at 45 degrees, a plate at height 0.5 shades what lies 0.5 to its left.
    x = torch.linspace(-0.95, 0.95, 39)
    point = torch.stack((x, torch.zeros(39), torch.full((39,), 0.01)))
    lit = shadow.lit(point, torch.zeros(39, dtype=torch.int64), bias=0.003)
    assert lit[(x + 0.5).abs() < 0.17].eq(0).all()
    assert lit[(x + 0.5).abs() > 0.23].eq(1).all()


def test_what_a_shadow_map_does_not_hold_is_lit() -> None:
    mesh = plane_and_blocker()
    toward = torch.tensor([[0.0, 0.0, 1.0]])
    # A third plate over one corner throws a shadow, but lies outside a map of the small one.
    corner = mesh.vertices[:, 4:] + torch.tensor([[0.7], [0.7], [0.0]])[:, :, None]
    vertices = torch.cat((mesh.vertices[:, 4:], mesh.vertices[:, :4], corner), 1)
    triangles = torch.tensor([[0, 1, 2], [0, 2, 3], [8, 9, 10], [8, 10, 11]])
    point = torch.tensor([[0.1, 0.7], [0.1, 0.7], [0.01, 0.01]])
    whole, held = (
        ShadowMap(vertices, triangles, toward, side=64, held=held)
        .lit(point, torch.zeros(2, dtype=torch.int64), bias=0.003)
        .tolist()
        for held in (None, 4)
    )
    assert whole == [0, 0]
    assert held == pytest.approx([0, 1], abs=1e-5)


def test_light_on_a_plate_is_lamberts() -> None:
    mesh = plane_and_blocker()
    light = lamp(torch.tensor([40.0]))
    view = View(
        mesh=torch.tensor([0]),
        rotation=rotation(torch.zeros(1), torch.zeros(1)),
        lamp=light,
        distance=4.0,
        side=8,
    )

    def grey(surface: Surface) -> Tensor:
        return torch.full((len(surface.mesh),), 0.5)

    value = draw(mesh, view, grey, lamps=Lamps(0.2), shadows=False)[0, 1, 1]
    radiance = 0.5 * (0.2 + 0.8 * float(light[0, 2]))
    assert int(value) == pytest.approx(255 * radiance ** (1 / 2.2), abs=1)


def test_a_second_lamp_adds_its_share_and_a_ground_shows_where_nothing_is() -> None:
    mesh = plane_and_blocker()
    light = lamp(torch.tensor([40.0, 40.0]))
    view = View(
        mesh=torch.tensor([0, 0]),
        rotation=rotation(torch.zeros(2), torch.zeros(2)),
        lamp=light,
        distance=12.0,
        side=16,
    )

    def grey(surface: Surface) -> Tensor:
        return torch.full((len(surface.mesh),), 0.5)

    fill = torch.tensor([[0.0, 0.0, 0.3], [0.4, 0.0, -0.3]])  # the second is behind the plate
    ground = torch.linspace(0, 1, 2 * 8 * 8).view(2, 8, 8)
    lamps = Lamps(torch.tensor([0.2, 0.4]), fill)
    value = draw(mesh, view, grey, lamps=lamps, ground=ground, shadows=False)
    for k, (ambient, more) in enumerate(((0.2, 0.3), (0.4, 0.0))):
        radiance = 0.5 * (ambient + (1 - ambient) * float(light[0, 2]) + more)
        assert int(value[k, 3, 3]) == pytest.approx(255 * radiance ** (1 / 2.2), abs=1)
        assert int(value[k, 0, 3]) == pytest.approx(255 * ground[k, 0, 3] ** (1 / 2.2), abs=1)
