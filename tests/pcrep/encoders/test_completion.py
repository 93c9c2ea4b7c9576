"""Completion: engines agree, labels by loops, empty clouds, training fills what a scan missed."""

import pytest
import torch
from torch.nn import functional as F

from pcrep.encoders.completion import Completion, CompletionConfig, occupancy_loss, occupied
from pcrep.sparse import SparseTensor
from tests.pcrep.clouds import close, cloud, features, rows
from tests.pcrep.networks import engines
from tspcrep.common.errors import UserError

SMALL = CompletionConfig(channels=(4, 6, 8), reach=3)


def ball(radius=6):
    """Voxels of two spheres, (N, 4)."""
    axis = torch.arange(-radius - 1, radius + 2)
    xyz = torch.cartesian_prod(axis, axis, axis)
    near = {b: ((xyz.float().norm(dim=1) - r).abs() < 0.6) for b, r in ((0, radius), (1, 4))}
    parts = [torch.cat([torch.full((int(m.sum()), 1), b), xyz[m]], 1) for b, m in near.items()]
    return torch.cat(parts).int()


def ones(coordinates, **settings):
    return SparseTensor(coordinates, torch.ones(len(coordinates), 1), **settings)


def never(net):
    """A network whose classifiers keep nothing."""
    for classifier in net.classifier:
        torch.nn.init.constant_(classifier.bias, -1e3)
    return net


def run(engine, with_target):
    torch.manual_seed(0)
    net = Completion(SMALL).double()
    coordinates = cloud(3, points=300, extent=8)
    x = features(coordinates, 1)
    whole = cloud(4, points=300, extent=8)
    target = SparseTensor(whole, torch.ones(len(whole), 1), engine=engine)
    done = net(SparseTensor(coordinates, x, engine=engine), target if with_target else None)
    loss = occupancy_loss(done.levels, target) + done.voxels.features.square().mean()
    loss.backward()
    return [rows(level) for level in [*done.levels, done.voxels]], loss, x.grad, net


@pytest.mark.parametrize("engine", engines())
@pytest.mark.parametrize("with_target", [False, True])
def test_engines_agree(engine, with_target):
    found, expected = run(engine, with_target), run("torch", with_target)
    for a, b in zip(found[0], expected[0], strict=True):
        assert torch.equal(a[:, :4], b[:, :4])
        close(a[:, 4:], b[:, 4:], 1e-9)
    close(found[1], expected[1], 1e-9)
    close(found[2], expected[2], 1e-9)
    gradients = [p.grad for p in expected[3].parameters()]
    scale = max(g.abs().max() for g in gradients)
    for p, g in zip(found[3].parameters(), gradients, strict=True):
        assert torch.allclose(p.grad, g, rtol=1e-7, atol=1e-9 * float(scale))


def test_labels_and_loss_by_loops():
    x, target = cloud(5, extent=5) * torch.tensor([1, 4, 4, 4]).int(), cloud(6, extent=16)
    logits = SparseTensor(x, features(x, 1), stride=4)
    cells = {(b, i // 4 * 4, j // 4 * 4, k // 4 * 4) for b, i, j, k in target.tolist()}
    expected = torch.tensor([tuple(row) in cells for row in x.tolist()])
    whole = ones(target)
    assert 0 < expected.sum() < len(x)
    assert torch.equal(occupied(logits, whole), expected)
    fine = SparseTensor(target, features(target, 1))
    assert bool(occupied(fine, whole).all())

    p = torch.sigmoid(logits.features.flatten())
    coarse = -torch.where(expected, p, 1 - p).log().mean()
    all_there = F.softplus(-fine.features).mean()
    close(occupancy_loss([logits, fine], whole), (coarse + all_there) / 2, 1e-12)


def test_the_target_is_kept_and_no_more_where_classifiers_refuse():
    torch.manual_seed(0)
    net = never(Completion(CompletionConfig(channels=(4, 6, 8))))
    whole = ones(ball())
    half = ones(whole.coordinates[whole.coordinates[:, 1] < 2])
    done = net(half, whole)
    assert [level.stride for level in done.levels] == [(2, 2, 2), (1, 1, 1)]
    found = {tuple(row) for row in done.voxels.coordinates.tolist()}
    candidates = {tuple(row) for row in done.levels[-1].coordinates.tolist()}
    assert found == candidates & {tuple(row) for row in whole.coordinates.tolist()}
    assert len(found) > 0.9 * len(whole)  # what the coarsest kernel does not reach is lost


def test_batch_elements_may_be_pruned_to_nothing():
    torch.manual_seed(0)
    net = never(Completion(SMALL))
    scan = ones(ball(), batch_size=3)  # the last has no voxels to begin with
    done = net(scan)
    assert len(done.voxels) == 0 and done.voxels.batch_size == 3

    first = ones(scan.coordinates[scan.batch == 0], batch_size=3)
    done = net(scan, first)
    assert done.voxels.batch.unique().tolist() == [0] and done.voxels.batch_size == 3
    loss = occupancy_loss(done.levels, first)
    loss.backward()
    assert bool(loss.isfinite())
    assert all(bool(p.grad.isfinite().all()) for p in net.parameters())


def test_training_fills_what_the_scan_missed():
    torch.manual_seed(0)
    net = Completion(CompletionConfig(channels=(8, 16, 16)))
    whole = ones(ball())
    half = ones(whole.coordinates[whole.coordinates[:, 1] < 2])
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        loss = occupancy_loss(net(half, whole).levels, whole)
        optimiser.zero_grad()
        loss.backward()
        assert all(bool(p.grad.isfinite().all()) for p in net.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]

    found = net.eval()(half).voxels
    hits = int(occupied(found, whole).sum())
    overlap = hits / (len(found) + len(whole) - hits)
    assert overlap > len(half) / len(whole) + 0.1  # the scan itself, which is a part of the whole


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"channels": (8,)}, "channels is .8,., expected at least two numbers"),
        ({"channels": (8, 0)}, "numbers of at least 1"),
        ({"reach": 1}, "a reach of at least 2"),
    ],
)
def test_bad_configurations(settings, said):
    with pytest.raises(UserError, match=said):
        CompletionConfig(**settings)


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"batch_size": 3}, "batch size 2 and 3"),
        ({"engine": "torch"}, "engine numba and torch"),
        ({"stride": 2}, "have other strides, expected the same"),
    ],
)
def test_bad_targets(settings, said):
    coordinates = cloud(7) * torch.tensor([1, 2, 2, 2]).int()
    with pytest.raises(ValueError, match=said):
        Completion(SMALL)(ones(coordinates), ones(coordinates, **settings))


def test_labels_of_finer_voxels_than_the_target():
    x = ones(cloud(8))
    with pytest.raises(ValueError, match=r"finer than the target .* expected a multiple"):
        occupied(x, ones(x.coordinates * torch.tensor([1, 2, 2, 2]).int(), stride=2))


def test_no_voxels_at_all():
    nothing = SparseTensor(torch.zeros(0, 4, dtype=torch.int32), torch.zeros(0, 1), batch_size=2)
    done = Completion(SMALL).eval()(nothing)
    assert len(done.voxels) == 0 and done.voxels.batch_size == 2
