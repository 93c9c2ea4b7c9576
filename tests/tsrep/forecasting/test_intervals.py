"""Errors of a forecaster: their size and shape, against a loop and closed forms."""

import numpy as np
import pytest
from scipy.stats import norm, t

from tests.tsrep.forecasting.readouts import plain_inputs
from tsrep.forecasting.intervals import LEVELS, Spread
from tsrep.forecasting.product import fit_product


def spread_of(errors):
    count, steps = errors.shape[:2]
    return Spread.of(errors, np.arange(count), np.arange(1, steps + 1))


def test_the_spread_of_errors_is_that_of_a_loop():
    errors = np.random.default_rng(0).normal(size=(30, 3, 2)) * [[1.0, 9.0]]
    errors[4, 1, 0] = np.nan
    found = spread_of(errors)
    for channel in range(2):
        ratios = []
        for step in range(3):
            known = [e for e in errors[:, step, channel] if not np.isnan(e)]
            size = np.sqrt(sum(e * e for e in known) / len(known))
            assert found.deviation[step, channel] == pytest.approx(size)
            ratios += [e / size for e in known]
        # 30 origins hold 31, 23.5 and 16 independent errors of steps 1 to 3; the prior is 20.
        freedom = (30 + 23.5 + 16) / 3
        normal = norm.ppf(LEVELS.clip(1 / 400, 399 / 400))
        expected = (freedom * np.quantile(ratios, LEVELS) + 20 * normal) / (freedom + 20)
        np.testing.assert_allclose(found.shape[:, channel], expected)


def test_a_step_without_errors_has_the_size_of_the_others():
    errors = np.random.default_rng(1).normal(size=(20, 2, 1))
    errors[:, 1] = np.nan
    found = spread_of(errors)
    assert found.deviation[1, 0] == pytest.approx(found.deviation[0, 0])


def test_variances_are_interpolated_between_steps():
    rng = np.random.default_rng(2)
    walks = rng.normal(size=(50000, 9, 1)).cumsum(axis=1)
    steps = np.array([1, 3, 9])
    found = Spread.of(walks[:, steps - 1], np.arange(50000), steps)
    np.testing.assert_allclose(found.deviation[:, 0], np.sqrt(np.arange(1, 10)), rtol=0.02)


def test_quantiles_of_normal_errors_grow_with_the_root_of_the_step():
    rng = np.random.default_rng(2)
    found = spread_of(rng.normal(size=(20000, 4, 1)) * [[[2.0]]])
    quantiles = found.quantiles((0.1, 0.9, 0.5), steps=16)
    assert quantiles.shape == (16, 1, 3)
    # The normal's .9 quantile is 1.2816.
    np.testing.assert_allclose(quantiles[:4, 0], [[-2.563, 2.563, 0]] * 4, atol=0.06)
    np.testing.assert_allclose(quantiles[15], 2 * quantiles[3])
    np.testing.assert_array_equal(found.quantiles((0.1, 0.9, 0.5)), quantiles[:4])


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_few_errors_widen_quantiles_as_student_says(level):
    shape = norm.ppf(LEVELS.clip(1e-4, 1 - 1e-4))[:, None]
    few = Spread(np.ones((2, 1)), shape, np.array([4.0, np.inf]))
    found = few.quantiles((level, 1 - level))[:, 0]
    np.testing.assert_allclose(found[0], [t.ppf(level, 4), -t.ppf(level, 4)], rtol=0.01)
    np.testing.assert_allclose(found[1], [norm.ppf(level), -norm.ppf(level)], rtol=0.01)


@pytest.mark.parametrize("horizon", [1, 6, 12])
def test_overlapping_errors_of_a_walk_are_counted_as_fewer(horizon):
    """The variance of an estimated variance says how many independent errors there were."""
    rng, origins = np.random.default_rng(3), 240
    moves = rng.normal(size=(4000, origins + horizon))
    sums = np.lib.stride_tricks.sliding_window_view(moves, horizon, axis=1).sum(axis=2)
    estimates = np.square(sums[:, :origins]).mean(axis=1) / horizon
    errors = np.zeros((origins, horizon, 1))
    freedom = Spread.of(errors, np.arange(origins), np.arange(1, horizon + 1)).freedom[-1]
    assert freedom == pytest.approx(2 / estimates.var(), rel=0.25)


@pytest.mark.parametrize(("rows", "kind"), [(60, "walk"), (60, "season"), (120, "walk")])
def test_intervals_of_short_series_cover_what_they_say(rows, kind):
    """Nominal 90 and 80 %, twelve steps, forty simulated series: the whole path from rows on."""
    inside, horizon = [], 12
    for seed in range(40):
        rng, t = np.random.default_rng(seed), np.arange(rows + horizon)
        values = rng.normal(size=len(t)).cumsum()
        if kind == "season":
            values = 15 * np.sin(2 * np.pi * t / 12) + values + 2 * rng.normal(size=len(t))
        values = values[:, None] / values[:rows].std()
        inputs = plain_inputs(values[:rows], test=0)
        found = fit_product(inputs, (horizon,), 12 if kind == "season" else None)[horizon]
        missed = values[rows:] - found.product.forecast(inputs)(np.array([rows - 1]))[0]
        bounds = found.spread.quantiles((0.05, 0.1, 0.9, 0.95))[:, 0]
        inside.append((missed >= bounds[:, :2]) & (missed <= bounds[:, :1:-1]))
    # Twelve errors of a series are alike: forty series tell a share to about 5 points.
    np.testing.assert_allclose(np.mean(inside, axis=(0, 1)), [0.9, 0.8], atol=0.1)
