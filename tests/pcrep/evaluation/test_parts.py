"""The part of a scan that a step sees: as many voxels as are allowed, and all of their points."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrep.evaluation import parts
from pcrep.evaluation.parts import part_of
from tests.pcrep.made_scenes import made_scene

VOXEL = 0.05


def cells_of(cloud):
    """The voxel of each point, by a division in float32 as the engine's."""
    return [tuple(cell) for cell in np.floor(cloud.coords / np.float32(VOXEL)).astype(int)]


@settings(deadline=None)  # the first call compiles
@given(st.integers(0, 50), st.integers(1, 400))
def test_the_nearest_voxels_are_kept_whole(seed, most):
    cloud = replace(made_scene(seed), row=np.arange(600))
    part = part_of(cloud, VOXEL, most, np.random.default_rng(seed))
    cells = cells_of(cloud)
    number = len(set(cells))
    kept = {cells[row] for row in part.row}
    assert len(kept) == min(most, number)
    assert part.row.tolist() == [row for row in range(600) if cells[row] in kept]


def test_what_is_left_out_is_farther_than_what_is_kept():
    """From the only labelled point, on the plan, by the first point of each voxel."""
    whole = made_scene(3)
    cloud = replace(whole, label=np.where(np.arange(600) == 444, 1, -1), row=np.arange(600))
    part = part_of(cloud, VOXEL, 40, np.random.default_rng(0))
    assert 444 in part.row
    cells, distance = cells_of(cloud), {}
    for cell, point in zip(cells, cloud.coords, strict=True):
        distance.setdefault(cell, float(np.hypot(*(point[:2] - cloud.coords[444, :2]))))
    kept = {cells[row] for row in part.row}
    far = max(distance[cell] for cell in kept)
    assert all(distance[cell] >= far for cell in distance.keys() - kept)


def test_a_small_scan_and_one_without_labels():
    cloud = made_scene(0)
    assert part_of(cloud, VOXEL, 600, np.random.default_rng(0)) is cloud
    none = replace(cloud, label=np.full(600, -1))
    assert 0 < len(part_of(none, VOXEL, 20, np.random.default_rng(0))) < 600


@pytest.mark.parametrize("seed", range(3))
def test_of_many_points_the_nearest_alone_are_voxelised(monkeypatch, seed):
    whole = made_scene(seed)
    cloud = replace(whole, label=np.where(np.arange(600) == 17, 1, -1), row=np.arange(600))
    monkeypatch.setattr(parts, "_POINTS", 5)
    part = part_of(cloud, VOXEL, 20, np.random.default_rng(seed))
    distance = np.hypot(*(cloud.coords[:, :2] - cloud.coords[17, :2]).T)
    assert set(part.row) <= set(np.argsort(distance)[: 5 * 20])
    assert len(set(cells_of(part))) == 20
