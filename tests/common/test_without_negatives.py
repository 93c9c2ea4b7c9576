"""VICReg, Barlow Twins and LeJEPA: limits, closed forms, and statistics over all processes."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from tests.common.processes import mine, spawn
from tspcrep.common import losses
from tspcrep.common.distributed import gather, share

close = torch.testing.assert_close


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def white(n, dim, correction):
    """Rows with uncorrelated dimensions of variance 1."""
    q = torch.linalg.qr(rows(n, dim) - rows(n, dim).mean(0)).Q
    return q * math.sqrt(n - correction)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_vic_reg_of_equal_white_views_is_zero(scale):
    z = scale * white(40, 5, 1)
    close(losses.vic_reg(z, z), torch.tensor(0.0).double(), atol=1e-20, rtol=0)


def test_vic_reg_of_collapsed_views_is_the_variance_term():
    z = torch.ones(10, 5).double()
    assert float(losses.vic_reg(z, z)) == pytest.approx(25 * (1 - math.sqrt(1e-4)))
    assert float(losses.vic_reg(z, z + 2)) == pytest.approx(25 * (1 - math.sqrt(1e-4)) + 25 * 4)


def test_vic_reg_has_numpys_covariance():
    a, b = rows(30, 4), rows(30, 4, seed=1)
    expected = 0.0
    for x in (a, b):
        c = torch.from_numpy(np.cov(x.numpy().T))
        expected += c.square().sum() - c.diagonal().square().sum()
    close(losses.vic_reg(a, b, 0.0, 0.0, 1.0), expected / 4)


def test_barlow_twins_of_equal_white_views_is_zero_and_of_collapsed_ones_the_dimension():
    z = white(40, 5, 0)
    close(losses.barlow_twins(z, z), torch.tensor(0.0).double(), atol=1e-8, rtol=0)
    flat = torch.ones(10, 5).double()
    assert float(losses.barlow_twins(flat, flat)) == 5


def test_barlow_twins_do_not_see_scale_and_shift():
    a, b = 100 * rows(20, 4), 100 * rows(20, 4, seed=1)
    scale = torch.tensor([1.0, 2.0, 3.0, 4.0])
    close(losses.barlow_twins(scale * a + 5, b), losses.barlow_twins(a, b), rtol=1e-6, atol=0)


def test_sig_reg_on_a_wide_interval_is_epps_and_pulleys_closed_form():
    y = rows(25, 1)
    got = losses.sig_reg(y, torch.ones(1, 1), knots=401, reach=12.0)
    kernel = (-(y - y.T).square() / 2).exp().mean() * math.sqrt(2 * math.pi)
    cross = 2 * math.sqrt(math.pi) * (-y.square() / 4).exp().mean()
    close(got, 25 * (kernel - cross + math.sqrt(2 * math.pi / 3)))


def test_sig_reg_of_collapsed_rows_is_their_integral():
    def height(t):
        return (1 - math.exp(-(t**2) / 2)) ** 2 * math.exp(-(t**2) / 2)

    area = integrate.quad(height, -5, 5)[0]
    got = losses.sig_reg(torch.zeros(7, 3), torch.eye(3), knots=201)
    assert float(got) == pytest.approx(7 * area, rel=1e-4)


def test_sig_reg_of_normal_rows_has_the_expectation_of_its_statistic():
    """``N E |phi_N - phi|^2 = 1 - phi^2`` whatever ``N``; a shift or a scale makes more."""
    z = rows(300, 50, 16)
    a = losses.random_directions(16, 20, z, torch.Generator().manual_seed(1))
    close(a.norm(dim=0), torch.ones(20).double())

    def height(t):
        return (1 - math.exp(-(t**2))) * math.exp(-(t**2) / 2)

    area = integrate.quad(height, -5, 5)[0]
    assert float(losses.sig_reg(z, a)) == pytest.approx(area, rel=0.05)
    assert losses.sig_reg(1.5 * z, a) > 1.5 * area and losses.sig_reg(z + 0.3, a) > 1.5 * area


def test_le_jepa_between_its_two_terms():
    views = rows(3, 12, 4)
    a = losses.random_directions(4, 8, views)
    close(losses.le_jepa(views, a, 1.0), losses.sig_reg(views, a))
    close(losses.le_jepa(views, a, 0.0), views.var(0, correction=0).mean())


def test_the_module_draws_new_directions_and_repeats_them_after_resuming():
    views = rows(2, 12, 4)
    module, again = losses.LeJEPA(directions=8), losses.LeJEPA(directions=8)
    first, second = module(views), module(views)
    assert first != second
    close((again(views), again(views)), (first, second))
    again.load_state_dict({"calls": torch.tensor(1)})
    close(again(views), second)


def test_descent_spreads_collapsed_rows():
    z = (1e-2 * rows(64, 8)).requires_grad_()
    a = losses.random_directions(8, 64, z.detach(), torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam([z], 0.05)
    for _ in range(200):
        optimiser.zero_grad()
        losses.sig_reg(z, a).backward()
        optimiser.step()
    values = torch.linalg.eigvalsh(z.detach().T.cov())
    assert values[0] > 0.5 and values[-1] < 2.0


@pytest.mark.parametrize(
    "loss",
    [
        losses.vic_reg,
        losses.barlow_twins,
        losses.margin_regulariser,
        lambda a, b: losses.koleo(a) + losses.koleo(b),
        lambda a, b: losses.meta_contrast(a, b, a, b),
        lambda a, b: losses.SwAV()(torch.stack([a, b])),
        lambda a, b: losses.LeJEPA()(torch.stack([a, b])),
        lambda a, b: losses.MaskedPrediction()(a, b, torch.ones(1, dtype=torch.bool)),
        losses.siglip,
        lambda a, b: losses.guided_info_nce(a, b, a, b),
    ],
)
def test_a_last_batch_of_one_sample_trains_on(loss):
    a, b = (x.requires_grad_() for x in (rows(1, 5), rows(1, 5, seed=1)))
    value = loss(a, b)
    value.backward()
    assert value.isfinite() and a.grad.isfinite().all()


@pytest.mark.parametrize(
    ("module", "function"),
    [
        (losses.VICReg(1.0, 2.0, 3.0), lambda a, b: losses.vic_reg(a, b, 1.0, 2.0, 3.0)),
        (losses.BarlowTwins(0.1), lambda a, b: losses.barlow_twins(a, b, 0.1)),
    ],
)
def test_modules_are_their_functions(module, function):
    a, b = rows(8, 5), rows(8, 5, seed=1)
    assert module(a, b) == function(a, b)


def _check_statistics(rank, world):
    views = rows(2, 13, 5)
    a = losses.random_directions(5, 6, views, torch.Generator().manual_seed(0))
    everything = {
        "vic_reg": lambda v, **d: losses.vic_reg(v[0], v[1], **d),
        "barlow_twins": lambda v, **d: losses.barlow_twins(v[0], v[1], **d),
        "sig_reg": lambda v, **d: losses.sig_reg(v, a, **d),
        "le_jepa": lambda v, **d: losses.le_jepa(v, a, **d),
    }
    for name, loss in everything.items():
        whole = views.clone().requires_grad_()
        expected = loss(whole)
        expected.backward()
        part = mine(views, 1, rank, world).clone().requires_grad_()
        got = loss(part, distributed=True)
        got.backward()
        close(got, expected, msg=lambda text, n=name: f"{n}: {text}")
        # Averaged over ranks, as DistributedDataParallel does.
        close(part.grad / world, mine(whole.grad, 1, rank, world))
        close(loss(gather(part.detach(), 1)), expected)
    whole = views.clone().requires_grad_()
    expected = losses.siglip(*whole)
    expected.backward()
    part = mine(views, 1, rank, world).clone().requires_grad_()
    sample = mine(torch.arange(13), 0, rank, world)
    labels = sample, gather(sample)
    got = share(losses.siglip(part[0], gather(part[1]), labels=labels), len(sample))
    got.backward()
    close(part.grad / world, mine(whole.grad, 1, rank, world))


@pytest.mark.distributed
@pytest.mark.parametrize("world", [2, 4])
def test_statistics_are_those_of_one_process(world, tmp_path):
    spawn(_check_statistics, world, tmp_path)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a: losses.vic_reg(a, a[:3]), r"second has shape \(3, 5\), expected \(8, 5\)"),
        (lambda a: losses.barlow_twins(a[:0], a[:0]), r"first has shape \(0, 5\)"),
        (lambda a: losses.vic_reg(a.long(), a.long()), "first has dtype torch.int64"),
        (lambda a: losses.sig_reg(a, torch.ones(4, 2)), r"directions have shape \(4, 2\)"),
        (lambda a: losses.sig_reg(a, torch.ones(5, 2), knots=4), "knots is 4"),
        (lambda a: losses.sig_reg(a, torch.ones(5, 2), reach=0.0), "reach is 0.0"),
        (lambda a: losses.le_jepa(a, torch.ones(5, 2)), r"views has shape \(8, 5\)"),
        (lambda a: losses.le_jepa(a[None], torch.ones(5, 2)), r"views has shape \(1, 8, 5\)"),
        (lambda a: losses.le_jepa(a.view(2, 4, 5), torch.ones(5, 2), 1.5), "weight is 1.5"),
        (
            lambda a: losses.le_jepa(a.view(2, 4, 5), torch.ones(5, 2), global_views=3),
            "global_views is 3",
        ),
        (lambda a: losses.random_directions(5, 0, a), "dim is 5 and count 0"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(rows(8, 5))
