"""Batch normalisation of rows against torch's in float64, and on several numbers of threads."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from tspcrep.common.batch_norm import BatchNorm
from tspcrep.common.heads import ProjectionHead

close = torch.testing.assert_close


def made(channels, dtype=torch.float64, momentum=0.1):
    torch.manual_seed(channels)
    ours = BatchNorm(channels, momentum=momentum).to(dtype)
    with torch.no_grad():
        ours.weight.uniform_(0.5, 2)
        ours.bias.normal_()
    theirs = nn.BatchNorm1d(channels, momentum=momentum).to(dtype)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def results(norm, x, g):
    x = x.clone().requires_grad_()
    y = norm(x)
    norm.zero_grad()
    y.backward(g)
    return y.detach(), x.grad, norm.weight.grad, norm.bias.grad, *norm.buffers()


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(2, 700),
    channels=st.integers(1, 33),
    seed=st.integers(0, 99),
    offset=st.sampled_from([0.0, -3.0, 1e4]),
    training=st.booleans(),
)
def test_it_is_torchs(rows, channels, seed, offset, training):
    generator = torch.Generator().manual_seed(seed)
    x, g = torch.randn(2, rows, channels, generator=generator, dtype=torch.float64)
    x = x * torch.rand(channels, generator=generator, dtype=torch.float64) + offset
    ours, theirs = made(channels)
    ours.running_var.add_(2)
    theirs.running_var.add_(2)
    ours.train(training)
    theirs.train(training)
    for _ in range(2):  # running statistics of the second step rest on the first
        found, expected = results(ours, x, g), results(theirs, x, g)
    close(found, expected, rtol=1e-6, atol=1e-9)


def test_float32_is_as_exact_as_torchs_far_from_zero():
    x, g = torch.randn(2, 5000, 8)
    x = x * 0.1 + 1000
    exact = results(made(8)[1], x.double(), g.double())
    ours, theirs = (results(norm, x, g) for norm in made(8, torch.float32))
    for found, torchs, right in zip(ours[:4], theirs[:4], exact[:4], strict=True):
        assert (found - right).abs().max() <= 2 * (torchs - right).abs().max() + 1e-5


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_derivatives_by_finite_differences(training, frozen):
    norm = made(3)[0].train(training)
    names = ["weight", "bias"]
    x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    values = [getattr(norm, name).detach().requires_grad_(not frozen) for name in names]

    def run(x, *values):
        state = dict(zip(names, values, strict=True))
        return torch.func.functional_call(copy.deepcopy(norm), state, (x,)).sin()

    assert gradcheck(run, (x, *values)) and gradgradcheck(run, (x, *values))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(3001, 17), (255, 64)])
def test_any_number_of_threads_gives_the_same_bits(training, shape):
    x, g = torch.randn(2, *shape)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 4):
            torch.set_num_threads(threads)
            found.append(results(made(shape[1], torch.float32)[0].train(training), x, g))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, found[0], strict=True))


def test_sixteen_bits_nan_and_what_is_left_to_torch():
    ours, theirs = made(4, torch.float32)
    x = torch.randn(50, 4)
    half = ours(x.bfloat16())
    assert half.dtype == torch.bfloat16
    close(half.float(), theirs(x), rtol=2e-2, atol=2e-2)
    x[3, 1] = torch.nan
    assert ours(x).isnan().any(0).tolist() == [False, True, False, False]
    close(made(4)[0](x.double()[:, :, None]), made(4)[1](x.double()[:, :, None]), equal_nan=True)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        ours(x[:1])
    with pytest.raises(ValueError, match=r"expected \(N, 4\)"):
        ours(torch.randn(5, 3))
    ours, theirs = made(4, torch.float32, momentum=None)
    close(ours(x), theirs(x), equal_nan=True)


def test_heads_use_it():
    head = ProjectionHead(6, 4, batch_norm=True)
    assert any(isinstance(m, BatchNorm) for m in head.modules())
    assert head(torch.randn(5, 3, 6)).shape == (5, 3, 4)
