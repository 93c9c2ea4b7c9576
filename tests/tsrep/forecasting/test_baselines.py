"""Baselines agree with loops over windows and with published numbers, and never see test rows."""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from tsrep import datasets
from tsrep.datasets import Split
from tsrep.datasets.calendar import second_harmonics
from tsrep.datasets.series import filled
from tsrep.forecasting.baselines import controls, fit_lag_ridge, persistence, seasonal_naive
from tsrep.forecasting.protocol import evaluate

SPLIT = Split(slice(0, 180), slice(180, 260), slice(260, 330))
GRID = (5, 9, 24)


def walk(channels=2, rows=330, seed=0):
    """Standardised noisy seasons (T, C) and a calendar (T, 2)."""
    rng = np.random.default_rng(seed)
    t = np.arange(rows)[:, None]
    season = np.sin(2 * np.pi * t / 12 + np.arange(channels))
    values = season + 0.05 * rng.normal(size=(rows, channels)).cumsum(axis=0)
    values = values + 0.3 * rng.normal(size=(rows, channels))
    angle = 2 * np.pi * t[:, 0] / 12
    calendar = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return (values - values.mean(axis=0)) / values.std(axis=0), calendar


def stacked(values, calendar, starts, look_back, horizon, normalise):
    """The ridge's rows, one by one."""
    x, y = [], []
    for t in starts:
        for channel in values.T:
            last = channel[t] if normalise else 0.0
            x.append(np.concatenate([calendar[t], channel[t - look_back + 1 : t + 1] - last]))
            y.append(channel[t + 1 : t + 1 + horizon] - last)
    return np.array(x), np.array(y)


@settings(deadline=None, max_examples=12)
@given(
    channels=st.integers(1, 3),
    horizon=st.integers(1, 30),
    normalise=st.booleans(),
    timed=st.booleans(),
    drop=st.integers(0, 30),
    seed=st.integers(0, 100),
)
def test_lag_ridge_equals_sklearn_on_stacked_windows(
    channels, horizon, normalise, timed, drop, seed
):
    values, calendar = walk(channels, seed=seed)
    if not timed:
        calendar = calendar[:, :0]
    alphas = (0.5, 20.0, 500.0)
    tried = []
    for look_back in GRID:
        train = range(max(drop, look_back - 1), 180 - horizon)
        shape = look_back, horizon, normalise
        x, y = stacked(values, calendar, train, *shape)
        x_valid, y_valid = stacked(values, calendar, range(180, 260 - horizon), *shape)
        for alpha in alphas:
            model = Ridge(alpha).fit(x, y)
            error = model.predict(x_valid) - y_valid.reshape(model.predict(x_valid).shape)
            tried.append(((error**2).mean(), look_back, alpha, model))
    score, look_back, alpha, model = min(tried, key=lambda one: one[0])
    found = fit_lag_ridge(
        values,
        SPLIT,
        horizon,
        normalise=normalise,
        calendar=calendar if timed else None,
        look_backs=GRID,
        alphas=alphas,
        drop=drop,
    )
    assert (found.look_back, found.model.alpha) == (look_back, alpha)
    assert found.model.score == pytest.approx(score, rel=1e-8)
    weight = model.coef_.reshape(horizon, -1)
    np.testing.assert_allclose(found.model.weight.T, weight, atol=1e-8)
    starts = np.arange(260, 300)
    ours = found.forecast(values, calendar)(starts)  # (40, horizon, channels)
    x, _ = stacked(values, calendar, starts, look_back, horizon, normalise)
    theirs = model.predict(x).reshape(40, channels, horizon).transpose(0, 2, 1)
    if normalise:
        theirs = theirs + values[starts, None]
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


@pytest.mark.parametrize("horizon", [1, 5, 12, 30])
def test_naive_forecasts_equal_a_loop(horizon):
    values, _ = walk()
    last, seasonal = persistence(values, horizon), seasonal_naive(values, horizon, 12)
    for t in (20, 100):
        for step in range(horizon):
            np.testing.assert_array_equal(last(np.array([t]))[0, step], values[t])
            source = t + 1 + step
            while source > t:
                source -= 12
            np.testing.assert_array_equal(seasonal(np.array([t]))[0, step], values[source])


def test_filled_repeats_the_last_value_seen():
    nan = np.nan
    values = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [3.0, 4.0]])
    np.testing.assert_array_equal(filled(values), [[0, 1], [2, 1], [2, 1], [3, 4]])


