"""Distances of points on grids, and voxels that follow them."""

import numpy as np
import pytest

from pcrep.preparation import spacing as module
from pcrep.preparation.spacing import fitting_voxel, spacing


@pytest.mark.parametrize("step", [0.002, 0.05, 0.7])
def test_of_a_grid_it_is_the_step(step, monkeypatch):
    axes = np.meshgrid(np.arange(60), np.arange(50), [0.0])
    coords = (np.stack(axes, -1).reshape(-1, 3) * step).astype(np.float32)
    assert spacing(coords) == pytest.approx(step, rel=1e-3)
    assert spacing(np.repeat(coords, 3, axis=0)) == pytest.approx(step, rel=1e-3)  # twice there
    assert fitting_voxel(spacing(coords)) == pytest.approx(4 * step, rel=0.05)
    monkeypatch.setattr(module, "_MOST", 500)  # a strip of the whole
    assert spacing(coords) == pytest.approx(step, rel=1e-3)


def test_one_point_has_none():
    assert spacing(np.zeros((1, 3), np.float32)) == spacing(np.zeros((5, 3), np.float32)) == 0
    assert fitting_voxel(0.0) is None
