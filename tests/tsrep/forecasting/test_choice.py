"""The choice by made errors: the simplest within a standard error, blends, and their shares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard
from scipy.optimize import minimize
from scipy.stats import norm, sem, t

from tsrep.forecasting.choice import choose, convex_shares, standard_error

BLOCK = np.repeat(np.arange(6), 20)
NAMES = ["simple", "middle", "large"]


def errors_of(*sizes, shared=0.0, seed=0):
    """Errors (1, 120, 2, 1) of each size, with a part that all share."""
    rng = np.random.default_rng(seed)
    both = shared * rng.normal(size=(1, 120, 2, 1))
    return [both + size * rng.normal(size=both.shape) for size in sizes]


@settings(deadline=None, max_examples=30)
@given(count=st.integers(2, 6), doubt=st.sampled_from([0.0, 0.5]), seed=st.integers(0, 99))
def test_convex_shares_are_those_of_a_general_solver(count, doubt, seed):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(40, count)) + rng.normal(size=(40, 1))
    gram, prior = rows.T @ rows / 40, rng.dirichlet(np.ones(count))
    found = convex_shares(gram, doubt, prior)
    assert (found >= 0).all() and found.sum() == pytest.approx(1)

    def loss(w):
        return w @ gram @ w + doubt * np.sum((w - prior) ** 2)

    expected = minimize(
        loss,
        np.full(count, 1 / count),
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12},
    )
    assert loss(found) <= expected.fun + 1e-5


def test_much_doubt_leaves_shares_as_they_were():
    gram, prior = np.diag([1.0, 4.0]), np.array([0.3, 0.7])
    np.testing.assert_allclose(convex_shares(gram, 0.0, prior), [0.8, 0.2], atol=1e-4)
    np.testing.assert_allclose(convex_shares(gram, 1e4, prior), prior, atol=1e-3)
    np.testing.assert_allclose(convex_shares(np.zeros((2, 2)), 0.0, prior), prior)


@pytest.mark.parametrize("count", [4, 6])
def test_a_standard_error_of_independent_blocks_is_that_of_student(count):
    """Half the width of the interval of scipy for a mean, at the level of one deviation."""
    values = np.random.default_rng(count).normal(size=count)
    inside = norm.cdf(1) - norm.cdf(-1)
    low, high = t.interval(inside, count - 1, values.mean(), sem(values))
    assert standard_error(values, count) == pytest.approx((high - low) / 2)


def test_blocks_that_are_alike_count_as_fewer():
    """Each difference twice: as uncertain as once, but for the freedom of the deviation."""
    once = np.random.default_rng(0).normal(size=4)
    twice = standard_error(np.repeat(once, 2), 4)
    assert twice == pytest.approx(standard_error(once, 4) * np.sqrt(6 / 7))


def test_the_simplest_has_most_of_a_blend_where_few_blocks_are_independent():
    rng = np.random.default_rng(3)
    simple = 1 + 0.3 * rng.normal(size=6)[BLOCK][None, :, None, None] * np.ones((1, 120, 2, 1))
    better = 0.9 + 0.25 * rng.normal(size=6)[BLOCK][None, :, None, None] * np.ones((1, 120, 2, 1))
    many = choose(NAMES[:2], [simple, better], BLOCK)
    few = choose(NAMES[:2], [simple, better], BLOCK, independent=1.5)
    assert few.shares["simple"] > 0.75 > many.shares["simple"]
    assert few.gaps["simple"] > 3 * many.gaps["simple"]


def test_a_clear_winner_is_taken_alone():
    found = choose(NAMES, errors_of(3.0, 2.0, 0.1), BLOCK)
    assert found.shares == {"large": 1.0}
    assert found.error == pytest.approx(found.errors["large"], rel=1e-6)


def test_equal_forecasts_are_those_of_the_simplest():
    one = errors_of(1.0)[0]
    found = choose(NAMES, [one, one, one], BLOCK)
    assert found.shares == {"simple": 1.0}


def test_forecasts_with_errors_of_their_own_are_blended():
    signs = hadamard(4)[1:].astype(float)  # equal and uncorrelated in every block
    found = choose(NAMES, [np.tile(own, 60).reshape(1, 120, 2, 1) for own in signs], BLOCK)
    np.testing.assert_allclose([found.shares[name] for name in NAMES], [1 / 3] * 3, atol=1e-6)
    assert found.error == pytest.approx(1 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_a_blend_is_taken_unless_it_is_worse_with_shares_of_other_blocks(seed):
    errors = errors_of(1.0, 1.1, 0.9, shared=0.5, seed=seed)
    found = choose(NAMES, errors, BLOCK)
    least = min(found.errors.values())
    near = [k for k, n in enumerate(NAMES) if found.errors[n] - least <= found.gaps[n]]
    doubt = max(found.gaps[NAMES[k]] for k in near)
    prior = np.full(len(near), 5 / 6 / len(near))
    prior[0] += 1 / 6
    squares, simple = [], []
    for block in range(6):
        by_block = [np.stack([errors[k][0, b == BLOCK].ravel() for k in near]) for b in range(6)]
        gram = np.mean([p @ p.T / p.shape[1] for b, p in enumerate(by_block) if b != block], axis=0)
        squares.append(np.mean((convex_shares(gram, doubt, prior) @ by_block[block]) ** 2))
        simple.append(np.mean(by_block[block][0] ** 2))
    gain = np.subtract(simple, squares)
    taken = len(near) > 1 and gain.mean() > -standard_error(gain, 6)
    assert (len(found.shares) > 1) == taken


@pytest.mark.parametrize("seed", range(5))
def test_residuals_of_a_block_are_those_of_the_choice_on_all_others(seed):
    errors = errors_of(1.0, 1.02, 0.95, shared=0.5, seed=seed)
    errors[1] = np.concatenate([1.1 * errors[1], errors[1], 3 * errors[1]])  # three settings
    found = choose(NAMES, errors, BLOCK)
    for block in range(6):
        own = block == BLOCK
        others = choose(NAMES, [e[:, ~own] for e in errors], BLOCK[~own])
        expected = sum(
            share * errors[NAMES.index(name)][others.settings[name], own]
            for name, share in others.shares.items()
        )
        np.testing.assert_allclose(found.residuals[own], expected, atol=1e-12)
    expected = sum(
        share * errors[NAMES.index(name)][found.settings[name]]
        for name, share in found.shares.items()
    )
    np.testing.assert_allclose(found.chosen, expected, atol=1e-12)


def test_the_error_of_the_best_of_many_is_not_believed():
    """Forty forecasts of independent errors of size 1: shares w have the squared error |w|^2."""
    rng, names, block = np.random.default_rng(0), [str(k) for k in range(40)], np.arange(24) // 4
    told, true, apparent, of_apparent = [], [], [], []
    for _ in range(90):
        errors = [rng.normal(size=(1, 24, 1, 1)) for _ in names]
        found = choose(names, errors, block)
        told.append(found.error)
        others = [choose(names, [e[:, block != b] for e in errors], np.delete(block, block == b))
                  for b in range(6)]  # fmt: skip
        true.append(np.mean([sum(w * w for w in other.shares.values()) for other in others]))
        apparent.append(np.mean(found.chosen**2))
        of_apparent.append(sum(w * w for w in found.shares.values()))
    assert np.mean(told) == pytest.approx(np.mean(true), rel=0.15)
    assert np.mean(apparent) < 0.8 * np.mean(of_apparent)


def test_the_setting_of_least_error_is_taken():
    errors = errors_of(2.0)[0]
    settings_of = np.concatenate([errors, 0.1 * errors, 5 * errors])
    assert choose(["one"], [settings_of], BLOCK).settings == {"one": 1}


def test_missing_values_and_exact_forecasts():
    errors = errors_of(1.0, 0.0, 2.0)
    for one in errors:
        one[:, 3:9] = np.nan
        one[:, BLOCK == 4] = np.nan  # a block without any truth
    found = choose(NAMES, errors, BLOCK)
    assert found.shares == {"middle": 1.0} and found.error == 0


def test_two_blocks_say_too_little():
    errors = [e[:, :40] for e in errors_of(3.0, 2.0, 0.1)]
    assert choose(NAMES, errors, BLOCK[:40]).shares == {"simple": 1.0}
