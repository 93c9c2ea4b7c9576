"""Losses, queue, metrics and training on 1, 2 and 4 processes: equal in value and gradient."""

import os

import pytest
import torch
from torch import nn

from tests.common.loss_cases import CASES, inputs_of
from tests.common.processes import mine, spawn
from tspcrep.common import losses, metrics
from tspcrep.common.batch_norm import BatchNorm
from tspcrep.common.distributed import from_first, gather, ranks, share, total
from tspcrep.common.dropout import Dropout
from tspcrep.common.losses import nt_xent
from tspcrep.common.ops import info_nce
from tspcrep.common.pairs import Pairs
from tspcrep.common.queue import FeatureQueue
from tspcrep.common.samplers import EpochSampler

pytestmark = pytest.mark.distributed
close = torch.testing.assert_close


def _check_gather(rank, world):
    assert ranks() == (rank, world)
    whole = torch.arange(13 * 6.0).view(3, 13, 2)
    part = mine(whole, 1, rank, world).clone().requires_grad_()
    got = gather(part, 1)
    assert got.equal(whole)
    weight = torch.randn(3, 13, 2, generator=torch.Generator().manual_seed(rank))
    (got * weight).sum().backward()
    every = [
        torch.randn(3, 13, 2, generator=torch.Generator().manual_seed(r)) for r in range(world)
    ]
    close(part.grad, mine(sum(every), 1, rank, world))  # the adjoint: the sum over ranks
    if world > 1:
        with pytest.raises(ValueError, match="ranks hold rows of shapes"):
            gather(torch.zeros(2, 3 + rank))