def test_second_harmonics_turn_twice_as_fast():
    angle = np.linspace(0, 20, 50)
    doubled = second_harmonics(np.stack([np.sin(angle), np.cos(angle)], axis=1))
    np.testing.assert_allclose(doubled[:, 2], np.sin(2 * angle), atol=1e-12)
    np.testing.assert_allclose(doubled[:, 3], np.cos(2 * angle), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_changed_test_rows_change_no_forecast_from_earlier_rows(seed):
    values, calendar = walk()
    rng = np.random.default_rng(seed)
    changed, moved = values.copy(), calendar.copy()
    changed[260:] = 100 * rng.normal(size=changed[260:].shape)
    moved[260:] = rng.normal(size=moved[260:].shape)
    options = {"period": 12, "look_backs": GRID, "drop": 10}
    before = controls(values, SPLIT, calendar=calendar, **options)
    after = controls(changed, SPLIT, calendar=moved, **options)
    assert list(before) == list(after)
    for name in before:
        for horizon in (3, 20):
            one, two = (found[name](horizon) for found in (before, after))
            starts = np.arange(180, 260)
            np.testing.assert_array_equal(one(starts), two(starts))
            assert not np.array_equal(one(np.array([300])), two(np.array([300])))
    one = fit_lag_ridge(values, SPLIT, 3, look_backs=GRID, drop=10).model
    two = fit_lag_ridge(changed, SPLIT, 3, look_backs=GRID, drop=10).model
    np.testing.assert_array_equal(one.weight, two.weight)
    assert one.score == two.score


def test_controls_have_what_the_series_allows():
    values, calendar = walk()
    options = {"look_backs": GRID, "drop": 10}
    always = {"persistence", "lag_ridge", "nridge"}
    assert set(controls(values, SPLIT, calendar=calendar[:, :0], **options)) == always
    found = controls(values, SPLIT, calendar=calendar, period=12, **options)
    assert set(found) == always | {"seasonal_naive", "lag_ridge_calendar"}


def test_controls_are_what_they_are_called():
    values, calendar = walk()
    found = controls(values, SPLIT, calendar=calendar, period=12, look_backs=GRID, drop=10)
    options, starts = {"look_backs": GRID, "drop": 10}, np.arange(260, 300)
    nothing, twice = np.zeros((330, 0)), second_harmonics(calendar)
    expected = {
        "persistence": persistence(values, 4),
        "seasonal_naive": seasonal_naive(values, 4, 12),
        "lag_ridge": fit_lag_ridge(values, SPLIT, 4, **options).forecast(values, nothing),
        "nridge": fit_lag_ridge(values, SPLIT, 4, normalise=True, **options).forecast(
            values, nothing
        ),
    }
    for name, forecast in expected.items():
        np.testing.assert_array_equal(found[name](4)(starts), forecast(starts))
    for channel in (0, 1):
        own = values[:, [channel]]
        ridge = fit_lag_ridge(own, SPLIT, 4, calendar=twice, **options).forecast(own, twice)
        found_here = found["lag_ridge_calendar"](4)(starts)[..., [channel]]
        np.testing.assert_array_equal(found_here, ridge(starts))


def test_look_backs_that_do_not_fit_are_left_out_or_named():
    values, _ = walk()
    assert fit_lag_ridge(values, SPLIT, 5, look_backs=(20, 150), drop=0).look_back == 20
    with pytest.raises(ValueError, match="180 train rows are too few for look-back 150"):
        fit_lag_ridge(values, SPLIT, 5, look_backs=(150,), drop=0)
    with pytest.raises(ValueError, match="70 rows to forecast, expected more than the horizon 70"):
        evaluate(persistence(values, 70), values, SPLIT.test, 70)
    with pytest.raises(ValueError, match="origin 5 has less than a season of 12"):
        seasonal_naive(values, 3, 12)(np.array([5]))


PUBLISHED = {  # mean over 24, 48, 168, 336, 720 of (MSE, MAE), 201 lags
    True: {
        "persistence": (0.083, 0.218),
        "seasonal_naive": (0.085, 0.226),
        "lag_ridge": (0.081, 0.210),
        "nridge": (0.058, 0.184),
    },
    False: {
        "persistence": (1.296, 0.719),
        "seasonal_naive": (0.553, 0.455),
        "lag_ridge": (0.399, 0.414),
        "nridge": (0.391, 0.405),
    },
}


@pytest.mark.data
@pytest.mark.skipif("TSPCREP_DATA" not in os.environ, reason="TSPCREP_DATA is not set")
@pytest.mark.parametrize("univariate", [True, False])
def test_etth1_reproduces_known_numbers(univariate):
    series = datasets.load("ETTh1", univariate=univariate)
    values, split = series.values[0], series.split
    found = controls(values, split, period=series.period, look_backs=(201,))
    for name, wanted in PUBLISHED[univariate].items():
        scores = [evaluate(found[name](h), values, split.test, h) for h in series.horizons]
        np.testing.assert_allclose(np.mean(scores, axis=0), wanted, atol=0.001, err_msg=name)
        if name == "nridge" and not univariate:
            by_horizon = [score.mse for score in scores]
            np.testing.assert_allclose(by_horizon, [0.314, 0.343, 0.411, 0.447, 0.442], atol=0.001)


def test_split_is_not_read_beyond_validation_when_fitting():
    values, _ = walk()
    short = replace(SPLIT, test=slice(260, 260))
    found = fit_lag_ridge(values[:260], short, 5, look_backs=GRID, drop=0)
    wanted = fit_lag_ridge(values, SPLIT, 5, look_backs=GRID, drop=0)
    np.testing.assert_array_equal(found.model.weight, wanted.model.weight)
