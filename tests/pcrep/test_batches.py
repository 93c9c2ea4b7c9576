"""The callable of batches of clouds against the pipeline on each cloud."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch

from pcrep.batches import Segment
from pcrep.cloud import Cloud
from pcrep.encoders.encoding import encode
from pcrep.evaluation.segmentation import (
    SEGMENTER,
    SegmentationConfig,
    Segmenter,
    save_segmenter,
)
from pcrep.prediction import SegmentationPipeline
from tests.pcrep.networks import tiny
from tspcrep.common.errors import UserError

RNG = np.random.default_rng(0)
CLOUDS = [(RNG.random((n, 3)) * (6, 4, 1), RNG.random((n, 3))) for n in (300, 500)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(3)
    method = Segmenter(tiny(3), 3, SegmentationConfig(voxel=0.2)).eval()
    xyz, rgb = CLOUDS[0]
    cloud = Cloud(xyz.astype(np.float32), colour=rgb.astype(np.float32))
    features = torch.from_numpy(encode(method.encoder, cloud, 0.2)[0])
    with torch.no_grad():  # scores of 0 on average, so that classes vary
        method.head.bias.copy_(-method.head.weight @ features.mean(0))
    save_segmenter(folder / SEGMENTER, method, ("a", "b", "c"))
    return folder


def lists(arrays):
    return [array.tolist() for array in arrays]


def test_classes_of_the_points_of_each_row(run):
    segment = pickle.loads(pickle.dumps(Segment(run)))
    assert segment.classes == ("a", "b", "c")
    coords, colour = zip(*CLOUDS, strict=True)
    found = segment(pa.table({"coords": lists(coords), "colour": lists(colour)}))
    whole = SegmentationPipeline.load(run)
    for i, (xyz, rgb) in enumerate(CLOUDS):
        cloud = Cloud((xyz - xyz.min(0)).astype(np.float32), colour=rgb.astype(np.float32))
        expected = whole(cloud)
        assert found["predicted"][i].as_py() == expected.label.tolist()
        np.testing.assert_allclose(found["confidence"][i].as_py(), expected.confidence, atol=1e-6)
    assert len({label for row in found["predicted"].to_pylist() for label in row}) > 1


def test_a_dict_of_arrays_far_from_the_origin(run):
    """Float32 would keep a national grid to half a metre."""
    segment = Segment(run)
    xyz, rgb = CLOUDS[0]
    xyz = np.round(xyz, 3)
    near, far = (
        segment({"coords": (xyz + shift)[None], "colour": rgb[None]})["predicted"][0].tolist()
        for shift in (0.0, np.array([7e5, 5.2e6, 300.0]))
    )
    assert np.mean(np.equal(near, far)) > 0.99


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"xyz": [[0.0]]}, "no column 'coords'"),
        ({"coords": [[[0.0, 1.0]]]}, r"row 0: coords: found shape \(1, 2\)"),
        ({"coords": [[[0.0] * 3]], "colour": [[[255.0] * 3]]}, "row 0: colour: found 255 .. 255"),
        ({"coords": [[[0.0] * 3]], "intensity": [[1.0, 2.0]]}, "row 0: intensity has 2 rows"),
    ],
)
def test_what_is_no_cloud(run, columns, words):
    with pytest.raises(UserError, match=words):
        Segment(run)(pa.table(columns))


def test_a_missing_segmenter(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        Segment(tmp_path)(pa.table({"coords": [[[0.0] * 3]]}))
