"""Scores against counting by hand, and features of voxels back at every point."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score, precision_score, recall_score

from pcrep import SparseUNet
from pcrep.cloud import Cloud
from pcrep.encoders.encoding import check_encoder, encode, network_input
from pcrep.encoders.inputs import inputs_of
from pcrep.evaluation.scores import (
    ProbeConfig,
    confusion,
    iou,
    over_seeds,
    precision_recall,
    probe,
    score,
)
from tests.pcrep.made_scenes import made_scene, made_scenes
from tests.pcrep.networks import tiny
from tspcrep.common.errors import UserError


@given(
    labels=st.lists(
        st.tuples(st.integers(-1, 3), st.integers(0, 3)), min_size=1, max_size=80
    ).filter(lambda pairs: any(truth >= 0 for truth, _ in pairs))
)
@settings(max_examples=30, deadline=None)
def test_confusion_and_iou_are_scikit_learns(labels):
    truth, predicted = np.array(labels).T
    matrix = confusion(truth, predicted, 4)
    t, p = truth[truth >= 0], predicted[truth >= 0]
    assert np.array_equal(matrix, confusion_matrix(t, p, labels=range(4)))
    found = iou(matrix)
    for c in range(4):
        if c in t or c in p:
            assert found[c] == pytest.approx(
                jaccard_score(t, p, labels=[c], average="macro"), abs=1e-12
            )
        else:
            assert math.isnan(found[c])


@given(pairs=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=50))
@settings(max_examples=30, deadline=None)
def test_precision_and_recall_are_scikit_learns(pairs):
    truth, predicted = np.array(pairs).T
    expected = [f(truth, predicted, zero_division=0) for f in (precision_score, recall_score)]
    found = precision_recall(confusion(truth, predicted, 2), np.array([False, True]))
    np.testing.assert_allclose(found, expected)


def test_confusion_names_what_is_out_of_range():
    with pytest.raises(ValueError, match=r"predicted holds -1 \.\. 1, expected 0 \.\. 1"):
        confusion(np.array([0, 1]), np.array([-1, 1]), 2)
    with pytest.raises(ValueError, match=r"truth holds 0 \.\. 5"):
        confusion(np.array([0, 5]), np.array([0, 1]), 2)


def test_a_score_pools_the_points_of_all_scenes():
    scenes = made_scenes(((1,), (2,), ()))
    perfect = score(scenes, lambda cloud: cloud.label)
    assert perfect == {"miou": 1.0, "iou": {"floor": 1.0, "box": 1.0, "ball": 1.0}}
    floor = score(scenes, lambda cloud: np.zeros(len(cloud), int))
    # 300 points of floor in each of 3 scenes, 150 of a box, 150 of a ball.
    assert floor["iou"] == {"floor": 900 / 1200, "box": 0.0, "ball": 0.0}
    assert floor["miou"] == pytest.approx(0.25)
    absent = score(scenes.subset([0]), lambda cloud: cloud.label)
    assert absent["iou"] == {"floor": 1.0, "box": 1.0}
    unlabelled = scenes.map(lambda c: Cloud(c.coords, label=np.full(len(c), -1)))
    with pytest.raises(UserError, match="no labelled point"):
        score(unlabelled, lambda cloud: np.zeros(len(cloud), int))


def test_voxels_are_sliced_back_to_every_point():
    cloud, encoder = made_scene(3), tiny()
    features, point_to_voxel = encode(encoder, cloud, 0.05, "decoder")
    cells = np.floor((cloud.coords - cloud.coords.min(0)) / np.float32(0.05)).astype(int)
    distinct = np.unique(cells, axis=0)
    assert features.shape == (len(distinct), encoder.dim) and encoder.training
    for voxel in range(len(features)):  # a voxel's points share a cell, and no others do
        inside = cells[point_to_voxel == voxel]
        assert len(inside) and (inside == inside[0]).all()
    x, again = network_input([cloud], 0.05)
    assert np.array_equal(again.numpy(), point_to_voxel)
    mean = np.array([inputs_of(cloud)[point_to_voxel == v].mean(0) for v in range(len(features))])
    np.testing.assert_allclose(x.features.numpy(), mean, atol=1e-6)
    with torch.no_grad():
        expected = encoder.eval()(x).features.numpy()
    np.testing.assert_array_equal(features, expected)


def test_clouds_of_a_batch_do_not_meet():
    clouds, encoder = [made_scene(seed) for seed in (1, 2)], tiny().eval()
    x, point_to_voxel = network_input(clouds, 0.05)
    with torch.no_grad():
        together = encoder(x).features[point_to_voxel].numpy()
    apart = [f[v] for f, v in (encode(encoder, cloud, 0.05, "decoder") for cloud in clouds)]
    np.testing.assert_allclose(together, np.concatenate(apart), atol=1e-5)


def test_an_encoder_of_other_channels_and_a_unit_that_is_not_metres_are_refused():
    with pytest.raises(UserError, match="runs/x: reads 3 channels, expected 4"):
        check_encoder(SparseUNet(), "runs/x")
    cloud = made_scene(0)
    with pytest.raises(UserError, match=r"voxels of 0\.015 m"):
        network_input([Cloud(cloud.coords * 1000)], 0.015)


class Inputs(torch.nn.Module):
    """An encoder whose features are its inputs."""

    inputs = ("colour",)

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x


@pytest.mark.parametrize("name", ["linear", "knn"])
def test_a_probe_reads_what_the_features_hold(name):
    """Where colour is the class, a probe of the inputs misses only where a voxel holds two."""

    def coloured(cloud):
        return Cloud(cloud.coords, np.eye(3, dtype=np.float32)[cloud.label], label=cloud.label)

    def probed(learn, test):
        points = ProbeConfig(probe_points=200)
        return probe(Inputs(), learn, test, 0.03, name, points, seed=1, levels="decoder")

    scenes = made_scenes(((1, 2), (1, 2), (2, 1))).map(coloured)
    learn, test = scenes.subset([0, 1]), scenes.subset([2])
    found = probed(learn, test)
    assert found["miou"] > 0.9 and found["iou"].keys() == {"floor", "box", "ball"}
    assert found == probed(learn, test)
    blind = scenes.map(lambda cloud: replace(cloud, colour=None))
    assert probed(blind, blind)["miou"] < 0.3


def test_a_probe_of_one_class_is_refused():
    scenes = made_scenes(((), (1,)))
    with pytest.raises(UserError, match="all of one class"):
        probe(tiny(), scenes.subset([0]), scenes, 0.05)


def test_the_foreground_is_any_thing():
    scenes = replace(made_scenes(((1,), (2,))), things=("box", "ball"))

    def predict(cloud):  # all things are boxes, and so are 100 points of floor
        made = np.minimum(cloud.label, 1)
        made[:100] = 1
        return made

    truth = np.concatenate([cloud.label > 0 for cloud in scenes])
    called = np.concatenate([predict(cloud) > 0 for cloud in scenes])
    expected = {
        "precision": precision_score(truth, called),
        "recall": recall_score(truth, called),
    }
    found = score(scenes, predict)
    assert found["foreground"] == pytest.approx(expected)
    assert found["iou"]["ball"] == 0
    other = score(scenes, lambda cloud: np.zeros(len(cloud), int))
    assert other["foreground"] == {"precision": 0.0, "recall": 0.0}
    mean = over_seeds([found, other])["foreground"]
    assert mean == pytest.approx({"precision": expected["precision"] / 2, "recall": 0.5})


def test_over_seeds():
    results = [
        {"miou": 0.5, "iou": {"floor": 1.0, "box": 0.0}},
        {"miou": 0.9, "iou": {"floor": 0.9}},  # of box this one says nothing: as good as missed
    ]
    found = over_seeds(results)
    assert found["miou"] == pytest.approx(0.7) and found["miou_std"] == pytest.approx(0.2)
    assert found["iou"] == {"floor": pytest.approx(0.95), "box": 0.0}
