"""Ground, bounding planes, objectness and weights on scenes whose objects are known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrep.cloud import Cloud
from pcrep.preparation import prepare
from pcrep.preparation.background import _SLOPE, _bounding_planes, _envelope, _fullness, ground
from pcrep.preparation.foreground import foreground, objectness, segment_weights
from pcrep.preparation.neighbours import nearest, surface, to_cells
from pcrep.procedural import BACKGROUND, CLASSES, procedural


def plane_of(low, high, spacing=0.05):
    """Points of an axis-aligned rectangle."""
    axes = [
        np.arange(a, b + 1e-9, spacing) if b > a else np.array([a])
        for a, b in zip(low, high, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3).astype(np.float32)


def box_of(low, high, spacing=0.05):
    (x, y, z), (u, v, w) = low, high
    sides = [
        ((x, y, z), (u, y, w)),
        ((x, v, z), (u, v, w)),
        ((x, y, z), (x, v, w)),
        ((u, y, z), (u, v, w)),
    ]
    return np.concatenate([plane_of(*s, spacing) for s in [*sides, ((x, y, w), (u, v, w))]])


def scores(parts, seed=0):
    """Share of each part's points that is foreground."""
    coords = np.concatenate(parts)
    coords = coords + np.random.default_rng(seed).normal(0, 0.004, coords.shape)
    cloud = prepare(Cloud(coords=coords.astype(np.float32)))
    found = np.split(foreground(cloud), np.cumsum([len(p) for p in parts])[:-1])
    return [part.mean() for part in found]


def test_a_room_with_a_table_a_box_and_a_column():
    floor, ceiling = plane_of((0, 0, 0), (5, 4, 0)), plane_of((0, 0, 2.6), (5, 4, 2.6))
    walls = [plane_of((0, 0, 0), (5, 0, 2.6)), plane_of((0, 0, 0), (0, 4, 2.6))]
    walls += [plane_of((0, 4, 0), (5, 4, 2.6)), plane_of((5, 0, 0), (5, 4, 2.6))]
    column = box_of((2.2, 1.8, 0), (2.6, 2.2, 2.6))
    table = plane_of((3, 1, 0.75), (4.5, 2, 0.75), 0.03)
    box = box_of((1, 1, 0), (1.6, 1.6, 0.6), 0.03)
    found = scores([floor, ceiling, *walls, column, table, box])
    assert max(found[:6]) < 0.1
    assert found[6] < 0.3
    assert min(found[7:]) > 0.9


def test_a_street_on_a_slope():
    ground_points = plane_of((0, 0, 0), (40, 30, 0), 0.25)
    cars = [box_of((x, 10, 0.2), (x + 4, 11.8, 1.5), 0.15) for x in (5.0, 15.0, 28.0)]
    slope = np.float32([0.12, 0.05])
    parts = [
        p + np.float32([0, 0, 1]) * (p[:, :2] @ slope)[:, None] for p in [ground_points, *cars]
    ]
    found = scores(parts)
    assert found[0] < 0.05
    assert min(found[1:]) > 0.9


def test_roofs_seen_from_the_air_are_no_ceiling():
    roofs = [box_of((x, 10, 0), (x + 30, 40, 8), 1.0) for x in (10.0, 60.0)]
    land = plane_of((0, 0, 0), (100, 50, 0), 1.0)
    under = [
        ((land[:, :2] > r[:, :2].min(0)) & (land[:, :2] < r[:, :2].max(0))).all(1) for r in roofs
    ]
    found = scores([land[~(under[0] | under[1])], *roofs])
    assert found[0] < 0.1
    assert min(found[1:]) > 0.75


def test_procedural_rooms():
    background = [CLASSES.index(name) for name in BACKGROUND]
    hits = made = real = 0
    for cloud in procedural(3, 11):
        found, truth = foreground(prepare(cloud)), ~np.isin(cloud.label, background)
        hits, made, real = hits + (found & truth).sum(), made + found.sum(), real + truth.sum()
    assert hits / made > 0.8
    assert hits / real > 0.8


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), rows=st.integers(1, 12), columns=st.integers(1, 12))
def test_the_envelope_is_the_lowest_cone(seed, rows, columns):
    rng = np.random.default_rng(seed)
    low = np.where(rng.random((rows, columns)) < 0.4, rng.uniform(0, 9, (rows, columns)), np.inf)
    low[rng.integers(rows), rng.integers(columns)] = 3.0
    found = low.copy()
    _envelope(found, 0.5)
    y, x = np.indices(low.shape)
    far = np.abs(y[..., None, None] - y), np.abs(x[..., None, None] - x)
    steps = np.maximum(*far) - np.minimum(*far) + 2**0.5 * np.minimum(*far)
    np.testing.assert_allclose(found, (low + 0.5 * steps).min((2, 3)), rtol=1e-9)


