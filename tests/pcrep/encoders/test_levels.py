"""Encoder levels carried up to the voxels, against a look-up of each voxel's cell."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import nn

from pcrep.encoders.encoding import (
    Levels,
    encode,
    features_of,
    network_input,
    read_out,
    width,
)
from pcrep.encoders.unet import SparseUNet
from pcrep.sparse import SparseTensor
from tests.pcrep.made_scenes import made_scene
from tests.pcrep.networks import SMALL, engines


def network(seed=0):
    torch.manual_seed(seed)
    return SparseUNet(SMALL).eval()


@pytest.mark.parametrize("engine", ["torch", *engines()])
def test_a_voxel_has_the_features_of_its_cell(engine):
    net = network()
    x, _ = network_input([made_scene(0), made_scene(1)], 0.05)
    x = SparseTensor(x.coordinates, x.features, engine=engine)
    with torch.no_grad():
        found, levels = features_of(net, x, "encoder"), net.encode(x)
        both, end = features_of(net, x, "both"), net(x).features
    assert [level.stride[0] for level in levels] == [1, 2, 4]
    parts = []
    for level in levels:
        step = level.stride[0]
        rows = {tuple(row): i for i, row in enumerate(level.coordinates.tolist())}
        cells = [
            rows[(batch, *(step * (v // step) for v in place))]
            for batch, *place in x.coordinates.tolist()
        ]
        parts.append(level.features[cells])
    expected = torch.cat(parts, 1)
    assert found.shape[1] == width(net, "encoder") == 4 + 6 + 8
    torch.testing.assert_close(found, expected)
    assert both.shape[1] == width(net, "both")
    torch.testing.assert_close(both, torch.cat([end, expected], 1))
    assert end.shape[1] == width(net, "decoder")


def test_the_decoders_end_comes_first_of_the_default():
    net, cloud = network(), made_scene(0)
    end, _ = encode(net, cloud, 0.05, "decoder")
    both = encode(net, cloud, 0.05)[0]
    assert np.array_equal(both, encode(net, cloud, 0.05, "both")[0])
    np.testing.assert_array_equal(both[:, : net.dim], end)
    np.testing.assert_array_equal(both[:, net.dim :], encode(net, cloud, 0.05, "encoder")[0])


def test_gradients_reach_every_level():
    net = network()
    x, _ = network_input([made_scene(0)], 0.05)
    features_of(net, x, "encoder").square().sum().backward()
    encoder = [p.grad for n, p in net.named_parameters() if not n.startswith(("up", "decoder"))]
    assert all(grad is not None and grad.any() for grad in encoder)
    assert all(p.grad is None for n, p in net.named_parameters() if n.startswith("decoder"))


def test_levels_that_there_are_not():
    net = network()
    with pytest.raises(ValueError, match="levels is 'all', expected one of decoder, encoder, both"):
        encode(net, made_scene(0), 0.05, "all")


@pytest.mark.parametrize("levels", get_args(Levels))
@pytest.mark.parametrize("engine", ["torch", *engines()])
def test_a_head_read_out_level_by_level_is_the_head_of_the_features(engine, levels):
    net = network().double()
    x, _ = network_input([made_scene(0), made_scene(1)], 0.05)
    x = SparseTensor(x.coordinates, x.features.double(), engine=engine)
    head = nn.Linear(width(net, levels), 3).double()
    expected = head(features_of(net, x, levels))
    torch.testing.assert_close(read_out(net, x, head, levels), expected)
