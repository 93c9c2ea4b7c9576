"""Thinning, neighbours and normals, against loops, scipy, Open3D and numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from pcrep.preparation.neighbours import nearest, sharpen, surface, to_cells
from tspcrep.common.errors import UserError


def points(seed, count=300, scale=1.0):
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32) * scale


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 60), size=st.floats(0.05, 2))
def test_cells_are_the_cubes_of_a_grid(seed, count, size):
    coords = points(seed, count) + 5
    cells = to_cells(coords, size)
    cubes = np.floor((coords - coords.min(0)) * np.float32(1 / size)).astype(int)
    _, expected = np.unique(cubes, axis=0, return_inverse=True)
    assert len(np.unique(expected)) == len(cells.count)
    assert len(set(zip(expected.ravel(), cells.member, strict=True))) == len(cells.count)
    for cell in range(len(cells.count)):
        mine = cells.member == cell
        assert mine.sum() == cells.count[cell]
        mean = (coords[mine].astype(np.float64) - cells.origin).mean(0)
        np.testing.assert_allclose(cells.centre[cell], mean, atol=1e-5)


@pytest.mark.parametrize("kind", ["plane", "ball"])
def test_the_size_follows_the_budget(kind):
    coords = np.random.default_rng(0).uniform(-3, 3, (50_000, 3)).astype(np.float32)
    if kind == "plane":
        coords[:, 2] = 0
    found = len(to_cells(coords, budget=5000).count)
    assert 4400 <= found <= 5600
    assert 0.5 <= len(to_cells(coords).count) / len(coords) <= 0.7


def test_scenes_far_from_the_origin_and_of_one_point():
    coords = np.array([[637_000.25, 851_000.5, 400]], np.float32).repeat(4, 0)
    coords[:, 2] += np.arange(4)
    assert len(to_cells(coords, 0.5).count) == 4
    assert len(to_cells(coords[:1]).count) == 1
    assert len(to_cells(coords[:1].repeat(9, 0)).count) == 1


def test_cells_too_small_for_the_scene_are_refused():
    with pytest.raises(UserError, match=r"a cell of 1e-05 m in a scene .* wide, expected at least"):
        to_cells(points(0), 1e-5)


@pytest.mark.parametrize("k", [1, 7, 500])
def test_nearest_is_brute_force(k):
    coords = points(3)
    index, distance = nearest(coords, k)
    all_pairs = cdist(coords.astype(np.float64), coords.astype(np.float64))
    np.fill_diagonal(all_pairs, np.inf)
    k = min(k, len(coords) - 1)
    expected = np.sort(all_pairs, 1)[:, :k]
    np.testing.assert_allclose(distance, expected, rtol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(all_pairs, index, 1), expected, rtol=1e-5)


def test_coinciding_points_are_neighbours_but_no_point_is_its_own():
    coords = np.concatenate([np.zeros((5, 3)), points(1, 4) + 9]).astype(np.float32)
    index, distance = nearest(coords, 3)
    assert (index != np.arange(9)[:, None]).all()
    assert (distance[:5] == 0).all() and (index[:5] < 5).all()
    assert nearest(coords[:1], 4)[0].shape == (1, 0)


def test_surface_is_numpys_eigendecomposition():
    coords = points(5, 200) * np.float32([1, 0.6, 0.2])
    index, _ = nearest(coords, 9)
    found = surface(coords, index)
    for i in range(len(coords)):
        near = coords[[i, *index[i]]].astype(np.float64)
        values, vectors = np.linalg.eigh(np.cov(near.T, bias=True))
        assert abs(vectors[:, 0] @ found.normal[i]) == pytest.approx(1, abs=1e-5)
        assert found.variance[i] == pytest.approx(values[0], rel=1e-3)
        assert found.planarity[i] == pytest.approx((values[1] - values[0]) / values[2], rel=1e-3)
        assert found.curvature[i] == pytest.approx(values[0] / values.sum(), rel=1e-3)


def test_normals_are_open3ds():
    open3d = pytest.importorskip("open3d", reason="open3d is not installed")
    coords = points(6, 500)
    coords /= np.linalg.norm(coords, axis=1, keepdims=True)  # a sphere
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(coords.astype(np.float64)))
    cloud.estimate_normals(open3d.geometry.KDTreeSearchParamKNN(13))  # it counts the point itself
    found = surface(coords, nearest(coords, 12)[0]).normal
    np.testing.assert_allclose(np.abs((found * np.asarray(cloud.normals)).sum(1)), 1, atol=1e-5)


@pytest.mark.parametrize("shape", ["coinciding", "line", "alone"])
def test_where_there_is_no_surface_normals_have_length_one(shape):
    coords = {
        "coinciding": np.ones((6, 3)),
        "line": np.linspace(0, 1, 6)[:, None] * [1, 2, 3],
        "alone": np.ones((1, 3)),
    }[shape].astype(np.float32)
    found = surface(coords, nearest(coords, 4)[0])
    np.testing.assert_allclose(np.linalg.norm(found.normal, axis=1), 1, atol=1e-4)
    assert np.isfinite(found.planarity).all() and np.isfinite(found.curvature).all()


def test_sharpened_normals_stay_those_of_a_face_up_to_the_edge():
    rng = np.random.default_rng(0)
    flat = rng.uniform(0, 1, (4000, 3)).astype(np.float32)
    floor = np.arange(4000) < 2000
    flat[floor, 2] = 0  # two faces that meet at x = 0
    flat[~floor, 0] = 0
    index, _ = nearest(flat, 12)
    shape = surface(flat, index)
    truth = np.where(floor[:, None], [0, 0, 1], [1, 0, 0])
    near_edge = flat[:, 0] + flat[:, 2] < 0.03
    error = 1 - np.abs((shape.normal * truth).sum(1))
    sharp = 1 - np.abs((sharpen(flat, index, shape) * truth).sum(1))
    assert (error[near_edge] > 0.05).mean() > 0.4
    assert (sharp[near_edge] > 0.05).mean() < 0.15
    assert np.abs(sharp[~near_edge & (flat[:, 0] + flat[:, 2] > 0.2)]).max() < 1e-5
