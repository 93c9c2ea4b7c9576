"""Balanced assignments, self-distillation and masked prediction: marginals, limits, processes."""

import pytest
import torch
from torch.nn.functional import layer_norm, mse_loss, normalize, one_hot

from tests.common.processes import mine, spawn
from tspcrep.common import losses
from tspcrep.common.distributed import share

close = torch.testing.assert_close


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_sinkhorn_balances_prototypes():
    q = losses.sinkhorn(rows(12, 4), 0.5, 200)
    close(q.sum(1), torch.ones(12).double())
    close(q.sum(0), torch.full((4,), 3.0).double())


def test_sinkhorn_is_scaling_by_turns():
    scores = rows(9, 4).tolist()
    q = [[torch.tensor(x / 0.5).double().exp().item() for x in row] for row in scores]
    for _ in range(3):
        columns = [sum(row[k] for row in q) for k in range(4)]
        q = [[x / c for x, c in zip(row, columns, strict=True)] for row in q]
        q = [[x / sum(row) for x in row] for row in q]
    close(losses.sinkhorn(rows(9, 4), 0.5, 3), torch.tensor(q).double())


def test_sinkhorn_is_optimal():
    """Any other balanced assignment has less of score and entropy."""
    scores, epsilon = rows(6, 3), 0.3
    q = losses.sinkhorn(scores, epsilon, 500)

    def worth(x):
        return (x * scores).sum() + epsilon * torch.special.entr(x).sum()

    for i in range(5):  # around a cycle of four entries no marginal changes
        step = torch.zeros_like(q)
        step[i, 0] = step[i + 1, 1] = 1e-3
        step[i, 1] = step[i + 1, 0] = -1e-3
        assert worth(q + step) < worth(q) and worth(q - step) < worth(q)


def test_sinkhorn_without_iterations_and_a_centre_of_zero_are_softmax():
    scores = rows(2, 9, 4)
    close(losses.sinkhorn(scores, 0.2, 0), (scores / 0.2).softmax(-1))
    close(losses.centred_targets(scores, torch.zeros(4), 0.2), losses.sinkhorn(scores, 0.2, 0))


def test_sinkhorn_does_not_overflow_at_low_epsilon():
    q = losses.sinkhorn(100 * rows(64, 8).float(), 0.01, 3)
    assert q.isfinite().all()
    close(q.sum(1), torch.ones(64))


def test_swapped_prediction_of_hard_targets_is_prototype_contrast():
    z, prototypes, assignment = rows(2, 9, 5), rows(4, 5, seed=1), torch.arange(9) % 4
    logits = normalize(z, dim=-1) @ normalize(prototypes, dim=-1).T
    got = losses.swapped_prediction(logits, one_hot(assignment, 4).double()[None], 0.2)
    close(got, losses.prototype_contrast(z[1], assignment, prototypes, 0.2))


def test_swav_and_dino_are_their_parts():
    logits, teacher = rows(4, 9, 5), rows(2, 9, 5, seed=1)
    codes = losses.sinkhorn(logits[:2])
    close(losses.SwAV()(logits), losses.swapped_prediction(logits, codes))
    dino = losses.DINO(5, momentum=0.75).double()
    first = dino(logits, teacher)
    targets = losses.centred_targets(teacher, torch.zeros(5))
    close(first, losses.swapped_prediction(logits, targets))
    close(dino.centre, teacher.flatten(0, 1).mean(0) / 4)
    assert dino(logits, teacher) != first
    centre = dino.eval().centre.clone()
    dino(logits, teacher)
    assert dino.centre.equal(centre)


def test_targets_take_no_gradient():
    logits, teacher = rows(2, 9, 5).requires_grad_(), rows(2, 9, 5, seed=1).requires_grad_()
    losses.DINO(5).double()(logits, teacher).backward()
    assert logits.grad is not None and teacher.grad is None


def test_a_centre_undoes_a_shift_of_all_rows():
    teacher, shift = rows(9, 5), rows(5, seed=1)
    close(
        losses.centred_targets(teacher + shift, shift),
        losses.centred_targets(teacher, torch.zeros(5)),
    )


