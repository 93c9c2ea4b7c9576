"""Softplus and sigmoid: against closed forms in float64, and on several numbers of threads."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from tspcrep.common.elementwise import sigmoid, softplus

PLACES = [-745.0, -100.0, -30.0, -1.0, -1e-9, 0.0, 0.5, 20.0, 40.0, 700.0]


def exact(x: float) -> tuple[float, float]:
    small = math.exp(-abs(x))
    return max(x, 0.0) + math.log1p(small), (1.0 if x >= 0 else small) / (1 + small)


@pytest.mark.parametrize("x", PLACES)
def test_values(x):
    at = torch.tensor(x, dtype=torch.float64)
    for found, expected in zip((softplus(at), sigmoid(at)), exact(x), strict=True):
        assert found.item() == pytest.approx(expected, rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("function", [softplus, sigmoid])
def test_derivatives(function):
    x = torch.tensor(PLACES[1:-1], dtype=torch.float64, requires_grad=True)
    assert gradcheck(function, (x,)) and gradgradcheck(function, (x,))


@pytest.mark.parametrize("function", [softplus, sigmoid])
def test_any_number_of_threads_gives_the_same_bits(function):
    x, g = torch.randn(2, 100_003) * 5
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            at = x.clone().requires_grad_()
            y = function(at)
            y.backward(g)
            found.append(torch.stack([y.detach(), at.grad]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(other, found[0]) for other in found[1:])
