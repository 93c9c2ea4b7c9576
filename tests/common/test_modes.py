"""A module is at evaluation for a while, and each part of it as it was afterwards."""

import pytest
import torch
from torch import nn

from tspcrep.common.modes import evaluating


def parts(training):
    module = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5)))
    for part, mode in zip(module.modules(), training, strict=True):
        part.training = mode
    return module


MODES = [
    [True] * 5,
    [False] * 5,
    [True, False, True, False, True],
    [False, True, False, True, True],
]


@pytest.mark.parametrize("training", MODES)
@pytest.mark.parametrize("failing", [False, True])
def test_each_part_has_its_own_mode_again(training, failing):
    module, x = parts(training), torch.ones(4, 2)
    try:
        with evaluating(module):
            assert torch.equal(module(x), module(x))  # no part draws
            assert not any(part.training for part in module.modules())
            if failing:
                raise KeyError
    except KeyError:
        pass
    assert [part.training for part in module.modules()] == training
