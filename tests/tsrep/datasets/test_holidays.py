"""Holidays by country against dates that are written down, and what cannot be found."""

import sys

import numpy as np
import pandas as pd
import pytest

from tspcrep.common.errors import UserError
from tsrep.datasets.holidays import country_of, holiday_column, holidays_in

GERMANY_2024 = [
    "2024-01-01", "2024-03-29", "2024-04-01", "2024-05-01", "2024-05-09", "2024-05-20",
    "2024-10-03", "2024-12-25", "2024-12-26",
]  # fmt: skip
"""The holidays of all of Germany, by its states' laws."""


@pytest.fixture
def package():
    return pytest.importorskip("holidays", reason="the extra tspcrep[holidays] is not installed")


def test_days_hours_and_months(package):
    days = pd.date_range("2024-01-01", "2024-12-31", freq="D")
    found = holidays_in(days, "DE")
    expected = days.isin(pd.DatetimeIndex(GERMANY_2024))
    np.testing.assert_array_equal(found, expected)
    hours = pd.date_range("2024-12-24 12:00", periods=72, freq="h")
    whole = hours.normalize().isin(pd.DatetimeIndex(GERMANY_2024))
    np.testing.assert_array_equal(holidays_in(hours, "DE"), whole)
    np.testing.assert_array_equal(holidays_in(hours.tz_localize("Europe/Berlin"), "DE"), whole)
    months = pd.date_range("2024-01-01", "2024-12-01", freq="MS")
    by_month = pd.Series(expected, days).resample("MS").sum()
    np.testing.assert_array_equal(holidays_in(months, "DE"), by_month)


def test_a_part_of_a_country_has_more(package):
    days = pd.date_range("2024-01-01", "2024-12-31", freq="D")
    more = holidays_in(days, "DE-BY") - holidays_in(days, "DE")
    assert (more >= 0).all() and more[days == "2024-01-06"] == 1  # Epiphany


def test_a_column_names_its_country():
    assert country_of(holiday_column("US-CA")) == "US-CA"
    assert country_of("price") is None


def test_what_has_no_holidays(package):
    days = pd.date_range("2024-01-01", periods=9)
    with pytest.raises(UserError, match="found 'XX', expected a country as US or DE"):
        holidays_in(days, "XX")
    with pytest.raises(UserError, match="expected rows with dates"):
        holidays_in(pd.RangeIndex(9), "US")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(UserError, match=r"pip install 'tspcrep\[holidays\]'"):
        holidays_in(pd.date_range("2024-01-01", periods=9), "US")
