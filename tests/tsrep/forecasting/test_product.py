"""The product: what it is made of, what it falls back to, and which rows it never sees."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from tests.tsrep.forecasting.readouts import HORIZON, ahead, inputs_of, plain_inputs, rows_of
from tests.tsrep.made_series import made_series, with_other_test_rows
from tsrep.datasets.series import Split
from tsrep.forecasting.candidates import PENALTIES, LagRidge, Persistence, SeasonalNaive
from tsrep.forecasting.product import Product, fit_product, product, without_vectors
from tsrep.forecasting.rolling import Windows, fit


def test_a_blend_is_the_mean_of_its_parts():
    """A ridge of scikit-learn on train and validation rows, persistence, a seasonal naive."""
    inputs = without_vectors(inputs_of(made_series(dated=False)))
    inputs = replace(inputs, drop=0)
    windows = Windows(inputs, 48)
    parts = [(LagRidge(12, True), 2, 0.5), (Persistence(), 0, 0.3), (SeasonalNaive(24), 0, 0.2)]
    maps = fit(windows, parts, HORIZON)
    found = Product.from_maps(maps, windows.layout, windows.vectors)
    values = inputs.values[:, 0].astype(np.float64)
    starts = np.arange(windows.first, inputs.split.valid.stop - HORIZON)
    lags = np.stack([values[t - 11 : t + 1] - values[t] for t in range(11, len(values))])
    lags = np.concatenate([np.zeros((11, 12)), lags])
    theirs = Ridge(PENALTIES[2]).fit(lags[starts], ahead(values, starts) - values[starts, None])
    test = rows_of(inputs)[2]
    last = values[test, None]
    season = np.stack([values[test + 1 + h - 24] for h in range(HORIZON)], axis=1)
    expected = 0.5 * (theirs.predict(lags[test]) + last) + 0.3 * last + 0.2 * season
    np.testing.assert_allclose(found.forecast(inputs)(test)[..., 0], expected, atol=1e-4)
    assert found.look_back == 24


def test_a_random_walk_is_forecast_little_worse_than_by_its_last_value():
    ratios = []
    for seed in range(4):
        walk = np.random.default_rng(seed).normal(size=(1200, 1)).cumsum(axis=0)
        inputs = plain_inputs((walk - walk[:720].mean()) / walk[:720].std())
        test = np.arange(960, 1200 - 24)
        truth = ahead_of(inputs.values, test, 24)
        found = product(inputs, (24,))[24](test)
        last = inputs.values[test, None]
        ratios.append(np.mean((found - truth) ** 2) / np.mean((last - truth) ** 2))
    assert np.mean(ratios) < 1.15, ratios


def ahead_of(values, starts, horizon):
    return values[starts[:, None] + np.arange(1, horizon + 1)]


def test_a_season_is_found_and_used():
    rng = np.random.default_rng(0)
    pattern = rng.normal(size=17)
    values = np.resize(pattern, 500)[:, None] + 0.1 * rng.normal(size=(500, 1))
    inputs = plain_inputs(values)
    test = np.arange(400, 480)
    found = product(inputs, (17,))[17](test)
    assert np.mean((found - ahead_of(values, test, 17)) ** 2) < 0.014  # of .01, the noise


def test_a_vector_that_holds_the_future_is_followed():
    inputs = inputs_of(made_series(dated=False))
    values = inputs.values[:, 0]
    future = np.stack([np.roll(values, -h) for h in range(1, HORIZON + 1)], axis=1)
    inputs = replace(inputs, vectors=future[None], level_channels=0)
    rows = rows_of(inputs)[2]
    truth = ahead(values, rows)
    with_it, without = (
        product(one, (HORIZON,))[HORIZON](rows)[..., 0] for one in (inputs, without_vectors(inputs))
    )
    assert np.mean((with_it - truth) ** 2) < 0.05 * np.mean((without - truth) ** 2)


@pytest.mark.parametrize("channels", [1, 2])
def test_vectors_of_noise_are_left_out(channels):
    inputs = inputs_of(made_series(channels))
    noise = np.random.default_rng(0).normal(size=(channels, len(inputs.values), 8))
    inputs = replace(inputs, vectors=noise.astype(np.float32), level_channels=0)
    found = fit_product(inputs, (HORIZON,), 24)[HORIZON]
    share = sum(s for name, s in found.shares.items() if "vectors" in name)
    assert share < 0.5 and sum(found.shares.values()) == pytest.approx(1)
    assert found.error <= 1.02 * found.choice.error


def test_test_rows_change_no_choice():
    series = made_series(2)
    first, second = (
        fit_product(inputs_of(one), (4, 12), 24) for one in (series, with_other_test_rows(series))
    )
    for horizon in (4, 12):
        assert first[horizon].table() == second[horizon].table()
        for a, b in zip(
            first[horizon].product.arrays().values(),
            second[horizon].product.arrays().values(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_a_fitted_product_forecasts_from_the_tail_of_a_series():
    """Kept apart from its rows, it needs the look-back alone."""
    inputs = inputs_of(made_series(2))
    fitted = fit_product(inputs, (HORIZON,), 24)[HORIZON].product
    start = inputs.split.test.start
    tail = slice(start - fitted.look_back + 1, start + 1)
    cut = replace(
        inputs,
        values=inputs.values[tail],
        vectors=inputs.vectors[:, tail],
        calendar=inputs.calendar[tail],
    )
    found = fitted.forecast(cut)(np.array([fitted.look_back - 1]))
    np.testing.assert_allclose(found, fitted.forecast(inputs)(np.array([start])), atol=1e-6)


def test_a_series_that_follows_a_line_is_foretold():
    """Errors of zero, and no warning."""
    values = np.arange(700)[:, None] / 100
    rows = np.arange(560, 690)
    found = product(plain_inputs(values), (HORIZON,))[HORIZON](rows)
    np.testing.assert_allclose(found, ahead_of(values, rows, HORIZON), atol=0.02)


@pytest.mark.parametrize("rows", [2, 5, 12, 30])
@pytest.mark.parametrize("horizon", [1, 3, 40])
def test_short_series_are_forecast_those_of_a_few_rows_by_the_last(rows, horizon):
    values = np.random.default_rng(0).normal(size=(rows, 2)).cumsum(axis=0)
    start = rows // 2
    split = Split(slice(0, start), slice(start, rows), slice(rows, rows))
    inputs = replace(plain_inputs(values), split=split)
    found = fit_product(inputs, (horizon,))[horizon]
    ahead = found.product.forecast(inputs)(np.array([rows - 1]))[0]
    assert ahead.shape == (horizon, 2) and np.isfinite(ahead).all()
    if rows < 12:
        np.testing.assert_allclose(ahead, values[[-1]].repeat(horizon, 0), rtol=1e-6)
    assert np.isfinite(found.spread.quantiles((0.1, 0.9), horizon)).all()


def test_missing_values_count_as_no_error():
    values = np.random.default_rng(1).normal(size=(400, 1))
    inputs = plain_inputs(values)
    seen = np.ones((400, 1), bool)
    seen[::3] = False
    one = replace(inputs, seen=seen)
    errors = fit_product(one, (4,))[4].residuals[0]
    assert np.isnan(errors).any() and np.nanmax(np.abs(errors)) < 10
