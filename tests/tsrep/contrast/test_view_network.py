"""The learned augmentation: hard concrete against draws, losses against loops, stated factors."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from tsrep.contrast.view_network import (
    ViewNetwork,
    _hard_concrete,
    expected_l0,
    gaussian_mmd,
    linear_mmd,
    random_view,
    temporal_consistency,
)

# The constants of Louizos et al., ICLR 2018, written again: the tests must not read the module's.
TAU, GAMMA, ZETA = 2 / 3, -0.1, 1.1


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def uniform(*shape, seed=0, dtype=torch.float64):
    draw = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return draw.clamp(1e-6, 1 - 1e-6)


def eq_4_and_5(probability, epsilon):
    """The paper's two equations on plain floats, from the probability pi and one draw."""
    odds = math.log(epsilon) - math.log(1 - epsilon)
    odds += math.log(probability / (1 - probability))
    soft = 1 / (1 + math.exp(-odds / TAU))
    return min(1.0, max(0.0, soft * (ZETA - GAMMA) + GAMMA))


# --- h ------------------------------------------------------------------------------------------


@given(probability=st.floats(0.01, 0.99), epsilon=st.floats(1e-6, 1 - 1e-6))
def test_hard_concrete_is_equations_4_and_5(probability, epsilon):
    logit = math.log(probability / (1 - probability))
    found = _hard_concrete(torch.tensor(logit, dtype=torch.float64), torch.tensor(epsilon).double())
    # The draw itself must be the double that was handed in.
    expected = eq_4_and_5(probability, torch.tensor(epsilon).double().item())
    assert found.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("probability", [0.05, 0.3, 0.5, 0.9, 0.99])
def test_distribution_of_hard_concrete(probability):
    """Draws of Eq. 4 and 5 by another generator have the same law: atoms and what lies between."""
    count = 40_000
    rng = np.random.default_rng(1)
    by_hand = np.array([eq_4_and_5(probability, e) for e in rng.random(count)])
    logit = torch.full((count,), math.log(probability / (1 - probability)), dtype=torch.float64)
    found = _hard_concrete(logit, uniform(count, seed=2)).numpy()
    assert found.min() >= 0 and found.max() <= 1
    error = 4 * math.sqrt(2 * 0.25 / count)  # four standard deviations of two shares
    for atom in (0.0, 1.0):
        assert (found == atom).mean() == pytest.approx((by_hand == atom).mean(), abs=error)
    inner = [draws[(draws > 0) & (draws < 1)] for draws in (found, by_hand)]
    assert kstest(*inner).pvalue > 1e-3


@pytest.mark.parametrize("probability", [0.02, 0.2, 0.5, 0.8, 0.98])
def test_expected_l0_is_the_share_that_draws_keep(probability):
    count = 100_000
    logit = torch.full((1, count, 1), math.log(probability / (1 - probability)))
    share = (_hard_concrete(logit.double(), uniform(1, count, 1, seed=3)) > 0).double().mean()
    expected = expected_l0(logit).item()
    error = 4 * math.sqrt(expected * (1 - expected) / count)
    assert share.item() == pytest.approx(expected, abs=error)


def test_expected_l0_in_closed_form_and_as_a_mean():
    """P(h > 0) = P(s > -gamma / (zeta - gamma)), by the logistic distribution function."""
    logit = normal(3, 7, 1)
    threshold = -GAMMA / (ZETA - GAMMA)
    cut = TAU * math.log(threshold / (1 - threshold))
    expected = np.mean([1 / (1 + math.exp(cut - value)) for value in logit.flatten().tolist()])
    assert expected_l0(logit).item() == pytest.approx(expected, abs=1e-12)


def test_steps_can_be_dropped_and_kept_for_certain():
    """The released code, which reads a probability as a logit, never keeps fewer than half."""
    draws = uniform(1000)
    assert (_hard_concrete(torch.full((1000,), -5.0).double(), draws) == 0).double().mean() > 0.95
    assert (_hard_concrete(torch.full((1000,), 5.0).double(), draws) == 1).double().mean() > 0.95


# --- losses -------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 6), steps=st.integers(2, 12), seed=st.integers(0, 100))
def test_temporal_consistency_is_a_loop(batch, steps, seed):
    keep = uniform(batch, steps, 1, seed=seed)
    rng = np.random.default_rng(seed)
    anchor, near, far = (rng.integers(0, steps, batch) for _ in range(3))
    total = 0.0
    for b in range(batch):
        h = keep[b, :, 0].tolist()
        total += abs(h[anchor[b]] - h[near[b]]) - abs(h[anchor[b]] - h[far[b]])
    found = temporal_consistency(keep, *(torch.from_numpy(i) for i in (anchor, near, far)))
    assert found.item() == pytest.approx(total / batch, abs=1e-12)