def _check_second_derivative(rank, world):
    """The gradient of a gradient penalty, ``|d f(z) / dx|^2`` for the rows z of all ranks."""

    def penalty(z, x):
        f = (z.sum(0).prod() + z.pow(3).sum()).sin()
        (slope,) = torch.autograd.grad(f, x, create_graph=True)
        return slope.square().sum()

    rows = torch.randn(13, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    whole = rows.clone().requires_grad_()
    penalty(whole, whole).backward()
    part = mine(rows, 0, rank, world).clone().requires_grad_()
    penalty(gather(part), part).backward()
    # Each slope sums over the ranks, all of which have f.
    close(part.grad / world**2, mine(whole.grad, 0, rank, world))


def _check_losses(rank, world):
    for case in CASES:
        inputs = inputs_of(case, 13)

        def learn(x):
            return x.clone().requires_grad_() if x.is_floating_point() else x

        whole = {name: learn(x) for name, (x, _) in inputs.items()}
        parts = {
            name: learn(x if dim is None else mine(x, dim, rank, world))
            for name, (x, dim) in inputs.items()
        }
        expected = case.loss(**whole)
        expected.backward()
        gathered = {
            name: x if inputs[name][1] is None else gather(x, inputs[name][1])
            for name, x in parts.items()
        }
        loss = case.loss(**gathered)
        loss.backward()
        close(loss, expected, msg=lambda text, case=case: f"{case.name}: {text}")
        for name, (_, dim) in inputs.items():
            if whole[name].grad is not None and dim is not None:
                # Averaged over ranks, as DistributedDataParallel does.
                got, want = parts[name].grad / world, mine(whole[name].grad, dim, rank, world)
                close(got, want, msg=lambda text, n=name, c=case: f"{c.name}, {n}: {text}")


def _check_local_anchors(rank, world):
    g = torch.Generator().manual_seed(0)
    rows, labels = torch.randn(13, 5, generator=g, dtype=torch.float64), torch.arange(13) % 3
    whole = rows.clone().requires_grad_()
    expected = info_nce(whole, whole, Pairs.labels(labels))
    expected.backward()
    z = mine(rows, 0, rank, world).clone().requires_grad_()
    row, label = (mine(x, 0, rank, world) for x in (torch.arange(13), labels))
    pairs = Pairs(row=(row, gather(row)), group=(label, gather(label)))
    loss = share(info_nce(z, gather(z), pairs), len(z))
    loss.backward()
    close(gather(loss.detach()[None]).mean(), expected.detach())
    close(z.grad / world, mine(whole.grad, 0, rank, world))


def _check_queue(rank, world):
    g, one, many = torch.Generator().manual_seed(0), FeatureQueue(30, 4), FeatureQueue(30, 4)
    for step in range(4):
        rows = torch.randn(13, 4, generator=g)
        ids = torch.arange(13) + step
        place = (one.seen + torch.arange(13)) % 30
        one.rows[place] = nn.functional.normalize(rows, dim=-1)
        one.row_ids[place] = ids
        one.seen += 13
        many.enqueue(mine(rows, 0, rank, world), mine(ids, 0, rank, world))
    for name, x in one.state_dict().items():
        assert many.state_dict()[name].equal(x), name
    with pytest.raises(ValueError, match="rows are 32 on all ranks, expected at most 30"):
        many.enqueue(torch.ones(32 // world, 4))


def _check_metrics(rank, world):
    g = torch.Generator().manual_seed(0)
    views = torch.randn(2, 13, 5, generator=g, dtype=torch.float64)
    labels = torch.arange(13) % 3
    first, second, label = (mine(x, 0, rank, world) for x in (*views, labels))
    many = metrics.diagnostics(first, second, 0.2, label)
    unit = nn.functional.normalize(views, dim=-1)
    both = unit.flatten(0, 1)
    close(many["alignment"], (unit[0] - unit[1]).square().sum(1).mean())
    close(many["uniformity"], (-2 * torch.pdist(both).square()).exp().mean().log())
    close(many["effective_rank"], metrics._effective_rank(views.flatten(0, 1)))
    close(many["tolerance"], metrics._tolerance(views[0], labels))
    close(many["positive_score"], (unit[0] * unit[1]).sum(1).mean())
    close(many["hard_negative_weight"], metrics._hard_negative_weight(*views, 0.2))


def _check_total(rank, world):
    x = torch.arange(4.0, dtype=torch.float64).add(rank).requires_grad_()
    found = total(x)
    close(found, sum(torch.arange(4.0, dtype=torch.float64) + r for r in range(world)))
    (slope,) = torch.autograd.grad((found.pow(2) * (rank + 1)).sum(), x, create_graph=True)
    both = sum(range(1, world + 1))  # every rank has the sum, and weighs it by its number
    close(slope, 2 * both * found)
    (curve,) = torch.autograd.grad(slope.sum(), x)
    close(curve, torch.full_like(x, 2.0 * both * world))
    assert from_first(0.25 + rank) == 0.25


def _check_batch_norm(rank, world):
    """Against torch's, which sees the rows of all."""
    torch.manual_seed(0)
    ours, theirs = BatchNorm(5).double(), nn.BatchNorm1d(5).double()
    x, weight = torch.randn(2, 13, 5, dtype=torch.float64)
    for _ in range(2):  # the running moments of two steps
        whole = x.clone().requires_grad_()
        expected = theirs(whole)
        (expected * weight).sum().backward()
        rows = mine(x, 0, rank, world).clone().requires_grad_()
        got = ours(rows)
        (got * mine(weight, 0, rank, world)).sum().backward()
        x = x * 2 + 1
    close(got, mine(expected, 0, rank, world))
    close(rows.grad, mine(whole.grad, 0, rank, world))
    for own, others in zip(ours.parameters(), theirs.parameters(), strict=True):
        close(total(own.grad), others.grad)
    for name, moments in theirs.state_dict().items():
        close(ours.state_dict()[name], moments)
    close(ours.eval()(rows), mine(theirs.eval()(whole), 0, rank, world))


def _check_dropout(rank, world):
    x = torch.randn(13, 3, 5, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    expected = nn.functional.dropout(x, 0.3)
    torch.manual_seed(2)
    found = Dropout(0.3)(mine(x, 0, rank, world))
    close(found, mine(expected, 0, rank, world))
    assert Dropout(0.3).eval()(found) is found


def _train(rank, world, steps):
    """Weights after SGD on the batches that ``EpochSampler`` gives this rank."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4)).double()
    data = torch.randn(21, 6, dtype=torch.float64)
    noise = torch.randn(21, 6, dtype=torch.float64)
    wrapped = nn.parallel.DistributedDataParallel(model) if world > 1 else model
    optimiser = torch.optim.SGD(model.parameters(), 0.5, momentum=0.9)
    sampler = EpochSampler(21, 8 // world, 0, rank, world)  # batches of 8, 8 and 5
    for epoch in range(steps):
        sampler.set_epoch(epoch)
        for rows in sampler:
            x = torch.stack([data[rows], data[rows] + noise[rows]])  # (2, b, 6)
            z = gather(wrapped(x), 1)
            optimiser.zero_grad()
            nt_xent(z[0], z[1], 0.2).backward()
            optimiser.step()
    return [p.detach() for p in model.parameters()]


def _check_training(rank, world):
    several = _train(rank, world, 3)
    close(several, _train(0, 1, 3) if world == 1 else _alone())


def _alone():
    return torch.load(os.environ["TSPCREP_ALONE"])


CHECKS = [
    _check_gather,
    _check_second_derivative,
    _check_losses,
    _check_local_anchors,
    _check_total,
    _check_batch_norm,
    _check_dropout,
    _check_queue,
    _check_metrics,
]


def _check_all(rank, world):
    for check in CHECKS:
        check(rank, world)
    _check_training(rank, world)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_equal_on_any_number_of_processes(world, tmp_path, monkeypatch):
    monkeypatch.setenv("TSPCREP_ALONE", str(tmp_path / "alone.pt"))
    torch.save(_train(0, 1, 3), tmp_path / "alone.pt")
    spawn(_check_all, world, tmp_path)


def test_gather_without_a_group_is_the_tensor_itself():
    x = torch.randn(3, 2)
    assert gather(x) is x and share(x, 3) is x and ranks() == (0, 1)
    assert losses.InfoNCE()(x, gather(x)).isfinite()
