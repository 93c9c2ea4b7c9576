"""The product against ridges put together by hand; known inputs against least squares."""

from dataclasses import replace

import numpy as np
from sklearn.linear_model import Ridge

from tests.tsrep.forecasting.readouts import HORIZON, ahead, chosen_ridge, inputs_of, rows_of
from tests.tsrep.made_series import made_series
from tsrep.forecasting import ridge
from tsrep.forecasting.ridge import (
    OFF,
    PRODUCT_PENALTIES,
    _effect_of,
    fit_beside,
    fit_product,
    product,
)


def test_product_without_representation_is_a_ridge_on_lags():
    series = made_series(dated=False)  # no calendar: one setting, nothing to average
    inputs = inputs_of(series)
    look_back = 48
    rows = rows_of(replace(inputs, drop=look_back - 1))  # those with all their lags
    values = inputs.values[:, 0].astype(np.float64)
    padded = np.concatenate([np.repeat(values[:1], look_back - 1), values])
    lags = np.stack([padded[t : t + look_back - 1] for t in range(len(values))])
    design = lags - values[:, None]
    expected = chosen_ridge(
        [design],
        lambda at: ahead(values, at) - values[at, None],
        rows,
        PRODUCT_PENALTIES,
        lambda e: np.mean(e**2),
    )
    forecast = product(inputs, (HORIZON,), look_back, (OFF,))[HORIZON]
    expected += values[rows[2], None]
    np.testing.assert_allclose(forecast(rows[2])[..., 0], expected, atol=1e-3)


def test_product_forecasts_shift_with_a_series_that_has_no_season():
    """Without a calendar nothing in the forecast depends on the level."""
    inputs = inputs_of(made_series(dated=False))
    moved = replace(inputs, values=inputs.values + 3)
    rows = rows_of(inputs)[2]
    before, after = (product(found, (HORIZON,), 48)[HORIZON](rows) for found in (inputs, moved))
    np.testing.assert_allclose(after, before + 3, atol=1e-2)


def test_the_representation_is_taken_where_it_foretells():
    """A vector that holds the future: the product follows it and beats its own linear path."""
    series = made_series(dated=False)
    inputs = inputs_of(series)
    values = inputs.values[:, 0]
    future = np.stack([np.roll(values, -h) for h in range(1, HORIZON + 1)], axis=1)
    inputs = replace(inputs, vectors=future[None], level_channels=0)
    rows = rows_of(inputs)[2]
    truth = ahead(values, rows)
    with_it, without = (
        product(inputs, (HORIZON,), 48, scales)[HORIZON](rows)[..., 0]
        for scales in ((OFF, 1.0), (OFF,))
    )
    assert np.mean((with_it - truth) ** 2) < 0.05 * np.mean((without - truth) ** 2)


def test_refit_is_the_same_ridge_on_train_and_validation_rows(monkeypatch):
    monkeypatch.setattr(ridge, "PRODUCT_PENALTIES", (3.0,))
    series = made_series(dated=False)
    inputs = inputs_of(series)
    look_back, valid = 24, inputs.split.valid
    values = inputs.values[:, 0].astype(np.float64)
    lags = np.stack([values[t - look_back + 1 : t] for t in range(look_back - 1, len(values))])
    lags = np.concatenate([np.zeros((look_back - 1, look_back - 1)), lags]) - values[:, None]
    rows = np.arange(look_back - 1, valid.stop - HORIZON)
    theirs = Ridge(alpha=3.0).fit(lags[rows], ahead(values, rows) - values[rows, None])
    test = rows_of(inputs)[2]
    fitted = fit_product(inputs, (HORIZON,), look_back, (OFF,), refit=True)[HORIZON]
    expected = theirs.predict(lags[test]) + values[test, None]
    np.testing.assert_allclose(fitted.forecast(inputs)(test)[..., 0], expected, atol=1e-3)


def test_a_fitted_product_forecasts_from_the_tail_of_a_series():
    """Kept apart from its rows, it needs the look-back alone."""
    inputs = inputs_of(made_series(2))
    fitted = fit_product(inputs, (HORIZON,), 24)[HORIZON]
    start = inputs.split.test.start
    tail = slice(start - 23, start + 1)
    cut = replace(
        inputs,
        values=inputs.values[tail],
        vectors=inputs.vectors[:, tail],
        calendar=inputs.calendar[tail],
    )
    found = fitted.forecast(cut)(np.array([23]))
    np.testing.assert_array_equal(found, fitted.forecast(inputs)(np.array([start])))


def test_a_series_that_follows_a_line_is_foretold():
    """Errors of zero, and no warning."""
    series = made_series(dated=True)
    values = np.arange(len(series.values[0]), dtype=np.float32)[:, None] / 100
    inputs = replace(inputs_of(series), values=values)
    rows = rows_of(inputs)[2]
    found = product(inputs, (HORIZON,), 24)[HORIZON](rows)
    np.testing.assert_allclose(found[..., 0], ahead(values[:, 0], rows), atol=1e-3)


def driven(rows=400, slope=2.0):
    """Two columns that follow an input, on top of levels that drift."""
    rng = np.random.default_rng(0)
    known = rng.normal(size=(rows, 1)).cumsum(axis=0)
    drift = 0.1 * rng.normal(size=(rows, 2)).cumsum(axis=0)
    return known, drift + known @ np.array([[slope, 0.0]])


def test_the_effect_is_that_of_least_squares_on_changes():
    known, values = driven()
    expected = np.linalg.lstsq(np.diff(known, axis=0), np.diff(values, axis=0), rcond=None)[0]
    np.testing.assert_allclose(_effect_of(known, values), expected, rtol=0.01, atol=0.01)
    missing = values.copy()
    missing[100:103] = np.nan
    np.testing.assert_allclose(_effect_of(known, missing), expected, atol=0.05)


def test_an_effect_enters_where_it_lowers_the_error():
    known, values = driven()
    train = slice(0, 300)

    def fit(rest):  # the last train value for ever
        return rest[299], float(np.square(rest[300:] - rest[299]).mean())

    last, effect = fit_beside(fit, values, known, train)
    np.testing.assert_allclose(effect, [[2, 0]], atol=0.05)
    np.testing.assert_allclose(last, values[299] - known[299] @ effect, rtol=1e-5)
    values[300:] = values[299]  # the input counts no longer
    last, effect = fit_beside(fit, values, known, train)
    assert not effect.any()
    np.testing.assert_array_equal(last, values[299])