def test_temporal_consistency_pulls_neighbours_together_and_far_steps_apart():
    """The sign that the released code has reversed."""
    anchor, near, far = torch.tensor([2]), torch.tensor([3]), torch.tensor([9])
    smooth = torch.cat([torch.ones(1, 5, 1), torch.zeros(1, 5, 1)], 1)
    ragged = torch.zeros(1, 10, 1)
    ragged[:, [2, 9]] = 1
    assert temporal_consistency(smooth, anchor, near, far) == -1
    assert temporal_consistency(ragged, anchor, near, far) == 1


def rows(seed, first=4, second=4, dim=3):
    return normal(first, dim, seed=seed), 0.5 + 2 * normal(second, dim, seed=seed + 1)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 6), dim=st.integers(1, 5), seed=st.integers(0, 100))
def test_linear_mmd_is_a_loop(n, dim, seed):
    first, second = rows(seed, n, n, dim)
    expected = sum(
        (sum(first[i, d].item() - second[i, d].item() for i in range(n)) / n) ** 2
        for d in range(dim)
    )
    assert linear_mmd(first, second).item() == pytest.approx(expected, abs=1e-12)


def gaussian_by_loops(first, second, kernels=5):
    rows = first.tolist() + second.tolist()

    def squared(i, j):
        return sum((a - b) ** 2 for a, b in zip(rows[i], rows[j], strict=True))

    everyone = range(len(rows))
    middle = sum(squared(i, j) for i in everyone for j in everyone) / len(rows) ** 2

    def kernel(i, j):
        widths = [middle * 2.0 ** (k - kernels // 2) for k in range(kernels)]
        return sum(math.exp(-squared(i, j) / width) for width in widths) / kernels

    def mean(left, right):
        return sum(kernel(i, j) for i in left for j in right) / (len(left) * len(right))

    x, y = range(len(first)), range(len(first), len(rows))
    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(1, 5),
    m=st.integers(1, 5),
    kernels=st.integers(1, 5),
    seed=st.integers(0, 100),
)
def test_gaussian_mmd_is_a_loop(n, m, kernels, seed):
    first, second = rows(seed, n, m)
    found = gaussian_mmd(first, second, kernels).item()
    assert found == pytest.approx(gaussian_by_loops(first, second, kernels), abs=1e-12)
    assert found >= -1e-12  # the biased estimate is a squared norm


@pytest.mark.parametrize("mmd", [linear_mmd, gaussian_mmd])
def test_mmd_of_the_same_rows_is_nothing(mmd):
    first, second = rows(0)
    shuffled = first[torch.tensor([2, 0, 3, 1])]
    assert mmd(first, shuffled).item() == pytest.approx(0, abs=1e-12)
    assert mmd(first, second).item() > 1e-3
    assert mmd(first[:1].expand(4, 3), first[:1].expand(4, 3)).item() == pytest.approx(0, abs=1e-12)


def test_only_the_gaussian_mmd_sees_the_spread():
    first = normal(50, 2)
    first -= first.mean(0)
    assert linear_mmd(first, 3 * first).item() == pytest.approx(0, abs=1e-12)
    assert gaussian_mmd(first, 3 * first).item() > 0.01


@pytest.mark.parametrize("mmd", [linear_mmd, gaussian_mmd])
def test_gradient_of_mmd_is_finite_where_rows_coincide(mmd):
    """In the first steps a view may equal its series; a root has no slope at zero."""
    first = normal(4, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(mmd(first.detach(), first), first)
    assert gradient.isfinite().all() and gradient.abs().max() < 1e-6


@pytest.mark.parametrize("mmd", [linear_mmd, gaussian_mmd])
def test_gradcheck_of_mmd(mmd):
    first, second = (t.requires_grad_() for t in rows(0))
    if mmd is linear_mmd:
        assert torch.autograd.gradcheck(mmd, (first, second))
        return
    # The bandwidth carries no gradient by design, so finite differences must hold it fixed.
    everyone = torch.cat([first, second]).detach()
    widths = torch.cdist(everyone, everyone).square().mean() * 2.0 ** torch.arange(-2, 3)

    def fixed(x, y):
        z = torch.cat([x, y])
        squared = (z[:, None] - z[None]).square().sum(-1)
        kernel = torch.exp(-squared[..., None] / widths).mean(-1)
        n = len(x)
        return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()

    assert torch.autograd.gradcheck(fixed, (first, second))
    found = torch.autograd.grad(mmd(first, second), (first, second))
    expected = torch.autograd.grad(fixed(first, second), (first, second))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)


def test_gradcheck_of_the_mask():
    logit = normal(2, 6, 1).requires_grad_()
    draws = uniform(2, 6, 1, seed=5)
    inside = _hard_concrete(logit, draws)
    assert ((inside > 0.01) & (inside < 0.99)).any()  # not only atoms, where the slope is zero
    assert torch.autograd.gradcheck(lambda t: _hard_concrete(t, draws), (logit,))
    assert torch.autograd.gradcheck(expected_l0, (logit,))
    keep = uniform(2, 6, 1, seed=6).requires_grad_()
    steps = [torch.tensor(i) for i in ([0, 5], [1, 4], [3, 2])]
    assert torch.autograd.gradcheck(lambda t: temporal_consistency(t, *steps), (keep,))


# --- the network --------------------------------------------------------------------------------


def network(channels=2, seed=0, wild=False, **options):
    torch.manual_seed(seed)
    augmentation = ViewNetwork(channels, hidden=6, depth=1, **options).double()
    if wild:  # weights as far from their start as training could ever bring them
        with torch.no_grad():
            for parameter in augmentation.parameters():
                parameter.mul_(30)
    return augmentation


@pytest.mark.parametrize("factorise", [True, False])
@pytest.mark.parametrize("transform", [True, False])
def test_a_view_is_the_product_of_its_factors(factorise, transform):
    augmentation = network(factorise=factorise, transform=transform)
    x, draws = normal(3, 12, 2), uniform(3, 12, 1)
    view = augmentation(x, draws)
    assert view.values.shape == view.gain.shape == (3, 12, 2)
    assert view.keep.shape == view.logit.shape == (3, 12, 1)
    for b in range(3):
        for t in range(12):
            h = view.keep[b, t, 0].item()
            drawn = eq_4_and_5(view.logit[b, t, 0].sigmoid().item(), draws[b, t, 0].item())
            assert h == pytest.approx(drawn if factorise else 1.0, abs=1e-9)
            for c in range(2):
                g = view.gain[b, t, c].item()
                assert transform or g == 1.0
                assert view.values[b, t, c].item() == pytest.approx(g * h * x[b, t, c].item())


@settings(max_examples=20, deadline=None)
@given(scale=st.sampled_from([0.0, 1.0, 1e3, 1e6]), seed=st.integers(0, 30))
def test_g_is_never_zero_and_may_amplify(scale, seed):
    view = network(seed=seed, wild=True)(scale * normal(2, 10, 2, seed=seed), uniform(2, 10, 1))
    assert view.gain.min() >= 1 / math.e - 1e-12 and view.gain.max() <= math.e + 1e-12
    assert view.values.isfinite().all()


def test_first_views_are_close_to_the_series():
    torch.manual_seed(0)
    augmentation = ViewNetwork(3)
    view = augmentation(normal(8, 100, 3, dtype=torch.float32), torch.full((8, 100, 1), 0.5))
    probability = view.logit.sigmoid()
    assert 0.8 < probability.mean() < 0.95
    assert (view.gain.log().abs() < 0.7).all() and abs(view.gain.log().mean()) < 0.2


def test_both_factors_learn():
    augmentation = network()
    augmentation(normal(3, 12, 2), uniform(3, 12, 1)).values.square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in augmentation.parameters())


