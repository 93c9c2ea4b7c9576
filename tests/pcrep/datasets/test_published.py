"""Every published cloud at hand is read whole: counts, fields and what is in them."""

import os
from pathlib import Path

import numpy as np
import pytest

from pcrep.datasets import labelled_split, load_points, load_scenes

DATA = os.environ.get("TSPCREP_DATA")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA, reason="$TSPCREP_DATA is not set: no real clouds here"),
]
POINTS = Path(DATA or ".") / "points"

COUNTS = {
    "s3dis_room/s3dis_room.npz": 321_015,
    "semantickitti/000000.bin": 123_389,
    "kitti_unlabelled/000049.bin": 120_258,
    "kitti_unlabelled/000200.bin": 126_356,
    "indoor_unlabelled/scannet_scene0000_00.bin": 40_684,
    "indoor_unlabelled/sunrgbd_000017.bin": 50_000,
    "aerial/autzen_trim.las": 110_000,
    "aerial/mixed_conifer.laz": 37_657,
    "objects/ism_test_cat.pcd": 3_400,
    "objects/ism_train_wolf.pcd": 3_400,
    "isprs_filter/samp11-utm.pcd": 38_010,
    "isprs_filter/samp11-utm-ground.pcd": 21_786,
    "isprs_filter/samp12-utm.pcd": 52_119,
    "isprs_filter/samp52-utm-ground.pcd": 20_112,
    "isprs_filter/samp61-utm.pcd": 35_060,
    "mosd/learn0.pcd": 182_292,
    "mosd/learn44.pcd": 174_620,
    "mosd/test0.pcd": 189_198,
    "mosd/test43.pcd": 170_986,
    "mosd/test56.pcd": 165_114,
}


# The northings of some were saved as 32-bit floats.
@pytest.mark.filterwarnings("ignore:.*keeps coordinates up to 5.*steps of 0.5 ")
@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    assert len(load_points(POINTS / name)) == COUNTS[name]


def test_lidar_frames_against_numpy():
    frame = np.fromfile(POINTS / "semantickitti/000000.bin", np.float32).reshape(-1, 4)
    words = np.fromfile(POINTS / "semantickitti/000000.label", np.uint32)
    cloud = load_points(POINTS / "semantickitti/000000.bin")
    np.testing.assert_array_equal(cloud.coords, frame[:, :3])
    np.testing.assert_array_equal(cloud.intensity, frame[:, 3])
    np.testing.assert_array_equal(cloud.label, words % 65536)
    things = cloud.instance >= 0
    np.testing.assert_array_equal(things, words >= 65536)
    np.testing.assert_array_equal(cloud.instance[things] // 65536, words[things] // 65536)
    scenes = load_scenes("semantickitti")
    names = np.array(scenes.classes)[scenes[0].label]
    for name, number in (("car", 10), ("road", 40), ("vegetation", 70), ("traffic-sign", 81)):
        assert (names == name).sum() >= (words % 65536 == number).sum() > 0


@pytest.mark.parametrize("name", ["scannet_scene0000_00", "sunrgbd_000017"])
def test_coloured_records_against_numpy(name):
    values = np.fromfile(POINTS / f"indoor_unlabelled/{name}.bin", np.float32).reshape(-1, 6)
    cloud = load_points(POINTS / f"indoor_unlabelled/{name}.bin")
    np.testing.assert_array_equal(cloud.coords, values[:, :3])
    white = 255 if name.startswith("scannet") else 1
    np.testing.assert_allclose(cloud.colour, values[:, 3:] / white, atol=1e-7)


@pytest.mark.parametrize("name", ["autzen_trim.las", "mixed_conifer.laz"])
def test_aerial_scans_against_laspy(name):
    laspy = pytest.importorskip("laspy")
    whole = laspy.read(POINTS / "aerial" / name)
    cloud = load_points(POINTS / "aerial" / name)
    position = np.asarray(whole.xyz)
    expected = position - np.floor(position.min(axis=0))
    np.testing.assert_allclose(cloud.coords, expected, atol=1e-3)
    np.testing.assert_array_equal(cloud.label, np.asarray(whole.classification))
    if name.startswith("autzen"):  # 8 bits in 16
        assert cloud.colour.max() == np.float32(np.asarray(whole.red).max() / 255)
    else:
        tree = np.asarray(whole["treeID"])  # the largest float where there is none
        np.testing.assert_array_equal(cloud.instance, np.where(tree > 1e9, -1, tree))
        assert 0 < (cloud.instance == -1).sum() < len(cloud)


def test_the_room():
    scenes = load_scenes("s3dis_room")
    assert len(scenes.classes) == 11
    room = scenes[0]
    with np.load(POINTS / "s3dis_room/s3dis_room.npz") as archive:
        np.testing.assert_array_equal(room.label, archive["label"])
        np.testing.assert_array_equal(room.coords, archive["xyz"])
    assert len(np.unique(room.instance)) == 43


def test_mosd_3():
    assert len(load_scenes("mosd")) == 49
    split = labelled_split("mosd")
    assert (len(split.learn), len(split.test), len(split.unlabelled)) == (28, 12, 32)
    boxes, cylinders = split.learn[0], split.learn[27]
    assert np.bincount(boxes.label).tolist()[2:] == []
    assert np.bincount(cylinders.label)[1] == 0
    assert (boxes.instance >= 0).sum() == (boxes.label == 1).sum() > 1000
    # parts of an object, numbered 30 and 31, are one; so are those of the table
    mixed = load_scenes("mosd")[47]
    assert mixed.name.endswith("test55.pcd")
    assert set(np.unique(mixed.instance)) == set(range(-1, 14))
    assert set(np.unique(mixed.label)) == {-1, 0}


def test_mosd_pixels_against_open3d():
    open3d = pytest.importorskip("open3d")
    path = POINTS / "mosd/learn0.pcd"
    whole = open3d.t.io.read_point_cloud(str(path)).point
    seen = np.isfinite(whole["positions"].numpy()).all(axis=1)
    cloud = load_points(path)
    np.testing.assert_array_equal(cloud.coords, whole["positions"].numpy()[seen])
    np.testing.assert_array_equal(cloud.label, whole["label"].numpy()[seen, 0])
    np.testing.assert_allclose(cloud.colour, whole["colors"].numpy()[seen] / 255, atol=1e-7)


def test_a_folder_without_a_layout():
    scenes = load_scenes(POINTS / "isprs_filter")
    assert len(scenes) == 16
    assert scenes.names[0] == "samp11-utm"
    assert load_scenes("indoor").names == ("scannet_scene0000_00", "sunrgbd_000017")
