"""The suite of interval coverage: its control against sktime's."""

import warnings

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def coverage(suite):
    return suite("coverage")


@pytest.mark.parametrize("season", [1, 5])
def test_the_naive_forecast_is_that_of_sktime(coverage, season):
    naive = pytest.importorskip("sktime.forecasting.naive")
    history = np.random.default_rng(0).normal(size=200).cumsum()
    point, low, high = coverage._naive(history, season)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = naive.NaiveForecaster(sp=season).fit(pd.Series(history), fh=range(1, 13))
        bounds = model.predict_interval(coverage=[0.9, 0.8]).to_numpy()
    np.testing.assert_allclose(point, model.predict())
    # sktime takes the mean square of the errors, here it is their deviation.
    np.testing.assert_allclose(low, bounds[:, [0, 2]], atol=0.1)
    np.testing.assert_allclose(high, bounds[:, [1, 3]], atol=0.1)


def test_naive_intervals_of_a_walk_cover_what_they_say(coverage):
    inside = []
    for seed in range(400):
        values = coverage.walk(np.random.default_rng(seed), 212)
        _, low, high = coverage._naive(values[:200], 1)
        inside.append((values[200:, None] >= low) & (values[200:, None] <= high))
    np.testing.assert_allclose(np.mean(inside, axis=(0, 1)), coverage.NOMINAL, atol=0.03)
