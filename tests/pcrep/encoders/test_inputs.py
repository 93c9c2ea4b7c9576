"""Inputs of the network against loops over points and closed forms."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pcrep.augment import AugmentConfig, augment, augmented
from pcrep.cloud import Cloud
from pcrep.encoders.encoding import check_encoder, encode, new_encoder, untrained
from pcrep.encoders.inputs import (
    INPUTS,
    channels,
    check_inputs,
    completed,
    height_over_ground,
    inputs_of,
)
from pcrep.encoders.unet import load_encoder, save_encoder
from tspcrep.common.errors import UserError

ALL = tuple(INPUTS)


def full_cloud(count=300, seed=0):
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(count, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return Cloud(
        rng.uniform(0, 2, (count, 3)).astype(np.float32),
        colour=rng.random((count, 3)).astype(np.float32),
        intensity=rng.uniform(0, 4000, count).astype(np.float32),
        normal=normal.astype(np.float32),
        height=rng.uniform(-1, 30, count).astype(np.float32),
    )


def by_hand(cloud, names):
    strong = sorted(cloud.intensity)
    place = 0.95 * (len(strong) - 1)
    low, share = math.floor(place), place % 1
    strong = (1 - share) * float(strong[low]) + share * float(strong[low + 1])
    rows = []
    for p in range(len(cloud)):
        x, y, z = map(float, cloud.normal[p])
        values = {
            "colour": [float(c) - 0.5 for c in cloud.colour[p]],
            "height": [math.asinh(float(cloud.height[p]))],
            "normal": [x * x, x * y, x * z, y * y, y * z, z * z],
            "intensity": [min(float(cloud.intensity[p]) / strong, 1) - 0.5],
        }
        rows.append([v for name in names for v in values[name]] + [1.0])
    return np.array(rows)


@pytest.mark.parametrize("names", [(), ("colour",), ("intensity", "colour"), ALL])
def test_columns_equal_a_loop_over_points_in_the_order_of_the_names(names):
    cloud = full_cloud()
    found = inputs_of(cloud, names)
    assert found.dtype == np.float32 and found.shape[1] == channels(names)
    np.testing.assert_allclose(found, by_hand(cloud, names), atol=1e-5)


@pytest.mark.parametrize("lost", ALL)
def test_what_a_cloud_lacks_is_zero_and_the_rest_is_unchanged(lost):
    cloud = full_cloud()
    whole = inputs_of(cloud, ALL)
    start = sum(INPUTS[name] for name in ALL[: ALL.index(lost)])
    whole[:, start : start + INPUTS[lost]] = 0
    np.testing.assert_array_equal(inputs_of(replace(cloud, **{lost: None}), ALL), whole)


def test_a_normal_and_its_opposite_are_one_and_intensity_has_no_unit():
    cloud = full_cloud()
    other = replace(cloud, normal=-cloud.normal, intensity=cloud.intensity / 16)
    np.testing.assert_array_equal(inputs_of(cloud, ALL), inputs_of(other, ALL))


def test_height_over_a_slope_is_that_of_a_box_on_it():
    """A slope of 10 % with a box of 2 m: heights are 0 on the slope and 0 .. 2 on the box."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 20, (2, 30_000))
    on_box = (abs(x - 10) < 1) & (abs(y - 10) < 1)
    z = 0.1 * x + np.where(on_box, 2, 0)
    coords = np.stack([x, y, z], 1).astype(np.float32)
    height = height_over_ground(coords + np.float32([500, 700, 30]))
    assert np.abs(height - np.where(on_box, 2, 0)).max() < 0.5  # a tile's rise of 10 %
    np.testing.assert_allclose(np.median(height[on_box]) - np.median(height[~on_box]), 2, atol=0.2)


def test_normals_that_are_found_are_those_of_two_planes():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0, 3, (2, 4000, 2))
    floor = np.column_stack([a, np.zeros(4000)])
    wall = np.column_stack([np.zeros(4000), b])
    coords = np.concatenate([floor, wall]).astype(np.float32)
    cloud = completed(Cloud(coords), ("normal",))
    assert cloud.height is None
    inside = np.sort(coords, 1)[:, 1] > 0.3  # away from the edge between them
    expected = np.where(np.arange(8000)[:, None] < 4000, [0, 0, 1], [1, 0, 0])
    cosine = np.abs((cloud.normal * expected).sum(1))
    assert cosine[inside].min() > 0.999
    known = full_cloud()
    assert completed(known, ALL).normal is known.normal


def test_normals_turn_and_heights_scale_with_a_view():
    """Normals of a plane, after augmentation, are orthogonal to the augmented plane."""
    rng = np.random.default_rng(0)
    flat = np.column_stack([rng.uniform(-1, 1, (200, 2)), np.zeros(200)])
    axis = np.array([0.6, 0.0, 0.8])
    turn = np.array([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])  # its last column is the axis
    coords = (flat @ turn.T).astype(np.float32)
    cloud = Cloud(
        coords,
        normal=np.tile(axis, (200, 1)).astype(np.float32),
        height=np.arange(200, dtype=np.float32),
    )
    config = AugmentConfig(jitter=0, tilt=20)
    for seed in range(4):
        made, view = augment(coords, None, config, seed), augmented(cloud, config, seed)
        local = view.coords - view.coords.mean(0)
        np.testing.assert_allclose((local * view.normal).sum(1), 0, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(view.normal, axis=1), 1, atol=1e-5)
        before = np.linalg.norm(coords[made.rows[0]] - coords[made.rows[1]])
        scale = np.linalg.norm(view.coords[0] - view.coords[1]) / before
        np.testing.assert_allclose(view.height, scale * made.rows, rtol=1e-4)


def test_an_encoder_remembers_its_inputs(tmp_path):
    encoder = new_encoder("small", ("height", "colour")).eval()
    assert encoder.in_channels == 5
    save_encoder(tmp_path / "encoder.safetensors", encoder)
    again = load_encoder(tmp_path / "encoder.safetensors")
    assert again.inputs == untrained(again, 0).inputs == ("height", "colour")
    cloud = full_cloud()
    np.testing.assert_array_equal(encode(encoder, cloud, 0.1)[0], encode(again, cloud, 0.1)[0])
    moved = replace(cloud, height=cloud.height + 1)
    assert np.abs(encode(encoder, cloud, 0.1)[0] - encode(encoder, moved, 0.1)[0]).max() > 0
    unread = replace(cloud, intensity=None, normal=None)
    np.testing.assert_array_equal(encode(encoder, unread, 0.1)[0], encode(again, cloud, 0.1)[0])


def test_wrong_names_and_channels_are_told():
    for names in (("color",), ("colour", "colour")):
        with pytest.raises(UserError, match=r"inputs: found .*expected .*colour, height"):
            check_inputs(names)
    encoder = new_encoder("small")
    encoder.inputs = ("height",)
    with pytest.raises(UserError, match="reads 4 channels, expected 2, height and a constant 1"):
        check_encoder(encoder)