def test_missing_values_stay_missing_and_gradients_finite():
    """0 times NaN is NaN: the chain rule must not meet the missing values."""
    augmentation = network()
    x = normal(3, 12, 2)
    x[0, 3, 1] = x[2] = torch.nan
    view = augmentation(x, uniform(3, 12, 1))
    assert torch.equal(view.values.isnan(), x.isnan())
    (view.values.nan_to_num().square().sum() + expected_l0(view.logit)).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in augmentation.parameters())


def test_gradcheck_of_the_view_in_the_series():
    augmentation, draws = network(), uniform(1, 6, 1, seed=5)
    x = normal(1, 6, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: augmentation(t, draws).values, (x,))


def test_random_views():
    x, draws = normal(4, 5000, 2), uniform(4, 5000, 1)
    gauss = normal(4, 1, 2, seed=9) * 3
    view = random_view(x, draws, gauss)
    assert set(view.keep.flatten().tolist()) == {0.0, 1.0}
    assert torch.equal(view.keep == 1, draws < 0.9)
    assert view.keep.mean().item() == pytest.approx(0.9, abs=0.01)
    assert view.gain.shape == x.shape
    for b in range(4):
        for c in range(2):
            expected = math.exp(0.5 * min(2.0, max(-2.0, gauss[b, 0, c].item())))
            assert view.gain[b, :, c].tolist() == pytest.approx([expected] * 5000)
    torch.testing.assert_close(view.values, x * view.keep * view.gain)
    assert view.logit.sigmoid().mean().item() == pytest.approx(0.9)