def test_masked_prediction_with_a_large_beta_is_half_the_squared_error():
    y, t, mask = rows(3, 4, 5), rows(3, 4, 5, seed=1), rows(3, 4, seed=2) > 0
    got = 1e6 * losses.masked_prediction(y, t, mask, beta=1e6, normalise=False)
    close(got, mse_loss(y[mask], t[mask]) / 2)
    close(1e6 * losses.masked_prediction(y, t, mask, beta=1e6), mse_loss(
        y[mask], layer_norm(t[mask], (5,))) / 2)  # fmt: skip


def test_masked_prediction_reads_masked_places_alone():
    y, t, mask = rows(3, 4, 5), rows(3, 4, 5, seed=1), rows(3, 4, seed=2) > 0
    expected = losses.masked_prediction(y, t, mask)
    y, t = y.masked_fill(~mask[..., None], torch.nan), t.masked_fill(~mask[..., None], torch.nan)
    y.requires_grad_()
    got = losses.MaskedPrediction()(y, t, mask)
    got.backward()
    close(got, expected)
    assert y.grad.isfinite().all() and (y.grad[~mask] == 0).all()


def test_a_perfect_prediction_costs_nothing():
    t, mask = rows(3, 4, 5), torch.ones(3, 4, dtype=torch.bool)
    for form in ("smooth_l1", "cosine"):
        perfect = losses.masked_prediction(layer_norm(t, (5,)), t, mask, form)
        close(perfect, torch.tensor(0.0).double(), atol=1e-12, rtol=0)


def _check(rank, world):
    scores = rows(2, 13, 5)
    part = mine(scores, 1, rank, world)
    close(losses.sinkhorn(part, distributed=True), mine(losses.sinkhorn(scores), 1, rank, world))
    one, many = losses.DINO(5).double(), losses.DINO(5, distributed=True).double()
    one(scores, scores)
    many(part, part)
    close(many.centre, one.centre)

    whole = scores.clone().requires_grad_()
    losses.SwAV()(whole).backward()
    part = part.clone().requires_grad_()
    share(losses.SwAV(distributed=True)(part), part.shape[1]).backward()
    close(part.grad / world, mine(whole.grad, 1, rank, world))

    y, t, mask = rows(13, 4, 5), rows(13, 4, 5, seed=1), rows(13, 4, seed=2) > 0
    whole = y.clone().requires_grad_()
    losses.masked_prediction(whole, t, mask).backward()
    part, target, masked = (mine(x, 0, rank, world) for x in (y, t, mask))
    part = part.clone().requires_grad_()
    share(losses.masked_prediction(part, target, masked), int(masked.sum())).backward()
    close(part.grad / world, mine(whole.grad, 0, rank, world))


@pytest.mark.distributed
@pytest.mark.parametrize("world", [2, 4])
def test_targets_and_losses_are_those_of_one_process(world, tmp_path):
    spawn(_check, world, tmp_path)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: losses.sinkhorn(x, 0.0), "epsilon is 0.0"),
        (lambda x: losses.sinkhorn(x, iterations=-1), "iterations is -1"),
        (lambda x: losses.sinkhorn(x / 0), "scores row .* is not finite"),
        (lambda x: losses.centred_targets(x, torch.zeros(4)), r"centre has shape \(4,\)"),
        (lambda x: losses.swapped_prediction(x[:1], x[:1].softmax(-1)), "V >= 2"),
        (lambda x: losses.swapped_prediction(x[:2], x.softmax(-1)), "A <= V"),
        (lambda x: losses.swapped_prediction(x, x), "targets hold a row that is no distribution"),
        (lambda x: losses.DINO(5, momentum=1.0), "momentum is 1.0"),
        (
            lambda x: losses.masked_prediction(x, x, torch.ones(3, 8)),
            r"mask is torch.float32 of shape \(3, 8\)",
        ),
        (
            lambda x: losses.masked_prediction(x, x, torch.zeros(3, 8, dtype=torch.bool)),
            "mask is false everywhere",
        ),
        (
            lambda x: losses.masked_prediction(x, x, torch.ones(3, 8, dtype=torch.bool), "l3"),
            "form is 'l3'",
        ),
        (
            lambda x: losses.masked_prediction(x, x, x[..., 0] > -9, beta=0.0),
            "beta is 0.0",
        ),
        (lambda x: losses.masked_prediction(x, x[:1], x[..., 0] > 0), r"targets has shape"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call(rows(3, 8, 5))
