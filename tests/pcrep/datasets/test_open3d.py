"""Clouds of Open3D come in and go out with all that they know."""

import numpy as np
import pytest
import torch

from pcrep import SegmentationPipeline, encode
from pcrep.cloud import Cloud
from pcrep.datasets import load_points
from pcrep.encoders.encoding import new_encoder
from pcrep.evaluation.segmentation import Segmenter
from pcrep.preparation import prepare
from tspcrep.common.errors import UserError

open3d = pytest.importorskip("open3d", reason="open3d is not installed")
RNG = np.random.default_rng(0)
COORDS, COLOUR = RNG.random((50, 3)), RNG.random((50, 3))


def legacy():
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(COORDS))
    cloud.colors = open3d.utility.Vector3dVector(COLOUR)
    cloud.normals = open3d.utility.Vector3dVector(np.tile([0, 0, 2.0], (50, 1)))
    return cloud


@pytest.mark.parametrize("tensor", [False, True])
def test_taken_as_a_file_that_open3d_writes(tmp_path, tensor):
    cloud = legacy()
    assert open3d.io.write_point_cloud(str(tmp_path / "a.ply"), cloud)
    given = open3d.t.geometry.PointCloud.from_legacy(cloud) if tensor else cloud
    file, found = load_points(tmp_path / "a.ply"), load_points(given)
    assert found.arrays().keys() == file.arrays().keys() == {"coords", "colour", "normal"}
    np.testing.assert_array_equal(found.coords, file.coords)
    np.testing.assert_allclose(found.colour, file.colour, atol=0.5 / 255 + 1e-6)  # 8 bits in a PLY
    np.testing.assert_allclose(found.normal, file.normal, atol=1e-6)


def test_given_and_taken_again():
    label = RNG.integers(-1, 4, 50)
    cloud = Cloud(COORDS.astype("f4"), COLOUR.astype("f4"), np.arange(50, dtype="f4"), label=label)
    given = cloud.to_open3d()
    assert np.shares_memory(given.point.positions.numpy(), cloud.coords)
    np.testing.assert_array_equal(np.asarray(given.to_legacy().points), cloud.coords)
    again = load_points(given)
    assert again.arrays().keys() == cloud.arrays().keys()
    for name, values in cloud.arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], values, err_msg=name)


def test_far_coordinates_keep_their_digits():
    far = COORDS + np.array([600_000.25, 5_400_000, 30])
    cloud = load_points(open3d.geometry.PointCloud(open3d.utility.Vector3dVector(far)))
    given = cloud.to_open3d().point.positions.numpy()
    assert given.dtype == np.float64
    np.testing.assert_allclose(given, far, atol=1e-6)


def test_what_is_no_cloud_is_said():
    for thing in (open3d.geometry.PointCloud(), open3d.t.geometry.PointCloud()):
        with pytest.raises(UserError, match="an Open3D PointCloud: holds no points"):
            load_points(thing)
    with pytest.raises(UserError, match="an Open3D VoxelGrid: expected an open3d"):
        load_points(open3d.geometry.VoxelGrid())


@pytest.mark.parametrize("tensor", [False, True])
def test_what_takes_a_cloud_takes_one_of_open3d(tensor):
    given = legacy()
    given = open3d.t.geometry.PointCloud.from_legacy(given) if tensor else given
    cloud = load_points(given)
    torch.manual_seed(0)
    encoder = new_encoder("small")
    pipeline = SegmentationPipeline(Segmenter(encoder, 3), ("a", "b", "c"))
    for use in (
        lambda cloud: prepare(cloud).arrays().items(),
        lambda cloud: enumerate(encode(encoder, cloud, 0.1)),
        lambda cloud: enumerate((pipeline(cloud).label, pipeline(cloud).confidence)),
    ):
        for (name, found), (_, expected) in zip(use(given), use(cloud), strict=True):
            np.testing.assert_array_equal(found, expected, err_msg=str(name))


def test_what_is_no_cloud_at_all_is_said():
    with pytest.raises(UserError, match="found a ndarray, expected a Cloud"):
        prepare(COORDS)
