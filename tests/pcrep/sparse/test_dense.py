"""Sparse convolution against torch's dense one: the same numbers where there are voxels."""

import pytest
import torch
from torch.nn import functional as F

from pcrep.sparse import Conv, ConvTranspose, SparseTensor
from tests.pcrep.clouds import close, cloud, features

EXTENT = 6  # cloud() fills [-EXTENT, EXTENT) on each axis
PAD = 8  # beyond every reach, and a multiple of every stride below


def to_dense(coordinates, values, stride=1):
    """(B, C, X, Y, Z) with zeros where there is no voxel; negative voxels moved inside."""
    size = (2 * EXTENT + 2 * PAD) // stride
    dense = values.new_zeros(int(coordinates[:, 0].max()) + 1, values.shape[1], size, size, size)
    b, x, y, z = index(coordinates, stride)
    dense[b, :, x, y, z] = values
    return dense


def index(coordinates, stride=1):
    b, *xyz = coordinates.long().unbind(1)
    return b, *((c + EXTENT + PAD) // stride for c in xyz)


def kernel(conv):
    """(K, C, D), x fastest -> conv3d's (D, C, x, y, z)."""
    return conv.weight.view(*conv.kernel_size[::-1], *conv.weight.shape[1:]).permute(4, 3, 2, 1, 0)


@pytest.mark.parametrize("engine", ["torch", "numba"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "size, stride, dilation", [(3, 1, 1), (3, 1, 2), (5, 1, 1), (2, 2, 1), (3, 2, 1)]
)
def test_conv3d(engine, dtype, size, stride, dilation):
    coordinates = cloud(1, points=500, extent=EXTENT)
    conv = Conv(6, 9, size, stride, dilation, bias=True).to(dtype)
    x = features(coordinates, 6, dtype)
    y = conv(SparseTensor(coordinates, x, engine=engine))

    dense = to_dense(coordinates, x)
    reach = size // 2 * dilation if size % 2 else 0
    expected = F.conv3d(dense, kernel(conv), conv.bias, stride, reach, dilation)
    b, i, j, k = index(y.coordinates, stride)
    expected = expected[b, :, i, j, k]
    close(y.features, expected, 1e-5)

    g = features(y.coordinates, 9, dtype, seed=2).detach()
    found = torch.autograd.grad(y.features, (x, conv.weight), g)
    wanted = torch.autograd.grad(expected, (x, conv.weight), g)
    for a, b in zip(found, wanted, strict=True):
        close(a, b, 1e-5)


@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_conv_transpose3d(engine):
    coordinates = cloud(2, points=500, extent=EXTENT)
    down, up = Conv(4, 5, 2, 2).double(), ConvTranspose(5, 3, 2, 2).double()
    x = SparseTensor(coordinates, features(coordinates, 4), engine=engine)
    middle = down(x)
    y = up(middle)
    dense = to_dense(middle.coordinates, middle.features, 2)
    weight = kernel(up).transpose(0, 1)  # conv_transpose3d wants (C, D, x, y, z)
    b, i, j, k = index(coordinates)
    close(y.features, F.conv_transpose3d(dense, weight, stride=2)[b, :, i, j, k], 1e-9)
