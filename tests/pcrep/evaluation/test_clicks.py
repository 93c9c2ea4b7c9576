"""Clicked points: drawn, read from a file, and spread over the segments that they hit."""

from dataclasses import replace

import numpy as np
import pytest

from pcrep.evaluation.clicks import draw_clicks, read_clicks, spread
from tests.pcrep.made_scenes import CLASSES, made_scenes
from tests.pcrep.segmented import segmented
from tspcrep.common.errors import UserError


@pytest.mark.parametrize("count", [1, 2, 3, 7, 600, 1000])
def test_drawn_clicks_take_the_classes_in_turn(count):
    scenes = made_scenes(((1, 2), (2,)))
    few = draw_clicks(scenes, count, 3)
    for index in range(2):
        truth, label = scenes[index].label, few[index].label
        known = label >= 0
        assert np.array_equal(label[known], truth[known])
        assert known.sum() == min(count, len(truth))
        given = [(label == c).sum() for c in np.unique(truth)]
        room = [(truth == c).sum() for c in np.unique(truth)]
        for a, of_a in zip(given, room, strict=True):  # a class has fewer only if it has no more
            assert all(a >= b - 1 for b in given) or a == of_a
        assert np.array_equal(label, few[index].label)
    if count < 600:
        assert not np.array_equal(draw_clicks(scenes, count, 4)[0].label, few[0].label)


def test_no_click_at_all_is_refused():
    with pytest.raises(UserError, match="labelled points: found 0"):
        draw_clicks(made_scenes(((1,),)), 0, 0)


def clicks(tmp_path, *lines, header="scene,x,y,z,class"):
    path = tmp_path / "clicks.csv"
    path.write_text("\n".join([header, *lines]))
    return path


def line(scenes, index, point, c):
    x, y, z = scenes[index].coords[point] + np.float32(1e-4)
    return f"{scenes.names[index]}, {x}, {y}, {z}, {c}"


def test_clicks_of_a_file_label_the_nearest_points(tmp_path):
    scenes = made_scenes(((1,), (2,), (1, 2)))
    scenes = scenes.map(lambda cloud: replace(cloud, label=None))
    places = ((2, 3, "floor"), (0, 310, "box"), (2, 400, "box"))
    lines = ["", *(line(scenes, *place) for place in places)]
    found = read_clicks(scenes, clicks(tmp_path, *lines))
    assert found.names == ("made-0", "made-2") and found.classes == CLASSES
    for index, expected in ((0, {310: 1}), (1, {3: 0, 400: 1})):
        known = np.flatnonzero(found[index].label >= 0)
        assert dict(zip(known, found[index].label[known], strict=True)) == expected


@pytest.mark.parametrize(
    "lines, header, words",
    [
        (["a,0,0,0,box"], "scene,x,y,class", "found the columns scene, x, y, class, expected"),
        ([], "scene,x,y,z,class", "found no clicks"),
        (["nowhere,0,0,0,box"], None, "line 2: scene 'nowhere', expected one of made-0"),
        (["made-0,0,0,0,cat"], None, "line 2: class 'cat', expected one of floor, box, ball"),
        (["made-0,0,zero,0,box"], None, "line 2: found 'zero', expected a number"),
        (["made-0,0,nan,0,box"], None, "line 2: found 'nan', expected a number"),
        (["made-0,0,0"], None, "line 2: 3 values, expected 5"),
        (["made-0,900,500,0,box"], None, "m from the nearest point of made-0"),
    ],
)
def test_clicks_that_cannot_be_used(tmp_path, lines, header, words):
    scenes = made_scenes(((1,),))
    path = clicks(tmp_path, *lines, header=header or "scene,x,y,z,class")
    with pytest.raises(UserError, match=words):
        list(read_clicks(scenes, path))
    with pytest.raises(UserError, match="cannot be read as text"):
        read_clicks(scenes, tmp_path / "none.csv")


def test_a_click_labels_its_segment_unless_another_disagrees():
    cloud = segmented(0)
    label = np.full(len(cloud), -1)
    a, b, c = (np.flatnonzero(cloud.segment == s) for s in (0, 1, 4))
    label[a[:2]], label[b[0]], label[b[1]], label[c[3]] = 0, 0, 1, 1
    label[2] = 2  # of no segment
    found = spread(replace(cloud, label=label)).label
    assert (found[a] == 0).all() and (found[c] == 1).all()
    assert np.array_equal(found[b], label[b]) and found[2] == 2
    others = ~np.isin(cloud.segment, (0, 1, 4))
    assert np.array_equal(found[others], label[others])
    assert cloud.segment[2] == -1 and (found[[0, 1, 3, 4]] == -1).all()
