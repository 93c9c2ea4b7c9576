"""Encoder levels carried up to the voxels, against a look-up of each voxel's cell."""

import numpy as np
import pytest
import torch

from pcrep.encoders.encoding import encode, features_of, network_input, width
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
    assert end.shape[1] == width(net)


def test_the_decoders_end_is_the_default():
    net, cloud = network(), made_scene(0)
    end, _ = encode(net, cloud, 0.05)
    assert np.array_equal(end, encode(net, cloud, 0.05, "decoder")[0])
    both = encode(net, cloud, 0.05, "both")[0]
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
