"""The logarithm: its inverse, its gate against scipy's Box-Cox, its choice, and its intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import inv_boxcox
from scipy.stats import boxcox_llf

from tests.tsrep.forecasting.readouts import plain_inputs
from tsrep.forecasting.log_scale import LogScale, find_log_scale
from tsrep.forecasting.product import LOG, fit_product

HORIZON = 12


def growing(rows=180, seed=0):
    """Months that grow by a share, with a season and noise in shares, too."""
    t, noise = np.arange(rows), np.random.default_rng(seed).normal(size=rows)
    return np.exp(4 + 0.015 * t + 0.3 * np.sin(2 * np.pi * t / 12) + 0.04 * noise)


def added(rows=180, seed=0):
    """The same shape with noise of one size."""
    t, noise = np.arange(rows), np.random.default_rng(seed).normal(size=rows)
    return 100 + 0.3 * t + 10 * np.sin(2 * np.pi * t / 12) + 3 * noise


def standardised(values):
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    return (values - mean) / deviation, -mean / deviation


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), level=st.floats(0.1, 5))
def test_the_scale_and_its_inverse(seed, level):
    rng = np.random.default_rng(seed)
    values = np.stack([np.exp(level * rng.normal(size=30)), rng.normal(size=30)], axis=1)
    table = np.zeros((4, 2), np.float32)
    table[:, 0] = 0.0, 1e-30, 1.5, 2.0  # exp(2 z + 1.5), as scipy says it
    scale = LogScale(table)
    np.testing.assert_array_equal(scale.used, [True, False])
    found = scale.forward(values)
    np.testing.assert_allclose(inv_boxcox(2 * found[:, 0] + 1.5, 0), values[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1], values[:, 1])
    np.testing.assert_allclose(scale.inverse(found), values, rtol=1e-6)


def test_values_that_have_no_logarithm_are_the_least_and_missing_ones_stay():
    scale = LogScale(np.array([[1.0], [0.5], [0.0], [1.0]], np.float32))
    found = scale.forward(np.array([[-3.0], [1.0], [2.0], [np.nan]]))
    np.testing.assert_allclose(found[:, 0], [np.log(0.5), np.log(0.5), 0, np.nan])


def test_quantiles_are_those_of_products():
    values, zero = standardised(growing())
    scale = find_log_scale(values, zero, 12)
    deviation = scale.table[3, 0]
    ahead, factors = np.array([[0.5], [1.0]]), np.array([0.8, 1.25])
    errors = np.broadcast_to(np.log(factors) / deviation, (2, 1, 2))
    found = scale.around(ahead, errors)
    np.testing.assert_allclose(found - zero, (ahead - zero)[..., None] * factors, rtol=1e-5)
    plain = LogScale.identity(1).around(ahead, errors)
    np.testing.assert_allclose(plain, ahead[..., None] + errors)


@pytest.mark.parametrize("shares", [True, False])
def test_the_gate_says_what_the_likelihood_of_scipy_says(shares):
    """Of independent values; those of a walk by its independent changes, of a value or a share."""
    rng = np.random.default_rng(1)
    draws = np.exp(rng.normal(size=200)) if shares else 50 + rng.normal(size=200)
    assert (boxcox_llf(0, draws) > boxcox_llf(1, draws) + 1.92) == shares
    moves = rng.normal(size=200).cumsum()
    walk = np.exp(0.1 * moves + 3) if shares else 50 + 0.2 * moves
    for own in (draws, walk):
        assert bool(find_log_scale(*standardised(own)).used[0]) == shares


def test_channels_that_touch_zero_have_no_logarithm():
    own = np.stack([growing(), growing(seed=1)], axis=1)
    own[17, 1] = 0.0
    values, zero = standardised(own)
    np.testing.assert_array_equal(find_log_scale(values, zero, 12).used, [True, False])


def test_changes_that_grow_with_the_level_are_forecast_on_a_logarithm():
    ratios, inside = [], []
    for seed in range(6):
        own = growing(180 + HORIZON, seed)
        values, zero = standardised(own)
        inputs = plain_inputs(values[:180], test=0.0)
        with_log = fit_product(inputs, (HORIZON,), 12, zero=zero)[HORIZON]
        without = fit_product(inputs, (HORIZON,), 12)[HORIZON]
        assert with_log.scales[LOG] < with_log.scales["as it is"]
        assert with_log.error == min(with_log.scales.values())
        assert all(name.startswith("log, ") for name in with_log.shares)
        truth, last = values[180:], np.array([179])
        ahead = with_log.product.forecast(inputs)(last)[0]
        plain = without.product.forecast(inputs)(last)[0]
        ratios.append(np.square(ahead - truth).sum() / np.square(plain - truth).sum())
        low, high = with_log.product.scale.around(ahead, with_log.spread.quantiles([0.05, 0.95])).T
        inside.append((truth >= low.T) & (truth <= high.T))
    assert np.exp(np.mean(np.log(ratios))) < 0.9, ratios
    assert 0.8 < np.mean(inside) < 0.99


@pytest.mark.parametrize("seed", range(3))
def test_where_a_logarithm_does_not_help_nothing_changes(seed):
    values, zero = standardised(added(seed=seed))
    inputs = plain_inputs(values, test=0.0)
    found = fit_product(inputs, (HORIZON,), 12, zero=zero)[HORIZON]
    plain = fit_product(inputs, (HORIZON,), 12)[HORIZON]
    assert found.shares == plain.shares and found.error == plain.error


def test_the_error_is_that_of_the_values():
    """What the two scales are compared by: squares of forecasts less truth, out of block."""
    values, zero = standardised(growing())
    inputs = plain_inputs(values, test=0.0)
    found = fit_product(inputs, (HORIZON,), 12, zero=zero)[HORIZON]
    errors, starts = found.residuals
    scale = found.product.scale
    truth = inputs.values[starts[:, None] + found.steps]
    ahead = scale.inverse(scale.forward(truth) - errors)
    assert found.error == pytest.approx(np.mean((ahead - truth) ** 2), rel=1e-4)
