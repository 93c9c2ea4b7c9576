"""A history as it is handed over, by name and by time, against the plain arrays."""

import numpy as np
import pandas as pd
import pytest

from tspcrep.common.errors import DataWarning, UserError
from tsrep.datasets.histories import even_history

HOURS = pd.date_range("2024-01-01", periods=50, freq="h")
VALUES = np.arange(100.0).reshape(50, 2)
COLUMNS = ("load", "wind")


def frame(index=HOURS):
    return pd.DataFrame(VALUES, index=index, columns=COLUMNS)


def test_a_frame_is_matched_by_name():
    mixed = frame().assign(price=7.0)[["price", "wind", "load"]]
    found = even_history(mixed, None, COLUMNS, 3)
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.times.equals(HOURS)
    with pytest.raises(
        UserError, match="history has no column 'wind', expected load, wind: it has"
    ):
        even_history(mixed.drop(columns="wind"), None, COLUMNS, 3)


def test_arrays_are_taken_as_they_are():
    found = even_history(VALUES, HOURS, COLUMNS, 3, past=VALUES[:, :1], past_columns=("sun",))
    np.testing.assert_array_equal(found.values, VALUES)
    np.testing.assert_array_equal(found.past, VALUES[:, :1])
    assert even_history(VALUES, None, COLUMNS, 3).times is None
    assert even_history(VALUES, pd.RangeIndex(50), COLUMNS, 3).times.equals(pd.RangeIndex(50))


def test_periods_are_times():
    found = even_history(frame(HOURS.to_period("h")), None, COLUMNS, 3)
    assert found.times.to_list() == HOURS.to_list()


def test_absent_rows_are_filled_in_everywhere():
    holes = [4, 5, 30]
    kept = np.setdiff1d(np.arange(50), holes)
    known = np.arange(53.0)[:, None]
    with pytest.warns(DataWarning, match="history: 3 of 50 hours have no row"):
        found = even_history(
            VALUES[kept],
            HOURS[kept],
            COLUMNS,
            3,
            known=np.concatenate([known[kept], known[50:]]),
            known_columns=("price",),
            past=VALUES[kept, :1],
            past_columns=("sun",),
        )
    expected = VALUES.copy()
    expected[holes] = np.nan
    np.testing.assert_array_equal(found.values, expected)
    np.testing.assert_array_equal(found.past, expected[:, :1])
    assert np.flatnonzero(np.isnan(found.known)).tolist() == holes
    assert found.known[50:, 0].tolist() == [50, 51, 52]
    assert found.times.equals(HOURS)


def test_known_inputs_of_a_frame_are_matched_by_time():
    later = pd.date_range("2023-12-31", periods=100, freq="h")
    known = pd.DataFrame({"other": 0.0, "price": np.arange(100.0)}, index=later)
    options = {"known_columns": ("price",)}
    found = even_history(frame(), None, COLUMNS, 3, known=known.sample(frac=1), **options)
    assert found.known[:, 0].tolist() == list(range(24, 77))
    with pytest.raises(UserError, match="known has no row for 2024-01-03 04:00:00, expected one"):
        even_history(frame(), None, COLUMNS, 3, known=known.iloc[:76], **options)


@pytest.mark.parametrize(
    ("history", "times", "message"),
    [
        (np.where(VALUES == 7, np.inf, VALUES), HOURS, "history: row 4 of column 2 is infinite"),
        (VALUES, HOURS[:40], "times: found 40, expected one for each of the 50 steps"),
        (VALUES, HOURS[[0, 1, 2, 3, 4] * 10], "no usual step"),
    ],
)
def test_what_cannot_be_a_history(history, times, message):
    with pytest.raises(UserError, match=message):
        even_history(history, times, COLUMNS, 3)