def test_ground_passes_under_things_and_over_echoes():
    flat = plane_of((0, 0, 0), (20, 20, 0), 0.25)
    hidden = ((flat[:, :2] > 8) & (flat[:, :2] < 10)).all(1)
    car = plane_of((8, 8, 1.5), (10, 10, 1.5), 0.25)
    echo = np.float32([[3, 3, -6]])
    points = np.concatenate([flat[~hidden], car, echo])
    height = ground(points, 1.0, np.ones(len(points), bool))
    below = height[: -len(car) - 1]
    assert below.min() > -1.5 * _SLOPE - 0.01 and below.max() < 1e-6
    assert (points[-len(car) - 1 : -1, 2] - height[-len(car) - 1 : -1]).min() > 1.0
    assert (ground(points, 1.0, np.zeros(len(points), bool)) == -6).all()


def test_fullness_is_the_share_of_levels():
    wall, table = plane_of((0, 0, 0), (0, 2, 3)), plane_of((1, 0, 0.75), (2, 2, 0.75))
    floor = plane_of((0, 0, 0), (2, 2, 0))
    points = np.concatenate([wall, table, floor])
    full = _fullness(points, 0.1, 0.0, 3.0)
    assert full[: len(wall)].min() > 0.9
    assert full[len(wall) : len(wall) + len(table)].max() <= 2 / 19 + 1e-9


def test_a_table_bounds_a_table_scene_but_not_a_room():
    table = plane_of((0, 0, 0.7), (1.5, 1, 0.7), 0.03)
    room = np.concatenate(
        [plane_of((-2, -2, 0), (3, 3, 0)), plane_of((-2, 3, 0), (3, 3, 2.5)), table]
    )
    heights = []
    for points in (table, room):
        cells = to_cells(points, 0.03)
        normal = surface(cells.centre, nearest(cells.centre, 12)[0]).normal
        planes = _bounding_planes(cells.centre, normal, cells.size)
        for plane in planes:  # the normal points into the scene
            assert np.mean(plane.distance(cells.centre) < -2 * cells.size) < 0.03
        level = [p for p in planes if abs(p.normal[2]) > 0.9]
        heights.append([float(p.distance(cells.centre).max()) for p in level])
    assert heights[0] == pytest.approx([0], abs=0.01)
    assert heights[1] == pytest.approx([2.5], abs=0.03)  # the floor alone


def segmented(sizes, objectness=None):
    segment = np.arange(len(sizes)).repeat(sizes)
    coords = np.random.default_rng(0).normal(size=(len(segment), 3)).astype(np.float32)
    score = None if objectness is None else np.float32(objectness)
    return Cloud(coords=coords, segment=segment, objectness=score, name="made")


def test_weights_of_the_samplers():
    cloud = segmented([100, 50, 30, 5, 15], [0.1, 0.9, 0.6, 1.0, 0.0])
    expected = {
        "random": np.array([100, 50, 30, 5, 15]) / 200,
        "size-balanced": np.array([1, 1, 1, 0, 0]) / 3,
        "plane-removed": np.array([0, 1, 1, 0, 0]) / 2,
        "objectness": np.array([0.1, 0.9, 0.6, 0, 0]) / 1.6,
    }
    for how, weight in expected.items():
        np.testing.assert_allclose(segment_weights(cloud, how), weight, rtol=1e-6)
    assert segment_weights(cloud, "size-balanced", smallest=1)[3] == 0.2


def test_points_of_no_segment_are_no_foreground_and_weigh_nothing():
    cloud = segmented([30, 60], [0.9, 0.2])
    cloud = replace(cloud, segment=np.where(np.arange(90) < 5, -1, cloud.segment))
    assert foreground(cloud).tolist() == [False] * 5 + [True] * 25 + [False] * 60
    np.testing.assert_allclose(segment_weights(cloud, "random"), [25 / 85, 60 / 85])
    assert objectness(cloud).shape == (2,)


def test_a_crop_with_nothing_to_draw_weighs_nothing():
    cloud = segmented([30, 60], [0.1, 0.2])
    assert segment_weights(cloud, "plane-removed").tolist() == [0, 0]
    assert segment_weights(cloud, "objectness", smallest=100).tolist() == [0, 0]
    with pytest.raises(ValueError, match="how is 'all', expected one of random"):
        segment_weights(cloud, "all")
    with pytest.raises(ValueError, match="segments are not known"):
        foreground(Cloud(coords=cloud.coords))
