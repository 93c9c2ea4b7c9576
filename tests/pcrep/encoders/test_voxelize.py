"""Voxels of points: against Python's own floor and dict, and CPU against torch operators."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pcrep.augment import AugmentConfig, augment
from pcrep.encoders.voxelize import _on_device, voxelize

coordinate = st.floats(-50, 50, width=32, allow_subnormal=False)  # they would underflow


@settings(deadline=None)
@given(
    points=st.lists(st.tuples(coordinate, coordinate, coordinate), min_size=1, max_size=40),
    size=st.sampled_from([0.25, 0.5, 2.0, 64.0]),
    clouds=st.integers(1, 3),
)
def test_against_a_dictionary(points, size, clouds):
    batch = sorted(i % clouds for i in range(len(points)))
    seen, number = {}, []
    for b, p in zip(batch, points, strict=True):
        voxel = (b, *(math.floor(c / size) for c in p))
        number.append(seen.setdefault(voxel, len(seen)))
    tensor = torch.tensor(points, dtype=torch.float32)
    for v in (
        voxelize(tensor, size, torch.tensor(batch)),
        _on_device(tensor, size, torch.tensor(batch)),
    ):
        assert [tuple(c) for c in v.coordinates.tolist()] == list(seen)
        assert v.point_to_voxel.tolist() == number
        assert v.first.tolist() == [number.index(i) for i in range(len(seen))]
        assert v.counts.tolist() == [number.count(i) for i in range(len(seen))]


def test_reduce():
    points = torch.tensor([[0.1, 0, 0], [1.1, 0, 0], [0.2, 0, 0]])
    v = voxelize(points, 1.0)
    values = torch.tensor([[1.0], [2.0], [5.0]])
    assert v.reduce(values).flatten().tolist() == [3.0, 2.0]
    assert v.reduce(values, "sum").flatten().tolist() == [6.0, 2.0]
    assert v.reduce(values, "max").flatten().tolist() == [5.0, 2.0]
    assert v.reduce(torch.tensor([7, 8, 9]), "first").tolist() == [7, 8]


@pytest.mark.parametrize("points", [[[0.5, 0.5, 0.5]], [[0.5, 0.5, 0.5]] * 9])
def test_one_point_and_one_voxel(points):
    v = voxelize(torch.tensor(points), 1.0)
    assert v.coordinates.tolist() == [[0, 0, 0, 0]]
    assert v.counts.tolist() == [len(points)]


POINTS = torch.rand(4, 3)


@pytest.mark.parametrize(
    "points, size, batch, said",
    [
        (torch.zeros(0, 3), 1.0, None, r"shape \(0, 3\)"),
        (torch.zeros(3), 1.0, None, r"expected \(N, 3\)"),
        (POINTS.int(), 1.0, None, "torch.int32, expected floating point"),
        (POINTS, 0.0, None, "size is 0.0"),
        (POINTS, math.nan, None, "size is nan"),
        (torch.tensor([[0, math.nan, 0]]), 1.0, None, "expected finite metres"),
        (torch.tensor([[0, math.inf, 0]]), 1.0, None, "expected finite metres"),
        (torch.tensor([[0, 0, 3e6]]), 0.05, None, "subtract an origin"),
        (POINTS, 1.0, torch.zeros(3, dtype=torch.int64), r"expected \(4,\) integers"),
        (POINTS, 1.0, torch.tensor([0, 1, 0, 1]), "falls from 1 to 0"),
        (POINTS, 1.0, torch.tensor([0, 0, 2, 1]), "falls from 2 to 1 at row 3"),
    ],
)
def test_bad_input(points, size, batch, said):
    with pytest.raises(ValueError, match=said):
        voxelize(points, size, batch)


def test_bad_values():
    v = voxelize(POINTS, 1.0)
    with pytest.raises(ValueError, match="values have 3 rows, expected 4"):
        v.reduce(torch.ones(3, 1))
    with pytest.raises(ValueError, match="how is 'mean'"):
        v.reduce(torch.ones(4, 1), "mean")
    with pytest.raises(ValueError, match=r"torch\.int64, expected floating point or 'first'"):
        v.reduce(torch.ones(4, 1, dtype=torch.int64))


def test_arrays_as_augment_gives_them():
    points = np.random.default_rng(0).random((200, 3))
    view = augment(points, points.astype("f4"), AugmentConfig(), seed=0)
    batch = np.repeat([0, 1], [50, len(view.rows) - 50])
    found = voxelize(view.coords, 0.2, batch)
    expected = voxelize(torch.from_numpy(view.coords), 0.2, torch.from_numpy(batch))
    assert found.coordinates.equal(expected.coordinates)
    colour = found.reduce(view.colour)
    for voxel in range(len(found)):
        inside = found.point_to_voxel.numpy() == voxel
        np.testing.assert_allclose(colour[voxel], view.colour[inside].mean(0), atol=1e-6)
