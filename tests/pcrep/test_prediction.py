"""Segmentation of raw and of large clouds: tiles, what a tile sees, and the way from a file."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from pcrep import SparseTensor, SparseUNet, UNetConfig
from pcrep.cloud import Cloud
from pcrep.datasets import Reading, load_points
from pcrep.encoders.encoding import encode, new_encoder
from pcrep.evaluation.segmentation import (
    SegmentationConfig,
    Segmenter,
    load_segmenter,
    save_segmenter,
)
from pcrep.prediction import SegmentationPipeline, reach, tiles_of
from pcrep.preparation.planes import upright
from tests.pcrep.networks import SMALL, TINY, tiny
from tspcrep.common.errors import UserError

CLASSES = ("a", "b", "c")


def segmenter(cloud, encoder=None, voxel=0.1):
    """An untrained one, whose scores are 0 on average over the cloud, so that classes vary."""
    torch.manual_seed(3)
    method = Segmenter(encoder or tiny(3), 3, SegmentationConfig(voxel=voxel)).eval()
    features = torch.from_numpy(encode(method.encoder, cloud, voxel)[0])
    with torch.no_grad():
        method.head.weight.mul_(10)
        method.head.bias.copy_(-method.head.weight @ features.mean(0))
    return method


def plain_cloud(count=3000, seed=0, extent=(12, 8, 1)):
    rng = np.random.default_rng(seed)
    coords = (rng.random((count, 3)) * extent).astype(np.float32)
    return Cloud(coords, colour=rng.random((count, 3)).astype(np.float32), name="plain")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 200), st.integers(1, 60), st.floats(0, 3))
def test_tiles_hold_each_point_once_and_all_around_it(seed, count, most, overlap):
    coords = plain_cloud(count, seed).coords
    tiles = [*tiles_of(coords, most, overlap)]
    np.testing.assert_array_equal(np.sort(np.concatenate([t[0] for t in tiles])), np.arange(count))
    for inside, around in tiles:
        assert len(inside) <= most and (np.diff(around) > 0).all()
        for row in inside[:5]:
            far = np.abs(coords[:, :2] - coords[row, :2]).max(1)
            assert set(np.flatnonzero(far <= overlap * 0.999)) <= set(around)


@pytest.mark.parametrize("config", [TINY, SMALL, UNetConfig(in_channels=4)], ids=["1", "2", "4"])
def test_nothing_beyond_its_reach_moves_a_voxel(config):
    torch.manual_seed(0)
    network = SparseUNet(config).double().eval()
    far = reach(config) + 20
    line = torch.zeros(2 * far, 4, dtype=torch.int32)
    line[:, 1] = torch.arange(2 * far) - far
    features = torch.rand(2 * far, 4, dtype=torch.float64)
    changed = features.clone()
    changed[far] += 1
    with torch.inference_mode():
        before, after = (network(SparseTensor(line, f)).features for f in (features, changed))
    moved = np.flatnonzero((before != after).any(1).numpy()) - far
    assert len(moved) > 3 and np.abs(moved).max() <= reach(config)


def test_a_cloud_in_tiles_has_the_classes_of_the_whole():
    cloud = plain_cloud()
    method = segmenter(cloud)
    whole = SegmentationPipeline(method, CLASSES, 10_000)(cloud)
    tiled = SegmentationPipeline(method, CLASSES, 400)(cloud)
    assert len([*tiles_of(cloud.coords, 400, 1.1)]) == 8
    np.testing.assert_allclose(tiled.confidence, whole.confidence, atol=1e-5)
    np.testing.assert_array_equal(tiled.label, whole.label)
    np.testing.assert_array_equal(whole.label, method.predict(cloud))
    assert len(np.unique(whole.label)) > 1 and whole.classes == CLASSES
    assert (whole.confidence > 1 / 3).all() and (whole.confidence <= 1).all()


def test_heights_and_normals_are_found_tile_by_tile():
    encoder = new_encoder("small", ("height", "normal"))
    method = segmenter(plain_cloud(), encoder, voxel=0.5)
    prediction = SegmentationPipeline(method, CLASSES, 900)(plain_cloud())
    assert prediction.label.shape == (3000,) and np.isfinite(prediction.confidence).all()


def camera_scene(seed=0):
    """A table with boxes as a depth camera above sees it: y down, z ahead."""
    rng = np.random.default_rng(seed)
    top = np.column_stack([rng.uniform(-0.6, 0.6, (4000, 2)), np.zeros(4000)])
    box = rng.uniform([0.1, 0.1, 0], [0.3, 0.3, 0.15], (1500, 3))
    world = np.concatenate([top, box])
    look = Rotation.from_euler("x", 140, degrees=True)
    camera = look.apply(world) + np.array([0, 0, 1.1])
    return camera.astype(np.float32), rng.random((5500, 3))


def test_a_saved_segmenter_takes_a_scan_in_any_frame_and_unit(tmp_path):
    coords, colour = camera_scene()
    path = tmp_path / "segmenter.safetensors"
    turned = upright(Cloud(coords, colour.astype(np.float32)))
    method = segmenter(turned, voxel=0.03)
    save_segmenter(path, method, CLASSES)
    loaded, classes = load_segmenter(path)
    assert loaded.upright and loaded.voxel == 0.03 and classes == CLASSES
    expected = method.predict(turned)
    assert len(np.unique(expected)) > 1
    np.savez(tmp_path / "m.npz", coords=coords, colour=colour)
    np.savez(tmp_path / "mm.npz", coords=coords * 1000, colour=colour)
    pipeline = SegmentationPipeline.load(tmp_path)
    for name, reading in (("m.npz", Reading()), ("mm.npz", Reading(unit=0.001))):
        cloud = load_points(tmp_path / name, reading=reading)
        for found in (loaded.predict(cloud), pipeline(cloud).label):
            assert np.mean(found == expected) > 0.999  # a unit rounds coordinates
        np.testing.assert_array_equal(loaded.predict(upright(cloud)), loaded.predict(cloud))


def test_what_a_cloud_lacks_is_said_and_what_it_cannot_be_is_refused():
    method = segmenter(plain_cloud())
    pipeline = SegmentationPipeline(method, CLASSES)
    bare = Cloud(plain_cloud().coords, name="bare.ply")
    with pytest.warns(UserWarning, match=r"bare\.ply: has no colour, which the network reads"):
        pipeline(bare)
    wide = Cloud(np.float32([[0, 0, 0], [20_000, 0, 0]]), colour=np.ones((2, 3), "f4"), name="w")
    with pytest.raises(UserError, match=r"w: points hold .*is its unit the metre"):
        pipeline(wide)
    with pytest.raises(UserError, match="tile: found 0 points"):
        SegmentationPipeline(method, CLASSES, 0)
