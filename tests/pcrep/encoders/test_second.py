"""SECOND: equal to dense convolutions with masks, engines agree, training."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pcrep.encoders.second import SECOND, SECONDConfig, second_kitti
from pcrep.sparse import SparseTensor
from tests.pcrep.clouds import close, cloud, features
from tests.pcrep.networks import engines
from tspcrep.common.errors import UserError

SMALL = SECONDConfig(
    in_channels=3,
    shape=(32, 16, 24),
    encoder=(4, 6, 8),
    bev=10,
    rpn=(8, 12),
    rpn_layers=(1, 2),
    rpn_up=6,
)


def voxels(seed=0, points=300, batch=2):
    """Voxels in the range of SMALL, on its faces too."""
    rows = cloud(seed, points, batch, extent=40)
    rows[:, 1:] %= torch.tensor(SMALL.shape, dtype=torch.int32)
    rows = torch.unique(rows, dim=0)
    assert rows[:, 1:].amin(0).tolist() == [0, 0, 0]
    assert (rows[:, 1:].amax(0) + 1).tolist() == list(SMALL.shape)
    return rows


def net(seed=0):
    """A SMALL network in evaluation mode, its statistics and scales not those of a new one."""
    torch.manual_seed(seed)
    made = SECOND(SMALL).double()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    return made.eval()


def densely(second, coordinates, values):
    """The sparse part by conv3d on a dense grid, zeroed after each layer where no voxel is."""
    margin = 16  # more than taps reach beyond the range, a multiple of every stride
    size = [side + 2 * margin for side in SMALL.shape]
    grid = values.new_zeros(2, values.shape[1], *size)
    mask = values.new_zeros(2, 1, *size)
    b, *xyz = coordinates.long().unbind(1)
    at = (b, slice(None), *(c + margin for c in xyz))
    grid[at], mask[at] = values, 1
    for conv, norm, _ in second.sparse:
        kernel = conv.weight.view(*conv.kernel_size[::-1], *conv.weight.shape[1:])
        kernel = kernel.permute(4, 3, 2, 1, 0)
        pad = [k // 2 for k in conv.kernel_size]
        if max(conv.stride) > 1:
            reached = F.conv3d(mask, torch.ones_like(kernel[:1, :1]), None, conv.stride, pad)
            mask = (reached > 0).to(values.dtype)
        bn = norm.bn
        grid = F.conv3d(grid, kernel, None, conv.stride, pad)
        grid = F.batch_norm(
            grid, bn.running_mean, bn.running_var, bn.weight, bn.bias, False, 0, bn.eps
        )
        grid = grid.relu() * mask
    x, y, z = (margin // s for s in (4, 4, 8))
    grid = grid[:, :, x : x + 8, y : y + 4, z : z + 3]  # the range, in cells
    return grid.permute(0, 1, 4, 2, 3).flatten(1, 2)


@pytest.mark.parametrize("engine", ["torch", *engines()])
def test_dense_convolutions(engine):
    second, coordinates = net(), voxels()
    x = features(coordinates, 3).detach()
    found = SparseTensor(coordinates, x, engine=engine)
    seen = second.bird_eye_view(found)
    expected = densely(second, coordinates, x)
    assert seen.shape == (2, 10 * 3, 8, 4)
    close(seen, expected, 1e-9)

    # The 2D network, its upsampling by a Kronecker product as kernel and stride are equal.
    parts, y = [], expected
    for down, up in zip(second.rpn.down, second.rpn.up, strict=True):
        for layer in down:
            y = layer(y)
        scale = up[0].stride[0]
        raised = torch.einsum("bcxy,cdij->bdxiyj", y, up[0].weight).reshape(2, 6, 8, 4)
        assert raised.shape[-1] == y.shape[-1] * scale
        parts.append(up[2](up[1](raised)))
    close(second(found), torch.cat(parts, 1), 1e-9)


def test_the_heights_vary_fastest_and_an_empty_cloud_is_a_map_too():
    second, coordinates = net(), voxels()
    alone = coordinates[coordinates[:, 0] == 0]
    x = features(coordinates, 3).detach()
    both = second(SparseTensor(coordinates, x))
    one = second(SparseTensor(alone, x[: len(alone)], batch_size=2))
    close(one[0], both[0], 1e-12)
    nothing = SparseTensor(alone[:0], x[:0], batch_size=1)
    close(one[1:], second(nothing), 1e-12)


def test_published_widths():
    config = second_kitti()
    assert (config.stride, config.heights) == (8, 3)
    # OpenPCDet's VoxelBackBone8x for 4 input channels, counted from its layers.
    pairs = [(4, 16), (16, 16), (16, 32), (32, 32), (32, 32), (32, 64)]
    pairs += [(64, 64)] * 5
    count = sum(27 * c * d + 2 * d for c, d in pairs) + 3 * 64 * 128 + 2 * 128
    second = SECOND(config)
    assert sum(p.numel() for p in second.sparse.parameters()) == count
    assert second.dim == 512
    # and BaseBEVBackbone on 128 x 3 channels
    count = 9 * (384 * 128 + 5 * 128 * 128) + 6 * 2 * 128 + 128 * 256 + 2 * 256
    count += 9 * (128 * 256 + 5 * 256 * 256) + 6 * 2 * 256 + 4 * 256 * 256 + 2 * 256
    assert sum(p.numel() for p in second.rpn.parameters()) == count


def test_training_finds_the_columns_that_hold_a_box():
    torch.manual_seed(0)
    second = SECOND(SMALL)
    head = nn.Conv2d(second.dim, 1, 1)
    coordinates = voxels(1, points=600)
    box = (coordinates[:, 1] // 8 == 1) & (coordinates[:, 2] // 8 == 1)
    x = SparseTensor(coordinates, torch.where(box[:, None], 1.0, 0.0).expand(-1, 3).contiguous())
    target = torch.zeros(2, 1, 8, 4)
    target[:, :, 2:4, 2:4] = 1
    parameters = [*second.parameters(), *head.parameters()]
    optimiser = torch.optim.Adam(parameters, 1e-2)
    losses = []
    for _ in range(15):
        loss = F.binary_cross_entropy_with_logits(head(second(x)), target)
        optimiser.zero_grad()
        loss.backward()
        assert all(bool(p.grad.isfinite().all()) for p in parameters)
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"rpn_layers": (1,)}, "rpn_layers is .1,., expected 2 numbers as in rpn"),
        ({"encoder": ()}, "at least one level"),
        ({"bev": 0}, "numbers of at least 1"),
        ({"shape": (256, 248, 32)}, "shape is .256, 248, 32., expected .* multiples of 16"),
        ({"shape": (256, 256)}, "expected three numbers"),
    ],
)
def test_bad_configurations(settings, said):
    with pytest.raises(UserError, match=said):
        SECONDConfig(**settings)


@pytest.mark.parametrize(
    "row, stride, said",
    [
        ([0, -1, 0, 0], 1, r"voxels lie between \(-1, 0, 0\) .* expected from 0 up to below"),
        ([0, 0, 16, 0], 1, r"\(0, 16, 0\), expected .* \(32, 16, 24\); subtract .* crop"),
        ([0, 0, 0, 0], 2, "expected three axes and tensor stride 1"),
    ],
)
def test_voxels_outside_the_range(row, stride, said):
    x = SparseTensor(torch.tensor([row], dtype=torch.int32), torch.ones(1, 3), stride)
    with pytest.raises(ValueError, match=said):
        SECOND(SMALL).eval()(x)
