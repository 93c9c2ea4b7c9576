"""Readouts against ridges of scikit-learn that are put together by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from tests.tsrep.made_series import made_series, with_other_test_rows
from tspcrep.common.probes import PENALTIES
from tsrep.encoders import Centred, DilatedConv
from tsrep.evaluation.forecasts import readout_inputs
from tsrep.forecasting import ridge
from tsrep.forecasting.probe import FAINT, FREE, probe
from tsrep.forecasting.ridge import OFF, PRODUCT_PENALTIES, fit_product, product

HORIZON = 6


def encoder_of(channels=1):
    torch.manual_seed(0)
    return Centred(DilatedConv(channels, 5, 4, 2), window=24).eval()


def inputs_of(series, channels=1):
    return readout_inputs(encoder_of(channels), series)[0]


def ahead(values, rows):
    return np.stack([values[rows + 1 + h] for h in range(HORIZON)], axis=1)


def rows_of(inputs):
    """Origins of train and validation rows, and those of test."""
    train, valid, test = inputs.train, inputs.split.valid, inputs.split.test
    return [np.arange(part.start, part.stop - HORIZON) for part in (train, valid, test)]


def chosen_ridge(designs, values, rows, alphas, error):
    """Predictions on test rows of the scikit-learn ridge of least validation error."""
    train, valid, test = rows
    found = []
    for design in designs:
        for alpha in alphas:
            ridge = Ridge(alpha=alpha, solver="svd").fit(design[train], values(train))
            off = error(ridge.predict(design[valid]) - values(valid))
            found.append((off, len(found), ridge.predict(design[test])))
    return min(found)[2]


def test_probe_is_a_ridge_of_scikit_learn():
    series = made_series()
    inputs = inputs_of(series)
    rows = rows_of(inputs)
    vectors = inputs.vectors[0].astype(np.float64)
    z, level = vectors[:, :-1], vectors[:, -1:]
    own = z[inputs.train]
    z = (z - own.mean(0)) / (own.std(0) + 1e-6)
    designs = [
        np.concatenate([z, FREE * level, scale * inputs.calendar], axis=1)
        for scale in (FREE, FAINT)
    ]
    values = inputs.values[:, 0].astype(np.float64)
    expected = chosen_ridge(
        designs,
        lambda at: ahead(values, at),
        rows,
        PENALTIES,
        lambda e: np.sqrt(np.mean(e**2)) + np.mean(np.abs(e)),
    )
    found = probe(inputs, (HORIZON,))[HORIZON](rows[2])
    np.testing.assert_allclose(found[..., 0], expected, atol=2e-4)


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


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("encoder_channels", ["one", "joint"])
def test_changing_test_rows_changes_no_choice(channels, encoder_channels):
    series = made_series(channels)
    other = with_other_test_rows(series)
    width = 1 if encoder_channels == "one" else channels
    first, second = inputs_of(series, width), inputs_of(other, width)
    # Origins before the test rows: all that a forecast reads there is the same in both.
    starts = np.arange(series.split.valid.start, series.split.valid.stop - 1)
    for fit in (probe, lambda i, h: product(i, h, 48)):
        forecasts = [fit(inputs, (HORIZON, 12)) for inputs in (first, second)]
        for horizon in (HORIZON, 12):
            a, b = (found[horizon](starts) for found in forecasts)
            assert a.shape == (len(starts), horizon, channels)
            np.testing.assert_array_equal(a, b)


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
