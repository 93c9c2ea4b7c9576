"""Pictures of point clouds: what hides what, which colour means what, what a page holds."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from pcrep.reports.pictures import (
    _PIXELS,
    _UNKNOWN,
    Panel,
    by_number,
    by_score,
    correlation,
    panel,
    still,
)
from pcrep.reports.render import Viewpoint, choose_viewpoint, render

RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def straight_ahead(points):
    """An eye at the origin that looks along y, z up."""
    return Viewpoint(
        np.zeros(3), np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]), 1.0, np.arange(points), 1
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["near-first", "far-first"])
def test_the_nearer_point_wins(order):
    coords = np.array([[0, 2, 0], [0, 3, 0]], float)[list(order)]
    colours = np.array([RED, GREEN])[list(order)]
    image = render(coords, colours, straight_ahead(2), 40, shade=0)
    assert image.shape == (40, 40, 4)
    seen = image[image[..., 3] == 255]
    assert len(seen) and (seen[:, :3] == (255, 0, 0)).all()


@given(st.floats(-0.45, 0.45), st.floats(-0.45, 0.45), st.floats(0.5, 20))
def test_a_point_is_drawn_where_the_pinhole_says(x, y, depth):
    coords = np.array([[x * depth, depth, -y * depth]])
    image = render(coords, np.array([RED]), straight_ahead(1), 100, shade=0)
    rows, columns = np.nonzero(image[..., 3])
    assert abs(columns.mean() + 0.5 - (50 + 100 * x)) <= 1
    assert abs(rows.mean() + 0.5 - (50 + 100 * y)) <= 1


def room(rng, points=4000):
    """Floor, four walls and a ceiling of 4 x 3 x 2.5 m, a box inside; the sides' numbers."""
    size = np.array([4, 3, 2.5])
    coords = rng.random((points, 3)) * size
    side = rng.integers(6, size=points)
    coords[np.arange(points), side // 2] = (side % 2) * size[side // 2]
    box = rng.uniform(-0.3, 0.3, (500, 3)) + np.array([2, 1.5, 0.3])
    return np.vstack([coords, box]), np.concatenate([side, np.full(500, 6)])


def test_a_room_is_seen_from_above_without_its_ceiling():
    coords, side = room(np.random.default_rng(0))
    view = choose_viewpoint(coords)
    assert not (side[view.shown] == 5).any()  # the ceiling
    shown = np.bincount(side[view.shown], minlength=7) / np.bincount(side, minlength=7)
    assert shown[6] == 1 and shown[4] > 0.7 and min(shown[:4]) < 0.3  # box, floor, a near wall
    places, depth = view.project(coords[view.shown])
    assert (depth > 0).all() and (np.abs(places[:, 0]) < 0.5).all()
    assert (np.abs(places[:, 1]) < view.aspect / 2).all()
    colours = np.where((side == 6)[:, None], RED, GREEN)
    image = render(coords, colours, view, 100, shade=0)
    red = (image[..., 0] > 200) & (image[..., 3] > 200)
    assert red.sum() > 50


def test_nothing_is_cut_from_what_is_smaller_than_a_room():
    coords, _ = room(np.random.default_rng(0))
    assert len(choose_viewpoint(coords / 4).shown) == len(coords)


@pytest.mark.parametrize("points", [1, 2, 3])
def test_a_few_points_have_a_picture(points):
    coords = np.eye(3)[:points]
    image = render(coords, np.ones((points, 3)), choose_viewpoint(coords), 50)
    assert image[..., 3].any() and image.shape[1] == 50


@given(st.integers(0, 99))
def test_correlation_is_the_cosine(seed):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(20, 5))
    found = correlation(features[3], features)
    assert found[3] == pytest.approx(1)
    for value, row in zip(found, features, strict=True):
        dot = sum(a * b for a, b in zip(row, features[3], strict=True))
        lengths = sum(a * a for a in row) * sum(b * b for b in features[3])
        assert value == pytest.approx(dot / lengths**0.5)
    assert correlation(features[3], -features)[3] == pytest.approx(-1)
    assert correlation(features[0], np.zeros((1, 5)))[0] == 0


def test_labels_and_scores_as_colours():
    colours = np.array([RED, GREEN])
    assert np.array_equal(by_number(np.array([1, -1, 0]), colours), [GREEN, _UNKNOWN, RED])
    shades = by_score(np.array([0.0, 0.5, 1.0, 7.0, np.nan]))
    brightness = shades.sum(1)
    assert brightness[0] < brightness[1] < brightness[2]
    assert np.array_equal(shades[2], shades[3]) and np.array_equal(shades[4], _UNKNOWN)
    assert np.array_equal(by_score(np.array([3.0]), 2, 4)[0], shades[1])


def test_a_still_grows_with_its_panels_and_marks_the_query():
    coords, _ = room(np.random.default_rng(1), 600)
    view = choose_viewpoint(coords)
    query = int(view.shown[7])
    one = panel("a", coords, np.full((len(coords), 3), 0.5), view, query)
    x, y = one.mark
    assert one.image.shape[1] == _PIXELS
    around = one.image[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4, 3]
    assert around.any()
    plain = [Panel(name, np.zeros((200, _PIXELS, 4), np.uint8)) for name in "abc"]
    heights = []
    for panels, legend in ((plain[:2], None), (plain, None), (plain, {"table": RED})):
        image = imread(io.BytesIO(still(panels, legend)))
        assert image.shape[1] == 750
        assert image[..., 3].min() == 0  # clear where there is nothing
        heights.append(image.shape[0])
    assert heights[0] < heights[1] < heights[2]
    image = imread(io.BytesIO(still(plain, {"table": RED})))
    assert (image == (1, 0, 0, 1)).all(2).sum() > 100  # the legend's patch


@pytest.mark.parametrize("name", ["_x", "__", "$a_{$", "<b>", "椅子", "a\nb"])
def test_every_name_of_a_class_is_in_the_legend(name):
    plain = [Panel("a", np.zeros((200, _PIXELS, 4), np.uint8))]
    image, without = (imread(io.BytesIO(still(plain, {text: RED}))) for text in (name, " "))
    patch, ink = (image == (1, 0, 0, 1)).all(2), image[..., 3] > 0.5
    assert patch.sum() > 100
    assert ink.sum() > (without[..., 3] > 0.5).sum() + 5
