"""Folds leave out what tells of no other: whole scenes, or compact parts of them."""

from dataclasses import replace

import numpy as np
import pytest

from pcrep.evaluation.folds import folds, inside, outside, scene_folds
from tests.pcrep.made_scenes import made_scenes


def test_whole_scenes_are_left_out_where_others_show_their_classes():
    scenes = made_scenes(((1,), (2,), (1, 2), (1,), (2,), (), (1, 2)))
    found = folds(scenes)
    assert [set(fold) for fold in found] == [{0}, {1}, {2}, {3}, {4}, {0}, {1}]
    assert [len(fold) for fold in found] == [len(cloud) for cloud in scenes]


@pytest.mark.parametrize("objects", [((1, 2),), ((1,), (2,)), ((1,), (1,), (2,))])
def test_scenes_are_cut_where_a_class_would_be_lost(objects):
    scenes = made_scenes(objects)
    for i, (cloud, fold) in enumerate(zip(scenes, scene_folds(scenes), strict=True)):
        assert np.array_equal(fold, np.full(len(cloud), i))
    for cloud, fold in zip(scenes, folds(scenes), strict=True):
        assert set(fold) == {0, 1, 2, 3}
        count = np.bincount(fold)
        assert count.min() > len(cloud) / 5
        boxes = [cloud.coords[fold == k, :2] for k in range(4)]
        for a in range(4):  # the parts are rectangles beside each other
            for b in range(a):
                low = np.maximum(boxes[a].min(0), boxes[b].min(0))
                high = np.minimum(boxes[a].max(0), boxes[b].max(0))
                assert (low >= high).any()


def test_few_labels_are_spread_over_the_parts():
    scenes = made_scenes(((1, 2),)).map(
        lambda c: replace(c, label=np.where(np.arange(len(c)) % 60 == 0, c.label, -1))
    )
    (fold,) = folds(scenes)
    known = scenes[0].label >= 0
    assert known.sum() == 10 and np.bincount(fold[known], minlength=4).min() >= 2


def test_labels_are_inside_or_outside():
    scenes = made_scenes(((1,), (2,), (1, 2)))
    fold = folds(scenes)
    for k in range(3):
        held, rest = inside(scenes, fold, k), outside(scenes, fold, k)
        assert held.names == (scenes.names[k],) and len(rest) == 2
        assert np.array_equal(held[0].label, scenes[k].label)
    (fold,) = folds(scenes.subset([2]))
    one = scenes.subset([2])
    held, rest = inside(one, [fold], 1)[0].label, outside(one, [fold], 1)[0].label
    truth = one[0].label
    assert np.array_equal(held, np.where(fold == 1, truth, -1))
    assert np.array_equal(rest, np.where(fold == 1, -1, truth))
    assert np.array_equal(one[0].label, truth)
