"""Rays of laser scanners against closed forms: planes, relief, roofs by their corners, leaves."""

import numpy as np
import pytest

from pcrep.procedural.rays import GROUND, NOTHING, first_hits, relief, relief_at
from pcrep.procedural.roofs import GABLE, HIP, SHED, meet_roof
from pcrep.procedural.shapes import BOX, ELLIPSOID
from tests.pcrep.solids import distance, inside

WAVES = np.array([[0.08, 0.03, 0.4, 1.2], [-0.02, 0.06, 2.0, 2.0]])
LEVEL = np.array([[0.0, 0.0, 0.0, 1.0]])  # sin 0 = 0
EYE = np.eye(3)[None]


def directions(rng, count):
    d = rng.normal(size=(count, 3))
    return d / np.linalg.norm(d, axis=1, keepdims=True)


def hits(origin, direction, most=200.0, waves=LEVEL, solid=None, leafy=0.0, key=0):
    kind, size, centre = solid or (BOX, (1.0, 1.0, 1.0), (0.0, 0.0, -500.0))
    return first_hits(
        *(origin, direction, most, waves, np.array([kind]), np.array([size], float)),
        *(np.array([centre], float), EYE, np.array([leafy]), key),
    )


@pytest.mark.parametrize("kind", [GABLE, HIP, SHED])
def test_a_ray_meets_a_roof_where_it_enters_it(kind):
    rng, size = np.random.default_rng(0), np.array([1.5, 2.5, 1.2])
    origin = rng.uniform(-6, 6, (4000, 3))
    origin = origin[~inside(kind, size, origin)]
    direction = directions(rng, len(origin))
    direction[::2] = rng.uniform(-1, 1, (len(origin[::2]), 3)) * size - origin[::2]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    normal, met = np.empty(3), 0
    for o, d in zip(origin, direction, strict=True):
        t = meet_roof(kind, size, o, d, normal)
        steps = o + np.linspace(0, 20, 4000)[:, None] * d
        within = inside(kind, size, steps)
        if t == np.inf:
            assert within.sum() <= 4  # a corner may be cut by less than the tolerance
            continue
        met += 1
        assert distance(kind, size, (o + t * d)[None])[0] < 1e-9
        assert not within[np.linspace(0, 20, 4000) < t - 1e-9].any()
        assert abs(np.linalg.norm(normal) - 1) < 1e-12 and normal @ d < 0
        assert not inside(kind, size, (o + t * d + 1e-6 * normal)[None])[0]
    assert met > 800


def test_rays_from_the_air_end_on_the_relief():
    rng = np.random.default_rng(1)
    origin = np.column_stack([rng.uniform(-50, 50, (3000, 2)), np.full(3000, 60.0)])
    direction = directions(rng, 3000)
    direction[:, 2] = -np.abs(direction[:, 2]) - 0.05
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    t, which, normal = hits(origin, direction, 500.0, WAVES)
    met = which == GROUND
    end = origin[met] + t[met, None] * direction[met]
    expected = [sum(w[3] * np.sin(w[0] * x + w[1] * y + w[2]) for w in WAVES) for x, y, _ in end]
    assert met.mean() > 0.8
    np.testing.assert_allclose(end[:, 2], expected, atol=2e-5)
    np.testing.assert_allclose(relief_at(WAVES, end), expected, atol=1e-12)
    assert abs(relief(WAVES, *end[0, :2]) - expected[0]) < 1e-12
    for axis, step in enumerate(np.eye(3)[:2] * 1e-5):  # the normal is across finite differences
        rise = (relief_at(WAVES, end + step) - relief_at(WAVES, end - step)) / 2e-5
        np.testing.assert_allclose(-normal[met, axis] / normal[met, 2], rise, atol=1e-6)
    for o, d, far in zip(origin[met][::50], direction[met][::50], t[met][::50], strict=True):
        way = o + np.linspace(0, far - 1e-3, 2000)[:, None] * d  # above the ground until there
        assert (way[:, 2] > relief_at(WAVES, way)).all()


def test_on_level_ground_the_distance_is_height_over_cosine():
    rng = np.random.default_rng(2)
    direction = directions(rng, 500)
    origin = np.tile([3.0, -2.0, 5.0], (500, 1))
    t, which, _ = hits(origin, direction, 40.0)
    expected = np.where(direction[:, 2] < 0, 5 / np.abs(direction[:, 2]), np.inf)
    near = expected < 39.9
    np.testing.assert_allclose(t[near], expected[near], atol=1e-3)
    assert (which[near] == GROUND).all() and (which[expected > 40.1] == NOTHING).all()


def test_a_ball_hides_the_ground_and_leaves_let_their_share_pass():
    """Rays straight down on a ball of 3 m: the circle that it covers, by hand."""
    rng = np.random.default_rng(3)
    places = rng.uniform(-5, 5, (20_000, 2))
    origin = np.column_stack([places, np.full(20_000, 30.0)])
    down = np.tile([0.0, 0.0, -1.0], (20_000, 1))
    solid = (ELLIPSOID, (3.0, 3.0, 3.0), (0.0, 0.0, 10.0))
    t, which, normal = hits(origin, down, solid=solid)
    far = np.hypot(*places.T)
    assert ((which == 0) == (far < 3)).all()
    top = np.sqrt(9 - far[far < 3] ** 2)
    np.testing.assert_allclose(t[far < 3], 20 - top, atol=1e-9)
    np.testing.assert_allclose(normal[far < 3, 2], top / 3, atol=1e-9)
    _, which, _ = hits(origin, down, solid=solid, leafy=0.3)
    covered = int((far < 3).sum())
    assert abs((which[far < 3] == GROUND).mean() - 0.3) < 4 * np.sqrt(0.21 / covered)
    _, other, _ = hits(origin, down, solid=solid, leafy=0.3, key=1)
    assert (which != other).any()
