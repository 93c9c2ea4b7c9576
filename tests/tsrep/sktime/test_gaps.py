"""Series with absent rows, of every index that sktime has, against the same with empty values."""

import numpy as np
import pandas as pd
import pytest

from tspcrep.common.errors import DataWarning
from tsrep.sktime.forecaster import ContrastiveForecaster

TINY = {"dim": 2, "depth": 1, "window": 8, "batch_size": 4, "max_steps": 0, "look_back": 8}
ROWS = 50
HOLES = [5, 6, 23, 24, 25, 41]
INDICES = {
    "hours": pd.date_range("2024-01-01", periods=ROWS, freq="h"),
    "business days": pd.date_range("2024-01-01", periods=ROWS, freq="B"),
    "month ends": pd.date_range("2010-01-31", periods=ROWS, freq="ME"),
    "periods": pd.period_range("2010-01", periods=ROWS, freq="M"),
    "counts": pd.RangeIndex(ROWS),
}


def seasonal(index):
    rng = np.random.default_rng(0)
    values = 10 + np.sin(np.arange(ROWS) * 2 * np.pi / 12) + 0.1 * rng.normal(size=ROWS)
    return pd.DataFrame({"a": values}, index=index)


def halves(index):
    """The series with empty values, and with absent rows."""
    empty = seasonal(index)
    empty.iloc[HOLES] = np.nan
    return empty, empty.drop(index=index[HOLES])


@pytest.mark.parametrize("name", INDICES)
def test_absent_rows_equal_empty_values(name):
    empty, absent = halves(INDICES[name])
    expected = ContrastiveForecaster(**TINY).fit(empty, fh=[1, 2, 5]).predict()
    with pytest.warns(DataWarning, match="y: 6 of 50 .* have no row and are filled in as missing"):
        model = ContrastiveForecaster(**TINY).fit(absent, fh=[1, 2, 5])
    found = model.predict()
    np.testing.assert_allclose(found, expected)
    assert list(found.index) == list(expected.index)


@pytest.mark.parametrize("name", ["hours", "periods", "counts"])
def test_an_update_after_a_gap(name):
    empty, absent = halves(INDICES[name])
    expected = ContrastiveForecaster(**TINY).fit(empty.iloc[:40], fh=[1, 2])
    expected.update(empty.iloc[40:])
    with pytest.warns(DataWarning, match="have no row"):
        found = ContrastiveForecaster(**TINY).fit(absent.iloc[:35], fh=[1, 2])
        found.update(absent.iloc[35:])
    np.testing.assert_allclose(found.predict(), expected.predict())


def test_exogenous_rows_that_are_absent_too():
    empty, absent = halves(INDICES["hours"])
    later = pd.date_range("2024-01-01", periods=ROWS + 2, freq="h")
    x = pd.DataFrame({"x": np.cos(np.arange(ROWS + 2) / 3)}, index=later)
    holed = x.copy()
    holed.iloc[HOLES] = np.nan
    expected = ContrastiveForecaster(**TINY).fit(empty, X=holed.iloc[:ROWS], fh=[1, 2])
    with pytest.warns(DataWarning, match="have no row"):
        found = ContrastiveForecaster(**TINY).fit(absent, X=x.loc[absent.index], fh=[1, 2])
    np.testing.assert_allclose(found.predict(X=x[-2:]), expected.predict(X=x[-2:]))
