"""Transforms of embeddings against their equations and moments."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from tspcrep.common import features

close = torch.testing.assert_close


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def unit(*shape, seed=0):
    return normalize(torch.randn(shape, generator=generator(seed), dtype=torch.float64), dim=-1)


@pytest.mark.parametrize(("a", "b"), [(0.15, 0.15), (1.6, 1.6), (2.0, 8.0)])
def test_beta_has_its_moments(a, b):
    x = features.beta((200_000,), a, b, torch.empty(0, dtype=torch.float64), generator())
    total = a + b
    assert float(x.mean()) == pytest.approx(a / total, abs=4e-3)
    assert float(x.var()) == pytest.approx(a * b / (total**2 * (total + 1)), rel=2e-2)
    assert ((x >= 0) & (x <= 1)).all()


def test_extrapolated_positives_are_harder():
    q = unit(500, 16)
    k = normalize(q + 0.5 * unit(500, 16, seed=1), dim=-1)
    new_q, new_k = features.extrapolate_positives(q, k, generator=generator())
    before, after = (q * k).sum(1), (new_q * new_k).sum(1)
    assert (after < before).all()
    close((new_q.norm(dim=1), new_k.norm(dim=1)), (torch.ones(500).double(),) * 2)


def test_one_weight_extrapolates_by_the_closed_form(monkeypatch):
    monkeypatch.setattr(features, "beta", lambda *_: torch.tensor(0.4, dtype=torch.float64))
    q, k = unit(20, 8), unit(20, 8, seed=1)
    s, m = (q * k).sum(1), 1.4
    dot = 2 * m * (1 - m) + (m**2 + (1 - m) ** 2) * s
    square = m**2 + (1 - m) ** 2 + 2 * m * (1 - m) * s
    new_q, new_k = features.extrapolate_positives(q, k)
    close((new_q * new_k).sum(1), dot / square)


def test_interpolated_negatives_lie_between_two_rows():
    n = torch.eye(6, dtype=torch.float64)
    mixed = features.interpolate_negatives(n, generator=generator())
    assert ((mixed > 0).sum(1) <= 2).all() and (mixed >= 0).all()
    close(mixed.norm(dim=1), torch.ones(6).double())


def test_low_rank_is_the_best_of_its_rank():
    x = torch.randn(3, 12, 7, generator=generator(), dtype=torch.float64)
    left, right = features.low_rank(x, 2)
    u, s, v = np.linalg.svd(x.numpy())
    best = np.einsum("gik,gk,gkj->gij", u[:, :, :2], s[:, :2], v[:, :2])
    close(left @ right, torch.from_numpy(best))
    full = features.low_rank(x, 7)
    close(full[0] @ full[1], x)
    with pytest.raises(ValueError, match="rank is 8, expected 1 to 7"):
        features.low_rank(x, 8)


def test_nearest_is_the_largest_cosine():
    q, bank = unit(7, 5), 3 * unit(30, 5, seed=1)
    rows, place = features.nearest(q.requires_grad_(), bank)
    cosines = np.asarray(
        [[float(torch.cosine_similarity(a, b, 0)) for b in bank] for a in q.detach()]
    )
    assert place.tolist() == cosines.argmax(1).tolist()
    close(rows, bank[place])
    with pytest.raises(ValueError, match="bank has no rows"):
        features.nearest(q, bank[:0])


def test_rows_of_zeros_in_half_precision_are_nobodys_nearest():
    bank = unit(30, 5, seed=1).half()
    bank[3] = 0
    places = features.nearest(unit(7, 5).half(), bank)[1]
    assert not (places == 3).any()
    assert not (features.nearest_rows(bank, 2)[torch.arange(30) != 3] == 3).any()


def test_rows_of_zeros_in_half_precision_stay_finite_in_value_and_gradient():
    q = unit(6, 5).half()
    q[2] = 0
    q.requires_grad_()
    new, _ = features.extrapolate_positives(q, q.detach(), generator=generator())
    mixed = features.interpolate_negatives(torch.zeros(4, 5).half(), generator=generator())
    noisy = features.scaled_noise(q, generator=generator())
    (new.sum() + noisy.sum()).backward()
    assert new.isfinite().all() and not new[2].any() and not noisy[2].any() and not mixed.any()
    assert q.grad.isfinite().all()


def test_noise_has_the_length_it_should():
    z = torch.randn(50, 6, generator=generator(), dtype=torch.float64)
    moved = (features.scaled_noise(z, 0.2, generator()) - z).norm(dim=1)
    close(moved, 0.2 * z.norm(dim=1), rtol=1e-6, atol=0)
    assert features.scaled_noise(z, 0.0).equal(z)


def test_draws_repeat():
    q, k = unit(5, 4), unit(5, 4, seed=1)
    for draw in (
        lambda g: features.extrapolate_positives(q, k, generator=g)[0],
        lambda g: features.interpolate_negatives(q, generator=g),
        lambda g: features.scaled_noise(q, generator=g),
    ):
        assert draw(generator(3)).equal(draw(generator(3)))
        assert not draw(generator(3)).equal(draw(generator(4)))


def test_an_augmenter_has_the_released_widths_and_unit_rows():
    augmenter = features.LearnedAugmenter(64)
    shapes = [tuple(p.shape) for p in augmenter.parameters() if p.ndim == 2]
    assert shapes == [(32, 64), (16, 32), (64, 16)]
    close(augmenter(torch.randn(3, 5, 64)).norm(dim=-1), torch.ones(3, 5))


def test_the_nearest_rows_are_those_of_loops():
    x = unit(9, 4)
    near = features.nearest_rows(x, 3)
    for i in range(9):
        order = np.argsort([-float(x[i] @ y) for y in x], kind="stable")
        assert near[i].tolist() == order[:3].tolist()
    with pytest.raises(ValueError, match="count is 10"):
        features.nearest_rows(x, 10)


def test_smoothing_is_a_power_of_the_graph():
    z, near = unit(9, 4).requires_grad_(), features.nearest_rows(unit(9, 6, seed=1), 3)
    graph = torch.zeros(9, 9).double().scatter_(1, near, 1 / 3)
    close(features.knn_smooth(z, near, 2), graph @ graph @ z)
    assert features.knn_smooth(z, near, 0).equal(z)
    close(features.knn_smooth(torch.ones(9, 4), near, 3), torch.ones(9, 4))
    features.knn_smooth(z, near).sum().backward()
    close(z.grad, graph.sum(0)[:, None].expand(9, 4))
    with pytest.raises(ValueError, match=r"neighbours has shape \(9, 3\), expected \(5, k\)"):
        features.knn_smooth(z[:5], near)
    with pytest.raises(ValueError, match="hops is -1"):
        features.knn_smooth(z, near, -1)


def test_a_new_hallucinator_extrapolates_and_then_learns():
    q, k = unit(7, 5).float(), unit(7, 5, seed=1).float()
    torch.manual_seed(0)
    hallucinator = features.Hallucinator(5)
    got = hallucinator(q, k, generator())
    close(got, features.extrapolate_positives(q, k, generator=generator())[0])
    (got * k).sum().backward()
    assert hallucinator.out.weight.grad.abs().sum() > 0
