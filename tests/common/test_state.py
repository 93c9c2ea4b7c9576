"""Heads, momentum encoder and queue: what is kept, what comes back, what is refused."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from tspcrep.common.heads import PredictionHead, ProjectionHead
from tspcrep.common.momentum import MomentumEncoder
from tspcrep.common.queue import FeatureQueue

close = torch.testing.assert_close


def test_heads_take_any_leading_dimensions():
    x = torch.randn(4, 5, 8)
    for head in (
        ProjectionHead(8, 3),
        ProjectionHead(8, 3, 16, 3, True),
        ProjectionHead(8, 3, layers=1),
    ):
        whole = head.eval()(x)
        assert whole.shape == (4, 5, 3)
        close(whole[2], head(x[2]))
    assert PredictionHead(8, 4)(x).shape == (4, 5, 8)
    with pytest.raises(ValueError, match="layers is 0"):
        ProjectionHead(8, 3, layers=0)


def test_momentum_encoder_is_the_weighted_sum_of_the_past():
    online = nn.Linear(3, 2)
    target = MomentumEncoder(online, 0.9)
    expected = online.weight.detach().clone()
    for _ in range(5):
        with torch.no_grad():
            online.weight += torch.randn(2, 3)
        target.update(online)
        expected = 0.9 * expected + 0.1 * online.weight.detach()
    close(target.encoder.weight, expected)
    assert not any(p.requires_grad for p in target.parameters())
    assert not target(torch.randn(4, 3, requires_grad=True)).requires_grad


def test_momentum_copies_batch_statistics_and_resumes():
    online = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    target, other = MomentumEncoder(online, 0.5), MomentumEncoder(online, 0.5)
    for _ in range(3):
        online(torch.randn(8, 3))
        target.update(online)
    close(target.encoder[1].running_mean, online[1].running_mean)
    other.load_state_dict(copy.deepcopy(target.state_dict()))
    target.update(online)
    other.update(online)
    for a, b in zip(target.state_dict().values(), other.state_dict().values(), strict=True):
        assert a.equal(b)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: MomentumEncoder(nn.Linear(1, 1), 1.5), "momentum is 1.5"),
        (lambda: MomentumEncoder(nn.Linear(1, 1)).update(nn.Linear(2, 1)), "encoder has 2 param"),
        (lambda: FeatureQueue(0, 2), "length is 0"),
        (lambda: FeatureQueue(4, 2).enqueue(torch.ones(5, 2)), "rows are 5 on all ranks, expected"),
        (lambda: FeatureQueue(4, 2).enqueue(torch.ones(3, 3)), r"rows has shape \(3, 3\)"),
        (lambda: FeatureQueue(4, 2).enqueue(torch.ones(3, 2), torch.ones(2)), "ids has shape"),
        (lambda: FeatureQueue(4, 2).enqueue(torch.full((1, 2), torch.nan)), "row 0 is not finite"),
    ],
)
def test_bad_input_is_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_queue_holds_the_last_rows():
    queue, every = FeatureQueue(7, 3), []
    assert queue.features.shape == (0, 3)
    for step, count in enumerate([3, 2, 4, 7, 1]):
        rows = torch.randn(count, 3)
        ids = torch.arange(count) + 10 * step
        queue.enqueue(rows, ids)
        every += list(zip(normalize(rows, dim=-1), ids.tolist(), strict=True))
        last = every[-7:]
        held = dict(zip(queue.ids.tolist(), queue.features, strict=True))
        assert sorted(held) == sorted(i for _, i in last)
        for row, i in last:
            close(held[i], row)


def test_queue_stands_in_the_state_dict():
    queue, other = FeatureQueue(5, 3), FeatureQueue(5, 3)
    queue.enqueue(torch.randn(4, 3))
    other.load_state_dict(queue.state_dict())
    more = torch.randn(3, 3)
    queue.enqueue(more)
    other.enqueue(more)
    assert other.features.equal(queue.features) and len(other) == 5


def test_queue_does_not_change_under_a_waiting_backward_pass():
    queue = FeatureQueue(4, 3)
    queue.enqueue(torch.randn(4, 3))
    x = torch.randn(2, 3, requires_grad=True)
    loss = (x @ queue.features.T).square().sum()
    queue.enqueue(torch.randn(4, 3))
    loss.backward()
    assert x.grad is not None
