"""The correspondence network: its equation in a loop, and what it must not depend on."""

import pytest
import torch

from pcrep.contrast.correspondence import CorrespondenceNetwork


def made(dim=12, channels=3):
    torch.manual_seed(0)
    return CorrespondenceNetwork(dim, channels, hidden=5).double()


def test_it_equals_a_loop_over_points_and_positions():
    network, x = made(), torch.randn(4, 12, dtype=torch.float64)
    first, _, second = network.projector
    expected = torch.zeros_like(x)
    for n, row in enumerate(x):
        maps = row.view(3, 4)
        for place in range(4):
            column = maps[:, place]
            hidden = (first.weight @ column + first.bias).clamp_min(0)
            mask = 1 / (1 + torch.exp(-(second.weight @ hidden + second.bias)))
            expected[n].view(3, 4)[:, place] = mask * column
    torch.testing.assert_close(network(x), expected)


def test_points_do_not_see_each_other():
    network, x = made(), torch.randn(6, 12, dtype=torch.float64)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(network(x)[order], network(x[order]))
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]))


def test_the_mask_shrinks_and_keeps_signs():
    network, x = made(), torch.randn(50, 12, dtype=torch.float64)
    ratio = network(x) / x
    assert ((ratio > 0) & (ratio < 1)).all()


def test_channels_divide_the_features():
    with pytest.raises(ValueError, match="channels is 5"):
        CorrespondenceNetwork(12, 5)
