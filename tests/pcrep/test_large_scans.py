"""A file predicted from disk has the bits of the same file in memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrep.datasets import Reading, load_points
from pcrep.encoders.encoding import new_encoder
from pcrep.evaluation.segmentation import SegmentationConfig, Segmenter
from pcrep.large_scans import nth_smallest, predict_file
from pcrep.prediction import SegmentationPipeline
from tspcrep.common.errors import UserError

laspy = pytest.importorskip("laspy")


def write_scan(path, count=900, ties=False, intensity=True, extent=(12, 8, 1)):
    rng = np.random.default_rng(0)
    header = laspy.LasHeader(point_format=2, version="1.2")
    header.scales, header.offsets = [0.001] * 3, [600_000, 5_400_000, 0]
    file = laspy.LasData(header)
    coords = rng.random((count, 3)) * extent
    if ties:
        coords[: 2 * count // 3, :2] = 0  # a mast
    file.x, file.y, file.z = (coords + np.array([600_000, 5_400_000, 30])).T
    file.red, file.green, file.blue = rng.integers(0, 65536, (3, count))
    file.intensity = rng.integers(1, 900, count) if intensity else np.zeros(count)
    file.write(path)


@pytest.mark.parametrize(
    ("inputs", "options", "suffix", "unit"),
    [
        (("colour",), {}, ".las", 0.3048),
        (("intensity", "colour"), {}, ".laz", 1.0),
        (("height", "normal", "intensity"), {"intensity": False}, ".laz", 1.0),
        (("colour",), {"ties": True}, ".las", 1.0),
    ],
)
@pytest.mark.filterwarnings("ignore:.*has no intensity")
def test_the_bits_of_the_whole(tmp_path, inputs, options, suffix, unit):
    path = tmp_path / f"a{suffix}"
    write_scan(path, **options)
    torch.manual_seed(1)
    method = Segmenter(new_encoder("small", inputs), 3, SegmentationConfig(voxel=0.1))
    pipeline = SegmentationPipeline(method, ("a", "b", "c"), 130)
    whole = pipeline(load_points(path, reading=Reading(unit=unit)))
    (tmp_path / "disk").mkdir()
    found = predict_file(pipeline, path, tmp_path / "disk", unit, block=300, chunk=170)
    np.testing.assert_array_equal(found.label, whole.label)
    np.testing.assert_array_equal(found.confidence, whole.confidence)
    assert found.classes == whole.classes and len(np.unique(whole.confidence)) > 100


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=60),
    st.integers(1, 60),
    st.data(),
)
def test_the_nth_smallest_of_chunks(values, size, data):
    values = np.array(values, np.float32)
    rank = data.draw(st.integers(0, len(values) - 1))

    def chunks():
        return (values[i : i + size] for i in range(0, len(values), size))

    assert nth_smallest(chunks, rank) == sorted(values.tolist())[rank]


def test_a_frame_of_a_camera_is_refused(tmp_path):
    file = laspy.LasData(laspy.LasHeader(point_format=2, version="1.2"))
    file.x, file.y, file.z = (
        np.random.default_rng(0).random((300, 3)) + np.array([-0.5, -0.5, 1])
    ).T
    file.write(tmp_path / "a.las")
    method = Segmenter(new_encoder("small", ("height",)), 2, SegmentationConfig(voxel=0.1))
    pipeline = SegmentationPipeline(method, ("a", "b"))
    with pytest.raises(UserError, match=r"a\.las: holds 300 points of a depth camera"):
        predict_file(pipeline, tmp_path / "a.las", tmp_path)
