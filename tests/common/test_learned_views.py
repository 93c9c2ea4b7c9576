"""Similarity queries, learned augmenters, pruned twins: limits, gradients, phases."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from tspcrep.common import losses, training
from tspcrep.common.features import LearnedAugmenter
from tspcrep.common.losses import VariationalGate
from tspcrep.common.methods import Phase

close = torch.testing.assert_close


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_logistic_queries_of_unit_rows_are_info_nce_with_one_negative():
    a, b, o = (normalize(rows(8, 5, seed=s), dim=-1) for s in range(3))
    expected = [
        losses.InfoNCE(0.5)(x[i : i + 1], torch.stack([y[i], o[i]]))
        for i in range(8)
        for x, y in ((a, b), (b, a))
    ]
    close(losses.similarity_queries(a, b, o, None), torch.stack(expected).mean())


def test_queries_that_are_answered_with_the_margin_cost_nothing():
    a = rows(8, 5)
    zero = torch.tensor(0.0).double()
    close(losses.similarity_queries(a, a, a + 1, margin=5.0), zero, atol=1e-12, rtol=0)
    assert losses.SimilarityQueries(5.1)(a, a, a + 1) > 0
    close(losses.similarity_queries(a, a, a), zero + 1)


def test_augmenters_that_change_nothing_make_it_three_times_nt_xent():
    first, second = (normalize(rows(8, 5, seed=s), dim=-1) for s in range(2))
    got = losses.meta_contrast(first, second, first, second, 0.5, regulariser=0.0)
    close(got, 3 * losses.nt_xent(first, second, 0.5))


def test_the_margin_regulariser_is_zero_for_equal_rows_alone():
    same = torch.ones(6, 4).double()
    close(losses.margin_regulariser(same, same), torch.tensor(0.0).double())
    assert losses.margin_regulariser(rows(6, 4), rows(6, 4, seed=1)) > 0


class MCLRec(torch.nn.Module):
    """Encoder and augmenters by turns, as the two phases of a method."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Linear(8, 8)
        self.augmenters = torch.nn.ModuleList([LearnedAugmenter(8), LearnedAugmenter(8)])
        self.contrast, self.seen = losses.MetaContrast(), []

    def phases(self):
        parts = {"encoder": self.encoder, "augmenter": self.augmenters}
        return [Phase(name, list(part.parameters()), 1e-2) for name, part in parts.items()]

    def loss(self, batch, phase):
        z = [normalize(self.encoder(batch + 0.1 * torch.randn_like(batch)), dim=-1) for _ in "ab"]
        loss = self.contrast(*z, *(a(y) for a, y in zip(self.augmenters, z, strict=True)))
        self.seen.append((phase, float(loss.detach())))
        return {"loss": loss}

    def after_step(self):
        pass


class Rows:
    def __init__(self):
        self.table = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return 32

    def __getitems__(self, places):
        return self.table[list(places)]


def test_encoder_and_augmenters_learn_by_turns():
    torch.manual_seed(0)
    method = MCLRec()
    options = training.Training(epochs=20, batch_size=16, device="cpu")
    training.fit(method, Rows(), options, 0, None)
    assert [phase for phase, _ in method.seen[:4]] == ["encoder", "augmenter"] * 2
    numbers = [number for _, number in method.seen]
    assert sum(numbers[-8:]) < sum(numbers[:8]) - 8 * 0.3


def test_a_gate_draws_its_noise_and_is_its_mean_afterwards():
    gate = VariationalGate(3, log_variance=math.log(0.25)).double()
    with torch.no_grad():
        gate.mean.copy_(torch.tensor([1.0, 2.0, -1.0]))
    x = torch.ones(200_000, 3).double()
    y = gate(x, torch.Generator().manual_seed(0))
    close(y.mean(0), gate.mean.detach(), atol=5e-3, rtol=0)
    close(y.var(0), torch.full((3,), 0.25).double(), rtol=2e-2, atol=0)
    close(gate.eval()(x[:1]), gate.mean.detach()[None])
    sure = VariationalGate(3, log_variance=-200.0)
    close(sure(x[:5].float()), x[:5].float())


def test_gates_close_where_noise_outweighs_the_unit_and_kl_is_its_closed_form():
    gate = VariationalGate(4, log_variance=0.0)
    with torch.no_grad():
        gate.mean.copy_(torch.tensor([2.0, 0.5, 1.0, 0.0]))
    assert gate.open_units().tolist() == [True, False, True, False]
    close(gate.eval()(torch.ones(1, 4)), torch.tensor([[2.0, 0.0, 1.0, 0.0]]))
    close(gate.kl(), torch.tensor([5.0, 1.25, 2.0, 1.0]).log().sum())
    gate.kl().backward()
    assert gate.mean.grad.isfinite().all()


def test_the_bottleneck_closes_units_that_the_contrast_does_not_need():
    torch.manual_seed(0)
    x = torch.randn(256, 2)
    gate = VariationalGate(6, log_variance=-2.0)
    twin = torch.cat([x, 1e-3 * torch.randn(256, 4)], 1)  # four units that say nothing
    optimiser = torch.optim.Adam(gate.parameters(), 0.05)
    for step in range(400):
        optimiser.zero_grad()
        view = gate(twin, torch.Generator().manual_seed(step))
        loss = losses.bottleneck_contrast(
            view, twin, "pruned", 0.2, weight=1.0, kl=gate.kl(), kl_weight=3e-2
        )
        loss.backward()
        optimiser.step()
    assert gate.open_units().tolist() == [True, True, False, False, False, False]


def test_each_turn_teaches_one_of_the_two():
    for turn in ("pruned", "original"):
        pruned, original = rows(8, 5).requires_grad_(), rows(8, 5, seed=1).requires_grad_()
        kl = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
        loss = losses.BottleneckContrast(weight=1.0, kl_weight=0.5)(pruned, original, turn, kl)
        loss.backward()
        assert (pruned.grad is not None) == (turn == "pruned") == (kl.grad is not None)
        assert (original.grad is not None) == (turn == "original")
        plain = losses.InfoNCE(0.05)(pruned, original)
        close(loss, plain + (1.5 if turn == "pruned" else 0.0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda a: losses.similarity_queries(a, a, a[:3]), r"odd has shape \(3, 5\)"),
        (lambda a: losses.similarity_queries(a, a, a, -1.0), "margin is -1.0"),
        (lambda a: losses.meta_contrast(a, a, a, a[:, :3]), r"augmented_second has shape \(8, 3\)"),
        (lambda a: losses.bottleneck_contrast(a, a, "twin"), "turn is 'twin'"),
        (lambda a: losses.bottleneck_contrast(a, a[:3], "pruned"), r"original has shape \(3, 5\)"),
        (lambda a: VariationalGate(4)(a), r"x has shape \(8, 5\), expected \(..., 4\)"),
        (lambda a: LearnedAugmenter(4, (0,)), r"dim is 4 and widths \(0,\)"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(rows(8, 5))
