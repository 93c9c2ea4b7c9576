"""Planes and the upward direction of scenes whose planes are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from pcrep.cloud import Cloud
from pcrep.preparation.planes import _rotation_between, dominant_planes, upright


def sheet(seed, count, normal, offset, noise=0.0):
    """Points of a square of 2 m on the plane, and their normals of random sign."""
    rng = np.random.default_rng(seed)
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    turn = _rotation_between(np.array([0, 0, 1.0]), normal).astype(float)
    flat = np.c_[rng.uniform(-1, 1, (count, 2)), rng.normal(0, noise, count)] @ turn.T
    signs = rng.choice([-1, 1], (count, 1))
    return (flat + offset * normal).astype(np.float32), (signs * normal).astype(np.float32)


def test_planes_are_found_the_fullest_first():
    truth = [((0, 0, 1), 0.5, 2000), ((1, 2, 0), -1.0, 1200), ((1, 0, 0.2), 2.0, 700)]
    parts = [sheet(i, n, axis, d, 0.004) for i, (axis, d, n) in enumerate(truth)]
    rng = np.random.default_rng(9)
    clutter = rng.uniform(-3, 3, (300, 3)), rng.normal(size=(300, 3))
    coords, normal = (
        np.concatenate([*column, c]).astype(np.float32)
        for column, c in zip(zip(*parts, strict=True), clutter, strict=True)
    )
    found = dominant_planes(coords, normal / np.linalg.norm(normal, axis=1, keepdims=True), 0.02)
    assert len(found) == 3
    start = 0
    for plane, (axis, offset, count) in zip(found, truth, strict=True):
        cosine = plane.normal @ np.asarray(axis) / np.linalg.norm(axis)
        assert abs(cosine) > 0.9999
        assert plane.offset * np.sign(cosine) == pytest.approx(offset, abs=0.005)
        mine = (plane.rows >= start) & (plane.rows < start + count)
        assert mine.sum() > 0.95 * count and mine.mean() > 0.95
        distance = coords.astype(np.float64) @ plane.normal - plane.offset
        np.testing.assert_allclose(plane.distance(coords), distance, atol=1e-5)
        start += count


def test_parallel_planes_stay_apart_and_clutter_is_none():
    coords, normal = (
        np.concatenate(p) for p in zip(*(sheet(i, 500, (0, 0, 1), i) for i in (1, 2)), strict=True)
    )
    offsets = sorted(abs(p.offset) for p in dominant_planes(coords, normal, 0.05))
    assert offsets == pytest.approx([1, 2], abs=1e-4)
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(1000, 3)).astype(np.float32)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    assert dominant_planes(rng.uniform(size=(1000, 3)).astype(np.float32), normal, 0.01) == []


def test_the_same_seed_finds_the_same():
    coords, normal = sheet(0, 800, (1, 1, 1), 0.3, 0.01)
    first, second = (dominant_planes(coords, normal, 0.01, seed=4) for _ in range(2))
    assert len(first) == len(second)
    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(first, second, strict=True))


unit = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)


@settings(max_examples=50, deadline=None)
@given(start=unit, end=unit)
def test_the_smallest_rotation_between_two_directions(start, end):
    a, b = (np.asarray(v) / np.linalg.norm(v) for v in (start, end))
    for target in (b, a, -a):
        turn = _rotation_between(a, target).astype(float)
        np.testing.assert_allclose(turn @ a, target, atol=1e-3)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-3)
        assert np.linalg.det(turn) == pytest.approx(1, abs=1e-3)


def table(seed=0):
    """A table of 1.2 m with a box on it, z up, the table's top at z = 0."""
    rng = np.random.default_rng(seed)
    top = np.c_[rng.uniform(-0.6, 0.6, (6000, 2)), rng.normal(0, 0.001, 6000)]
    box = rng.uniform(-0.1, 0.1, (1500, 3)) + np.array([0.1, 0, 0.1])
    face = rng.integers(0, 3, 1500)
    box[face == 0, 2] = 0.2
    box[face == 1, 1] = -0.1
    box[face == 2, 0] = 0.0
    return np.concatenate([top, box])


@pytest.mark.parametrize("roll", [0, 15])
@pytest.mark.parametrize("pitch", [25, 50, 90])
@pytest.mark.parametrize("ahead", [1, -1], ids=["z-ahead", "z-behind"])
def test_a_camera_frame_is_turned_up(pitch, roll, ahead):
    world = table()
    look = Rotation.from_euler("zx", [roll, 90 + pitch], degrees=True)  # y down, z ahead
    camera = look.apply(world) + np.array([0, 0, 1.1])
    if ahead < 0:
        camera = camera * [1, -1, -1]  # OpenGL's camera: y up, z behind
    cloud = Cloud(coords=camera.astype(np.float32), normal=camera.astype(np.float32))
    turned = upright(cloud)
    tops = turned.coords[:6000, 2]
    assert np.ptp(np.quantile(tops, [0.01, 0.99])) < 0.02
    assert turned.coords[6000:, 2].mean() > tops.mean() + 0.05  # the box is above
    assert tops.mean() < 0  # the camera, which stays the origin, looks down
    lengths = np.linalg.norm(turned.coords, axis=1)
    np.testing.assert_allclose(lengths, np.linalg.norm(cloud.coords, axis=1), rtol=1e-4)
    np.testing.assert_allclose(turned.normal, turned.coords, atol=1e-5)
    np.testing.assert_array_equal(upright(turned).coords, turned.coords)  # and stays so


@pytest.mark.parametrize("shift", [(0, 0, 0), (0.6, 0.6, 0), (500, 300, 400), (0, 0, 40)])
def test_what_is_not_a_camera_frame_stays(shift):
    cloud = Cloud(coords=(table() + shift).astype(np.float32))
    assert upright(cloud).coords is cloud.coords
