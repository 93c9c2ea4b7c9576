"""The novelty score against numpy's inverse, ridge leverage, and closed forms."""

import numpy as np
import pytest
import torch

from tspcrep.common.novelty import Novelty

close = torch.testing.assert_close


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_is_the_quadratic_form_of_the_inverse():
    seen, new = rows(30, 4), rows(7, 4, seed=1)
    inverse = np.linalg.inv(0.5 * np.eye(4) + seen.numpy().T @ seen.numpy())
    expected = np.sqrt(np.einsum("nd,de,ne->n", new.numpy(), inverse, new.numpy()))
    close(Novelty(4, 0.5).see(seen)(new), torch.from_numpy(expected))


def test_its_square_is_the_leverage_of_ridge_regression():
    """The sum over the rows seen is the effective number of parameters, sum s^2 / (s^2 + a)."""
    x = rows(30, 4)
    values = torch.linalg.svdvals(x).square()
    close(Novelty(4, 2.0).see(x)(x).square().sum(), (values / (values + 2.0)).sum())


def test_a_direction_seen_n_times_scores_by_its_count():
    novelty = Novelty(3)
    new = torch.eye(3)
    close(novelty(2 * new), torch.full((3,), 2.0).double())
    novelty.see(new[[0] * 8 + [1] * 3])
    close(novelty(new), torch.tensor([1 / 3, 1 / 2, 1.0]).double())


def test_parts_and_order_do_not_matter_and_the_state_is_kept():
    x, new = rows(30, 4), rows(5, 4, seed=1)
    whole, parts = Novelty(4).see(x), Novelty(4)
    for part in x.flip(0).split(7):
        parts.see(part)
    close(parts(new), whole(new))
    again = Novelty(4)
    again.load_state_dict(whole.state_dict())
    assert again(new).equal(whole(new))


def test_a_strange_window_stands_out():
    seen = rows(500, 2) @ rows(2, 16, seed=1)
    strange = torch.cat([rows(20, 2, seed=2) @ rows(2, 16, seed=1), rows(5, 16, seed=3)])
    score = Novelty(16, 0.1).see(seen)(strange)
    assert score[20:].min() > 3 * score[:20].max()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Novelty(4, 0.0), "penalty is 0.0"),
        (lambda: Novelty(4)(torch.zeros(3, 5)), r"rows have shape \(3, 5\), expected \(N, 4\)"),
        (lambda: Novelty(1).see(torch.tensor([[0.0], [torch.nan]])), "row 1 is not finite"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
