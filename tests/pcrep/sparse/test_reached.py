"""Voxels that taps reach, as in spconv, and layers of stride 1 on them, against dense ones."""

import pytest
import torch
from torch.nn import functional as F

from pcrep.sparse import Conv, DepthwiseConv, Pool, SparseTensor
from tests.pcrep.clouds import by_voxel, close, cloud, features

ENGINES = ["torch", "numba"]


def reached(coordinates, kernel, stride):
    """Every multiple of the stride that has a voxel within half a kernel, by loops."""
    found = set()
    for batch, *voxel in coordinates.tolist():
        axes = []
        for c, k, s in zip(voxel, kernel, stride, strict=True):
            axes.append([o for o in range(c - k // 2, c + k // 2 + 1) if o % s == 0])
        found |= {(batch, x, y, z) for x in axes[0] for y in axes[1] for z in axes[2]}
    return torch.tensor(sorted(found))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kernel, stride", [((3, 3, 3), (2, 2, 2)), ((1, 1, 3), (1, 1, 2))])
def test_voxels_are_those_with_a_tap_on_the_input(engine, kernel, stride):
    coordinates = cloud(1, points=60)
    x = SparseTensor(coordinates, features(coordinates, 2), engine=engine)
    y = Conv(2, 3, kernel, stride, sites="reached").double()(x)
    found = by_voxel(y.coordinates, y.features.detach())[:, :4]
    assert torch.equal(found.long(), reached(coordinates, kernel, stride))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "make", [lambda: Conv(3, 4), lambda: DepthwiseConv(3), lambda: Pool(3, 1, "sum")]
)
def test_layers_of_stride_one_stay_on_the_voxels_reached(engine, make):
    torch.manual_seed(0)
    coordinates = cloud(2, points=60, extent=6)
    strided, layer = Conv(2, 3, 3, 2, sites="reached").double(), make().double()
    y = strided(SparseTensor(coordinates, features(coordinates, 2), engine=engine))
    z = layer(y)
    assert torch.equal(z.coordinates, y.coordinates)

    low, shape = (-8, -8, -8), (9, 9, 9)  # holds all cells of stride 2 that are reached
    if isinstance(layer, Pool):
        dense = F.conv3d(y.dense(low, shape), torch.ones(3, 1, 3, 3, 3).double(), None, 1, 1, 1, 3)
    else:
        taps = layer.weight.view(3, 3, 3, *layer.weight.shape[1:])  # z, y, x, then channels
        depthwise = isinstance(layer, DepthwiseConv)
        order, groups = ((3, 2, 1, 0), 3) if depthwise else ((4, 3, 2, 1, 0), 1)
        kernel = taps.permute(order).unsqueeze(1) if depthwise else taps.permute(order)
        dense = F.conv3d(y.dense(low, shape), kernel, padding=1, groups=groups)
    batch, *cells = (y.coordinates.long() - torch.tensor([0, *low])).unbind(1)
    i, j, k = (cell // 2 for cell in cells)
    close(z.features, dense[batch, :, i, j, k], 1e-12)


def test_a_level_of_other_voxels_is_refused():
    coordinates = cloud(3, points=60)
    x = SparseTensor(coordinates, features(coordinates, 2))
    Conv(2, 3, 3, 2, sites="reached").double()(x)
    with pytest.raises(ValueError, match="tensor stride 2 are there already, and are not the cell"):
        Conv(2, 3, 2, 2).double()(x)
