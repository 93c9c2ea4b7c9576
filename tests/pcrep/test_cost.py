"""Operations of the U-Net against pairs counted by hand on a plane, whose edges wrap around."""

import itertools

import pytest
import torch

from pcrep.cost import unet_cost
from pcrep.encoders.unet import SparseUNet, UNetConfig
from pcrep.sparse import Conv, ConvTranspose


def plane(edge):
    return {(x, y, 0) for x in range(edge) for y in range(edge)}


def pairs(cells, edge, size):
    """Pairs of a voxel and a neighbour under the taps of an odd kernel, on a torus."""
    taps = [*itertools.product(range(-(size // 2), size // 2 + 1), repeat=3)]
    return sum(
        ((x + a) % edge, (y + b) % edge, z + c) in cells for x, y, z in cells for a, b, c in taps
    )


@pytest.mark.parametrize(
    "config",
    [
        UNetConfig(
            stem=4, encoder=(6, 8), decoder=(8, 5), encoder_blocks=(1, 2), decoder_blocks=(1, 1)
        ),
        UNetConfig(
            stem_kernel=5,
            stem=4,
            encoder=(4,),
            decoder=(6,),
            encoder_blocks=(1,),
            decoder_blocks=(2,),
        ),
    ],
)
def test_operations_on_a_plane(config):
    edge, network = 24, SparseUNet(config)
    strides = strides_of(network)
    total = 0
    for conv, stride in strides.items():
        size = conv.kernel_size[0]
        fine = edge // stride
        cells = plane(fine)
        count = len(cells) if size in (1, 2) else pairs(cells, fine, size)
        total += 6 * count * conv.in_channels * conv.out_channels
    assert unet_cost(config, edge**2).flops == total


def strides_of(network):
    """The finer tensor stride of each convolution."""
    found = {network.stem.conv: 1}
    for level, (down, blocks) in enumerate(zip(network.down, network.encoder, strict=True)):
        found[down.conv] = 1 << level
        found |= dict.fromkeys(of(blocks), 2 << level)
    levels = len(network.down)
    for level, (up, blocks) in enumerate(zip(network.up, network.decoder, strict=True), 1):
        found[up.conv] = 1 << (levels - level)
        found |= dict.fromkeys(of(blocks), 1 << (levels - level))
    assert len(found) == sum(isinstance(m, Conv | ConvTranspose) for m in network.modules())
    return found


def of(module):
    return [m for m in module.modules() if isinstance(m, Conv | ConvTranspose)]


def test_more_voxels_cost_in_proportion():
    one, two = (unet_cost(UNetConfig(), n) for n in (1000, 2000))
    assert (two.flops, two.moved, two.held) == (2 * one.flops, 2 * one.moved, 2 * one.held)
    assert torch.tensor(one.held).isfinite()
