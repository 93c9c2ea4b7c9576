"""Views against the definition, point by point in Python's own integers and floats."""

import math

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from scipy.stats import kstest, norm

from pcrep.augment import AugmentConfig, Augmented, augment
from tests.pcrep.augmentation import only
from tspcrep.common.errors import UserError

ALL = AugmentConfig(elastic=0.05, drop=0.2, crop="cuboid", colour_drop=0.0, shuffle=True)
MASK = 2**64 - 1


def cloud(points=500, seed=0, extent=2.0):
    rng = np.random.default_rng(seed)
    coords = rng.uniform(-extent, extent, (points, 3)).astype(np.float32)
    return coords, rng.random((points, 3)).astype(np.float32)


def split_mix(key, counter):
    z = (key + counter * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def normals(key, counter):
    bits = split_mix(key, counter & MASK)
    return [norm.ppf((((bits >> (12 * axis)) & 4095) + 0.5) / 4096) for axis in range(3)]


def displacement(point, p):
    place = np.asarray(point, float) / p.cell + p.phase
    first, total = np.floor(place).astype(int), np.zeros(3)
    for corner in np.ndindex(2, 2, 2):
        at = [int(i) for i in first + corner]
        weight = np.prod([1 - abs(t - i) for t, i in zip(place, at, strict=True)])
        node = 0
        primes = (0x8DA6B343D8163841, 0xCB1AB31FD8163843, 0xD8163841FD7046C5)
        for i, prime in zip(at, primes, strict=True):
            node ^= (i * prime) & MASK
        total += weight * np.array(normals(~p.key & MASK, node))
    return total


def by_definition(coords, colour, view: Augmented):
    """What the parameters say of each kept point, in float64."""
    p, moved, tinted = view.parameters, [], []
    for row in view.rows:
        x = coords[row].astype(float)
        x = x + p.elastic * displacement(x, p)
        moved.append(p.matrix @ x + p.offset + p.jitter * np.array(normals(p.key, 2 * int(row))))
        noise = p.noise * np.array(normals(p.key, 2 * int(row) + 1))
        tinted.append(np.clip(p.gain * (colour[row] - 0.5) + 0.5 + p.shift + noise, 0, 1))
    return np.array(moved), np.array(tinted)


@pytest.mark.parametrize(
    "config", [AugmentConfig(), ALL, only(elastic=0.1)], ids=["default", "all", "one"]
)
def test_views_are_what_the_definition_says(config):
    coords, colour = cloud(60)
    view = augment(coords, colour, config, seed=(3, 1))
    moved, tinted = by_definition(coords, colour, view)
    np.testing.assert_allclose(view.coords, moved, atol=2e-6)
    np.testing.assert_allclose(view.colour, tinted, atol=1e-6)
    assert view.coords.dtype == view.colour.dtype == np.float32 and view.rows.dtype == np.int64


def test_off_changes_no_bit():
    coords, colour = cloud()
    view = augment(coords + 400, colour, only(), 0)
    assert np.array_equal(view.coords, coords + 400) and np.array_equal(view.colour, colour)
    assert np.array_equal(view.rows, np.arange(len(coords)))
    assert augment(coords, None, ALL, 0).colour is None


@given(
    points=st.integers(1, 60),
    seed=st.integers(0, 2**63),
    crop=st.sampled_from(["none", "sphere", "cuboid"]),
    low=st.floats(0.01, 1),
    drop=st.sampled_from([0.0, 0.3, 0.99]),
    shuffle=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_rows_say_which_points_stay(points, seed, crop, low, drop, shuffle):
    coords, colour = cloud(points, seed % 1000)
    config = only(crop=crop, crop_keep=(low, 1.0), drop=drop, shuffle=shuffle)
    view = augment(coords, colour, config, seed)
    assert 1 <= len(view.rows) <= points and len(np.unique(view.rows)) == len(view.rows)
    assert np.array_equal(view.coords, coords[view.rows])
    assert np.array_equal(view.colour, colour[view.rows])
    assert shuffle or (np.diff(view.rows) > 0).all()
    if drop == 0:
        assert len(view.rows) >= max(int(low * points), 1)


@pytest.mark.parametrize("crop", ["sphere", "cuboid"])
def test_a_crop_keeps_the_nearest(crop):
    coords, _ = cloud(2000)
    config = only(crop=crop, crop_keep=(0.3, 0.3))
    kept = augment(coords, None, config, 5).rows
    assert len(kept) == 600
    gone = np.setdiff1d(np.arange(2000), kept)
    if crop == "cuboid":  # an axis-aligned box: nothing that is gone lies inside
        low, high = coords[kept].min(0), coords[kept].max(0)
        assert not ((coords[gone] > low) & (coords[gone] < high)).all(1).any()
    else:  # around one of the points
        far = [np.linalg.norm(coords[kept] - c, axis=1).max() for c in coords[kept]]
        near = [np.linalg.norm(coords[gone] - c, axis=1).min() for c in coords[kept]]
        assert sum(f < n for f, n in zip(far, near, strict=True)) == 1


def test_the_matrix_is_a_rotation_a_scale_and_flips():
    coords, _ = cloud(5)
    config = only(rotation=180.0, flip=0.5, scale=(0.5, 2.0))
    drawn = [augment(coords, None, config, seed).parameters.matrix for seed in range(600)]
    scales = np.array([m[2, 2] for m in drawn])
    assert kstest(scales, "uniform", (0.5, 1.5)).pvalue > 1e-3
    signs = np.array([np.linalg.det(m) < 0 for m in drawn])
    assert 0.4 < signs.mean() < 0.6  # one flip of two
    proper = np.array([m / s for m, s, sign in zip(drawn, scales, signs, strict=True) if not sign])
    angles = Rotation.from_matrix(proper).as_euler("zyx")[:, 0]
    assert kstest(angles, "uniform", (-np.pi, 2 * np.pi)).pvalue > 1e-3
    np.testing.assert_allclose(proper[:, 2], np.tile([0, 0, 1], (len(proper), 1)), atol=1e-12)


def test_a_tilt_leans_z_and_the_mean_stays():
    coords, _ = cloud(50, extent=0.5)
    leans = []
    for seed in range(200):
        view = augment(coords, None, only(tilt=10.0, rotation=180.0), seed)
        matrix = view.parameters.matrix
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(view.coords.mean(0), coords.mean(0), atol=1e-5)
        leans.append(math.degrees(math.acos(matrix[2, 2])))
    assert 10 < max(leans) <= 10 * math.sqrt(2) and min(leans) < 3


def test_noise_is_normal_and_independent():
    coords, colour = cloud(20_000)
    grey = np.full_like(colour, 0.5)
    view = augment(coords, grey, only(jitter=0.01, colour_noise=0.05), 7)
    noise = np.hstack([(view.coords - coords) / 0.01, (view.colour - grey) / 0.05])
    for column in noise.T:
        assert abs(column.mean()) < 0.03 and abs(column.std() - 1) < 0.02
        assert np.abs(column).max() < 3.75
        assert kstest(column, "norm").pvalue > 1e-4
    assert np.abs(np.corrcoef(noise.T) - np.eye(6)).max() < 0.03
    assert abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 0.03  # rows beside each other


def test_the_elastic_field_is_smooth_and_as_strong_as_asked():
    rng = np.random.default_rng(0)
    coords = rng.uniform(-50, 50, (20_000, 3)).astype(np.float32)
    config = only(elastic=0.1, elastic_cell=0.5)
    field = augment(coords, None, config, 1).coords - coords
    # Between nodes an average is weaker: E[w^2] = 2/3 for the two weights of each axis.
    assert field.std() == pytest.approx(0.1 * math.sqrt((2 / 3) ** 3), rel=0.02)
    near = (coords + np.float32(0.005)).astype(np.float32)
    both = augment(np.concatenate([coords, near]), None, config, 1)
    field = both.coords - np.concatenate([coords, near])
    moved = np.abs(field[: len(coords)] - field[len(coords) :]).max()
    assert 0 < moved < 0.02


def test_drops_and_grey_views_are_as_frequent_as_asked():
    coords, colour = cloud(20_000)
    kept = augment(coords, None, only(drop=0.3), 0).rows
    assert len(kept) == pytest.approx(14_000, abs=300)
    few = coords[:3], colour[:3]
    views = [augment(*few, AugmentConfig(colour_drop=0.2), seed).colour for seed in range(500)]
    assert 0.14 < np.mean([(view == 0.5).all() for view in views]) < 0.26


def test_cubes_are_hidden_with_all_their_points():
    centres = np.stack(np.meshgrid(*[np.arange(12.0)] * 3), -1).reshape(-1, 3)
    coords = (centres[:, None] + np.zeros((1, 5, 1))).reshape(-1, 3).astype(np.float32)
    config = only(hidden=0.4, hidden_edge=0.7)
    stays = np.zeros(len(coords), bool)
    stays[augment(coords, None, config, 2).rows] = True
    of_cube = stays.reshape(-1, 5)
    assert (of_cube.all(1) == of_cube.any(1)).all()
    assert of_cube[:, 0].mean() == pytest.approx(0.6, abs=0.05)
    # Cubes of many points: what is left is as empty inside as a cube is wide.
    coarse = augment(coords, None, only(hidden=0.5, hidden_edge=4.0), 2).rows // 5
    left = set(map(tuple, centres[np.unique(coarse)].astype(int)))
    together = sum((x + 1, y, z) in left for x, y, z in left) / len(left)
    assert 0.3 < len(left) / len(centres) < 0.7 and together > 0.75
    assert len(augment(coords[:1], None, only(hidden=0.99), 0).rows) == 1


def test_a_seed_gives_one_view_whatever_the_threads():
    coords, colour = cloud(5000)
    before = torch.get_num_threads()
    views = []
    try:
        for threads in (1, numba.config.NUMBA_NUM_THREADS, 1):
            torch.set_num_threads(threads)
            views.append(augment(coords, colour, ALL, (4, 2)))
    finally:
        torch.set_num_threads(before)
    for view in views[1:]:
        for name in ("coords", "colour", "rows"):
            assert np.array_equal(getattr(view, name), getattr(views[0], name))
    other = augment(coords, colour, ALL, (4, 3))
    assert not np.array_equal(other.rows[:10], views[0].rows[:10])


def test_a_points_noise_does_not_depend_on_its_company():
    coords, _ = cloud(1000)
    whole = augment(coords, None, only(jitter=0.01), 9)
    part = augment(coords, None, only(jitter=0.01, drop=0.5), 9)
    assert len(part.rows) < 600
    assert np.array_equal(part.coords, whole.coords[part.rows])


@pytest.mark.parametrize(
    "field, value",
    [
        ("jitter", -1.0),
        ("rotation", float("nan")),
        ("flip", 1.1),
        ("drop", 1.0),
        ("hidden", -0.1),
        ("hidden_edge", 0.0),
        ("elastic_cell", 0.0),
        ("scale", (2.0, 1.0)),
        ("crop_keep", (0.5, 1.5)),
    ],
)
def test_a_value_out_of_range_is_named(field, value):
    with pytest.raises(UserError, match=f"{field}: found"):
        AugmentConfig(**{field: value})
