"""Boxes around points against a search over angles; overlaps against counted samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrep.evaluation.boxes import box_iou, corners, fit_box, fit_boxes

side = st.floats(0.3, 2.0)
boxes = st.tuples(*(st.floats(-1, 1) for _ in range(3)), side, side, side, st.floats(-4, 4)).map(
    np.array
)


def within(points, box):
    """Whether points (N, 3) lie in a box, by their coordinates along its axes."""
    c, s = np.cos(box[6]), np.sin(box[6])
    x, y, z = (points - box[:3]).T
    along, across = c * x + s * y, c * y - s * x
    return (abs(along) <= box[3] / 2) & (abs(across) <= box[4] / 2) & (abs(z) <= box[5] / 2)


@given(a=boxes, b=boxes, seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_the_overlap_is_that_of_samples(a, b, seed):
    points = np.random.default_rng(seed).uniform(-3, 3, (200_000, 3))
    in_a, in_b = within(points, a), within(points, b)
    expected = (in_a & in_b).sum() / max((in_a | in_b).sum(), 1)
    few = max((in_a | in_b).sum(), 1)
    assert box_iou(a[None], b[None])[0, 0] == pytest.approx(expected, abs=4 / np.sqrt(few))


def test_overlaps_in_closed_form():
    unit = np.array([0, 0, 0, 1, 1, 1, 0.0])
    turned = np.array([0, 0, 0, 1, 1, 1, np.pi / 4])
    octagon = 2 * np.sqrt(2) - 2  # of two unit squares at 45 degrees
    shifted = np.array([0.5, 0, 0.5, 1, 1, 1, np.pi])
    inner = np.array([0.1, -0.1, 0, 0.5, 0.5, 1, 0.3])
    far = np.array([5, 0, 0, 1, 1, 1, 0.0])
    flat = np.array([0, 0, 0, 1, 1, 0, 0.0])
    found = box_iou(unit[None], np.array([unit, turned, shifted, inner, far, flat]))[0]
    expected = [1, octagon / (2 - octagon), 0.25 / 1.75, 0.25, 0, 0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@given(a=boxes, b=boxes, turn=st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_the_overlap_is_symmetric_and_turns_along(a, b, turn):
    here = box_iou(a[None], b[None])[0, 0]
    assert box_iou(b[None], a[None])[0, 0] == pytest.approx(here, abs=1e-9)
    c, s = np.cos(turn), np.sin(turn)

    def turned(box):
        x, y = box[:2]
        return np.array([c * x - s * y, s * x + c * y, *box[2:6], box[6] + turn])

    assert box_iou(turned(a)[None], turned(b)[None])[0, 0] == pytest.approx(here, abs=1e-9)
    assert 0 <= here <= 1 + 1e-12


@given(box=boxes, seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_a_box_around_its_corners_is_the_box(box, seed):
    weights = np.random.default_rng(seed).dirichlet(np.ones(8), 50)
    points = np.concatenate([corners(box), weights @ corners(box)])
    found = fit_box(points)
    assert box_iou(found[None], box[None])[0, 0] == pytest.approx(1, abs=1e-6)
    assert found[3] >= found[4] and 0 <= found[6] < np.pi


@given(seed=st.integers(0, 1000), count=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_no_angle_has_a_smaller_base(seed, count):
    points = np.random.default_rng(seed).normal(size=(count, 3)) * [1, 0.4, 1]
    found = fit_box(points)
    larger = found + np.array([0, 0, 0, 1e-9, 1e-9, 1e-9, 0])
    assert within(points, larger).all()
    angles = np.linspace(0, np.pi / 2, 721)
    turned = points[:, :1] * np.cos(angles) + points[:, 1:2] * np.sin(angles)
    across = points[:, 1:2] * np.cos(angles) - points[:, :1] * np.sin(angles)
    areas = np.ptp(turned, 0) * np.ptp(across, 0)
    assert found[3] * found[4] <= areas.min() + 1e-9


def test_boxes_of_numbered_points():
    points = np.random.default_rng(0).random((30, 3))
    number = np.arange(30) % 3 - 1
    found = fit_boxes(points, number)
    assert found.shape == (2, 7)
    np.testing.assert_array_equal(found[1], fit_box(points[number == 1]))
    assert fit_boxes(points, np.full(30, -1)).shape == (0, 7)
